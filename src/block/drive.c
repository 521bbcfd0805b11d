/*
 * -drive: a disk, its image and the policy in one option.
 *
 * Spec:  QEMU's manual, "-drive"; `if`, `index`, `bus`, `unit` and `media` say
 *        where it goes, cache= is three switches in one word, and what is not
 *        known here goes to the image's driver.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/drive.h"

#include "base/bits.h"
#include "block/throttle.h"
#include "node.h"

const char *const block_if_names[] = {
    [BLOCK_IF_DEFAULT] = "default", [BLOCK_IF_NONE] = "none",
    [BLOCK_IF_IDE] = "ide", [BLOCK_IF_VIRTIO] = "virtio",
    [BLOCK_IF_SCSI] = "scsi", [BLOCK_IF_FLOPPY] = "floppy",
    [BLOCK_IF_PFLASH] = "pflash", [BLOCK_IF_SD] = "sd",
    [BLOCK_IF_MTD] = "mtd", NULL
};

/* Units on a bus; 0: there are no buses. */
static unsigned units_per_bus(int interface)
{
    return interface == BLOCK_IF_IDE ? 2 : interface == BLOCK_IF_SCSI ? 7 : 0;
}

/* --- cache= ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool direct, no_flush, write_cache;
} caches[] = {
    { "writeback", false, false, true },
    { "none", true, false, true },
    { "off", true, false, true },
    { "writethrough", false, false, false },
    { "directsync", true, false, false },
    { "unsafe", false, true, true },
};

/* What the user said piece by piece is not overridden. */
static void put_default(Opt *dict, const char *key, bool val)
{
    if (!opt_has(dict, key)) {
        opt_put(dict, key, opt_new_bool(val));
    }
}

static bool take_cache(Opt *opts, bool *write_cache, GError **err)
{
    Opt *cache = opt_peek(opts, "cache");
    Opt *parts;
    const char *mode;

    if (!cache) {
        return true;
    }
    if (opt_kind(cache) == OPT_DICT) {
        if (!opt_get_bool(cache, "writeback", write_cache, err)) {
            return false;
        }
        opt_remove(cache, "writeback");
        return true;
    }
    mode = opt_kind(cache) == OPT_STRING ? opt_string(cache) : "";
    for (unsigned i = 0; i < G_N_ELEMENTS(caches); i++) {
        if (!strcmp(caches[i].name, mode)) {
            parts = opt_new_dict();
            put_default(parts, "direct", caches[i].direct);
            put_default(parts, "no-flush", caches[i].no_flush);
            *write_cache = caches[i].write_cache;
            opt_put(opts, "cache", parts);
            return true;
        }
    }
    return block_fail(err, "invalid cache option '%s'; accepted: none, "
                      "writeback, writethrough, directsync, unsafe", mode);
}

/* --- where it goes ----------------------------------------------------------------------- */

typedef struct Place {
    int interface;
    int64_t index, bus, unit;   /* -1: not given */
} Place;

typedef struct Find {
    const Place *place;
    BlockBackend *found;
} Find;

static void find_place(BlockBackend *blk, void *opaque)
{
    const BlkDriveInfo *info = blk_drive_info(blk);
    Find *f = opaque;

    if (info->interface == f->place->interface
        && info->bus == f->place->bus && info->unit == f->place->unit) {
        f->found = blk;
    }
}

BlockBackend *drive_find(int interface, int bus, int unit)
{
    Place place = { interface, -1, bus, unit };
    Find f = { &place, NULL };

    blk_foreach(find_place, &f);
    return f.found;
}

