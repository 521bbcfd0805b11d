/*
 * qcow2 images of any bytes: opened, read, checked, written, repaired, with
 * snapshots made and removed.  Nothing may crash, hang or take memory without
 * bound; what the first byte says is which of that is done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/driver.h"
#include "block/image.h"
#include "fuzz.h"

enum { MAX_IMAGE = 1 << 20, PIECE_BYTES = 3000 };

/* The image as a file that may not grow far. */
static int image_fd(const uint8_t *data, size_t size)
{
    static int fd = -1;

    if (fd < 0) {
        struct rlimit limit = { 64 << 20, 64 << 20 };

        fd = memfd_create("image", 0);
        setrlimit(RLIMIT_FSIZE, &limit);
        signal(SIGXFSZ, SIG_IGN);       /* EFBIG is what we want */
    }
    if (fd < 0 || ftruncate(fd, 0) < 0
        || pwrite(fd, data, size, 0) != (ssize_t)size) {
        abort();
    }
    return fd;
}

static BlockNode *open_image(int fd, bool write, bool check)
{
    g_autofree char *text = g_strdup_printf(
        "{'driver': 'qcow2', 'read-only': %s, 'x-check': %s, 'backing': null,"
        " 'discard': 'unmap', 'file': {'driver': 'file', 'locking': 'off', "
        "'filename': '/proc/self/fd/%d'}}", write ? "false" : "true",
        check ? "true" : "false", fd);
    g_autoptr(Opt) o = opt_parse_json(text, -1, NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *n = block_open(o, &err);

    if (!n != !!err) {
        abort();
    }
    return n;
}

static void read_some(BlockNode *n)
{
    uint8_t buf[PIECE_BYTES];
    uint64_t length = node_length(n);
    const uint64_t places[] = { 0, 5000, length / 2, length - MIN(length,
                                                                  2000) };

    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        BlockStatus st;

        node_read_buf(n, places[i], buf, sizeof(buf));
        node_status_above(n, NULL, places[i], length, &st);
    }
}

static void write_some(BlockNode *n)
{
    uint8_t buf[PIECE_BYTES] = { 1, 2, 3 };
    uint64_t length = node_length(n);

    for (unsigned i = 0; i < 5; i++) {
        uint64_t at = length / 5 * i;

        if (length - at >= sizeof(buf)) {
            node_write_buf(n, at, buf, sizeof(buf));
        }
    }
    node_write_zeroes(n, length / 3, MIN(length - length / 3, 100000),
                      BLOCK_MAY_UNMAP);
    node_discard(n, 0, MIN(length, 200000));
    node_flush(n);
}

static void use_snapshots(BlockNode *n, unsigned what)
{
    if (what & 1) {
        node_create_snapshot(n, "fuzz");
    }
    if (node_n_snapshots(n) && what & 2) {
        node_apply_snapshot(n, 0);
    }
    if (node_n_snapshots(n)) {
        node_remove_snapshot(n, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned what = size ? data[0] : 0;
    bool write = what & 1, check = what & 2;
    BlockCheck k = { 0 };
    BlockNode *n;

    if (!size || size > MAX_IMAGE) {
        return 0;
    }
    n = open_image(image_fd(data + 1, size - 1), write, check);
    if (!n) {
        return 0;
    }
    if (node_length(n) > 64 * MiB) {    /* valid, and slow to go through */
        node_unref(n);
        return 0;
    }
    read_some(n);
    if (write) {
        write_some(n);
        use_snapshots(n, what >> 2);
    }
    node_check(n, write ? BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS : 0, &k);
    if (write && what & 16) {
        node_truncate(n, node_length(n) / 2 & ~511, PREALLOC_OFF, NULL);
        node_truncate(n, 1 << 20, PREALLOC_METADATA, NULL);
    }
    read_some(n);
    node_unref(n);
    return 0;
}
