/*
 * Limits of throughput, on a clock that is moved by hand: rates, bursts, turns,
 * drains; and once on the real one, between two loops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <poll.h>

#include "base/bits.h"
#include "block/backend.h"
#include "block/drive.h"
#include "block/driver.h"
#include "block/throttle.h"
#include "ctx.h"

enum { STEP_NS = NS_PER_MS };

static BlockCtx *ctx;

/* What has been woken runs. */
static void settle(void)
{
    struct pollfd p = { .fd = block_ctx_event_fd(ctx), .events = POLLIN };

    while (poll(&p, 1, 0) > 0) {
        block_ctx_poll(ctx);
    }
}

static void advance(double s)
{
    for (int64_t left = s * NS_PER_SEC; left > 0; left -= STEP_NS) {
        clock_test_advance(MIN(left, STEP_NS));
        settle();
    }
}

static ThrottleGroup *make_group(const char *line)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, NULL);
    ThrottleGroup *g = throttle_group_get("test");
    ThrottleLimits l;

    throttle_limits_init(&l);
    throttle_limits_get(&l, dict, "", &err);
    g_assert_no_error(err);
    throttle_group_set(g, &l);
    return g;
}

/* A guest that always has another request. */
typedef struct Load {
    ThrottleMember *m;
    bool write, stop;
    uint64_t bytes, n_done;
    unsigned n_running;
} Load;

static void run_load(void *opaque)
{
    Load *l = opaque;

    l->n_running++;
    while (!l->stop) {
        throttle_wait(l->m, l->write, l->bytes);
        l->n_done += !l->stop;
    }
    l->n_running--;
}

static void start(Load *l, ThrottleGroup *g, bool write, uint64_t bytes,
                  unsigned depth)
{
    *l = (Load) { throttle_member_new(g, ctx), write, false, bytes, 0, 0 };
    while (depth--) {
        g_assert_true(co_start(run_load, l));
    }
}

static void end(Load *l)
{
    l->stop = true;
    throttle_release_begin(l->m);       /* as a drain does */
    settle();
    g_assert_cmpuint(l->n_running, ==, 0);
    throttle_release_end(l->m);
    throttle_member_free(l->m);
}

static void assert_near(uint64_t got, double want, double slack)
{
    if (got < want - slack || got > want + slack) {
        g_error("%" PRIu64 " is not %g +- %g", got, want, slack);
    }
}

/* --- rates --------------------------------------------------------------------------- */

static void test_bytes(void)
{
    ThrottleGroup *g = make_group("bps-total=1048576");
    Load l;

    start(&l, g, false, 16 * KiB, 8);
    /* A tenth of a second's worth at once, and the one that overflows. */
    assert_near(l.n_done, 6.4 + 1, 1);
    advance(10);
    assert_near(l.n_done, 64 * 10.1 + 1, 2);
    end(&l);
    throttle_group_unref(g);
}

static void one_request(void *opaque)
{
    Load *l = opaque;

    throttle_wait(l->m, l->write, l->bytes);
    l->n_done++;
}

static void test_requests(void)
{
    ThrottleGroup *g = make_group("iops-read=100,iops-size=4096");
    Load small, big, writes;

    start(&small, g, false, 512, 4);
    advance(5);
    assert_near(small.n_done, 510, 2);
    end(&small);
    advance(1);
    start(&big, g, false, 16 * KiB, 4);         /* counts as four */
    start(&writes, g, true, 512, 0);
    g_assert_true(co_start(one_request, &writes));  /* not limited: no yield */
    g_assert_cmpuint(writes.n_done, ==, 1);
    advance(5);
    assert_near(big.n_done, 510 / 4., 2);
    end(&writes);
    end(&big);
    throttle_group_unref(g);
}

