/*
 * Coroutines: code that waits, written from top to bottom.
 *
 *     static void copy(void *opaque)          a coroutine
 *     {
 *         ... node_read(...);                 yields until the bytes are there
 *     }
 *     co_start(copy, job);                    returns at its first wait
 *
 * Whoever starts or enters a coroutine gets control back when it yields or
 * ends.  A coroutine runs on the stack of its own, in the thread that entered
 * it: between two waits it may change threads, so it must not keep the address
 * of a thread-local variable (errno!) over a wait.
 *
 * Locks: none; who enters makes sure that nobody else does.  A CoMutex or a
 *        CoQueue belongs to one loop and is not for use between threads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_CO_H
#define BASE_CO_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Co Co;
typedef void CoFn(void *opaque);

enum { CO_STACK_BYTES = 256 * 1024 };   /* buffers do not go there */

/* Run fn(opaque) in a new coroutine up to its first yield.  False: the host
 * gives no memory for a stack (ENOMEM), and nothing was run. */
bool co_start(CoFn *fn, void *opaque) __attribute__((warn_unused_result));
/* The running coroutine, or NULL. */
Co *co_self(void);
/* Back to whoever entered; returns when somebody enters again. */
void co_yield(void);
/* Continue a coroutine that has yielded. */
void co_enter(Co *co);

/* --- waiting for one another ------------------------------------------------ */

/* First come, first served.  Zero is an empty one. */
typedef struct CoQueue {
    struct CoWaiter *first, *last;
} CoQueue;

/* Wait until woken; the caller looks again at what it waits for. */
void co_queue_wait(CoQueue *q);
/* Enter the first waiter, which runs at once; false: there was none. */
bool co_queue_wake(CoQueue *q);
/* Those that wait now, and not those that come back while it runs. */
void co_queue_wake_all(CoQueue *q);
static inline bool co_queue_is_empty(const CoQueue *q)
{
    return !q->first;
}

/* Zero is an unlocked one. */
typedef struct CoMutex {
    bool locked;
    CoQueue waiters;
} CoMutex;

void co_mutex_lock(CoMutex *m);
void co_mutex_unlock(CoMutex *m);   /* the next owner runs at once */

/* Many readers or one writer; writers are not starved. */
typedef struct CoRwLock {
    unsigned n_readers;
    bool writer;
    CoQueue waiters;
    unsigned n_waiting_writers;
} CoRwLock;

void co_rw_read(CoRwLock *l);
void co_rw_write(CoRwLock *l);
void co_rw_unlock(CoRwLock *l);

#endif
