/*
 * What vCPUs ask of one another: TLB entries to be dropped, the memory map to
 * be followed, everybody else to wait.
 *
 * Locks: the mutex guards `owner`, and each TcgCpu's `running` and `drops`.  A
 * vCPU is at a safe point while it is not running: its TLBs may then be
 * changed by the mutex's holder.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"

static GMutex mutex;
static GCond changed;           /* `owner` or some `running` */
static GPtrArray *cpus;         /* of TcgCpu * */
static TcgCpu *owner;           /* of the exclusive section */

uint32_t tcg_map_gen;

void tcg_add_cpu(TcgCpu *t)
{
    t->drops = g_array_new(FALSE, FALSE, sizeof(DropRequest));
    g_mutex_lock(&mutex);
    if (!cpus) {
        cpus = g_ptr_array_new();
    }
    g_ptr_array_add(cpus, t);
    g_mutex_unlock(&mutex);
}

void tcg_remove_cpu(TcgCpu *t)
{
    g_mutex_lock(&mutex);
    g_ptr_array_remove(cpus, t);
    g_mutex_unlock(&mutex);
    g_array_free(t->drops, TRUE);
}

void tcg_foreach_cpu(void (*fn)(TcgCpu *, void *), void *opaque)
{
    g_mutex_lock(&mutex);
    for (unsigned i = 0; cpus && i < cpus->len; i++) {
        fn(g_ptr_array_index(cpus, i), opaque);
    }
    g_mutex_unlock(&mutex);
}

static void ask_to_follow(TcgCpu *t, void *opaque)
{
    cpu_interrupt(t->cpu, CPU_PEND_TLB);
}

void tcg_map_changed(void)
{
    __atomic_add_fetch(&tcg_map_gen, 1, __ATOMIC_SEQ_CST);
    tcg_foreach_cpu(ask_to_follow, NULL);
}

unsigned tcg_request_drop(TcgCpu *self, const DropRequest *req)
{
    unsigned n_acks = 0;

    g_mutex_lock(&mutex);
    for (unsigned i = 0; cpus && i < cpus->len; i++) {
        TcgCpu *t = g_ptr_array_index(cpus, i);

        if (t == self) {
            continue;
        }
        if (t->running) {
            g_array_append_val(t->drops, *req);
            cpu_interrupt(t->cpu, CPU_PEND_TLB);
            n_acks++;
        } else {
            mmu_drop_writes(t, req);
        }
    }
    g_mutex_unlock(&mutex);
    return n_acks;
}

/* Call with the mutex, which is dropped meanwhile. */
static void serve_drops(TcgCpu *t)
{
    GArray *todo = t->drops;

    t->drops = g_array_new(FALSE, FALSE, sizeof(DropRequest));
    g_mutex_unlock(&mutex);
    for (unsigned i = 0; i < todo->len; i++) {
        const DropRequest *req = &g_array_index(todo, DropRequest, i);

        mmu_drop_writes(t, req);
        if (req->page) {
            cache_page_acked(req->page);
        }
    }
    g_array_free(todo, TRUE);
    g_mutex_lock(&mutex);
}

void tcg_safe_point(TcgCpu *t, bool leave)
{
    g_mutex_lock(&mutex);
    for (;;) {
        if (t->drops->len) {
            serve_drops(t);
        } else if (leave) {
            t->running = false;
            g_cond_broadcast(&changed);
            break;
        } else if (owner && owner != t) {
            t->running = false;
            g_cond_broadcast(&changed);
            g_cond_wait(&changed, &mutex);
        } else {
            t->running = true;
            break;
        }
    }
    g_mutex_unlock(&mutex);
}

static bool others_running(const TcgCpu *self)
{
    for (unsigned i = 0; i < cpus->len; i++) {
        const TcgCpu *t = g_ptr_array_index(cpus, i);

        if (t != self && t->running) {
            return true;
        }
    }
    return false;
}

/*
 * Called inside an instruction that has done nothing yet.  Waiting for its turn
 * counts as a safe point, or two vCPUs would wait for each other.
 */
void tcg_exclusive_begin(Env *env)
{
    TcgCpu *t = env->tcg;
    bool running;

    if (env->exclusive) {
        return;
    }
    g_mutex_lock(&mutex);
    running = t->running;
    while (owner) {
        t->running = false;
        g_cond_broadcast(&changed);
        g_cond_wait(&changed, &mutex);
    }
    owner = t;
    t->running = running;
    for (unsigned i = 0; i < cpus->len; i++) {
        TcgCpu *o = g_ptr_array_index(cpus, i);

        if (o != t && o->running) {
            cpu_interrupt(o->cpu, CPU_PEND_TLB);
        }
    }
    while (others_running(t)) {
        g_cond_wait(&changed, &mutex);
    }
    g_mutex_unlock(&mutex);
    env->exclusive = true;
}

void tcg_exclusive_end(Env *env)
{
    env->exclusive = false;
    g_mutex_lock(&mutex);
    owner = NULL;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&mutex);
}
