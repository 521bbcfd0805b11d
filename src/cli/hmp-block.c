/*
 * The monitor's commands about disks.
 *
 * Spec:  QEMU's manual, "QEMU Monitor"; what scripts read is as QEMU prints it.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "block/drive.h"
#include "block/driver.h"
#include "block/image.h"
#include "block/throttle.h"
#include "qmp/hmp.h"

static void complain(Hmp *mon, const GError *err)
{
    hmp_printf(mon, "Error: %s\n", err->message);
}

typedef struct Find {
    const char *name;
    BlockBackend *found;
} Find;

/* A -drive's id; the node's name when a device was given one. */
static void match(BlockBackend *blk, void *opaque)
{
    Find *f = opaque;
    BlockNode *n = blk_node(blk);

    if (!f->found && (!strcmp(blk_name(blk), f->name)
                      || (n && !strcmp(node_name(n), f->name)))) {
        f->found = blk;
    }
}

static BlockBackend *find(Hmp *mon, const char *name)
{
    Find f = { name, NULL };

    blk_foreach(match, &f);
    if (!f.found) {
        hmp_printf(mon, "Error: Device '%s' not found\n", name);
    }
    return f.found;
}

/* "-f" and the like first; how many there were, or -1 for an unknown one. */
static int take_flags(Hmp *mon, unsigned argc, char **argv,
                      const char *accepted, bool *flags)
{
    unsigned i;

    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        const char *at = argv[i][2] ? NULL : strchr(accepted, argv[i][1]);

        if (!at) {
            hmp_printf(mon, "Error: unknown flag '%s'\n", argv[i]);
            return -1;
        }
        flags[at - accepted] = true;
    }
    return i - 1;
}

/* --- info -------------------------------------------------------------------------- */

typedef struct Owner {
    BlockBackend *blk;
    char *path;
} Owner;

/* Which device has it?  By its property "drive". */
static void match_device(Device *dev, void *opaque)
{
    Owner *o = opaque;
    g_autofree char *drive = prop_find(dev->obj.type, "drive")
                             ? prop_get(&dev->obj, "drive") : NULL;
    g_autofree char *quoted = g_strdup_printf("\"%s\"", blk_label(o->blk));

    if (!o->path && !g_strcmp0(drive, quoted)) {
        o->path = object_path(&dev->obj);
    }
}

static const char *cut_filters(BlockNode **n)
{
    while (node_driver(*n)->filter && node_file(*n)
           && strcmp(node_driver_name(*n), "raw") != 0) {
        *n = node_file(*n);
    }
    return node_driver_name(*n);
}

static unsigned chain_depth(BlockNode *n)
{
    unsigned depth = 0;

    for (BlockNode *b = node_backing(n); b; b = node_backing(b)) {
        depth++;
    }
    return depth;
}

static void print_limits(Hmp *mon, const BlockBackend *blk)
{
    static const char *const words[THROTTLE_N] = {
        "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"
    };
    ThrottleGroup *g = blk_throttle(blk);
    ThrottleLimits l;

    if (!g) {
        return;
    }
    throttle_group_limits(g, &l);
    hmp_puts(mon, "    I/O throttling:  ");
    for (unsigned i = 0; i < THROTTLE_N; i++) {
        hmp_printf(mon, " %s=%" PRIu64, words[i], l.of[i].avg);
    }
    for (unsigned i = 0; i < THROTTLE_N; i++) {
        hmp_printf(mon, " %s_max=%" PRIu64, words[i], l.of[i].max);
    }
    hmp_printf(mon, " iops_size=%" PRIu64 " group=%s\n", l.op_bytes,
               throttle_group_name(g));
}

static void print_medium(Hmp *mon, BlockBackend *blk, BlockNode *n,
                         bool verbose)
{
    BlockNode *image = n;

    cut_filters(&image);
    hmp_printf(mon, "    Cache mode:       %s%s%s\n",
               blk_write_cache(blk) ? "writeback" : "writethrough",
               image->direct ? ", direct" : "",
               image->no_flush ? ", ignore flushes" : "");
    if (node_backing(image)) {
        hmp_printf(mon, "    Backing file:     %s (chain depth: %u)\n",
                   node_filename(node_backing(image)), chain_depth(image));
    }
    if (image->detect_zeroes) {
        hmp_printf(mon, "    Detect zeroes:    %s\n",
                   image->detect_zeroes == DETECT_ON ? "on" : "unmap");
    }
    print_limits(mon, blk);
    if (verbose) {
        hmp_printf(mon, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: "
                   "%" PRIu64 " bytes\n", node_filename(image),
                   node_driver_name(image), node_length(image));
    }
}