static bool settle_place(Place *p, GError **err)
{
    unsigned per_bus = units_per_bus(p->interface);

    if (p->index >= 0) {
        if (p->bus >= 0 || p->unit >= 0) {
            return block_fail(err, "index cannot be used with bus and unit");
        }
        p->bus = per_bus ? p->index / per_bus : 0;
        p->unit = per_bus ? p->index % per_bus : p->index;
    }
    p->bus = MAX(p->bus, 0);
    if (p->unit < 0) {
        for (p->unit = 0; drive_find(p->interface, p->bus, p->unit); ) {
            if (++p->unit == per_bus && per_bus) {
                p->unit = 0;
                p->bus++;
            }
        }
    }
    if (p->interface == BLOCK_IF_IDE && p->bus > 1) {
        return block_fail(err, "there are two IDE buses of two units; index "
                          "0 to 3 is accepted");
    }
    if (per_bus && p->unit >= per_bus) {
        return block_fail(err, "unit %" PRIi64 " too big (max is %u)",
                          p->unit, per_bus - 1);
    }
    if (p->interface != BLOCK_IF_NONE
        && drive_find(p->interface, p->bus, p->unit)) {
        return block_fail(err, "a drive with if=%s, bus=%" PRIi64 ", "
                          "unit=%" PRIi64 " (index=%" PRIi64 ") exists",
                          block_if_names[p->interface], p->bus, p->unit,
                          p->bus * per_bus + p->unit);
    }
    return true;
}

static bool check_interface(int interface, GError **err)
{
    switch (interface) {
    case BLOCK_IF_FLOPPY:
        return block_fail(err, "if=floppy: there is no floppy controller; "
                          "accepted: ide, virtio, pflash, none");
    case BLOCK_IF_SCSI:
    case BLOCK_IF_SD:
    case BLOCK_IF_MTD:
        return block_fail(err, "if=%s: not implemented yet; accepted: ide, "
                          "virtio, pflash, none", block_if_names[interface]);
    default:
        return true;
    }
}

/* --- all of it ------------------------------------------------------------------------------ */

typedef struct Drive {
    Place place;
    const char *file, *format, *id;
    bool cdrom, snapshot, write_cache;
    ThrottleLimits limits;
    char *group;                /* owned; NULL: one of its own */
    int on_read_error, on_write_error;
} Drive;

static bool take_index(Opt *o, const char *key, int64_t *out, GError **err)
{
    bool there = opt_has(o, key);

    if (!opt_get_int(o, key, out, err)) {
        return false;
    }
    if (there && (*out < 0 || *out > 255)) {
        return block_fail(err, "parameter '%s' expects a number from 0 to "
                          "255, not '%" PRIi64 "'", key, *out);
    }
    opt_remove(o, key);
    return true;
}

/* Strings stay where they are, in the caller's dict; what is left in `rest` is
 * for the driver. */
static bool take_place(Opt *o, Opt *rest, Drive *d, GError **err)
{
    static const char *const medias[] = { "disk", "cdrom", NULL };
    int media = 0;

    if (!opt_get_enum(o, "if", block_if_names, &d->place.interface, err)
        || !opt_get_enum(o, "media", medias, &media, err)
        || !opt_get_string(o, "id", &d->id, err)
        || !take_index(rest, "index", &d->place.index, err)
        || !take_index(rest, "bus", &d->place.bus, err)
        || !take_index(rest, "unit", &d->place.unit, err)) {
        return false;
    }
    d->cdrom = media == 1;
    opt_remove(rest, "if");
    opt_remove(rest, "media");
    opt_remove(rest, "id");
    return check_interface(d->place.interface, err);
}