static void test_directions(void)
{
    ThrottleGroup *g = make_group("bps-write=1000000,iops-total=50");
    Load r, w;

    start(&r, g, false, 512, 2);
    start(&w, g, true, 512, 2);
    advance(10);
    assert_near(r.n_done + w.n_done, 505, 4);
    assert_near(r.n_done, 250, 30);
    end(&r);
    end(&w);
    throttle_group_unref(g);

    g = make_group("bps-write=1000000");
    start(&r, g, false, 512, 0);
    for (unsigned i = 0; i < 10000; i++) {
        g_assert_true(co_start(one_request, &r));
    }
    g_assert_cmpuint(r.n_done, ==, 10000);
    end(&r);
    throttle_group_unref(g);
}

/* max for max-length seconds, then avg; after a rest the same again. */
static void test_burst(void)
{
    ThrottleGroup *g = make_group("iops-total=100,iops-total-max=500,"
                                  "iops-total-max-length=3");
    uint64_t before;
    Load l;

    start(&l, g, true, 512, 8);
    advance(3);
    assert_near(l.n_done, 50 + 3 * 500, 5);     /* the burst's rate */
    advance(3);
    /* Full since 1500 / (500 - 100) s. */
    assert_near(l.n_done, 1500 + 6 * 100, 5);
    before = l.n_done;
    advance(10);
    assert_near(l.n_done - before, 1000, 5);
    end(&l);

    advance(100);
    start(&l, g, true, 512, 8);
    advance(3);
    assert_near(l.n_done, 50 + 3 * 500, 5);
    end(&l);
    throttle_group_unref(g);

    g = make_group("bps-total=1000000,bps-total-max=5000000");
    start(&l, g, true, 100000, 8);
    assert_near(l.n_done, 51, 1);               /* all of it at once */
    advance(2);
    assert_near(l.n_done, 51 + 20, 1);
    end(&l);
    throttle_group_unref(g);
}

static void test_turns(void)
{
    ThrottleGroup *g = make_group("iops-total=100");
    Load a, b, c;

    start(&a, g, true, 512, 64);
    start(&b, g, true, 512, 1);
    start(&c, g, true, 4096, 8);
    advance(30);
    assert_near(a.n_done + b.n_done + c.n_done, 3010, 4);
    assert_near(a.n_done, 1003, 15);
    assert_near(b.n_done, 1003, 15);
    assert_near(c.n_done, 1003, 15);
    /* One that goes away holds up nobody. */
    end(&a);
    advance(1);
    assert_near(b.n_done, 1003 + 50 - 32, 40);
    end(&b);
    end(&c);
    throttle_group_unref(g);
}

static void test_new_limits(void)
{
    ThrottleGroup *g = make_group("iops-total=1");
    ThrottleLimits l;
    Load load;

    start(&load, g, true, 512, 4);
    advance(0.5);
    g_assert_cmpuint(load.n_done, <=, 2);
    throttle_group_limits(g, &l);
    g_assert_cmpuint(l.of[THROTTLE_IOPS_TOTAL].avg, ==, 1);
    l.of[THROTTLE_IOPS_TOTAL].avg = 1000;
    throttle_group_set(g, &l);
    advance(1);
    assert_near(load.n_done, 1100, 10);
    end(&load);
    throttle_group_unref(g);
}

/* --- nodes and backends ------------------------------------------------------------------ */

static void count(void *opaque, int ret)
{
    g_assert_cmpint(ret, ==, 0);
    ++*(unsigned *)opaque;
}

static BlockBackend *open_drive(const char *line)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, NULL);
    BlockBackend *blk = drive_new(dict, BLOCK_IF_NONE, false, &err);

    g_assert_no_error(err);
    return blk;
}

static void read_some(BlockBackend *blk, unsigned n, unsigned *n_done)
{
    static uint8_t buf[512];
    static struct iovec v = { buf, sizeof(buf) };

    while (n--) {
        blk_read(blk, 0, 512, &v, 1, count, n_done);
    }
    settle();
}

