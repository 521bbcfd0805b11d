/*
 * Contexts: coroutines that may go on, calls to make.
 *
 * A context has one list of what is ready and one eventfd, which its loop
 * watches and which block_ctx_poll() sleeps on.  Both may empty the list: in
 * the main loop's context that is the vCPU thread that waits for a drain under
 * the machine lock while the main loop waits for that lock.
 *
 * Locks: `lock` of the context guards the list.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctx.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/qsbr.h"
#include "block/driver.h"

enum { MAX_AT_ONCE = 256 };

typedef struct Ready {
    Co *co;                     /* to enter, or */
    void (*fn)(void *opaque);   /* to call */
    void *opaque;
} Ready;

struct BlockCtx {
    Loop *loop;                 /* (C) */
    int fd;                     /* (C) eventfd */
    GSource *source;            /* (C) */

    GMutex lock;
    GArray *ready;              /* of Ready, from `first` on */
    unsigned first;
    bool signalled;             /* fd is readable, or about to be */

    BlockTimer *timers;         /* by `lock` */

    BlockEngine *engines;       /* in the loop */
};

/* The context whose list this thread is emptying: what it adds needs no signal,
 * for it will look again. */
static __thread BlockCtx *emptying;

static GMutex all_lock;
static GPtrArray *all;          /* of BlockCtx * */

/* --- the list ---------------------------------------------------------------------- */

static void signal_fd(BlockCtx *ctx)
{
    uint64_t one = 1;

    if (write(ctx->fd, &one, sizeof(one)) < 0) {
        /* The counter is full: it is readable anyway. */
    }
}

static void push(BlockCtx *ctx, Ready r)
{
    bool signal;

    g_mutex_lock(&ctx->lock);
    g_array_append_val(ctx->ready, r);
    signal = !ctx->signalled && emptying != ctx;
    ctx->signalled |= signal;
    g_mutex_unlock(&ctx->lock);
    if (signal) {
        signal_fd(ctx);
    }
}

static bool pop(BlockCtx *ctx, Ready *r)
{
    bool any;

    g_mutex_lock(&ctx->lock);
    any = ctx->first < ctx->ready->len;
    if (any) {
        *r = g_array_index(ctx->ready, Ready, ctx->first++);
        if (ctx->first == ctx->ready->len) {
            g_array_set_size(ctx->ready, 0);
            ctx->first = 0;
        }
    }
    g_mutex_unlock(&ctx->lock);
    return any;
}

void block_ctx_wake(BlockCtx *ctx, Co *co)
{
    push(ctx, (Ready) { co, NULL, NULL });
}

void block_ctx_call(BlockCtx *ctx, void (*fn)(void *opaque), void *opaque)
{
    push(ctx, (Ready) { NULL, fn, opaque });
}

static void unsignal(BlockCtx *ctx)
{
    uint64_t n;

    g_mutex_lock(&ctx->lock);
    ctx->signalled = false;
    if (read(ctx->fd, &n, sizeof(n)) < 0) {
        /* Nobody has signalled. */
    }
    g_mutex_unlock(&ctx->lock);
}

static __attribute__((noinline)) BlockCtx *set_emptying(BlockCtx *ctx)
{
    BlockCtx *old = emptying;

    emptying = ctx;
    return old;
}

static void signal_rest(BlockCtx *ctx)
{
    bool signal;

    g_mutex_lock(&ctx->lock);
    signal = ctx->first < ctx->ready->len && !ctx->signalled;
    ctx->signalled |= signal;
    g_mutex_unlock(&ctx->lock);
    if (signal) {
        signal_fd(ctx);
    }
}

/* Run what is there and what that adds, up to a bound: other sources of the
 * loop want their turn.  Those that it runs may call it again.  `outer` is what
 * this thread was emptying before. */
static bool empty(BlockCtx *ctx, BlockCtx *outer)
{
    bool any = false;
    Ready r;

    for (BlockEngine *e = ctx->engines; e; e = e->next) {
        any |= e->reap(e);
    }
    for (unsigned left = MAX_AT_ONCE; left && pop(ctx, &r); left--) {
        any = true;
        if (r.co) {
            co_enter(r.co);
        } else {
            r.fn(r.opaque);
        }
    }
    for (BlockEngine *e = ctx->engines; e; e = e->next) {
        e->submit(e);           /* what those have queued */
    }
    set_emptying(outer);
    if (outer != ctx) {
        signal_rest(ctx);
    }
    return any;
}

