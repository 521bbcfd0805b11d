/*
 * Groups of limits; see block/throttle.h.
 *
 * A member that has waiters has a timer pending in its own loop; whoever's
 * fires first lets everybody of the group go who may.  So there is no owner to
 * hand over, and a loop that stands still holds up nobody else.
 *
 * Locks: `lock` of the group guards buckets, members and queues; the list of
 *        groups has its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/throttle.h"

#include <assert.h>
#include <math.h>

#include "base/bits.h"
#include "block/driver.h"
#include "ctx.h"

#define MOST 1e15               /* units; what doubles count without error */

enum { READ, WRITE, N_DIRS };

typedef struct Waiter Waiter;
struct Waiter {                 /* on the stack of the coroutine */
    Co *co;
    uint64_t bytes;
    Waiter *next;
};

struct ThrottleMember {
    ThrottleGroup *group;       /* (C) */
    BlockCtx *ctx;
    unsigned released;          /* drains */
    struct Queue {
        ThrottleMember *member; /* (C) */
        unsigned dir;           /* (C) */
        Waiter *first, **last;
        BlockTimer timer;
    } queue[N_DIRS];
};
typedef struct Queue Queue;

typedef struct Bucket {
    double level, burst_level;
} Bucket;

struct ThrottleGroup {
    char *name;                 /* (C) */
    unsigned refs;              /* by all_lock */

    GMutex lock;
    ThrottleLimits limits;
    Bucket bucket[THROTTLE_N];
    int64_t leaked_ns;          /* when they last leaked */
    GPtrArray *members;         /* of ThrottleMember * */
    unsigned turn[N_DIRS];      /* the member that was served last */
    unsigned n_waiting[N_DIRS];
    unsigned last_dir;          /* of the request that was let go last */
};

ClockId throttle_clock = CLK_HOST;

static GMutex all_lock;
static GPtrArray *all;          /* of ThrottleGroup * */

/* --- limits ------------------------------------------------------------------------------ */

static const char *const names[THROTTLE_N] = {
    "bps-total", "bps-read", "bps-write", "iops-total", "iops-read",
    "iops-write"
};

void throttle_limits_init(ThrottleLimits *l)
{
    *l = (ThrottleLimits) { 0 };
    for (unsigned i = 0; i < THROTTLE_N; i++) {
        l->of[i].burst_s = 1;
    }
}

bool throttle_limits_any(const ThrottleLimits *l)
{
    for (unsigned i = 0; i < THROTTLE_N; i++) {
        if (l->of[i].avg) {
            return true;
        }
    }
    return false;
}

static bool check_one(const ThrottleLimits *l, unsigned i, GError **err)
{
    double avg = l->of[i].avg, max = l->of[i].max, burst_s = l->of[i].burst_s;

    if (avg > MOST || max > MOST) {
        return block_fail(err, "%s and %s-max are at most %.0f", names[i],
                          names[i], MOST);
    }
    if (max && !avg) {
        return block_fail(err, "%s-max requires %s", names[i], names[i]);
    }
    if (max && max < avg) {
        return block_fail(err, "%s-max cannot be lower than %s", names[i],
                          names[i]);
    }
    if (!burst_s) {
        return block_fail(err, "%s-max-length is 1 at least", names[i]);
    }
    if (burst_s > 1 && !max) {
        return block_fail(err, "%s-max-length requires %s-max", names[i],
                          names[i]);
    }
    return max * burst_s <= MOST
           || block_fail(err, "%s-max-length is too long for that %s-max",
                         names[i], names[i]);
}

bool throttle_limits_check(const ThrottleLimits *l, GError **err)
{
    bool any_ops = false;

    for (unsigned i = 0; i < THROTTLE_N; i++) {
        unsigned total = i - i % 3;

        if (i != total && l->of[total].avg && l->of[i].avg) {
            return block_fail(err, "%s and %s cannot be used at the same "
                              "time", names[total], names[i]);
        }
        any_ops |= i >= THROTTLE_IOPS_TOTAL && l->of[i].avg;
        if (!check_one(l, i, err)) {
            return false;
        }
    }
    return !l->op_bytes || any_ops
           || block_fail(err, "iops-size requires iops-total, iops-read or "
                         "iops-write");
}

static bool get_number(Opt *dict, const char *prefix, const char *name,
                       const char *suffix, uint64_t *to, GError **err)
{
    g_autofree char *key = g_strconcat(prefix, name, suffix, NULL);

    return opt_get_uint(dict, key, to, UINT64_MAX, err);
}

bool throttle_limits_get(ThrottleLimits *l, Opt *dict, const char *prefix,
                         GError **err)
{
    for (unsigned i = 0; i < THROTTLE_N; i++) {
        if (!get_number(dict, prefix, names[i], "", &l->of[i].avg, err)
            || !get_number(dict, prefix, names[i], "-max", &l->of[i].max, err)
            || !get_number(dict, prefix, names[i], "-max-length",
                           &l->of[i].burst_s, err)) {
            return false;
        }
    }
    return get_number(dict, prefix, "iops-size", "", &l->op_bytes, err)
           && throttle_limits_check(l, err);
}