static void test_drive(void)
{
    BlockBackend *blk = open_drive("id=d,driver=null-co,iops=10,if=none");
    unsigned n_done = 0;

    g_assert_cmpstr(throttle_group_name(blk_throttle(blk)), ==, "d");
    read_some(blk, 100, &n_done);
    assert_near(n_done, 2, 1);
    advance(2);
    assert_near(n_done, 21, 1);
    blk_drain(blk);                     /* does not wait for the clock */
    g_assert_cmpuint(n_done, ==, 100);
    /* What it let go counts: the next one pays for it. */
    read_some(blk, 1, &n_done);
    advance(5);
    g_assert_cmpuint(n_done, ==, 100);
    advance(5);
    g_assert_cmpuint(n_done, ==, 101);
    blk_set_throttle(blk, NULL);
    read_some(blk, 1000, &n_done);
    g_assert_cmpuint(n_done, ==, 1101);
    blk_unref(blk);
    g_assert_null(throttle_group_find("d"));
}

static void test_drives_share(void)
{
    BlockBackend *a = open_drive("id=a,driver=null-co,if=none,"
                                 "throttling.iops-total=100,"
                                 "throttling.group=both");
    BlockBackend *b = open_drive("id=b,driver=null-co,if=none,"
                                 "throttling.group=both");
    unsigned n_a = 0, n_b = 0;

    g_assert_true(blk_throttle(a) == blk_throttle(b));
    read_some(a, 1000, &n_a);
    read_some(b, 1000, &n_b);
    advance(4);
    assert_near(n_a + n_b, 410, 4);
    assert_near(n_a, 205, 12);
    blk_unref(a);
    blk_unref(b);
    g_assert_cmpuint(n_a, ==, 1000);
    g_assert_cmpuint(n_b, ==, 1000);
}

static void test_node(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(
        "driver=throttle,throttle-group=test,file.driver=null-co", NULL, NULL,
        NULL);
    g_autoptr(Opt) none = opt_parse_keyval(
        "driver=throttle,throttle-group=no,file.driver=null-co", NULL, NULL,
        NULL);
    ThrottleGroup *g = make_group("iops-total=10");
    BlockBackend *blk = blk_new(NULL, loop_main());
    unsigned n_done = 0;
    BlockNode *n;

    g_assert_null(block_open(none, &err));
    g_assert_nonnull(strstr(err->message, "no -object throttle-group,id=no"));
    g_clear_error(&err);
    n = block_open(dict, &err);
    g_assert_no_error(err);
    blk_insert(blk, n, &err);
    node_unref(n);
    read_some(blk, 50, &n_done);
    advance(2);
    assert_near(n_done, 21, 1);
    blk_drain(blk);
    g_assert_cmpuint(n_done, ==, 50);
    read_some(blk, 50, &n_done);
    node_drain_begin(node_file(n));     /* from below */
    g_assert_cmpuint(n_done, ==, 100);
    node_drain_end(node_file(n));
    blk_unref(blk);
    throttle_group_unref(g);
}

/* Outside coroutines the wait must see the timer, too. */
static void test_waiting_call(void)
{
    uint8_t buf[512];
    gint64 began = g_get_monotonic_time();
    ThrottleGroup *g;
    BlockBackend *blk;
    unsigned n_done = 0;

    throttle_clock = CLK_HOST;
    g = make_group("iops-total=10");
    blk = open_drive("id=w,driver=throttle,throttle-group=test,if=none,"
                     "file.driver=null-co");
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(blk_read_buf(blk, 0, buf, 512), ==, 0);
    }
    g_assert_cmpint(g_get_monotonic_time() - began, >=, 200 * 1000);
    read_some(blk, 2, &n_done);
    while (n_done < 2) {
        loop_iterate(loop_main(), true);        /* the loop's own timer */
    }
    blk_unref(blk);
    throttle_group_unref(g);
    throttle_clock = CLK_VIRTUAL;
}

typedef struct There {
    BlockBackend *blk;
    struct iovec v;
    unsigned left;
    bool ended;
    GMutex lock;
    GCond cond;
} There;

static void read_there(void *opaque);