/* Words of old, and those whose time has not come. */
static bool refuse(Opt *rest, GError **err)
{
    static const struct { const char *key, *why; } refused[] = {
        { "serial", "write -device ide-hd,drive=...,serial=..." },
        { "addr", "write -device ...,addr=..." },
        { "cyls", "write -device ide-hd,cyls=,heads=,secs=" },
        { "heads", "write -device ide-hd,cyls=,heads=,secs=" },
        { "secs", "write -device ide-hd,cyls=,heads=,secs=" },
        { "trans", "write -device ide-hd,bios-chs-trans=..." },
        { "boot", "write -boot or bootindex=" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        if (opt_has(rest, refused[i].key)) {
            return block_fail(err, "parameter '%s' is no longer one of "
                              "-drive; %s", refused[i].key, refused[i].why);
        }
    }
    return true;
}

static bool take_bool(Opt *rest, const char *key, bool *out, GError **err)
{
    bool ok = opt_get_bool(rest, key, out, err);

    opt_remove(rest, key);
    return ok;
}

/* What throttling.* was called before. */
static const struct { const char *old, *now; } throttle_aliases[] = {
    { "bps", "bps-total" }, { "bps_rd", "bps-read" },
    { "bps_wr", "bps-write" }, { "iops", "iops-total" },
    { "iops_rd", "iops-read" }, { "iops_wr", "iops-write" },
    { "bps_max", "bps-total-max" }, { "bps_rd_max", "bps-read-max" },
    { "bps_wr_max", "bps-write-max" }, { "iops_max", "iops-total-max" },
    { "iops_rd_max", "iops-read-max" }, { "iops_wr_max", "iops-write-max" },
    { "iops_size", "iops-size" }, { "group", "group" },
};

static bool take_throttling(Opt *rest, Drive *d, GError **err)
{
    Opt *own = opt_peek(rest, "throttling");
    g_autoptr(Opt) dict = NULL;
    const char *group = NULL;

    throttle_limits_init(&d->limits);
    if (own && opt_kind(own) != OPT_DICT) {
        return block_fail(err, "parameter 'throttling' expects "
                          "throttling.bps-total= and the like");
    }
    dict = own ? opt_copy(own) : opt_new_dict();
    opt_remove(rest, "throttling");
    for (unsigned i = 0; i < G_N_ELEMENTS(throttle_aliases); i++) {
        const char *old = throttle_aliases[i].old;
        const char *now = throttle_aliases[i].now;
        Opt *val = opt_peek(rest, old);

        if (val && opt_has(dict, now)) {
            return block_fail(err, "'throttling.%s' and its alias '%s' can't "
                              "be used at the same time", now, old);
        }
        if (val) {
            opt_put(dict, now, opt_copy(val));
            opt_remove(rest, old);
        }
    }
    if (!throttle_limits_get(&d->limits, dict, "", err)
        || !opt_get_string(dict, "group", &group, err)
        || !opt_all_read(dict, "throttling", NULL, err)) {
        return false;
    }
    d->group = g_strdup(group);
    return true;
}

/* The limits of a group are those that its last drive names. */
static void set_throttling(BlockBackend *blk, const Drive *d)
{
    ThrottleGroup *g;

    if (!d->group && !throttle_limits_any(&d->limits)) {
        return;
    }
    g = throttle_group_get(d->group ? d->group : blk_name(blk));
    if (throttle_limits_any(&d->limits)) {
        throttle_group_set(g, &d->limits);
    }
    blk_set_throttle(blk, g);
    throttle_group_unref(g);
}

/*
 * file=NAME; or its parts.  With file.driver= they are a node's and stay in
 * `rest`, else file.filename= is the name and the others are about it.
 */
static bool take_file(Opt *o, Opt *rest, Drive *d, GError **err)
{
    Opt *file = opt_peek(o, "file");

    if (!file || opt_kind(file) != OPT_DICT) {
        if (!opt_get_string(o, "file", &d->file, err)) {
            return false;
        }
        opt_remove(rest, "file");
    } else if (!opt_has(file, "driver")) {
        if (!opt_get_string(file, "filename", &d->file, err)) {
            return false;
        }
        if (!d->file) {
            return block_fail(err, "parameter 'file.filename' or "
                              "'file.driver' is missing");
        }
        opt_remove(opt_peek(rest, "file"), "filename");
    }
    return true;
}

static bool take_policy(Opt *o, Opt *rest, Drive *d, GError **err)
{
    bool read_only = d->cdrom, copy_on_read = false;

    if (!take_file(o, rest, d, err)) {
        return false;
    }
    if (opt_has(o, "readonly") && opt_has(o, "read-only")) {
        return block_fail(err, "'read-only' and its alias 'readonly' can't "
                          "be used at the same time");
    }
    if (!opt_get_string(o, "format", &d->format, err)
        || !opt_get_enum(o, "rerror", blk_on_error_names,
                         &d->on_read_error, err)
        || !opt_get_enum(o, "werror", blk_on_error_names,
                         &d->on_write_error, err)
        || !take_bool(rest, "snapshot", &d->snapshot, err)
        || !take_bool(rest, "readonly", &read_only, err)
        || !take_bool(rest, "read-only", &read_only, err)
        || !take_bool(rest, "copy-on-read", &copy_on_read, err)
        || !take_cache(rest, &d->write_cache, err)
        || !take_throttling(rest, d, err)) {
        return false;
    }
    if (d->on_read_error == BLK_ON_ERROR_ENOSPC) {
        return block_fail(err, "rerror=enospc: a read cannot run out of "
                          "space; accepted: auto, report, ignore, stop");
    }
    if (copy_on_read) {
        return block_fail(err, "copy-on-read=on: not implemented yet");
    }
    opt_put(rest, "read-only", opt_new_bool(read_only));
    opt_remove(rest, "format");
    opt_remove(rest, "rerror");
    opt_remove(rest, "werror");
    return true;
}

/* The image, or NULL without `err` for an empty drive. */
static BlockNode *open_image(Drive *d, Opt *rest, bool *empty, GError **err)
{
    const char *driver = NULL;

    *empty = (!d->file || !*d->file) && !opt_has(rest, "file")
             && !opt_has(rest, "driver");
    if (*empty) {
        return NULL;
    }
    if (d->file && *d->file) {
        if (opt_has(rest, "driver") && !d->format) {
            opt_get_string(rest, "driver", &driver, NULL);
            d->format = driver;
        }
        return block_open_file(d->file, d->format, rest, err);
    }
    if (d->format && !opt_has(rest, "driver")) {
        opt_put(rest, "driver", opt_new_string(d->format));
    }
    if (!opt_has(rest, "driver")) {
        opt_put(rest, "driver", opt_new_string("raw"));
    }
    return block_open(rest, err);
}

static char *default_id(const Drive *d)
{
    unsigned per_bus = units_per_bus(d->place.interface);
    const char *media = d->cdrom ? "-cd" : per_bus ? "-hd" : "";
    const char *name = block_if_names[d->place.interface];

    return per_bus ? g_strdup_printf("%s%d%s%d", name, (int)d->place.bus,
                                     media, (int)d->place.unit)
           : g_strdup_printf("%s%s%d", name, media, (int)d->place.unit);
}

BlockBackend *drive_new(Opt *opts, int default_interface, bool snapshot,
                        GError **err)
{
    Drive d = {
        .place = { default_interface, -1, -1, -1 }, .write_cache = true,
        .snapshot = snapshot,
    };
    g_autoptr(Opt) rest = opt_copy(opts);
    g_autofree char *own_id = NULL;
    g_autofree char *group = NULL;
    BlockNode *n = NULL;
    BlockBackend *blk;
    bool empty;

    bool ok = refuse(rest, err) && take_place(opts, rest, &d, err)
              && take_policy(opts, rest, &d, err);

    group = d.group;
    if (!ok) {
        return NULL;
    }
    if (d.place.interface == BLOCK_IF_DEFAULT) {
        d.place.interface = default_interface;
    }
    if (!settle_place(&d.place, err)) {
        return NULL;
    }
    own_id = d.id ? g_strdup(d.id) : default_id(&d);
    if (blk_find(own_id) || node_find(own_id)) {
        block_fail(err, "duplicate ID '%s' for drive", own_id);
        return NULL;
    }
    if (d.snapshot && !d.cdrom) {
        opt_put(rest, "read-only", opt_new_bool(true));
    }
    n = open_image(&d, rest, &empty, err);
    if (!n && !empty) {
        return NULL;
    }
    if (n && d.snapshot && !d.cdrom) {
        BlockNode *overlay = block_open_overlay(n, err);

        node_unref(n);
        n = overlay;
        if (!n) {
            return NULL;
        }
    }
    blk = blk_new(own_id, loop_main());
    blk_set_on_error(blk, d.on_read_error, d.on_write_error);
    blk_set_write_cache(blk, d.write_cache);
    set_throttling(blk, &d);
    *blk_drive_info(blk) = (BlkDriveInfo) {
        .interface = d.place.interface, .bus = d.place.bus,
        .unit = d.place.unit, .cdrom = d.cdrom,
        .auto_device = d.place.interface != BLOCK_IF_NONE,
    };
    if (n && !blk_insert(blk, n, err)) {
        g_clear_pointer(&blk, blk_unref);
    }
    node_unref(n);
    return blk;
}
