#!/usr/bin/env python3
"""Start-up: process to first guest instruction, memory, exec to /init.

Usage: start-bench.py RHEA.  QEMU's column appears when it is installed.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "guest"))
from guest import cloud_kernel, initramfs          # noqa: E402
from paired import QEMU, compare                   # noqa: E402

INIT = """#!/bin/sh
echo at-init
poweroff -f
"""


def rom(folder, code):
    """A 64 KiB ROM whose reset vector is `code`."""
    image = bytearray(b"\xf4" * 65536)
    image[0xfff0:0xfff0 + len(code)] = code
    path = os.path.join(folder, f"{code.hex()}.rom")
    with open(path, "wb") as f:
        f.write(image)
    return path


def resident_kib(args):
    """Anonymous and all resident memory of a run that spins."""
    p = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    time.sleep(1)
    with open(f"/proc/{p.pid}/status") as f:
        text = f.read()
    p.kill()
    p.wait()
    return [int(re.search(rf"{key}:\s+(\d+)", text).group(1))
            for key in ("RssAnon", "VmRSS")]


def main():
    rhea = sys.argv[1]
    bare = ["-accel", "tcg", "-display", "none", "-nodefaults", "-m", "128"]
    with tempfile.TemporaryDirectory() as folder:
        # mov dx, 0xf4; mov al, 0; out dx, al: the first instructions end it.
        leave = bare + ["-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                        "-bios", rom(folder, b"\xba\xf4\x00\xb0\x00\xee")]
        compare("start to first OUT", [rhea] + leave, [QEMU] + leave, 15)
        spin = bare + ["-bios", rom(folder, b"\xeb\xfe")]
        for name in filter(None, (rhea, QEMU)):
            anon, rss = resident_kib([name] + spin)
            print(f"resident, {os.path.basename(name):<24} "
                  f"{rss / 1024:6.1f} MiB, of it private {anon / 1024:.1f}")
    image = initramfs("start-bench", INIT)
    boot = ["-accel", "tcg", "-cpu", "max", "-m", "512", "-display", "none",
            "-serial", "stdio", "-monitor", "none", "-no-reboot", "-kernel",
            cloud_kernel(), "-initrd", image, "-append", "console=ttyS0"]
    try:
        second = ("s", 1)
        compare("exec to /init, Debian cloud", [rhea] + boot, [QEMU] + boot,
                3, b"at-init", second)
        compare("the whole boot to power-off", [rhea] + boot, [QEMU] + boot,
                3, None, second)
    finally:
        os.unlink(image)


if __name__ == "__main__":
    main()
