/*
 * Reclamation: never while a reader may look, always afterwards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/qsbr.h"

#include <pthread.h>
#include <stdbool.h>

#define N_READERS 8
#define N_UPDATES 2000

static int n_freed;

static void count_free(gpointer data)
{
    __atomic_add_fetch(&n_freed, 1, __ATOMIC_RELAXED);
}

static int freed(void)
{
    return __atomic_load_n(&n_freed, __ATOMIC_RELAXED);
}

static void test_one_thread(void)
{
    n_freed = 0;
    qsbr_defer(count_free, NULL);
    g_assert_cmpint(freed(), ==, 0);
    qsbr_quiescent();           /* nobody is registered */
    g_assert_cmpint(freed(), ==, 1);

    qsbr_register();
    qsbr_defer(count_free, NULL);
    g_assert_cmpint(freed(), ==, 1);
    qsbr_offline();
    g_assert_cmpint(freed(), ==, 2);
    qsbr_online();
    qsbr_register();            /* twice: the first unregister does nothing */
    qsbr_unregister();
    qsbr_defer(count_free, NULL);
    qsbr_quiescent();
    g_assert_cmpint(freed(), ==, 3);
    qsbr_unregister();
}

/* A registered thread that steps through safe points when told. */
static pthread_barrier_t step;

static gpointer slow_reader(gpointer data)
{
    qsbr_register();
    pthread_barrier_wait(&step);    /* 1: online */
    pthread_barrier_wait(&step);    /* 2: main has deferred */
    qsbr_quiescent();
    pthread_barrier_wait(&step);    /* 3: passed */
    pthread_barrier_wait(&step);    /* 4: main has deferred again */
    qsbr_offline();
    pthread_barrier_wait(&step);    /* 5 */
    qsbr_unregister();
    return NULL;
}

static void test_laggard(void)
{
    GThread *t;

    n_freed = 0;
    pthread_barrier_init(&step, NULL, 2);
    qsbr_register();
    t = g_thread_new("reader", slow_reader, NULL);
    pthread_barrier_wait(&step);
    qsbr_defer(count_free, NULL);
    qsbr_quiescent();
    qsbr_quiescent();
    g_assert_cmpint(freed(), ==, 0);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    qsbr_quiescent();
    g_assert_cmpint(freed(), ==, 1);

    qsbr_defer(count_free, NULL);
    qsbr_quiescent();
    g_assert_cmpint(freed(), ==, 1);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    qsbr_quiescent();
    g_assert_cmpint(freed(), ==, 2);
    g_thread_join(t);
    qsbr_unregister();
    pthread_barrier_destroy(&step);
}

/* Readers follow a pointer that a writer keeps replacing; the freed ones are
 * poisoned, and the sanitizers see a use after free. */
typedef struct Box {
    int magic;
} Box;

static Box *published;
static bool stop;

static void free_box(gpointer data)
{
    ((Box *)data)->magic = 0;
    g_free(data);
    __atomic_add_fetch(&n_freed, 1, __ATOMIC_RELAXED);
}

static gpointer reader(gpointer data)
{
    unsigned i = 0;

    qsbr_register();
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        Box *b = __atomic_load_n(&published, __ATOMIC_ACQUIRE);

        g_assert_cmpint(b->magic, ==, 42);
        if (++i % 64 == 0) {
            qsbr_offline();
            qsbr_online();
        } else {
            qsbr_quiescent();
        }
    }
    qsbr_unregister();
    return NULL;
}

static Box *new_box(void)
{
    Box *b = g_new(Box, 1);

    b->magic = 42;
    return b;
}

static void test_threads(void)
{
    GThread *t[N_READERS];

    n_freed = 0;
    stop = false;
    published = new_box();
    for (int i = 0; i < N_READERS; i++) {
        t[i] = g_thread_new("reader", reader, NULL);
    }
    for (int i = 0; i < N_UPDATES; i++) {
        Box *old = __atomic_exchange_n(&published, new_box(),
                                       __ATOMIC_ACQ_REL);

        qsbr_defer(free_box, old);
        if (i % 16 == 0) {
            g_thread_yield();
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < N_READERS; i++) {
        g_thread_join(t[i]);
    }
    /* The last to leave freed the rest. */
    g_assert_cmpint(freed(), ==, N_UPDATES);
    g_free(published);
}

static void defer_another(gpointer data)
{
    count_free(NULL);
    qsbr_defer(count_free, NULL);
}

static void test_drain(void)
{
    n_freed = 0;
    qsbr_defer(defer_another, NULL);
    qsbr_drain();
    g_assert_cmpint(freed(), ==, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qsbr/one-thread", test_one_thread);
    g_test_add_func("/qsbr/laggard", test_laggard);
    g_test_add_func("/qsbr/threads", test_threads);
    g_test_add_func("/qsbr/drain", test_drain);
    return g_test_run();
}
