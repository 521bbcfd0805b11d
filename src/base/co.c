/*
 * Coroutines; see base/co.h.
 *
 * On x86-64 a switch is six pushes and pops; elsewhere swapcontext().  The
 * sanitizers are told of each switch.  Stacks are kept for the next coroutine:
 * there are as many as ever waited at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/co.h"

#include <assert.h>
#include <glib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CO_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CO_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CO_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CO_TSAN 1
#endif
#endif

#ifdef CO_ASAN
void __sanitizer_start_switch_fiber(void **fake, const void *bottom,
                                    size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom,
                                     size_t *size);
#endif
#ifdef CO_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

/* Where a stopped flow of control can go on. */
typedef struct Context {
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t uc;
#endif
#ifdef CO_ASAN
    void *fake;
    const void *bottom;
    size_t size;
#endif
#ifdef CO_TSAN
    void *fiber;
#endif
} Context;

struct Co {
    CoFn *fn;
    void *opaque;
    Context own, caller;
    Co *parent;                 /* who was running when it was entered */
    uint8_t *stack;
    bool running, ended;
    Co *next;                   /* among the free ones */
};

static __thread Co *current;

static GMutex free_lock;
static Co *free_list;

/* Not inlined: the compiler must not keep the address of a thread's variable
 * from before a switch. */
__attribute__((noinline)) Co *co_self(void)
{
    return current;
}

static __attribute__((noinline)) void set_current(Co *co)
{
    current = co;
}

/* --- switching --------------------------------------------------------------- */

#ifdef __x86_64__
void co_switch_stacks(void **save_sp, void *sp);
__asm__(
    ".text\n"
    ".p2align 4\n"
    ".type co_switch_stacks, @function\n"
    "co_switch_stacks:\n"
    "    push %rbp\n"
    "    push %rbx\n"
    "    push %r12\n"
    "    push %r13\n"
    "    push %r14\n"
    "    push %r15\n"
    "    mov %rsp, (%rdi)\n"
    "    mov %rsi, %rsp\n"
    "    pop %r15\n"
    "    pop %r14\n"
    "    pop %r13\n"
    "    pop %r12\n"
    "    pop %rbx\n"
    "    pop %rbp\n"
    "    ret\n"
    ".size co_switch_stacks, . - co_switch_stacks\n");
#endif

static void jump(Context *from, Context *to)
{
#ifdef CO_ASAN
    __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
#ifdef CO_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
#ifdef __x86_64__
    co_switch_stacks(&from->sp, to->sp);
#else
    swapcontext(&from->uc, &to->uc);
#endif
}

/* The first thing after each arrival in `here`; `from` is where it came from,
 * when that is a thread's or another coroutine's context. */
static void arrived(Context *here, Context *from)
{
#ifdef CO_ASAN
    const void *bottom;
    size_t size;

    __sanitizer_finish_switch_fiber(here->fake, &bottom, &size);
    if (from) {
        from->bottom = bottom;
        from->size = size;
    }
#endif
}

static void co_main(void)
{
    Co *co = co_self();

    for (;;) {
        arrived(&co->own, &co->caller);
        co->fn(co->opaque);
        co->ended = true;
        jump(&co->own, &co->caller);
        /* Here again: a new function on the same stack. */
    }
}

/* --- stacks -------------------------------------------------------------------- */

/* NULL: no memory. */
static Co *new_co(void)
{
    size_t guard = sysconf(_SC_PAGESIZE);
    size_t bytes = guard + CO_STACK_BYTES;
    uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Co *co;

    if (at == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(at, guard, PROT_NONE) < 0) {   /* an overflow faults */
        munmap(at, bytes);
        return NULL;
    }
    co = g_new0(Co, 1);
    co->stack = at + guard;
#ifdef __x86_64__
    void **top = (void **)(co->stack + CO_STACK_BYTES);

    /* co_main() begins with the stack as after a call; six registers. */
    top[-2] = (void *)co_main;
    co->own.sp = top - 8;
#else
    getcontext(&co->own.uc);
    co->own.uc.uc_stack.ss_sp = co->stack;
    co->own.uc.uc_stack.ss_size = CO_STACK_BYTES;
    makecontext(&co->own.uc, co_main, 0);
#endif
#ifdef CO_ASAN
    co->own.bottom = co->stack;
    co->own.size = CO_STACK_BYTES;
#endif
#ifdef CO_TSAN
    co->own.fiber = __tsan_create_fiber(0);
#endif
    return co;
}