static void print_drive(Hmp *mon, BlockBackend *blk, bool verbose)
{
    BlockNode *n = blk_node(blk);
    Owner owner = { blk, NULL };

    if (*blk_name(blk)) {
        hmp_puts(mon, blk_name(blk));
        if (n) {
            hmp_printf(mon, " (%s)", node_name(n));
        }
    } else {
        hmp_puts(mon, n ? node_name(n) : "<anonymous>");
    }
    if (n) {
        BlockNode *image = n;
        const char *format = cut_filters(&image);

        hmp_printf(mon, ": %s (%s%s)\n", node_filename(n), format,
                   node_is_read_only(n) ? ", read-only" : "");
    } else {
        hmp_puts(mon, ": [not inserted]\n");
    }
    device_foreach(NULL, match_device, &owner);
    if (owner.path && blk_is_attached(blk)) {
        hmp_printf(mon, "    Attached to:      %s\n", owner.path);
    }
    g_free(owner.path);
    if (blk_has_tray(blk)) {
        hmp_printf(mon, "    Removable device: %slocked, tray %s\n",
                   blk_is_tray_locked(blk) ? "" : "not ",
                   blk_is_tray_open(blk) ? "open" : "closed");
    }
    if (n) {
        print_medium(mon, blk, n, verbose);
    }
}

typedef struct Show {
    Hmp *mon;
    const char *only;
    bool verbose;
    unsigned n_shown;
} Show;

static void show_drive(BlockBackend *blk, void *opaque)
{
    Show *s = opaque;

    if (s->only && strcmp(blk_label(blk), s->only) != 0) {
        return;
    }
    if (s->n_shown++) {
        hmp_puts(s->mon, "\n");
    }
    print_drive(s->mon, blk, s->verbose);
}

static void show_node(BlockNode *n, void *opaque)
{
    Show *s = opaque;

    if (s->only && strcmp(node_name(n), s->only) != 0) {
        return;
    }
    if (s->n_shown++) {
        hmp_puts(s->mon, "\n");
    }
    hmp_printf(s->mon, "%s: %s (%s%s)\n", node_name(n), node_filename(n),
               node_driver_name(n), node_is_read_only(n) ? ", read-only" : "");
    if (node_backing(n)) {
        hmp_printf(s->mon, "    Backing file:     %s (chain depth: %u)\n",
                   node_filename(node_backing(n)), chain_depth(n));
    }
}

static void info_block(Hmp *mon, unsigned argc, char **argv)
{
    bool flags[2] = { false };
    int n = take_flags(mon, argc, argv, "nv", flags);
    Show s = { mon, NULL, flags[1], 0 };

    if (n < 0) {
        return;
    }
    s.only = n + 1 < (int)argc ? argv[n + 1] : NULL;
    if (flags[0]) {
        node_foreach(show_node, &s);
    } else {
        blk_foreach(show_drive, &s);
    }
    if (s.only && !s.n_shown) {
        hmp_printf(mon, "Device '%s' not found\n", s.only);
    }
}

static void show_stats(BlockBackend *blk, void *opaque)
{
    const BlkStats *s = blk_stats(blk);

    hmp_printf(opaque, "%s: rd_bytes=%" PRIu64 " wr_bytes=%" PRIu64
               " rd_operations=%" PRIu64 " wr_operations=%" PRIu64
               " flush_operations=%" PRIu64 " wr_total_time_ns=%" PRIu64
               " rd_total_time_ns=%" PRIu64 " flush_total_time_ns=%" PRIu64
               " rd_merged=0 wr_merged=0 idle_time_ns=%" PRIi64
               " unmap_operations=%" PRIu64 " failed_operations=%" PRIu64
               "\n", blk_label(blk), s->read_bytes, s->written_bytes,
               s->n_reads, s->n_writes, s->n_flushes, s->write_ns, s->read_ns,
               s->flush_ns, s->last_ns ? clock_ns(CLK_HOST) - s->last_ns : 0,
               s->n_discards, s->n_failed);
}

static void info_blockstats(Hmp *mon, unsigned argc, char **argv)
{
    blk_foreach(show_stats, mon);
}

/* --- media ------------------------------------------------------------------------- */

