/*
 * Quiescent-state based reclamation.
 *
 * An epoch counter grows with each deferral.  A thread that passes a safe
 * point copies the counter to its own record; what was deferred at epoch E is
 * free once every online thread's copy is at least E.  Whoever stands at a
 * safe point looks whether the oldest deferral is free by now.  It looks first
 * at the thread that was in the way last time, so that with many threads a
 * look costs two loads until that thread has moved.
 *
 * Why a reader cannot be missed: the deferring thread unpublishes, then makes
 * E; a reader that copies E (acquire) sees the unpublishing and cannot find
 * the pointer again.  A thread coming online stores its copy before it reads
 * anything (full barrier), and the scan reads the copies after making E (full
 * barrier): either the scan sees it online with an older epoch, or it sees
 * the unpublishing.
 *
 * Locks: `lock` guards the queue and the list of records; leaf.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/qsbr.h"
#include "base/bits.h"

#include <pthread.h>
#include <stdlib.h>

#define OFFLINE 0

typedef struct Reader Reader;
struct Reader {
    uint64_t seen;              /* (A) epoch at the last safe point, OFFLINE */
    Reader *next;               /* (C) records are recycled, never freed */
    bool taken;                 /* under lock: a thread has this record */
} __attribute__((aligned(64)));

typedef struct Deferred Deferred;
struct Deferred {
    Deferred *next;
    uint64_t epoch;
    GDestroyNotify free_fn;
    gpointer data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Reader *readers;                 /* under lock */
static Deferred *head, **tail = &head;  /* oldest first; under lock */

static uint64_t epoch = 1;              /* (A) */
static uint64_t head_epoch;             /* (A) of the oldest; 0: none */
static Reader *in_the_way;              /* (A) last one seen behind it */

static __thread Reader *self;
static __thread unsigned n_registered;  /* a thread may register twice */

/* ThreadSanitizer knows no fences; it needs none, the atomics order for it. */
static void full_barrier(void)
{
#ifndef __SANITIZE_THREAD__
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static bool is_behind(const Reader *r, uint64_t e)
{
    uint64_t seen = __atomic_load_n(&r->seen, __ATOMIC_SEQ_CST);

    return seen != OFFLINE && seen < e;
}

/* Take from the queue all that no thread can be reading.  Under lock. */
static Deferred *take_free(void)
{
    uint64_t oldest_seen = UINT64_MAX;
    Deferred *taken = head, **end = &head;

    if (!head) {
        return NULL;
    }
    for (Reader *r = readers; r; r = r->next) {
        uint64_t seen = __atomic_load_n(&r->seen, __ATOMIC_SEQ_CST);

        if (seen == OFFLINE) {
            continue;
        }
        if (seen < head->epoch) {
            __atomic_store_n(&in_the_way, r, __ATOMIC_RELAXED);
            return NULL;
        }
        oldest_seen = MIN(oldest_seen, seen);
    }
    while (*end && (*end)->epoch <= oldest_seen) {
        end = &(*end)->next;
    }
    head = *end;
    *end = NULL;
    if (!head) {
        tail = &head;
    }
    __atomic_store_n(&head_epoch, head ? head->epoch : 0, __ATOMIC_RELAXED);
    return taken;
}

static void free_taken(Deferred *d)
{
    while (d) {
        Deferred *next = d->next;

        d->free_fn(d->data);
        g_free(d);
        d = next;
    }
}

/* At a safe point.  `wait` for the lock when there may be no later one. */
static void reclaim(bool wait)
{
    uint64_t e = __atomic_load_n(&head_epoch, __ATOMIC_RELAXED);
    const Reader *last = __atomic_load_n(&in_the_way, __ATOMIC_ACQUIRE);
    Deferred *taken;

    if (!e || (last && is_behind(last, e))) {
        return;
    }
    if (wait) {
        pthread_mutex_lock(&lock);
    } else if (pthread_mutex_trylock(&lock) != 0) {
        return;
    }
    taken = take_free();
    pthread_mutex_unlock(&lock);
    free_taken(taken);
}

static Reader *free_record(void)
{
    for (Reader *r = readers; r; r = r->next) {
        if (!r->taken) {
            return r;
        }
    }
    return NULL;
}

void qsbr_register(void)
{
    if (n_registered++) {
        return;
    }
    pthread_mutex_lock(&lock);
    self = free_record();
    if (!self) {
        self = aligned_alloc(64, sizeof(Reader));
        *self = (Reader){ .next = readers };
        readers = self;
    }
    self->taken = true;
    pthread_mutex_unlock(&lock);
    qsbr_online();
}

void qsbr_unregister(void)
{
    if (!self || --n_registered) {
        return;
    }
    qsbr_offline();
    pthread_mutex_lock(&lock);
    self->taken = false;
    self = NULL;
    pthread_mutex_unlock(&lock);
}

void qsbr_quiescent(void)
{
    if (self) {
        uint64_t e = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);

        if (self->seen != e) {
            __atomic_store_n(&self->seen, e, __ATOMIC_RELEASE);
        }
    }
    if (G_UNLIKELY(__atomic_load_n(&head_epoch, __ATOMIC_RELAXED))) {
        reclaim(false);
    }
}

void qsbr_offline(void)
{
    if (self) {
        __atomic_store_n(&self->seen, OFFLINE, __ATOMIC_RELEASE);
    }
    reclaim(true);
}

void qsbr_online(void)
{
    if (self) {
        uint64_t e = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);

        __atomic_exchange_n(&self->seen, e, __ATOMIC_SEQ_CST);
        full_barrier();
    }
}

void qsbr_defer(GDestroyNotify free_fn, gpointer data)
{
    Deferred *d = g_new(Deferred, 1);

    *d = (Deferred){ .free_fn = free_fn, .data = data };
    full_barrier();
    pthread_mutex_lock(&lock);
    d->epoch = __atomic_add_fetch(&epoch, 1, __ATOMIC_SEQ_CST);
    *tail = d;
    tail = &d->next;
    if (head == d) {
        __atomic_store_n(&head_epoch, d->epoch, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&lock);
}

void qsbr_drain(void)
{
    Deferred *taken;

    do {                        /* a free_fn may defer more */
        pthread_mutex_lock(&lock);
        taken = head;
        head = NULL;
        tail = &head;
        __atomic_store_n(&head_epoch, 0, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&lock);
        free_taken(taken);
    } while (taken);
}