static void done_there(void *opaque, int ret)
{
    There *t = opaque;

    if (--t->left) {
        read_there(t);
        return;
    }
    g_mutex_lock(&t->lock);
    t->ended = true;
    g_cond_signal(&t->cond);
    g_mutex_unlock(&t->lock);
}

static void read_there(void *opaque)
{
    There *t = opaque;

    blk_read(t->blk, 0, 512, &t->v, 1, done_there, t);
}

/* One member in the main loop, one in a thread; both get through. */
static void test_two_loops(void)
{
    Loop *loop = loop_new_thread("throttled");
    g_autoptr(GError) err = NULL;
    BlockBackend *a, *b;
    uint8_t buf[512];
    There t = { .left = 300, .v = { buf, 512 } };
    unsigned n_done = 0;

    throttle_clock = CLK_HOST;
    a = open_drive("id=a2,driver=null-co,if=none,throttling.iops-total=3000,"
                   "throttling.group=two");
    b = open_drive("id=b2,driver=null-co,if=none,throttling.group=two");
    g_assert_true(blk_set_loop(b, loop, &err));
    t.blk = b;
    g_mutex_init(&t.lock);
    g_cond_init(&t.cond);
    loop_call(loop, read_there, &t);
    read_some(a, 300, &n_done);
    while (n_done < 300) {
        loop_iterate(loop_main(), true);
    }
    g_mutex_lock(&t.lock);
    while (!t.ended) {
        g_cond_wait(&t.cond, &t.lock);
    }
    g_mutex_unlock(&t.lock);
    g_assert_true(blk_set_loop(b, loop_main(), &err));
    blk_unref(a);
    blk_unref(b);
    block_ctx_free(loop);
    loop_free(loop);
    throttle_clock = CLK_VIRTUAL;
}

/* --- options ------------------------------------------------------------------------------- */

static void test_mistakes(void)
{
    static const char *const table[][2] = {
        { "bps=1,bps_rd=1", "bps-total and bps-read cannot be used" },
        { "throttling.iops-total=1,iops=2", "'iops' can't be used" },
        { "iops_max=5", "iops-total-max requires iops-total" },
        { "iops=10,iops_max=5", "cannot be lower than iops-total" },
        { "throttling.iops-total=1,throttling.iops-total-max-length=0",
          "iops-total-max-length is 1 at least" },
        { "throttling.iops-total=1,throttling.iops-total-max-length=5",
          "requires iops-total-max" },
        { "bps=2000000000000000", "are at most 1000000000000000" },
        { "throttling.bps-total=1,throttling.bps-total-max=1000000000000000,"
          "throttling.bps-total-max-length=2", "too long" },
        { "throttling.iops-size=1", "iops-size requires" },
        { "bps=fast", "'fast'" },
        { "throttling.bps=1", "'bps'" },
        { "throttling=on", "'throttling' expects" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *line = g_strconcat("driver=null-co,id=x,",
                                            table[i][0], NULL);
        g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, NULL);
        g_autoptr(GError) err = NULL;

        g_assert_null(drive_new(dict, BLOCK_IF_NONE, false, &err));
        g_assert_nonnull(err);
        if (!strstr(err->message, table[i][1])) {
            g_error("%s: %s", line, err->message);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    throttle_clock = CLK_VIRTUAL;
    clock_test_manual();
    ctx = block_ctx(loop_main());
    g_test_add_func("/throttle/bytes", test_bytes);
    g_test_add_func("/throttle/requests", test_requests);
    g_test_add_func("/throttle/directions", test_directions);
    g_test_add_func("/throttle/burst", test_burst);
    g_test_add_func("/throttle/turns", test_turns);
    g_test_add_func("/throttle/new-limits", test_new_limits);
    g_test_add_func("/throttle/drive", test_drive);
    g_test_add_func("/throttle/drives-share", test_drives_share);
    g_test_add_func("/throttle/node", test_node);
    g_test_add_func("/throttle/waiting-call", test_waiting_call);
    g_test_add_func("/throttle/two-loops", test_two_loops);
    g_test_add_func("/throttle/mistakes", test_mistakes);
    return g_test_run();
}
