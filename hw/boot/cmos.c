/*
 * What firmware of the 1990s reads from CMOS RAM: memory, processors, the order
 * of booting.
 *
 * Spec:  R. Brown's list, CMOS.LST; the bytes from 34h on as Bochs' and QEMU's
 *        BIOSes use them.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "hw/ide/ide.h"
#include "hw/rtc/mc146818.h"

enum {
    SHUTDOWN_STATUS = 0x0f,
    DISK_TYPES = 0x12, DISK_TYPE_0 = 0x19, DISK_TYPE_1 = 0x1a,
    DISK_0 = 0x1b, DISK_1 = 0x24, DISK_TRANSLATION = 0x39,
    EQUIPMENT = 0x14, BASE_MEMORY = 0x15, EXTENDED_MEMORY = 0x17,
    EXTENDED_MEMORY_ACTUAL = 0x30, MEMORY_OVER_16M = 0x34, BOOT_3RD = 0x38,
    BOOT_1ST_2ND = 0x3d, MEMORY_OVER_4G = 0x5b, N_CPUS = 0x5f,
};
enum { SHUTDOWN_RESUME = 0xfe };        /* as SeaBIOS has it */
enum { HAS_FPU = 1 << 1, HAS_MOUSE = 1 << 2 };

static void find_rtc(Device *dev, void *opaque)
{
    if (dev->obj.type == &mc146818_type) {
        *(Device **)opaque = dev;
    }
}

static void set16(Device *rtc, unsigned index, uint64_t val)
{
    val = MIN(val, UINT16_MAX);
    rtc_cmos_set(rtc, index, val);
    rtc_cmos_set(rtc, index + 1, val >> 8);
}

/* The nibble for one letter of -boot order=. */
static unsigned boot_code(const char *order, unsigned n)
{
    static const struct { char letter; uint8_t code; } codes[] = {
        { 'a', 1 }, { 'b', 1 }, { 'c', 2 }, { 'd', 3 },
        { 'n', 4 }, { 'o', 4 }, { 'p', 4 },
    };

    for (unsigned i = 0; strlen(order) > n && i < G_N_ELEMENTS(codes); i++) {
        if (codes[i].letter == order[n]) {
            return codes[i].code;
        }
    }
    return 0;
}

enum { TYPE_IN_EXTENSION = 15, TYPE_USER = 47 };

static void put_disk(Device *rtc, unsigned at, const BlockConf *c)
{
    rtc_cmos_set(rtc, at, c->cyls);
    rtc_cmos_set(rtc, at + 1, c->cyls >> 8);
    rtc_cmos_set(rtc, at + 2, c->heads);
    rtc_cmos_set(rtc, at + 3, 0xff);    /* no write precompensation */
    rtc_cmos_set(rtc, at + 4, 0xff);
    rtc_cmos_set(rtc, at + 5, 0xc0 | (c->heads > 8) << 3);
    rtc_cmos_set(rtc, at + 6, c->cyls); /* landing zone */
    rtc_cmos_set(rtc, at + 7, c->cyls >> 8);
    rtc_cmos_set(rtc, at + 8, c->secs);
}

/* The first channel's two disks in full, of all four how a BIOS of the time
 * maps them to 1024 cylinders. */
static void fill_disks(Device *dev, void *opaque)
{
    Device *rtc = opaque;
    IdeDrive *s;
    unsigned n;

    if (!type_is(dev->obj.type, &ide_drive_type)) {
        return;
    }
    s = ide_drive_of(dev);
    n = 2 * s->ch->index + s->unit;
    if (s->is_cd || n > 3) {
        return;
    }
    if (n < 2) {
        uint8_t types = rtc_cmos_get(rtc, DISK_TYPES);

        rtc_cmos_set(rtc, DISK_TYPES,
                     types | TYPE_IN_EXTENSION << (n ? 0 : 4));
        rtc_cmos_set(rtc, n ? DISK_TYPE_1 : DISK_TYPE_0, TYPE_USER);
        put_disk(rtc, n ? DISK_1 : DISK_0, &s->conf);
    }
    rtc_cmos_set(rtc, DISK_TRANSLATION,
                 rtc_cmos_get(rtc, DISK_TRANSLATION)
                 | (s->conf.translation - BLOCK_TRANS_NONE) << 2 * n);
}

/* Why there was a reset: after a suspend, to go on. */
static void tell_resume(void *unused)
{
    Device *rtc = NULL;

    device_foreach(NULL, find_rtc, &rtc);
    if (rtc && machine_waking()) {
        rtc_cmos_set(rtc, SHUTDOWN_STATUS, SHUTDOWN_RESUME);
    }
}

void boot_tell_resume(void)
{
    machine_add_reset(tell_resume, NULL);
}

void boot_fill_cmos(Machine *m)
{
    g_autoptr(GArray) e820 = e820_from_map(m);
    uint64_t low = e820_low_end(e820), high = e820_high_end(e820) - 4 * GiB;
    const char *order = boot_options.once ? boot_options.once
                        : m->boot_order ? m->boot_order : "cad";
    Device *rtc = NULL;

    device_foreach(NULL, find_rtc, &rtc);
    if (!rtc) {
        return;
    }
    rtc_cmos_set(rtc, DISK_TYPES, 0);
    rtc_cmos_set(rtc, DISK_TRANSLATION, 0);
    device_foreach(NULL, fill_disks, rtc);
    rtc_cmos_set(rtc, EQUIPMENT, HAS_FPU | HAS_MOUSE);
    set16(rtc, BASE_MEMORY, 640);
    set16(rtc, EXTENDED_MEMORY, low > MiB ? (low - MiB) / KiB : 0);
    set16(rtc, EXTENDED_MEMORY_ACTUAL, low > MiB ? (low - MiB) / KiB : 0);
    set16(rtc, MEMORY_OVER_16M,
          low > 16 * MiB ? (low - 16 * MiB) / (64 * KiB) : 0);
    for (unsigned i = 0; i < 3; i++) {
        rtc_cmos_set(rtc, MEMORY_OVER_4G + i, high / (64 * KiB) >> 8 * i);
    }
    rtc_cmos_set(rtc, N_CPUS, m->topo.cpus - 1);
    rtc_cmos_set(rtc, BOOT_1ST_2ND, boot_code(order, 1) << 4
                                    | boot_code(order, 0));
    /* Bit 0: do not look for a boot sector's signature on floppies. */
    rtc_cmos_set(rtc, BOOT_3RD, boot_code(order, 2) << 4
                                | boot_options.any_floppy);
}
