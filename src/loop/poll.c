/*
 * Polling: before a loop sleeps in the kernel it looks by itself for a while.
 *
 * A thread that sleeps is woken in tens of microseconds, and who wakes it pays
 * for a system call.  So a loop with `max_ns` spins first: it asks its pollers,
 * which look at memory, and between that the kernel without waiting.  How long
 * follows from how long it had to wait lately, as in the iothreads of QEMU:
 *
 *   the wait was over within the spin      it stays as it is
 *   it would have been within max_ns       it grows, from 4 us on, by `grow`
 *   it was longer than max_ns              it shrinks by `shrink`, or to 0
 *
 * Locks: all in the loop's own thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop-private.h"

#include "base/qsbr.h"

enum { FIRST_NS = 4000, LOOKS = 16 };   /* looks between two system calls */

typedef struct PollSource {
    GSource source;
    Loop *loop;
    const LoopPollOps *ops;
    void *opaque;
} PollSource;

static bool is_ready(const PollSource *s)
{
    return s->ops->ready(s->opaque);
}

static gboolean source_check(GSource *source)
{
    return is_ready((PollSource *)source);
}

static gboolean source_prepare(GSource *source, gint *timeout_ms)
{
    *timeout_ms = -1;
    return FALSE;               /* what came since is found by the spin */
}

static gboolean source_dispatch(GSource *source, GSourceFunc fn,
                                gpointer data)
{
    PollSource *s = (PollSource *)source;

    s->ops->run(s->opaque);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {
    .prepare = source_prepare, .check = source_check,
    .dispatch = source_dispatch,
};

GSource *loop_add_poller(Loop *loop, const LoopPollOps *ops, void *opaque)
{
    GSource *source = g_source_new(&source_funcs, sizeof(PollSource));
    PollSource *s = (PollSource *)source;

    s->loop = loop;
    s->ops = ops;
    s->opaque = opaque;
    if (!loop->polling.sources) {
        loop->polling.sources = g_ptr_array_new();
    }
    g_ptr_array_add(loop->polling.sources, s);
    g_source_attach(source, loop->context);
    return source;
}

void loop_remove_poller(GSource *source)
{
    if (source) {
        g_ptr_array_remove(((PollSource *)source)->loop->polling.sources,
                           source);
        g_source_destroy(source);
        g_source_unref(source);
    }
}

void loop_set_polling(Loop *loop, int64_t max_ns, int64_t grow,
                      int64_t shrink)
{
    LoopPolling *p = &loop->polling;

    p->max_ns = max_ns;
    p->grow = grow ? grow : 2;
    p->shrink = shrink;
    p->now_ns = 0;
}

void loop_polling_free(Loop *loop)
{
    g_clear_pointer(&loop->polling.sources, g_ptr_array_unref);
}

static bool any_ready(const GPtrArray *sources)
{
    for (unsigned i = 0; i < sources->len; i++) {
        if (is_ready(g_ptr_array_index(sources, i))) {
            return true;
        }
    }
    return false;
}

/* Kicks cost their senders a system call, and now nobody needs one.  What
 * came in before they were on again is found by the sources' check(). */
static void want_kicks(const GPtrArray *sources, bool on)
{
    for (unsigned i = 0; i < sources->len; i++) {
        PollSource *s = g_ptr_array_index(sources, i);

        s->ops->want_kicks(s->opaque, on);
    }
}

bool loop_poll(Loop *loop, GPollFD *fds, unsigned n_fds, int timeout_ms)
{
    const LoopPolling *p = &loop->polling;
    int64_t end_ns = clock_ns(CLK_HOST) + p->now_ns;
    bool found = false;

    if (!p->sources || !p->sources->len) {
        return false;
    }
    if (timeout_ms > 0) {
        end_ns = MIN(end_ns, clock_ns(CLK_HOST) + timeout_ms * NS_PER_MS);
    }
    if (p->now_ns) {
        want_kicks(p->sources, false);
        do {
            for (unsigned i = 0; i < LOOKS && !found; i++) {
                found = any_ready(p->sources);
#ifdef __x86_64__
                __builtin_ia32_pause();
#endif
            }
            qsbr_quiescent();
            found = found || g_poll(fds, n_fds, 0) > 0;
        } while (!found && clock_ns(CLK_HOST) < end_ns);
        want_kicks(p->sources, true);
    }
    return found || any_ready(p->sources);
}

void loop_polling_adapt(Loop *loop, int64_t waited_ns)
{
    LoopPolling *p = &loop->polling;

    if (!p->max_ns || waited_ns <= p->now_ns) {
        return;
    }
    if (waited_ns > p->max_ns) {
        p->now_ns = p->shrink ? p->now_ns / p->shrink : 0;
    } else if (!p->now_ns) {
        p->now_ns = MIN(FIRST_NS, p->max_ns);
    } else if (p->now_ns > p->max_ns / p->grow) {
        p->now_ns = p->max_ns;
    } else {
        p->now_ns *= p->grow;
    }
}
