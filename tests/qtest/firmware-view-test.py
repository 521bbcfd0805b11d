#!/usr/bin/env python3
"""What firmware finds: disks and boot order in CMOS RAM and in fw_cfg, as
QEMU's hd-geo-test, boot-order-test and fw_cfg-test expect it; its debug port.

firmware-view-test.py RHEA

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import struct
import sys

from monitor import monitor, run_tests

RHEA = os.path.abspath(sys.argv[1])
SMALL, LARGE = 61440, 8388608           # sectors


def read_ports(args, writes_and_reads, before=()):
    """Values of the reads among lines like 'o/b 0x70 0x19', 'i/b 0x71'."""
    lines = list(before) + list(writes_and_reads)
    answers = monitor(RHEA, args, *lines)
    return [int(re.search(r"= 0x([0-9a-f]+)", text)[1], 16)
            for line, text in zip(lines, answers) if line.startswith("i")]


def cmos(args, regs, before=()):
    lines = []
    for reg in regs:
        lines += [f"o/b 0x70 {reg:#x}", "i/b 0x71"]
    return bytes(read_ports(args, lines, before))


def fw_cfg(args, key, n):
    return bytes(read_ports(args, [f"o/h 0x510 {key:#x}"]
                            + ["i/b 0x511"] * n))


def fw_cfg_file(args, name):
    """A file's bytes, or None."""
    n = struct.unpack(">I", fw_cfg(args, 0x19, 4))[0]
    raw = fw_cfg(args, 0x19, 4 + 64 * n)
    for i in range(n):
        size, key, _, name_raw = struct.unpack_from(">IHH56s", raw, 4 + 64 * i)
        if name_raw.rstrip(b"\0").decode() == name:
            return fw_cfg(args, key, size)
    return None


def same(what, got, want):
    assert got == want, f"{what}: {got!r}, not {want!r}"


# --- disks ---------------------------------------------------------------

def mbr(last_head, last_cylinder):
    """One partition from sector 63 that ends at that head and cylinder."""
    entry = bytes([0x80, 1, 1, 0, 6, last_head, 63, last_cylinder])
    return (bytes(0x1be) + entry + struct.pack("<II", 63, 8001)
            + bytes(48) + b"\x55\xaa")


MBRS = {"blank": bytes(512), "lba": mbr(127, 0), "chs": mbr(15, 7)}
NONE, LBA, TRANSLATE_LARGE = 0, 1, 2
EXPECTED = {                            # cylinders, heads, sectors, how shown
    (SMALL, "blank"): (60, 16, 63, NONE),
    (SMALL, "lba"): (60, 16, 63, TRANSLATE_LARGE),
    (SMALL, "chs"): (60, 16, 63, NONE),
    (LARGE, "blank"): (8322, 16, 63, LBA),
    (LARGE, "lba"): (8322, 16, 63, LBA),
    (LARGE, "chs"): (8322, 16, 63, NONE),
}


def image(work, sectors, contents):
    path = os.path.join(work, f"disk{sectors}")
    with open(path, "wb") as f:
        f.write(MBRS[contents])
        f.truncate(sectors * 512)
    return path


def check_cmos(args, disks):
    """`disks`: by place, what is expected; None for what is no hard disk."""
    want = [(0xf0 if disks[0] else 0) | (0x0f if disks[1] else 0),
            47 if disks[0] else 0, 47 if disks[1] else 0]
    for disk in disks[:2]:
        if disk:
            c, h, s, _ = disk
            want += [c & 255, c >> 8, h, 255, 255, 0xc0 | (h > 8) << 3,
                     c & 255, c >> 8, s]
        else:
            want += [0] * 9
    want.append(sum(d[3] << 2 * i for i, d in enumerate(disks) if d))
    regs = [0x12, 0x19, 0x1a, *range(0x1b, 0x2d), 0x39]
    same(" ".join(args), cmos(["-nodefaults"] + args, regs), bytes(want))


def geometry_of_tables(work):
    for contents in MBRS:
        paths = [image(work, n, contents) for n in (SMALL, LARGE)]
        disks = [EXPECTED[n, contents] for n in (SMALL, LARGE)] + [None] * 2
        args = []
        for i, path in enumerate(paths):
            args += ["-drive", f"id=d{i},if=ide,index={i},format=raw,"
                     f"file={path}"]
        check_cmos(args + ["-drive", "id=d2,if=ide,index=2,media=cdrom"],
                   disks)
        args = []
        for i, path in enumerate(paths):
            args += ["-drive", f"id=d{i},if=none,format=raw,file={path}",
                     "-device", f"ide-hd,drive=d{i},bus=ide.0,unit={i}"]
        check_cmos(args, disks)
    check_cmos([], [None] * 4)
    args = ["-drive", "if=ide,index=0,media=cdrom"]
    for i, n in (1, LARGE), (2, SMALL):
        args += ["-drive", f"if=ide,index={i},format=raw,"
                 f"file={image(work, n, 'blank')}"]
    check_cmos(args, [None, EXPECTED[LARGE, "blank"],
                      EXPECTED[SMALL, "blank"], None])


