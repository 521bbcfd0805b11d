/*
 * -blockdev, -drive and their short forms; what becomes of the disks when the
 * machine stops and when the process ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

#include "base/log.h"
#include "block/drive.h"

static bool setup_blockdevs(Options *o, GError **err)
{
    Opt *list = options_get(o, "blockdev");

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        Opt *dict = opt_at(list, i);

        if ((!opt_has(dict, "node-name")
             && !options_fail(err, "parameter 'node-name' is missing: it is "
                              "how devices name it"))
            || !block_open(dict, err)) {
            return options_at(o, dict, err);
        }
    }
    return true;
}

/* if=virtio is a device that the user could have written as well. */
static void add_virtio(Options *o, BlockBackend *blk)
{
    static const OptionRow row = {
        .name = "device", .kind = OPTION_ADD_DICT, .path = "device"
    };
    Opt *dict = opt_new_dict();

    opt_put(dict, "driver", opt_new_string("virtio-blk-pci"));
    opt_put(dict, "drive", opt_new_string(blk_name(blk)));
    options_apply_dict(o, &row, dict, "-drive if=virtio", NULL);
}

static bool setup_drive(Options *o, Opt *dict, GError **err)
{
    BlockBackend *blk = drive_new(dict, BLOCK_IF_IDE,
                                  options_flag(o, "snapshot"), err);

    if (!blk) {
        return options_at(o, dict, err);
    }
    if (blk_drive_info(blk)->interface == BLOCK_IF_VIRTIO) {
        add_virtio(o, blk);
    }
    return true;
}

/* The machine "none" has nothing. */
static bool has_ide(Options *o)
{
    const char *name = options_string(o, "machine.type");
    const MachineType *t = name ? machine_type_find(name) : NULL;

    return type_find("ide-cd") && (!t || strcmp(t->name, "none") != 0);
}

/* A PC has a CD-ROM drive unless it is told otherwise. */
static bool setup_default_cdrom(Options *o, GError **err)
{
    g_autoptr(Opt) dict = opt_new_dict();
    Opt *devices = options_get(o, "device");

    for (unsigned i = 0; devices && i < opt_len(devices); i++) {
        Opt *driver = opt_peek(opt_at(devices, i), "driver");
        const char *name = driver ? opt_string(driver) : NULL;

        if (name && (!strcmp(name, "ide-cd") || !strcmp(name, "ide-hd")
                     || !strcmp(name, "scsi-cd") || !strcmp(name, "scsi-hd")))
        {
            return true;
        }
    }
    if (options_flag(o, "nodefaults") || drive_find(BLOCK_IF_IDE, 1, 0)
        || !has_ide(o)) {
        return true;
    }
    opt_put(dict, "media", opt_new_string("cdrom"));
    opt_put(dict, "index", opt_new_int(2));
    return setup_drive(o, dict, err);
}

/* --- running and stopping ------------------------------------------------------------- */

static void stop_for_error(void *opaque)
{
    if (machine_running(machine())) {
        machine_stop(machine(), RUN_STATE_IO_ERROR);
    }
}

static void on_stop_machine(BlockBackend *blk, bool is_read, int error)
{
    warn("drive '%s': %s: %s: the machine is stopped; 'cont' tries again",
         blk_label(blk), is_read ? "reading" : "writing", g_strerror(error));
    loop_call(loop_main(), stop_for_error, NULL);
}

/* A machine that stands still has its data on the disk. */
static void on_state(void *opaque, RunState now)
{
    if (now != RUN_STATE_RUNNING && now != RUN_STATE_PRELAUNCH) {
        block_drain_all_begin();
        block_flush_all();
        block_drain_all_end();
    }
}

bool drives_setup(Options *o, GError **err)
{
    Opt *list = options_get(o, "drive");

    blk_stop_machine = on_stop_machine;
    if (!setup_blockdevs(o, err)) {
        return false;
    }
    for (unsigned i = 0; list && i < opt_len(list); i++) {
        if (!setup_drive(o, opt_at(list, i), err)) {
            return false;
        }
    }
    return setup_default_cdrom(o, err);
}

static void find_unclaimed(BlockBackend *blk, void *opaque)
{
    const BlkDriveInfo *info = blk_drive_info(blk);

    if (info->auto_device && !info->claimed) {
        *(BlockBackend **)opaque = blk;
    }
}

bool drives_check(Options *o, GError **err)
{
    BlockBackend *blk = NULL;

    machine_add_state_hook(on_state, NULL);
    blk_foreach(find_unclaimed, &blk);
    if (blk) {
        const BlkDriveInfo *info = blk_drive_info(blk);

        return options_fail(err, "machine type '%s' does not support "
                            "if=%s,bus=%d,unit=%d", machine()->type->name,
                            block_if_names[info->interface], info->bus,
                            info->unit);
    }
    return true;
}

void drives_shutdown(void)
{
    int ret;

    block_drain_all_begin();
    ret = block_flush_all();
    if (ret < 0) {
        report_error("not all data could be written: %s", g_strerror(-ret));
    }
}
