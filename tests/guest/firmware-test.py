#!/usr/bin/env python3
"""Other firmware than SeaBIOS, from the reset vector to its prompt.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import functools
import struct
import zlib

from guest import Guest, find, package, run_tests


def firmware(jit, image, *args):
    return Guest("-accel", f"tcg,jit={jit}", "-cpu", "max", "-m", "256",
                 "-no-reboot", "-bios", image, *args)


def u_boot(width, jit):
    image = find(package("u-boot-qemu"), rf"/qemu-{width}/u-boot\.rom$")
    with firmware(jit, image) as g:
        g.expect("Hit any key to stop autoboot", 60)
        g.send("\r")
        g.expect("=> ", 30)
        g.send("pci\r")
        g.expect("00.01.00 +0x8086 +0x7000", 30)
        # Memory written is read back, and summed by its own code.
        g.send("mw.l 1000000 12345678 4000; crc32 1000000 10000\r")
        crc = zlib.crc32(struct.pack("<I", 0x12345678) * 0x4000)
        g.expect(f"crc32 for 01000000 ... 0100ffff ==> {crc:08x}", 30)
        g.send("cpu list\r")
        g.expect("0: cpu@0", 30)
        g.send("reset\r")
        g.wait(30)
        return f"reset after {g.seconds():.1f} s"


def ovmf(jit):
    """UEFI's shell: flash below 4 GiB, long mode, ACPI, PCI enumeration."""
    image = find(package("ovmf"), r"/ovmf/OVMF\.fd$")
    with firmware(jit, image) as g:
        g.expect("UEFI Interactive Shell", 120)
        g.expect("in [0-9] seconds to skip", 60)
        g.send("\x1b")
        g.expect("Shell> ", 60)
        g.send("memmap\r")
        g.expect(r"Total Memory: +255 MB", 60)
        g.send("reset -s\r")
        g.wait(60)
        return f"powered off after {g.seconds():.1f} s"


CASES = {
    "u_boot": functools.partial(u_boot, "x86_64", "off"),
    "u_boot_32bit": functools.partial(u_boot, "x86", "on"),
    "ovmf": functools.partial(ovmf, "on"),
    "ovmf_interpreted": functools.partial(ovmf, "off"),
}

if __name__ == "__main__":
    for name, case in CASES.items():
        case.__name__ = name
    run_tests(list(CASES.values()))