/* May the medium be taken?  Tells the guest when it holds the tray. */
static bool may_take(Hmp *mon, BlockBackend *blk, const char *name, bool force)
{
    if (blk_is_attached(blk) && !blk_has_tray(blk)) {
        hmp_printf(mon, "Error: Device '%s' is not removable\n", name);
        return false;
    }
    if (blk_is_tray_locked(blk) && !blk_is_tray_open(blk)) {
        blk_request_eject(blk, force);
        if (!force) {
            hmp_printf(mon, "Error: Device '%s' is locked and force was not "
                       "specified, wait for tray to open and try again\n",
                       name);
            return false;
        }
    }
    return true;
}

static void do_eject(Hmp *mon, unsigned argc, char **argv)
{
    bool force = false;
    int n = take_flags(mon, argc, argv, "f", &force);
    BlockBackend *blk;

    if (n < 0) {
        return;
    }
    if (n + 2 != (int)argc) {
        hmp_puts(mon, "Error: a device is wanted: eject [-f] device\n");
        return;
    }
    blk = find(mon, argv[n + 1]);
    if (blk && may_take(mon, blk, argv[n + 1], force)) {
        blk_eject(blk);
    }
}

static BlockNode *open_medium(BlockBackend *blk, const char *file,
                              const char *format, const char *mode,
                              GError **err)
{
    static const char *const modes[] = { "retain", "read-only", "read-write",
                                         NULL };
    g_autoptr(Opt) opts = opt_new_dict();
    unsigned i = 0;

    while (mode && modes[i] && strcmp(modes[i], mode) != 0) {
        i++;
    }
    if (!modes[i]) {
        options_fail(err, "read-only-mode '%s': retain, read-only or "
                     "read-write is wanted", mode);
        return NULL;
    }
    opt_put(opts, "read-only",
            opt_new_bool(i == 1 || (i == 0 && (blk_drive_info(blk)->cdrom
                                               || blk_has_tray(blk)
                                               || blk_is_read_only(blk)))));
    return block_open_file(file, format, opts, err);
}

static void do_change(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    bool force = false;
    int n = take_flags(mon, argc, argv, "f", &force);
    BlockBackend *blk;
    BlockNode *node;

    if (n < 0) {
        return;
    }
    argc -= n + 1;
    argv += n + 1;
    if (argc < 2) {
        hmp_puts(mon, "Error: a device and a file are wanted: change [-f] "
                 "device filename [format [read-only-mode]]\n");
        return;
    }
    blk = find(mon, argv[0]);
    if (!blk || !may_take(mon, blk, argv[0], force)) {
        return;
    }
    node = open_medium(blk, argv[1], argc > 2 ? argv[2] : NULL,
                       argc > 3 ? argv[3] : NULL, &err);
    if (node) {
        blk_eject(blk);
        blk_insert(blk, node, &err);
        node_unref(node);
    }
    if (err) {
        complain(mon, err);
    }
}

static void do_resize(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    BlockBackend *blk = find(mon, argv[1]);
    uint64_t bytes;

    if (!blk) {
        return;
    }
    if (!parse_size(argv[2], MiB, &bytes) || bytes > BLOCK_MAX_LENGTH) {
        hmp_printf(mon, "Error: '%s' is not a size: a number of MiB, or with "
                   "k, M, G, T, is wanted\n", argv[2]);
    } else if (!blk_resize(blk, bytes, &err)) {
        complain(mon, err);
    }
}

static void commit_one(Hmp *mon, BlockBackend *blk)
{
    g_autoptr(GError) err = NULL;

    if (!blk_commit(blk, &err)) {
        hmp_printf(mon, "Error: '%s': %s\n", blk_label(blk), err->message);
    }
}

static void commit_any(BlockBackend *blk, void *opaque)
{
    BlockNode *n = blk_node(blk);

    if (n && !node_is_read_only(n)) {
        cut_filters(&n);
        if (node_backing(n)) {
            commit_one(opaque, blk);
        }
    }
}

static void do_commit(Hmp *mon, unsigned argc, char **argv)
{
    BlockBackend *blk;

    if (!strcmp(argv[1], "all")) {
        blk_foreach(commit_any, mon);
        return;
    }
    blk = find(mon, argv[1]);
    if (blk) {
        commit_one(mon, blk);
    }
}

/* --- drives that come and go ---------------------------------------------------------- */

