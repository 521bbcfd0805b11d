/*
 * The machine lock.
 *
 * Callbacks that hold it are short: a waiter spins a little before it sleeps.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop/loop.h"

#include <assert.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static __thread bool held;

void machine_lock(void)
{
    assert(!held);              /* not recursive */
    pthread_mutex_lock(&lock);
    held = true;
}

bool machine_trylock(void)
{
    assert(!held);
    held = pthread_mutex_trylock(&lock) == 0;
    return held;
}

void machine_unlock(void)
{
    assert(held);
    held = false;
    pthread_mutex_unlock(&lock);
}

bool machine_lock_held(void)
{
    return held;
}
