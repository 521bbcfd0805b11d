/*
 * "blkdebug": which request fails, when, and how often; "blklogwrites": what
 * its options accept, and a log that is gone on with.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/backend.h"
#include "block/drive.h"
#include "block/driver.h"
#include "node.h"

static char *dir;

static BlockNode *open_text(const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, &err);
    BlockNode *n;

    g_assert_no_error(err);
    n = block_open(o, &err);
    g_assert_no_error(err);
    return n;
}

static BlockNode *open_rules(const char *rules)
{
    g_autofree char *text = g_strdup_printf(
        "raw,discard=unmap,file.driver=blkdebug,"
        "file.image.driver=null-co,%s", rules);

    return open_text(text);
}

static int do_read(BlockNode *n, uint64_t sector)
{
    uint8_t buf[1024];

    return node_read_buf(n, sector * 512, buf, sizeof(buf));
}

static int do_write(BlockNode *n, uint64_t sector)
{
    uint8_t buf[1024] = { 1 };

    return node_write_buf(n, sector * 512, buf, sizeof(buf));
}

static int do_flush(BlockNode *n)
{
    do_write(n, 1000);          /* else there is nothing to flush */
    return node_flush(n);
}

/* --- rules ---------------------------------------------------------------------------- */

static void test_always(void)
{
    BlockNode *n = open_rules("file.inject-error.0.event=none");

    g_assert_cmpint(do_read(n, 0), ==, -EIO);
    g_assert_cmpint(do_write(n, 0), ==, -EIO);
    g_assert_cmpint(node_write_zeroes(n, 0, 512, 0), ==, -EIO);
    g_assert_cmpint(node_discard(n, 0, 512), ==, -EIO);
    g_assert_cmpint(do_flush(n), ==, -EIO);
    node_unref(n);
}

static void test_kinds(void)
{
    BlockNode *n = open_rules("file.inject-error.0.event=none,"
                              "file.inject-error.0.iotype=flush,"
                              "file.inject-error.0.errno=5,"
                              "file.inject-error.1.event=none,"
                              "file.inject-error.1.iotype=write,"
                              "file.inject-error.1.errno=28,"
                              "file.inject-error.1.immediately=on,"
                              "file.inject-error.1.sector=11");
    BlockStatus st;

    g_assert_cmpint(do_read(n, 11), ==, 0);
    g_assert_cmpint(do_write(n, 9), ==, 0);
    g_assert_cmpint(do_write(n, 10), ==, -ENOSPC);      /* 10 and 11 */
    g_assert_cmpint(do_write(n, 11), ==, -ENOSPC);
    g_assert_cmpint(do_write(n, 12), ==, 0);
    g_assert_cmpint(do_flush(n), ==, -EIO);
    g_assert_cmpint(do_flush(n), ==, -EIO);
    g_assert_cmpint(node_status(n, 0, 512, &st), ==, 0);
    node_unref(n);
}

static void test_once(void)
{
    BlockNode *n = open_rules("file.inject-error.0.event=write_aio,"
                              "file.inject-error.0.once=on,"
                              "file.inject-error.0.errno=28");

    g_assert_cmpint(do_read(n, 0), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, -ENOSPC);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    node_unref(n);
}

