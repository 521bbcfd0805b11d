/*
 * GLib's locks as ThreadSanitizer should see them.
 *
 * GLib is not instrumented and its locks are futexes, so that every hand-over
 * under a GMutex would be called a race.  In builds with the sanitizer these
 * functions stand before GLib's own, call them, and tell it what was ordered.
 *
 * Models: GMutex, GCond, GRecMutex, GRWLock, and sources handed to a
 *         GMainContext of another thread.  Not: GAsyncQueue, GThreadPool.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire(void *addr);
void __tsan_release(void *addr);

/* GLib's function of this name. */
#define REAL(name)                                                          \
    static __typeof__(name) *real;                                          \
    if (!__atomic_load_n(&real, __ATOMIC_RELAXED)) {                        \
        __atomic_store_n(&real,                                             \
                         (__typeof__(name) *)dlsym(RTLD_NEXT, #name),       \
                         __ATOMIC_RELAXED);                                 \
    }

#define LOCK(name, type)                                                    \
    void name(type *m)                                                      \
    {                                                                       \
        REAL(name)                                                          \
        real(m);                                                            \
        __tsan_acquire(m);                                                  \
    }
#define TRYLOCK(name, type)                                                 \
    gboolean name(type *m)                                                  \
    {                                                                       \
        REAL(name)                                                          \
        gboolean ok = real(m);                                              \
                                                                            \
        if (ok) {                                                           \
            __tsan_acquire(m);                                              \
        }                                                                   \
        return ok;                                                          \
    }
#define UNLOCK(name, type)                                                  \
    void name(type *m)                                                      \
    {                                                                       \
        REAL(name)                                                          \
        __tsan_release(m);                                                  \
        real(m);                                                            \
    }

LOCK(g_mutex_lock, GMutex)
TRYLOCK(g_mutex_trylock, GMutex)
UNLOCK(g_mutex_unlock, GMutex)
LOCK(g_rec_mutex_lock, GRecMutex)
TRYLOCK(g_rec_mutex_trylock, GRecMutex)
UNLOCK(g_rec_mutex_unlock, GRecMutex)
LOCK(g_rw_lock_reader_lock, GRWLock)
UNLOCK(g_rw_lock_reader_unlock, GRWLock)
LOCK(g_rw_lock_writer_lock, GRWLock)
UNLOCK(g_rw_lock_writer_unlock, GRWLock)

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    REAL(g_cond_wait)
    __tsan_release(mutex);
    real(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    REAL(g_cond_wait_until)
    gboolean ok;

    __tsan_release(mutex);
    ok = real(cond, mutex, end_time);
    __tsan_acquire(mutex);
    return ok;
}

/* What is done before a source is attached is seen when it is dispatched. */
guint g_source_attach(GSource *source, GMainContext *context)
{
    REAL(g_source_attach)
    void *c = context ? context : g_main_context_default();

    __tsan_release(c);
    return real(source, context);
}

gboolean g_main_context_check(GMainContext *context, gint priority,
                              GPollFD *fds, gint n_fds)
{
    REAL(g_main_context_check)
    void *c = context ? context : g_main_context_default();
    gboolean ready = real(context, priority, fds, n_fds);

    __tsan_acquire(c);
    return ready;
}