/* --- buckets ------------------------------------------------------------------------------ */

static void leak(ThrottleGroup *g)
{
    int64_t now = clock_ns(throttle_clock);
    double s = (now - g->leaked_ns) / 1e9;

    g->leaked_ns = now;
    for (unsigned i = 0; i < THROTTLE_N && s > 0; i++) {
        Bucket *b = &g->bucket[i];

        b->level = fmax(b->level - s * g->limits.of[i].avg, 0);
        b->burst_level = fmax(b->burst_level - s * g->limits.of[i].max, 0);
    }
}

static double seconds_over(const ThrottleGroup *g, unsigned i)
{
    const Bucket *b = &g->bucket[i];
    double avg = g->limits.of[i].avg, max = g->limits.of[i].max;
    uint64_t burst_s = g->limits.of[i].burst_s;
    double over, burst_over;

    if (!avg) {
        return 0;
    }
    over = b->level - (max ? max * burst_s : avg / 10);
    burst_over = burst_s > 1 ? b->burst_level - max / 10 : 0;
    return fmax(fmax(over, 0) / avg, max ? fmax(burst_over, 0) / max : 0);
}

static bool concerns(unsigned i, unsigned dir)
{
    return i % 3 == 0 || i % 3 == dir + 1;
}

/* Until a request of that direction may start. */
static int64_t wait_ns(const ThrottleGroup *g, unsigned dir)
{
    double s = 0;

    for (unsigned i = 0; i < THROTTLE_N; i++) {
        if (concerns(i, dir)) {
            s = fmax(s, seconds_over(g, i));
        }
    }
    /* Rounded up: a timer that fires too early would fire again and again. */
    return s > 0 ? (int64_t)(fmin(s, 1e9) * 1e9) + 1 : 0;
}

static void pour(ThrottleGroup *g, unsigned dir, uint64_t bytes)
{
    double ops = g->limits.op_bytes && bytes > g->limits.op_bytes
                 ? (double)bytes / g->limits.op_bytes : 1;

    for (unsigned i = 0; i < THROTTLE_N; i++) {
        if (concerns(i, dir)) {
            double units = i < THROTTLE_IOPS_TOTAL ? bytes : ops;

            g->bucket[i].level += units;
            g->bucket[i].burst_level += units;
        }
    }
}

/* --- turns --------------------------------------------------------------------------------- */

static Queue *next_queue(ThrottleGroup *g, unsigned dir)
{
    for (unsigned i = 1; i <= g->members->len; i++) {
        unsigned n = (g->turn[dir] + i) % g->members->len;
        ThrottleMember *m = g_ptr_array_index(g->members, n);

        if (m->queue[dir].first) {
            g->turn[dir] = n;
            return &m->queue[dir];
        }
    }
    g_assert_not_reached();
}

static void let_go(ThrottleGroup *g, Queue *q)
{
    Waiter *w = q->first;

    q->first = w->next;
    if (!q->first) {
        q->last = &q->first;
    }
    g->n_waiting[q->dir]--;
    pour(g, q->dir, w->bytes);
    block_ctx_wake(q->member->ctx, w->co);      /* `w` may be gone now */
}

static bool can_go(const ThrottleGroup *g, unsigned dir)
{
    return g->n_waiting[dir] && !wait_ns(g, dir);
}

/* Under the lock.  Reads and writes take turns as well: a bucket of both is
 * not the readers' alone. */
static void serve(ThrottleGroup *g)
{
    leak(g);
    for (;; ) {
        unsigned dir = can_go(g, !g->last_dir) ? !g->last_dir : g->last_dir;

        if (!can_go(g, dir)) {
            return;
        }
        let_go(g, next_queue(g, dir));
        g->last_dir = dir;
    }
}

static void on_timer(void *opaque)
{
    Queue *q = opaque;
    ThrottleGroup *g = q->member->group;

    g_mutex_lock(&g->lock);
    serve(g);
    if (q->first) {
        block_timer_set(&q->timer, g->leaked_ns + wait_ns(g, q->dir));
    }
    g_mutex_unlock(&g->lock);
}

void throttle_wait(ThrottleMember *m, bool write, uint64_t bytes)
{
    unsigned dir = write ? WRITE : READ;
    ThrottleGroup *g = m->group;
    Queue *q = &m->queue[dir];
    Waiter w = { co_self(), bytes, NULL };
    int64_t wait;

    assert(w.co);
    g_mutex_lock(&g->lock);
    leak(g);
    wait = wait_ns(g, dir);
    if (m->released || (!g->n_waiting[dir] && !wait)) {
        pour(g, dir, bytes);
        g_mutex_unlock(&g->lock);
        return;
    }
    *q->last = &w;
    q->last = &w.next;
    g->n_waiting[dir]++;
    if (q->first == &w) {
        block_timer_set(&q->timer, g->leaked_ns + wait);
    }
    g_mutex_unlock(&g->lock);
    co_yield();
}