static bool run_ready(BlockCtx *ctx)
{
    BlockCtx *outer = set_emptying(ctx);

    unsignal(ctx);
    return empty(ctx, outer);
}

BlockCtx *block_ctx_batch_begin(BlockCtx *ctx)
{
    return set_emptying(ctx);
}

void block_ctx_batch_end(BlockCtx *ctx, BlockCtx *outer)
{
    if (outer == ctx) {
        return;                 /* whoever is emptying it does the rest */
    }
    empty(ctx, outer);
}

void block_ctx_finish(BlockCtx *ctx, Co *co)
{
    BlockCtx *outer;

    if (ctx->loop != loop_main() || !machine_trylock()) {
        block_ctx_wake(ctx, co);
        return;
    }
    if (!loop_main_running()) {
        block_ctx_wake(ctx, co);
    } else {
        qsbr_online();
        outer = set_emptying(ctx);
        co_enter(co);
        empty(ctx, outer);
        qsbr_offline();
    }
    machine_unlock();
}

static void on_fd(int fd, GIOCondition events, void *opaque)
{
    run_ready(opaque);
}

/* The one that is due first, and in how long. */
static BlockTimer *first_timer(BlockCtx *ctx, int64_t *left_ns)
{
    BlockTimer *first = NULL;

    g_mutex_lock(&ctx->lock);
    for (BlockTimer *t = ctx->timers; t; t = t->next) {
        int64_t at = timer_expire_ns(&t->timer);
        int64_t left = at == INT64_MAX ? at : at - clock_ns(t->timer.clock);

        if (left != INT64_MAX && (!first || left < *left_ns)) {
            first = t;
            *left_ns = left;
        }
    }
    g_mutex_unlock(&ctx->lock);
    return first;
}

void block_ctx_poll(BlockCtx *ctx)
{
    assert(!co_self());
    while (!run_ready(ctx)) {
        struct pollfd p = { .fd = ctx->fd, .events = POLLIN };
        int64_t left_ns = 0;
        BlockTimer *t = first_timer(ctx, &left_ns);

        if (t && left_ns <= 0) {
            timer_del(&t->timer);
            t->fn(t->opaque);
        } else {
            struct timespec until = { left_ns / NS_PER_SEC,
                                      left_ns % NS_PER_SEC };

            ppoll(&p, 1, t ? &until : NULL, NULL);
        }
    }
}

void block_timer_init(BlockTimer *t, BlockCtx *ctx, ClockId clock,
                      void (*fn)(void *opaque), void *opaque)
{
    *t = (BlockTimer) { .ctx = ctx, .fn = fn, .opaque = opaque };
    timer_init(&t->timer, ctx->loop, clock, fn, opaque);
    g_mutex_lock(&ctx->lock);
    t->next = ctx->timers;
    ctx->timers = t;
    g_mutex_unlock(&ctx->lock);
}

void block_timer_destroy(BlockTimer *t)
{
    BlockTimer **at = &t->ctx->timers;

    timer_del(&t->timer);
    g_mutex_lock(&t->ctx->lock);
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    g_mutex_unlock(&t->ctx->lock);
}

void block_timer_set(BlockTimer *t, int64_t expire_ns)
{
    timer_mod(&t->timer, expire_ns);
}

void block_timer_stop(BlockTimer *t)
{
    timer_del(&t->timer);
}

void block_ctx_submit(BlockCtx *ctx)
{
    if (emptying == ctx) {
        return;                 /* done at the end of that, in one go */
    }
    for (BlockEngine *e = ctx->engines; e; e = e->next) {
        e->submit(e);
    }
}

/* --- contexts ------------------------------------------------------------------------- */

static BlockCtx *find_ctx(Loop *loop)
{
    for (unsigned i = 0; all && i < all->len; i++) {
        BlockCtx *ctx = g_ptr_array_index(all, i);

        if (ctx->loop == loop) {
            return ctx;
        }
    }
    return NULL;
}