def geometry_of_users(work):
    path = image(work, SMALL, "chs")
    drive = ["-drive", f"id=d,if=none,format=raw,file={path}", "-device"]
    chs = "ide-hd,drive=d,bus=ide.0,unit=0,cyls=480,heads=4,secs=32"
    rest = [None] * 3
    check_cmos(drive + [chs], [(480, 4, 32, NONE)] + rest)
    check_cmos(drive + [chs + ",bios-chs-trans=lba"],
               [(480, 4, 32, LBA)] + rest)
    check_cmos(drive + ["ide-hd,drive=d,bios-chs-trans=rechs"],
               [(60, 16, 63, 3)] + rest)


def logical_geometry(work):
    args = ["-nodefaults"]
    for i, chs in enumerate([(10000, 120, 30), (9000, 120, 30), (0, 1, 1),
                             (1, 0, 0), (20, 20, 20), (0, 0, 0)]):
        where = (f"ide-hd,bus=ide.{i // 2},unit={i % 2}" if i < 4
                 else f"virtio-blk-pci,bus=pci.0,addr={i}")
        args += ["-drive", f"driver=null-co,size=512,if=none,id=d{i}",
                 "-device", "{},drive=d{},lcyls={},lheads={},lsecs={}".format(
                     where, i, *chs)]
    got = fw_cfg_file(args, "bios-geometry")
    same("bios-geometry", sorted(got.rstrip(b"\0").decode().splitlines()), [
        "/pci@i0cf8/ide@1,1/drive@0/disk@0 10000 120 30",
        "/pci@i0cf8/ide@1,1/drive@0/disk@1 9000 120 30",
        "/pci@i0cf8/ide@1,1/drive@1/disk@0 0 1 1",
        "/pci@i0cf8/ide@1,1/drive@1/disk@1 1 0 0",
        "/pci@i0cf8/scsi@4/disk@0,0 20 20 20"])
    same("none", fw_cfg_file(["-nodefaults"], "bios-geometry"), None)


# --- from what to boot ------------------------------------------------------

def boot_order(work):
    for args, first, later in [
            ("", 0x1230, 0x1230), ("-M pc,fd-bootchk=off", 0x1231, 0x1231),
            ("-boot once=a -no-fd-bootchk", 0x0101, 0x1231),
            ("-boot c", 0x0200, 0x0200), ("-boot nda", 0x3410, 0x3410),
            ("-boot order=", 0, 0), ("-boot order= -boot order=c", 512, 512),
            ("-boot once=a", 0x0100, 0x1230),
            ("-boot once=a,order=c", 0x0100, 0x0200),
            ("-boot once=d -boot order=nda", 0x0300, 0x3410),
            ("-boot once=a -boot once=b -boot once=c", 0x0200, 0x1230)]:
        for before, want in ([], first), (["system_reset"], later):
            b = cmos(["-nodefaults"] + args.split(), [0x38, 0x3d], before)
            same(f"{args} {before}", f"{b[1]:02x}{b[0]:02x}", f"{want:04x}")


def items(work):
    same("signature", fw_cfg([], 0, 4), b"QEMU")
    assert fw_cfg([], 1, 4) in (b"\1\0\0\0", b"\3\0\0\0")
    same("UUID", fw_cfg(["-uuid", "4600cb32-38ec-4b2f-8acb-81c6ea54f2d8"], 2,
                        16).hex(), "4600cb3238ec4b2f8acb81c6ea54f2d8")
    same("memory", fw_cfg([], 3, 8), struct.pack("<Q", 128 << 20))
    same("processors", fw_cfg(["-smp", "3"], 5, 2), b"\3\0")
    same("at most", fw_cfg(["-smp", "1"], 0x0f, 2), b"\1\0")
    same("nodes", fw_cfg([], 0x0d, 8), bytes(8))
    same("menu", fw_cfg([], 0x0e, 2), bytes(2))
    same("menu=on", fw_cfg(["-boot", "menu=on"], 0x0e, 2), b"\1\0")
    same("graphics", fw_cfg([], 4, 2), b"\0\0")
    same("graphics=off", fw_cfg(["-M", "graphics=off"], 4, 2), b"\1\0")
    for args, name, want in [
            (["-boot", "reboot-timeout=15"], "boot-fail-wait", b"\x0f\0\0\0"),
            (["-boot", "reboot-timeout=-1"], "boot-fail-wait", b"\xff" * 4),
            ([], "boot-fail-wait", b"\xff" * 4),
            (["-boot", "splash-time=12"], "boot-menu-wait", b"\x0c\0"),
            ([], "boot-menu-wait", None)]:
        same(f"{name} {args}", fw_cfg_file(args, "etc/" + name), want)


def debug_port(work):
    args = ["-debugcon", "null", "-global", "isa-debugcon.iobase=0x402"]
    reads = ["i/b 0x402", "i/b 0xe9"]
    same("moved", read_ports(args, reads), [0xe9, 0xff])
    same("where it is", read_ports(args[:2], reads), [0xff, 0xe9])


run_tests([geometry_of_tables, geometry_of_users, logical_geometry,
           boot_order, items, debug_port])
