/*
 * Worker threads for system calls that wait.
 *
 * A coroutine hands over a function and yields.  The worker that has called it
 * enters the coroutine itself where it can (block_ctx_finish()): a request of
 * the main loop's costs two changes of threads then, not three.
 *
 * Locks: the pool's own; workers hold none while they work.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctx.h"

#include <assert.h>

#include "base/qsbr.h"

enum { MAX_WORKERS = 64 };
#define IDLE_US (10 * G_USEC_PER_SEC)

typedef struct Work Work;
struct Work {                   /* on the stack of the coroutine that waits */
    int (*fn)(void *arg);
    void *arg;
    int ret;
    BlockCtx *ctx;
    Co *co;
    Work *next;
};

static struct {
    GMutex lock;
    GCond cond;
    Work *first, **last;
    unsigned n_workers, n_idle, n_queued;
} pool = { .last = &pool.first };

static Work *next_work(void)
{
    gint64 until = g_get_monotonic_time() + IDLE_US;
    Work *w;

    g_mutex_lock(&pool.lock);
    pool.n_idle++;
    while (!pool.first) {
        if (!g_cond_wait_until(&pool.cond, &pool.lock, until)
            && !pool.first) {
            break;
        }
    }
    pool.n_idle--;
    w = pool.first;
    if (w) {
        pool.first = w->next;
        if (!pool.first) {
            pool.last = &pool.first;
        }
        pool.n_queued--;
    } else {
        pool.n_workers--;
    }
    g_mutex_unlock(&pool.lock);
    return w;
}

static void *worker(void *opaque)
{
    Work *w;

    qsbr_register();
    qsbr_offline();
    while ((w = next_work())) {
        w->ret = w->fn(w->arg);
        block_ctx_finish(w->ctx, w->co);
    }
    qsbr_unregister();
    return NULL;
}

int block_ctx_in_thread(BlockCtx *ctx, int (*fn)(void *arg), void *arg)
{
    Work w = { fn, arg, 0, ctx, co_self(), NULL };
    bool spawn;

    assert(w.co);
    g_mutex_lock(&pool.lock);
    *pool.last = &w;
    pool.last = &w.next;
    pool.n_queued++;
    spawn = pool.n_queued > pool.n_idle && pool.n_workers < MAX_WORKERS;
    pool.n_workers += spawn;
    g_cond_signal(&pool.cond);
    g_mutex_unlock(&pool.lock);
    if (spawn) {
        g_thread_unref(g_thread_new("block", worker, NULL));
    }
    co_yield();
    return w.ret;
}