static Co *get_co(void)
{
    Co *co;

    g_mutex_lock(&free_lock);
    co = free_list;
    if (co) {
        free_list = co->next;
    }
    g_mutex_unlock(&free_lock);
    return co ? co : new_co();
}

static void put_co(Co *co)
{
    co->ended = false;
    g_mutex_lock(&free_lock);
    co->next = free_list;
    free_list = co;
    g_mutex_unlock(&free_lock);
}

/* --- entering and leaving --------------------------------------------------------- */

void co_enter(Co *co)
{
    assert(!co->running);
    co->running = true;
    co->parent = co_self();
    set_current(co);
#ifdef CO_TSAN
    co->caller.fiber = __tsan_get_current_fiber();
#endif
    jump(&co->caller, &co->own);
    /* The same thread: only the one that entered gets back here. */
    arrived(&co->caller, NULL);
    set_current(co->parent);
    co->running = false;
    if (co->ended) {
        put_co(co);
    }
}

bool co_start(CoFn *fn, void *opaque)
{
    Co *co = get_co();

    if (!co) {
        return false;
    }
    co->fn = fn;
    co->opaque = opaque;
    co_enter(co);
    return true;
}

void co_yield(void)
{
    Co *co = co_self();

    assert(co);
    jump(&co->own, &co->caller);
    arrived(&co->own, &co->caller);
}

/* --- queues and locks ------------------------------------------------------------- */

typedef struct CoWaiter {
    Co *co;
    struct CoWaiter *next;
} CoWaiter;

void co_queue_wait(CoQueue *q)
{
    CoWaiter w = { co_self(), NULL };

    if (q->last) {
        q->last->next = &w;
    } else {
        q->first = &w;
    }
    q->last = &w;
    co_yield();
}

bool co_queue_wake(CoQueue *q)
{
    CoWaiter *w = q->first;

    if (!w) {
        return false;
    }
    q->first = w->next;
    if (!q->first) {
        q->last = NULL;
    }
    co_enter(w->co);
    return true;
}

void co_queue_wake_all(CoQueue *q)
{
    CoQueue now = *q;

    *q = (CoQueue) { NULL, NULL };
    while (co_queue_wake(&now)) {
    }
}

void co_mutex_lock(CoMutex *m)
{
    if (!m->locked) {
        m->locked = true;
        return;
    }
    co_queue_wait(&m->waiters);     /* handed over: it stays locked */
}

void co_mutex_unlock(CoMutex *m)
{
    assert(m->locked);
    if (co_queue_is_empty(&m->waiters)) {
        m->locked = false;
        return;
    }
    co_queue_wake(&m->waiters);
}

void co_rw_read(CoRwLock *l)
{
    while (l->writer || l->n_waiting_writers) {
        co_queue_wait(&l->waiters);
    }
    l->n_readers++;
}

void co_rw_write(CoRwLock *l)
{
    l->n_waiting_writers++;
    while (l->writer || l->n_readers) {
        co_queue_wait(&l->waiters);
    }
    l->n_waiting_writers--;
    l->writer = true;
}

void co_rw_unlock(CoRwLock *l)
{
    if (l->writer) {
        l->writer = false;
    } else {
        assert(l->n_readers);
        l->n_readers--;
    }
    if (!l->n_readers) {
        co_queue_wake_all(&l->waiters);
    }
}