/* drive_add [-n] [[domain:]bus:]slot opts: the address is of old. */
static void do_drive_add(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = NULL;
    bool is_node = false;
    int n = take_flags(mon, argc, argv, "n", &is_node);

    if (n < 0) {
        return;
    }
    if (n + 3 != (int)argc) {
        hmp_puts(mon, "Error: drive_add [-n] 0 if=none,id=...,file=... is "
                 "wanted\n");
        return;
    }
    dict = opt_parse_keyval(argv[n + 2], NULL, NULL, &err);
    if (dict && is_node) {
        if (!opt_has(dict, "node-name")) {
            options_fail(&err, "parameter 'node-name' is missing");
        } else {
            block_open(dict, &err);
        }
    } else if (dict) {
        BlockBackend *blk = drive_new(dict, BLOCK_IF_NONE, false, &err);

        if (blk && blk_drive_info(blk)->interface != BLOCK_IF_NONE) {
            options_fail(&err, "a drive with if=%s cannot be added while the "
                         "machine runs; accepted: none",
                         block_if_names[blk_drive_info(blk)->interface]);
            blk_unref(blk);
        }
    }
    if (err) {
        complain(mon, err);
    } else {
        hmp_puts(mon, "OK\n");
    }
}

static void do_drive_del(Hmp *mon, unsigned argc, char **argv)
{
    BlockBackend *blk = blk_find(argv[1]);
    BlockNode *n = blk ? NULL : node_find(argv[1]);

    if (n && n->user_named && n->refs == 1) {
        node_unref(n);
    } else if (!blk) {
        hmp_printf(mon, n ? "Error: Node %s is in use\n"
                   : "Error: Device '%s' not found\n", argv[1]);
    } else {
        /* A guest that still has it sees errors from here on. */
        blk_eject(blk);
        blk_forget_name(blk);
        blk_unref(blk);
    }
}

static void do_set_limits(Hmp *mon, unsigned argc, char **argv)
{
    static const unsigned order[] = {
        THROTTLE_BPS_TOTAL, THROTTLE_BPS_READ, THROTTLE_BPS_WRITE,
        THROTTLE_IOPS_TOTAL, THROTTLE_IOPS_READ, THROTTLE_IOPS_WRITE
    };
    g_autoptr(GError) err = NULL;
    BlockBackend *blk = find(mon, argv[1]);
    ThrottleLimits l;
    ThrottleGroup *g;

    throttle_limits_init(&l);
    for (unsigned i = 0; blk && i < THROTTLE_N; i++) {
        if (!parse_uint(argv[2 + i], &l.of[order[i]].avg)) {
            hmp_printf(mon, "Error: '%s' is not a number\n", argv[2 + i]);
            return;
        }
    }
    if (!blk || !throttle_limits_check(&l, &err)) {
        if (err) {
            complain(mon, err);
        }
        return;
    }
    if (!throttle_limits_any(&l)) {
        blk_set_throttle(blk, NULL);
        return;
    }
    g = blk_throttle(blk);
    if (g) {
        throttle_group_set(g, &l);
        return;
    }
    g = throttle_group_get(blk_label(blk));
    throttle_group_set(g, &l);
    blk_set_throttle(blk, g);
    throttle_group_unref(g);
}

void hmp_block_register(void)
{
    static const HmpCommand infos[] = {
        { "block", "[-n] [-v] [device]", "the drives, or (-n) the nodes", 0, 3,
          info_block },
        { "blockstats", "", "what drives have read and written", 0, 0,
          info_blockstats },
    };
    static const HmpCommand commands[] = {
        { "eject", "[-f] device", "take the medium out of a drive", 1, 2,
          do_eject },
        { "change", "[-f] device filename [format [read-only-mode]]",
          "put another medium into a drive", 2, 5, do_change },
        { "block_resize", "device size", "make a disk larger or smaller", 2, 2,
          do_resize },
        { "commit", "device|all", "write what a disk's image holds into its "
          "backing file", 1, 1, do_commit },
        { "drive_add", "[-n] [[<domain>:]<bus>:]<slot> options",
          "add a drive for device_add (if=none)", 2, 3, do_drive_add },
        { "drive_del", "device", "take a drive's image away", 1, 1,
          do_drive_del },
        { "block_set_io_throttle",
          "device bps bps_rd bps_wr iops iops_rd iops_wr",
          "limit a drive's throughput; zeroes: no limits", 7, 7,
          do_set_limits },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(infos); i++) {
        hmp_register_info(&infos[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        hmp_register(&commands[i]);
    }
}
