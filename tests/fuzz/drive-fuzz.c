/*
 * -drive and -blockdev: any text as options.  What opens is closed again; what
 * does not has exactly one message.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "block/drive.h"
#include "block/driver.h"
#include "block/throttle.h"
#include "fuzz.h"

static void try_drive(Opt *dict)
{
    g_autoptr(GError) err = NULL;
    BlockBackend *blk = drive_new(dict, BLOCK_IF_IDE, false, &err);

    g_assert_true(!blk == !!err);
    blk_unref(blk);
}

static void try_blockdev(Opt *dict)
{
    g_autoptr(GError) err = NULL;
    BlockNode *n = block_open(dict, &err);
    uint8_t buf[512];

    g_assert_true(!n == !!err);
    if (n) {
        node_read_buf(n, 0, buf, sizeof(buf));
        node_unref(n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = size ? g_strndup((const char *)data,
                                             MIN(size, 4096)) : NULL;
    g_autoptr(Opt) dict = NULL;
    g_autoptr(Opt) again = NULL;

    if (!size) {
        return 0;
    }
    /* The host's files are not for playing with, nor its time. */
    if (strpbrk(text, "/~") || strstr(text, "filename")
        || strstr(text, "latency") || strstr(text, "snapshot")
        || strstr(text, "overlay") || strstr(text, "log")) {
        return 0;
    }
    dict = opt_parse_keyval(text, "driver", NULL, NULL);
    if (dict && opt_kind(dict) == OPT_DICT) {
        again = opt_copy(dict);
        try_drive(dict);
        try_blockdev(again);
    }
    return 0;
}
