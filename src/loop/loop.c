/*
 * Event loops on GMainContext.
 *
 * Every loop polls through poll_unlocked(): the thread is offline for QSBR
 * meanwhile and, if it is the main loop's, does without the machine lock.
 * Libraries that put their own sources into a context notice nothing.
 *
 * Between threads data passes under our own mutexes, not GLib's, so that
 * ThreadSanitizer can follow it.
 *
 * Locks: Loop.call_lock and list_lock, both leaves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop-private.h"

#include "base/log.h"
#include "base/qsbr.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct LoopCall {
    LoopCall *next;
    void (*fn)(void *opaque);
    void *opaque;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static Loop *all_loops;
static Loop *main_loop;                 /* (C) after main_once */
static pthread_once_t main_once = PTHREAD_ONCE_INIT;
static __thread Loop *current;          /* the loop this thread dispatches */
static bool main_running;               /* machine lock */

void loop_foreach(void (*fn)(Loop *loop))
{
    pthread_mutex_lock(&list_lock);
    for (Loop *l = all_loops; l; l = l->next) {
        fn(l);
    }
    pthread_mutex_unlock(&list_lock);
}

static gint poll_unlocked(GPollFD *fds, guint n_fds, gint timeout_ms)
{
    bool relock = machine_lock_held();
    bool polls = timeout_ms && current && current->polling.max_ns;
    int64_t start_ns = polls ? clock_ns(CLK_HOST) : 0;
    int n, saved_errno;

    if (polls && loop_poll(current, fds, n_fds, timeout_ms)) {
        timeout_ms = 0;
    }
    if (relock) {
        machine_unlock();
    }
    qsbr_offline();
    n = g_poll(fds, n_fds, timeout_ms);
    saved_errno = errno;
    qsbr_online();
    if (relock) {
        machine_lock();
    }
    if (polls) {
        loop_polling_adapt(current, clock_ns(CLK_HOST) - start_ns);
    }
    if (current) {              /* sees what loop_watch() wrote elsewhere */
        pthread_mutex_lock(&current->call_lock);
        pthread_mutex_unlock(&current->call_lock);
    }
    errno = saved_errno;
    return n;
}

/* --- calls --------------------------------------------------------------- */

static LoopCall *take_calls(Loop *loop)
{
    LoopCall *calls;

    pthread_mutex_lock(&loop->call_lock);
    calls = loop->calls;
    loop->calls = NULL;
    loop->calls_tail = &loop->calls;
    pthread_mutex_unlock(&loop->call_lock);
    return calls;
}

static void run_calls(Loop *loop)
{
    LoopCall *call = take_calls(loop);

    while (call) {
        LoopCall *next = call->next;

        call->fn(call->opaque);
        g_free(call);
        call = next;
    }
}

/* Async-signal-safe. */
static void wake(Loop *loop)
{
    uint64_t one = 1;
    int saved_errno = errno;

    if (write(loop->call_fd, &one, sizeof(one)) < 0) {
        /* The counter is full: it is readable anyway. */
    }
    errno = saved_errno;
}

static void calls_ready(int fd, GIOCondition events, void *opaque)
{
    uint64_t n;

    if (read(fd, &n, sizeof(n)) == sizeof(n)) {
        run_calls(opaque);
    }
}

void loop_call(Loop *loop, void (*fn)(void *opaque), void *opaque)
{
    LoopCall *call = g_new(LoopCall, 1);

    *call = (LoopCall){ .fn = fn, .opaque = opaque };
    pthread_mutex_lock(&loop->call_lock);
    *loop->calls_tail = call;
    loop->calls_tail = &call->next;
    pthread_mutex_unlock(&loop->call_lock);
    wake(loop);
}

/* --- watches ------------------------------------------------------------- */

typedef struct FdSource {
    GSource source;
    Loop *loop;
    LoopFdFn *fn;
    void *opaque;
    int fd;
    gpointer tag;
} FdSource;

static gboolean fd_ready(GSource *source)
{
    return g_source_query_unix_fd(source, ((FdSource *)source)->tag) != 0;
}