/* NULL with errno. */
static BlockCtx *new_ctx(Loop *loop)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    BlockCtx *ctx;

    if (fd < 0) {
        return NULL;
    }
    ctx = g_new0(BlockCtx, 1);
    ctx->loop = loop;
    ctx->fd = fd;
    g_mutex_init(&ctx->lock);
    ctx->ready = g_array_new(FALSE, FALSE, sizeof(Ready));
    ctx->source = loop_watch(loop, ctx->fd, G_IO_IN, on_fd, ctx);
    if (!all) {
        all = g_ptr_array_new();
    }
    g_ptr_array_add(all, ctx);
    return ctx;
}

BlockCtx *block_ctx(Loop *loop)
{
    BlockCtx *ctx;

    g_mutex_lock(&all_lock);
    ctx = find_ctx(loop);
    if (!ctx) {
        ctx = new_ctx(loop);
    }
    g_mutex_unlock(&all_lock);
    return ctx;
}

bool block_init(GError **err)
{
    return block_ctx(loop_main())
           || block_fail_errno(err, errno, "disks cannot be had");
}

void block_ctx_free(Loop *loop)
{
    BlockCtx *ctx;

    g_mutex_lock(&all_lock);
    ctx = find_ctx(loop);
    if (ctx) {
        g_ptr_array_remove(all, ctx);
    }
    g_mutex_unlock(&all_lock);
    if (!ctx) {
        return;
    }
    loop_unwatch(ctx->source);
    while (ctx->engines) {
        BlockEngine *e = ctx->engines;

        ctx->engines = e->next;
        e->free(e);
    }
    close(ctx->fd);
    g_array_unref(ctx->ready);
    g_mutex_clear(&ctx->lock);
    g_free(ctx);
}

Loop *block_ctx_loop(const BlockCtx *ctx)
{
    return ctx->loop;
}

int block_ctx_event_fd(const BlockCtx *ctx)
{
    return ctx->fd;
}

BlockEngine **block_ctx_engines(BlockCtx *ctx)
{
    return &ctx->engines;
}

/* --- from outside coroutines, and from other threads ------------------------------- */

typedef struct Run {
    BlockCtx *ctx;
    void (*fn)(void *opaque);
    void *opaque;
    bool done;
    int ret;

    GMutex lock;                /* when another thread waits */
    GCond cond;
} Run;

static bool may_run_here(const BlockCtx *ctx)
{
    return ctx->loop == loop_main() || loop_is_current(ctx->loop);
}

static void run_there(void *opaque)
{
    Run *r = opaque;

    r->fn(r->opaque);
    g_mutex_lock(&r->lock);
    r->done = true;
    g_cond_signal(&r->cond);
    g_mutex_unlock(&r->lock);
}

void block_ctx_call_wait(BlockCtx *ctx, void (*fn)(void *opaque),
                         void *opaque)
{
    Run r = { .ctx = ctx, .fn = fn, .opaque = opaque };

    if (may_run_here(ctx)) {
        fn(opaque);
        return;
    }
    g_mutex_init(&r.lock);
    g_cond_init(&r.cond);
    loop_call(ctx->loop, run_there, &r);
    g_mutex_lock(&r.lock);
    while (!r.done) {
        g_cond_wait(&r.cond, &r.lock);
    }
    g_mutex_unlock(&r.lock);
    g_mutex_clear(&r.lock);
    g_cond_clear(&r.cond);
}

static void run_co(void *opaque)
{
    Run *r = opaque;

    r->fn(r->opaque);
    r->done = true;
}

static void run_polled(void *opaque)
{
    Run *r = opaque;

    if (!co_start(run_co, r)) {
        r->ret = -ENOMEM;
        return;
    }
    block_ctx_submit(r->ctx);
    while (!r->done) {
        block_ctx_poll(r->ctx);
    }
}

int block_ctx_run(BlockCtx *ctx, CoFn *fn, void *opaque)
{
    Run r = { .ctx = ctx, .fn = fn, .opaque = opaque };

    assert(!co_self());
    block_ctx_call_wait(ctx, run_polled, &r);
    return r.ret;
}