void throttle_release_begin(ThrottleMember *m)
{
    ThrottleGroup *g = m->group;

    g_mutex_lock(&g->lock);
    if (!m->released++) {
        leak(g);
        for (unsigned dir = 0; dir < N_DIRS; dir++) {
            while (m->queue[dir].first) {
                let_go(g, &m->queue[dir]);
            }
            block_timer_stop(&m->queue[dir].timer);
        }
    }
    g_mutex_unlock(&g->lock);
}

void throttle_release_end(ThrottleMember *m)
{
    g_mutex_lock(&m->group->lock);
    assert(m->released);
    m->released--;
    g_mutex_unlock(&m->group->lock);
}

/* --- members --------------------------------------------------------------------------------- */

static ThrottleGroup *group_ref(ThrottleGroup *g)
{
    g_mutex_lock(&all_lock);
    g->refs++;
    g_mutex_unlock(&all_lock);
    return g;
}

ThrottleMember *throttle_member_new(ThrottleGroup *g, BlockCtx *ctx)
{
    ThrottleMember *m = g_new0(ThrottleMember, 1);

    m->group = group_ref(g);
    m->ctx = ctx;
    for (unsigned dir = 0; dir < N_DIRS; dir++) {
        Queue *q = &m->queue[dir];

        q->member = m;
        q->dir = dir;
        q->last = &q->first;
        block_timer_init(&q->timer, ctx, throttle_clock, on_timer, q);
    }
    g_mutex_lock(&g->lock);
    g_ptr_array_add(g->members, m);
    g_mutex_unlock(&g->lock);
    return m;
}

void throttle_member_free(ThrottleMember *m)
{
    if (!m) {
        return;
    }
    g_mutex_lock(&m->group->lock);
    g_ptr_array_remove(m->group->members, m);
    g_mutex_unlock(&m->group->lock);
    for (unsigned dir = 0; dir < N_DIRS; dir++) {
        assert(!m->queue[dir].first);
        block_timer_destroy(&m->queue[dir].timer);
    }
    throttle_group_unref(m->group);
    g_free(m);
}

ThrottleGroup *throttle_member_group(const ThrottleMember *m)
{
    return m->group;
}

void throttle_member_move(ThrottleMember *m, BlockCtx *ctx)
{
    for (unsigned dir = 0; dir < N_DIRS; dir++) {
        Queue *q = &m->queue[dir];

        assert(!q->first);
        block_timer_destroy(&q->timer);
        block_timer_init(&q->timer, ctx, throttle_clock, on_timer, q);
    }
    m->ctx = ctx;
}

/* --- groups ---------------------------------------------------------------------------------- */

static ThrottleGroup *find(const char *name)
{
    for (unsigned i = 0; all && i < all->len; i++) {
        ThrottleGroup *g = g_ptr_array_index(all, i);

        if (!strcmp(g->name, name)) {
            return g;
        }
    }
    return NULL;
}

ThrottleGroup *throttle_group_find(const char *name)
{
    ThrottleGroup *g;

    g_mutex_lock(&all_lock);
    g = find(name);
    g_mutex_unlock(&all_lock);
    return g;
}

ThrottleGroup *throttle_group_get(const char *name)
{
    ThrottleGroup *g;

    g_mutex_lock(&all_lock);
    g = find(name);
    if (g) {
        g->refs++;
    } else {
        g = g_new0(ThrottleGroup, 1);
        g->name = g_strdup(name);
        g->refs = 1;
        g_mutex_init(&g->lock);
        throttle_limits_init(&g->limits);
        g->leaked_ns = clock_ns(throttle_clock);
        g->members = g_ptr_array_new();
        if (!all) {
            all = g_ptr_array_new();
        }
        g_ptr_array_add(all, g);
    }
    g_mutex_unlock(&all_lock);
    return g;
}

void throttle_group_unref(ThrottleGroup *g)
{
    bool last;

    if (!g) {
        return;
    }
    g_mutex_lock(&all_lock);
    last = --g->refs == 0;
    if (last) {
        g_ptr_array_remove(all, g);
    }
    g_mutex_unlock(&all_lock);
    if (last) {
        g_ptr_array_unref(g->members);
        g_mutex_clear(&g->lock);
        g_free(g->name);
        g_free(g);
    }
}

const char *throttle_group_name(const ThrottleGroup *g)
{
    return g->name;
}

/* Buckets keep their levels: new limits are no way to a second burst. */
void throttle_group_set(ThrottleGroup *g, const ThrottleLimits *l)
{
    g_mutex_lock(&g->lock);
    leak(g);
    g->limits = *l;
    for (unsigned i = 0; i < g->members->len; i++) {
        ThrottleMember *m = g_ptr_array_index(g->members, i);

        for (unsigned dir = 0; dir < N_DIRS; dir++) {
            if (m->queue[dir].first) {
                block_timer_set(&m->queue[dir].timer, g->leaked_ns);
            }
        }
    }
    g_mutex_unlock(&g->lock);
}

void throttle_group_limits(ThrottleGroup *g, ThrottleLimits *l)
{
    g_mutex_lock(&g->lock);
    *l = g->limits;
    g_mutex_unlock(&g->lock);
}