static gboolean fd_dispatch(GSource *source, GSourceFunc fn, gpointer data)
{
    FdSource *s = (FdSource *)source;

    s->fn(s->fd, g_source_query_unix_fd(source, s->tag), s->opaque);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs fd_source_funcs = {
    .check = fd_ready, .dispatch = fd_dispatch,
};

GSource *loop_watch(Loop *loop, int fd, GIOCondition events, LoopFdFn *fn,
                    void *opaque)
{
    GSource *source = g_source_new(&fd_source_funcs, sizeof(FdSource));
    FdSource *s = (FdSource *)source;

    pthread_mutex_lock(&loop->call_lock);
    s->loop = loop;
    s->fn = fn;
    s->opaque = opaque;
    s->fd = fd;
    s->tag = g_source_add_unix_fd(source, fd, events | G_IO_HUP | G_IO_ERR);
    pthread_mutex_unlock(&loop->call_lock);
    g_source_attach(source, loop->context);
    return source;
}

static void unref_source(void *opaque)
{
    g_source_unref(opaque);
}

void loop_unwatch(GSource *source)
{
    Loop *loop;

    if (!source) {
        return;
    }
    loop = ((FdSource *)source)->loop;
    g_source_destroy(source);
    if (loop->thread && current != loop) {
        loop_call(loop, unref_source, source);  /* it may be looking at it */
    } else {
        g_source_unref(source);
    }
}

/* --- loops --------------------------------------------------------------- */

/* Takes `context` over; NULL with errno. */
static Loop *loop_make(GMainContext *context)
{
    Loop *loop = g_new0(Loop, 1);

    loop->context = context;
    loop->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->call_fd < 0 || !loop_timers_init(loop)) {
        int error = errno;

        if (loop->call_fd >= 0) {
            close(loop->call_fd);
        }
        g_main_context_unref(context);
        g_free(loop);
        errno = error;
        return NULL;
    }
    pthread_mutex_init(&loop->call_lock, NULL);
    loop->calls_tail = &loop->calls;
    loop->call_source = loop_watch(loop, loop->call_fd, G_IO_IN, calls_ready,
                                   loop);
    g_main_context_set_poll_func(context, poll_unlocked);

    pthread_mutex_lock(&list_lock);
    loop->next = all_loops;
    all_loops = loop;
    pthread_mutex_unlock(&list_lock);
    return loop;
}

/* GLib ends the process when its context gets no descriptor: ask first. */
static bool context_can_be_had(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    return fd >= 0 && close(fd) == 0;
}

/* At the process's start: nothing is lost yet. */
static void make_main(void)
{
    if (context_can_be_had()) {
        main_loop = loop_make(
            g_main_context_ref(g_main_context_default()));
    }
    if (!main_loop) {
        report_error("the main loop cannot be had: %s", g_strerror(errno));
        exit(EXIT_FAILURE);
    }
}

Loop *loop_main(void)
{
    pthread_once(&main_once, make_main);
    return main_loop;
}

GMainContext *loop_context(Loop *loop)
{
    return loop->context;
}

bool loop_is_current(Loop *loop)
{
    if (current) {
        return current == loop;
    }
    /* Before it runs, the main loop is the initial thread's. */
    return loop == loop_main() && gettid() == getpid();
}

static bool should_quit(Loop *loop)
{
    return __atomic_load_n(&loop->quit, __ATOMIC_ACQUIRE);
}

static gpointer thread_main(gpointer opaque)
{
    Loop *loop = opaque;

    current = loop;
    qsbr_register();
    g_main_context_push_thread_default(loop->context);
    while (!should_quit(loop)) {
        g_main_context_iteration(loop->context, TRUE);
    }
    run_calls(loop);
    g_main_context_pop_thread_default(loop->context);
    qsbr_unregister();
    return NULL;
}

static void unlist(Loop *loop)
{
    pthread_mutex_lock(&list_lock);
    for (Loop **l = &all_loops; *l; l = &(*l)->next) {
        if (*l == loop) {
            *l = loop->next;
            break;
        }
    }
    pthread_mutex_unlock(&list_lock);
}

static void free_loop(Loop *loop)
{
    unlist(loop);
    loop_timers_free(loop);
    loop_polling_free(loop);
    g_source_destroy(loop->call_source);
    g_source_unref(loop->call_source);
    close(loop->call_fd);
    pthread_mutex_destroy(&loop->call_lock);
    g_main_context_unref(loop->context);
    g_free(loop);
}

Loop *loop_new_thread(const char *name)
{
    Loop *loop = context_can_be_had() ? loop_make(g_main_context_new())
                                      : NULL;

    if (!loop) {
        return NULL;
    }
    loop->thread = g_thread_try_new(name, thread_main, loop, NULL);
    if (!loop->thread) {
        free_loop(loop);
        errno = EAGAIN;
        return NULL;
    }
    return loop;
}

void loop_free(Loop *loop)
{
    assert(loop->thread && !loop_is_current(loop));
    __atomic_store_n(&loop->quit, 1, __ATOMIC_RELEASE);
    wake(loop);
    g_thread_join(loop->thread);
    free_loop(loop);
}

void loop_main_run(void)
{
    Loop *loop = loop_main(), *before = current;

    current = loop;
    qsbr_register();
    machine_lock();
    main_running = true;
    while (!should_quit(loop)) {
        g_main_context_iteration(loop->context, TRUE);
    }
    main_running = false;
    __atomic_store_n(&loop->quit, 0, __ATOMIC_RELAXED);
    machine_unlock();
    qsbr_unregister();
    current = before;
}

bool loop_main_running(void)
{
    return main_running;
}

void loop_main_quit(void)
{
    if (main_loop) {            /* a signal may come before there is one */
        __atomic_store_n(&main_loop->quit, 1, __ATOMIC_RELEASE);
        wake(main_loop);
    }
}

bool loop_main_quitting(void)
{
    return should_quit(loop_main());
}

bool loop_iterate(Loop *loop, bool block)
{
    bool take_lock = loop == loop_main() && !machine_lock_held();
    Loop *before = current;
    bool dispatched;

    current = loop;
    if (take_lock) {
        machine_lock();
    }
    dispatched = g_main_context_iteration(loop->context, block);
    if (take_lock) {
        machine_unlock();
    }
    current = before;
    return dispatched;
}
