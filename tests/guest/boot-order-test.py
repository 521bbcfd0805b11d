#!/usr/bin/env python3
"""SeaBIOS starts the devices that -boot and bootindex= name, in their order.

Each disk is one sector of code that sends its letter to the first serial port
and resets the machine, so that what comes is the order of several boots.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import atexit
import os
import shutil
import struct
import tempfile
import time

from guest import Guest, patience, run_tests

FOLDER = tempfile.mkdtemp(prefix="rhea-boot-order-")
atexit.register(shutil.rmtree, FOLDER, True)


def code(letter):
    """mov dx, 3f8h; mov al, CHARACTER; out dx, al (for each); mov al, 0feh;
    out 64h, al; cli; hlt: the keyboard controller resets."""
    says = b"".join(b"\xb0" + bytes([c]) + b"\xee"
                    for c in f"<{letter}>".encode())
    return b"\xba\xf8\x03" + says + b"\xb0\xfe\xe6\x64\xfa\xf4\xeb\xfd"


def disk(letter, bootable=True):
    path = os.path.join(FOLDER, f"{letter}{bootable}.img")
    with open(path, "wb") as f:
        f.write(code(letter).ljust(510, b"\0")
                + (b"\x55\xaa" if bootable else b"\0\0"))
        f.truncate(1 << 20)
    return path


def cd(letter):
    """An El Torito CD: boot record, catalogue, one image without emulation."""
    sectors = {
        16: b"\1CD001\1",
        17: b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0")
            + struct.pack("<I", 19),
        18: b"\xffCD001\1",
        19: struct.pack("<BBH24sHBB", 1, 0, 0, b"", 0x55aa, 0x55, 0xaa)
            + struct.pack("<BBHBBHI20s", 0x88, 0, 0, 0, 0, 4, 20, b""),
        20: code(letter),
    }
    path = os.path.join(FOLDER, letter + ".iso")
    with open(path, "wb") as f:
        for at, data in sectors.items():
            f.seek(at * 2048)
            f.write(data)
        f.truncate(64 * 2048)
    return path


def guest(*args):
    return Guest("-accel", "tcg", "-m", "64", *args)


def boots(wanted, *args):
    """The letters of the first boots."""
    with guest(*args) as g:
        for i, letter in enumerate(wanted):
            got = g.expect(r"<([A-Z])>", 60).group(1)
            assert got == letter, f"boot {i}: {got}, not {letter}: {args}"


def drive(letter, kind, index=None, bootable=True):
    where = "" if index is None else f",bootindex={index}"
    return ["-drive", f"if=none,id={letter},format=raw,file="
            + disk(letter, bootable), "-device", f"{kind},drive={letter}"
            + where]


def bootindex():
    boots("BB", *drive("A", "ide-hd", 2), *drive("B", "virtio-blk-pci", 1))
    boots("AA", *drive("A", "ide-hd", 1), *drive("B", "virtio-blk-pci", 2))
    boots("C", *drive("A", "ide-hd", 7), *drive("B", "virtio-blk-pci", 6,
                                                bootable=False),
          "-drive", f"if=none,id=cd,media=cdrom,file={cd('C')}",
          "-device", "ide-cd,drive=cd,bootindex=5")


def order_and_once():
    disks = ["-drive", f"format=raw,file={disk('A')}", "-cdrom", cd("C")]
    boots("AA", *disks)
    boots("CC", *disks, "-boot", "d")
    boots("AA", *disks, "-boot", "order=cd")
    boots("CAA", *disks, "-boot", "order=c,once=d")
    boots("ACC", *disks, "-boot", "order=d,once=c")


def strict():
    """Nothing but what has an index, and that does not start."""
    disks = (drive("B", "virtio-blk-pci", 1, bootable=False)
             + ["-cdrom", cd("C")])
    boots("C", *disks)
    log = os.path.join(FOLDER, "log")
    with guest(*disks, "-boot", "strict=on", "-chardev", f"file,id=l,path={log}",
               "-device", "isa-debugcon,iobase=0x402,chardev=l") as g:
        end = time.monotonic() + 60 * patience()
        text = ""
        while "No bootable device" not in text:
            assert time.monotonic() < end, text[-1000:]
            time.sleep(0.1)
            with open(log) as f:
                text = f.read()
        g.proc.kill()
        left = g.proc.stdout.read()
        assert b"<C>" not in left, left


def menu():
    """The menu waits for splash-time."""
    took = {}
    for ms in (0, 4000):
        with guest("-drive", f"format=raw,file={disk('A')}", "-boot",
                   f"menu=on,splash-time={ms}" if ms else "menu=off") as g:
            begin = time.monotonic()
            g.expect(r"<A>", 120)
            took[ms] = time.monotonic() - begin
    assert took[4000] > 3.9, took


if __name__ == "__main__":
    run_tests([bootindex, order_and_once, strict, menu])
