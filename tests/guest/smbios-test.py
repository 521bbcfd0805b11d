#!/usr/bin/env python3
"""SMBIOS as Linux finds it and dmidecode reads it: entered directly, by way of
SeaBIOS (kernel-boot=firmware), with entry points 2.8 and 3.0.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import base64
import os
import subprocess
import tempfile

from guest import (Guest, cloud_kernel, find, initramfs, linux_words, package,
                   run_tests)

INIT = """#!/bin/sh
mount -t sysfs sys /sys
echo "cmdline-ok: $(mount -t proc proc /proc; cat /proc/cmdline)"
echo "anchor: $(base64 -w0 /sys/firmware/dmi/tables/smbios_entry_point)"
echo "tables: $(base64 -w0 /sys/firmware/dmi/tables/DMI)"
echo "told all"
poweroff -f
"""

# What is said, and what dmidecode must find.
OPTIONS = [
    ("type=0,vendor=Acme,version=9.9,date=02/03/2024,release=3.7",
     ["Vendor: Acme", "Version: 9.9", "Release Date: 02/03/2024",
      "BIOS Revision: 3.7"]),
    ("type=1,manufacturer=Acme,product=Anvil,serial=12,,34,family=Heavy,"
     "uuid=01234567-89ab-cdef-0123-456789abcdef",
     ["Product Name: Anvil", "Serial Number: 12,34", "Family: Heavy",
      "UUID: 01234567-89ab-cdef-0123-456789abcdef"]),
    ("type=2,product=Base,location=here",
     ["Product Name: Base", "Location In Chassis: here",
      "Chassis Handle: 0x0300"]),
    ("type=3,asset=A77", ["Asset Tag: A77"]),
    ("type=4,sock_pfx=LGA,max-speed=4321",
     ["Socket Designation: LGA 0", "Max Speed: 4321 MHz"]),
    ("type=11,value=one,value=two,,three",
     ["String 1: one", "String 2: two,three"]),
    ("type=17,loc_pfx=Bank,manufacturer=Chips,speed=3200",
     ["Locator: Bank 0", "Manufacturer: Chips", "Size: 256 MB"]),
    ("type=41,designation=NIC,kind=ethernet,instance=2",
     ["Reference Designation: NIC", "Type: Ethernet", "Type Instance: 2"]),
]


def dump(anchor, tables, path):
    """A file for dmidecode --from-dump: the anchor, the tables behind it."""
    anchor = bytearray(anchor.ljust(32, b"\0"))

    def seal(start, length, at):
        anchor[at] = 0
        anchor[at] = -sum(anchor[start:start + length]) & 0xff
    if anchor.startswith(b"_SM3_"):
        anchor[0x10:0x18] = (32).to_bytes(8, "little")
        seal(0, 0x18, 5)
    else:
        anchor[0x18:0x1c] = (32).to_bytes(4, "little")
        seal(0x10, 0x0f, 0x15)
        seal(0, 0x1f, 4)
    with open(path, "wb") as f:
        f.write(anchor + tables)


def check(entry, *args):
    image = initramfs("smbios-test", INIT)
    lines = [word for line, _ in OPTIONS for word in ("-smbios", line)]
    try:
        with Guest("-accel", "tcg,jit=on", "-cpu", "max", "-m", "256",
                   "-kernel", cloud_kernel(), "-initrd", image, "-append",
                   f"console=ttyS0 panic=-1 {linux_words()} quiet "
                   "told-by-append", "-no-reboot", *lines, *args) as g:
            g.expect("cmdline-ok: .*told-by-append", 120)
            anchor = base64.b64decode(g.expect(r"anchor: (\S+)\s", 30)[1])
            tables = base64.b64decode(g.expect(r"tables: (\S+)\s", 30)[1])
            g.wait(60)
    finally:
        os.unlink(image)
    assert anchor.startswith(entry), anchor
    dmidecode = find(package("dmidecode"), r"/sbin/dmidecode$")
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "dump")
        dump(anchor, tables, path)
        done = subprocess.run([dmidecode, "--from-dump", path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
    said = [line.strip() for line in done.stdout.splitlines()]
    wrong = [w for _, wanted in OPTIONS for w in wanted if w not in said]
    wrong += [line for line in said if "<BAD" in line or "TRUNCATED" in line
              or "ogus" in line or "roken" in line]
    if done.returncode or wrong:
        raise AssertionError(f"{wrong}\n{done.stdout}")


def direct():
    check(b"_SM_")
    check(b"_SM3_", "-machine", "smbios-entry-point-type=64")


def firmware():
    check(b"_SM_", "-machine", "kernel-boot=firmware")
    check(b"_SM3_", "-machine",
          "kernel-boot=firmware,smbios-entry-point-type=64")


if __name__ == "__main__":
    run_tests([direct, firmware])