/* The second write after the first flush fails, and then no other. */
static void test_states(void)
{
    BlockNode *n = open_rules("file.set-state.0.event=flush_to_disk,"
                              "file.set-state.0.state=1,"
                              "file.set-state.0.new_state=2,"
                              "file.set-state.1.event=write_aio,"
                              "file.set-state.1.state=2,"
                              "file.set-state.1.new-state=3,"
                              "file.inject-error.0.event=write_aio,"
                              "file.inject-error.0.state=3,"
                              "file.inject-error.0.once=on");

    g_assert_cmpint(do_write(n, 0), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    g_assert_cmpint(node_flush(n), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, -EIO);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    node_unref(n);
}

static void test_limits(void)
{
    BlockNode *n = open_rules("file.align=4096,file.max-transfer=8192");

    g_assert_cmpuint(node_alignment(node_file(n)), ==, 4096);
    g_assert_cmpint(do_write(n, 3), ==, 0);
    node_unref(n);
}

static void write_rules(const char *path, const char *text)
{
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void test_file(void)
{
    g_autofree char *rules = g_build_filename(dir, "rules", NULL);
    g_autofree char *name = g_strdup_printf("blkdebug:%s:null-co://", rules);
    g_autoptr(GError) err = NULL;
    BlockNode *n;

    write_rules(rules, "# of old\n\n[inject-error]\n  event = \"read_aio\"\n"
                "errno = \"61\"\nonce = on\n[set-state]\nevent = "
                "\"write_aio\"\nstate = \"1\"\nnew_state = \"2\"\n"
                "[inject-error]\nevent = \"write_aio\"\nstate = \"2\"\n");
    n = block_open_file(name, "raw", NULL, &err);
    g_assert_no_error(err);
    g_assert_cmpint(do_read(n, 0), ==, -ENODATA);
    g_assert_cmpint(do_read(n, 0), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    g_assert_cmpint(do_write(n, 0), ==, -EIO);
    node_unref(n);
    n = block_open_file("blkdebug::null-co://", "raw", NULL, &err);
    g_assert_no_error(err);
    g_assert_cmpint(do_read(n, 0), ==, 0);
    node_unref(n);

    static const char *const wrong[][2] = {
        { "errno = 5\n", "a section, or key" },
        { "[inject]\n", "unknown section [inject]" },
        { "[inject-error]\nerrno = 5\n", "'event' is missing" },
        { "[inject-error]\nevent = read_aoi\n", "'read_aoi'" },
        { "[inject-error]\nevent = none\nnoerr = 5\n", "'noerr'" },
        { "[set-state]\nevent = none\n", "'new_state' is missing" },
        { "[inject-error]\nnonsense\n", "not 'nonsense'" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) why = NULL;

        write_rules(rules, wrong[i][0]);
        g_assert_null(block_open_file(name, "raw", NULL, &why));
        if (!strstr(why->message, wrong[i][1])) {
            g_error("%s: %s", wrong[i][0], why->message);
        }
    }
    g_unlink(rules);
}

static void test_mistakes(void)
{
    static const char *const wrong[][2] = {
        { "blkdebug", "'image' is missing" },
        { "blkdebug,image.driver=null-co,inject-error=x", "expects a list" },
        { "blkdebug,image.driver=null-co,inject-error.0.sector=-2,"
          "inject-error.0.event=none", "'sector' is out of range" },
        { "blkdebug,image.driver=null-co,align=3", "'align'" },
        { "blkdebug,image.driver=null-co,max-transfer=7,align=8",
          "'max-transfer'" },
        { "blkdebug,image.driver=null-co,config=/nowhere/x", "/nowhere/x" },
        { "blklogwrites,file.driver=null-co", "'log' is missing" },
        { "blklogwrites,file.driver=null-co,log.driver=null-co,"
          "log-sector-size=1000", "'log-sector-size'" },
        { "blklogwrites,file.driver=null-co,log.driver=null-co,"
          "log-append=on", "is no log" },
    };
    g_autoptr(GError) err = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(Opt) o = opt_parse_keyval(wrong[i][0], "driver", NULL, NULL);
        g_autoptr(GError) why = NULL;

        g_assert_null(block_open(o, &why));
        if (!strstr(why->message, wrong[i][1])) {
            g_error("%s: %s", wrong[i][0], why->message);
        }
    }
    g_assert_null(block_open_file("blkdebug:x", "raw", NULL, &err));
    g_assert_nonnull(strstr(err->message, "blkdebug:[rules]:image"));
}

/* --- policy ------------------------------------------------------------------------------ */

static int stopped_for;

static void stop(BlockBackend *blk, bool is_read, int error)
{
    stopped_for = is_read ? -error : error;
}

static void test_policy(void)
{
    g_autoptr(Opt) o = opt_parse_keyval("driver=null-co,id=d,if=none,"
                                        "werror=stop,rerror=ignore", NULL,
                                        NULL, NULL);
    g_autoptr(Opt) deflt = opt_parse_keyval("driver=null-co,id=e,if=none",
                                            NULL, NULL, NULL);
    g_autoptr(GError) err = NULL;
    BlockBackend *blk = drive_new(o, BLOCK_IF_NONE, false, &err);

    g_assert_no_error(err);
    blk_stop_machine = stop;
    g_assert_cmpint(blk_error(blk, false, EIO), ==, BLK_STOP);
    g_assert_cmpint(stopped_for, ==, EIO);
    g_assert_cmpint(blk_error(blk, true, EIO), ==, BLK_IGNORE);
    blk_unref(blk);
    blk = drive_new(deflt, BLOCK_IF_NONE, false, &err);
    g_assert_cmpint(blk_error(blk, false, EIO), ==, BLK_REPORT);
    g_assert_cmpint(blk_error(blk, true, EIO), ==, BLK_REPORT);
    g_assert_cmpint(blk_error(blk, false, ENOSPC), ==, BLK_STOP);
    g_assert_cmpint(stopped_for, ==, ENOSPC);
    blk_unref(blk);
}

/* --- the log ------------------------------------------------------------------------------ */

static BlockNode *open_log(const char *log, bool append)
{
    g_autofree char *text = g_strdup_printf(
        "blklogwrites,file.driver=null-co,log.driver=file,log.filename=%s,"
        "log-sector-size=4096,log-append=%s", log, append ? "on" : "off");

    return open_text(text);
}

static uint64_t entries_in(const char *log)
{
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    return load_le64(text + 16);
}

static void test_log_append(void)
{
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    g_autofree char *text = NULL;
    BlockNode *n;
    size_t len;

    g_assert_true(g_file_set_contents(log, "", 0, NULL));
    n = open_log(log, false);
    g_assert_cmpint(do_write(n, 0), ==, 0);
    g_assert_cmpint(node_flush(n), ==, 0);
    g_assert_cmpuint(entries_in(log), ==, 2);
    node_unref(n);
    n = open_log(log, true);
    g_assert_cmpuint(blklogwrites_entries(n), ==, 2);
    g_assert_cmpint(node_write_zeroes(n, 8192, 4096, 0), ==, 0);
    g_assert_cmpint(node_flush(n), ==, 0);
    node_unref(n);
    g_assert_true(g_file_get_contents(log, &text, &len, NULL));
    g_assert_cmpuint(load_le64(text + 16), ==, 4);
    /* Super, entry and 4 KiB, flush, entry and 4 KiB, flush. */
    g_assert_cmpuint(len, ==, 7 * 4096);
    g_assert_cmpuint(text[2 * 4096], ==, 1);
    g_assert_cmpuint(load_le64(text + 3 * 4096 + 16), ==, 1);
    g_assert_cmpuint(load_le64(text + 4 * 4096), ==, 2);
    g_assert_cmpuint(load_le64(text + 4 * 4096 + 8), ==, 1);
    n = open_log(log, false);
    node_unref(n);
    g_assert_cmpuint(entries_in(log), ==, 0);
    g_unlink(log);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("rhea-debug-XXXXXX", NULL);
    g_test_add_func("/blkdebug/always", test_always);
    g_test_add_func("/blkdebug/kinds", test_kinds);
    g_test_add_func("/blkdebug/once", test_once);
    g_test_add_func("/blkdebug/states", test_states);
    g_test_add_func("/blkdebug/limits", test_limits);
    g_test_add_func("/blkdebug/file", test_file);
    g_test_add_func("/blkdebug/mistakes", test_mistakes);
    g_test_add_func("/blkdebug/policy", test_policy);
    g_test_add_func("/blklogwrites/append", test_log_append);
    ret = g_test_run();
    g_rmdir(dir);
    g_free(dir);
    return ret;
}
