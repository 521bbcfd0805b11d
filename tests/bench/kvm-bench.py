#!/usr/bin/env python3
"""Round trips under KVM beside QEMU's: PIO, MMIO, and from exec to the end.

kvm-bench.py RHEA [QEMU]

Each guest is a 64 KiB ROM that does one thing N times and leaves through
isa-debug-exit; the time of one round is the difference between a long and a
short run, so starting up does not count.  The best of three runs is taken.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

SHORT, LONG = 1000, 21000
EXIT = bytes.fromhex("ba0105" "b000" "ee" "f4" "ebfd")

def loop(setup, body, n):
    count = b"\x66\xb9" + n.to_bytes(4, "little")
    back = (256 - (len(body) + 4)) & 0xff
    return setup + count + body + b"\x66\x49" + bytes([0x75, back]) + EXIT

CASES = {
    "pio in": lambda n: loop(b"", b"\xe4\x92", n),
    "pio out": lambda n: loop(b"", b"\xe6\xe9", n),
    "mmio read": lambda n: loop(b"\xb8\x00\xa0\x8e\xd8", b"\xa0\0\0", n),
    "mmio write": lambda n: loop(b"\xb8\x00\xa0\x8e\xd8", b"\xa2\0\0", n),
    "nothing": lambda n: loop(b"", b"\x90", n),
}


def rom(code):
    image = code.ljust(0xfff0, b"\xf4") + b"\xea\x00\x00\x00\xf0"
    return image.ljust(0x10000, b"\xf4")


def run(program, path):
    args = [program, "-accel", "kvm", "-cpu", "qemu64", "-m", "16", "-nodefaults",
            "-display", "none", "-vga", "none", "-bios", path,
            "-device", "isa-debug-exit"]
    best = 1e9
    for _ in range(3):
        start = time.monotonic()
        status = subprocess.run(args, stdin=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL,
                                timeout=60).returncode
        if status != 1:
            return None
        best = min(best, time.monotonic() - start)
    return best


def main():
    programs = [sys.argv[1]]
    qemu = sys.argv[2] if len(sys.argv) > 2 else \
        shutil.which("qemu-system-x86_64")
    if qemu:
        programs.append(qemu)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is not there, or may not be used")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rom")
        for name, make in CASES.items():
            row = []
            for program in programs:
                times = []
                for n in (SHORT, LONG):
                    with open(path, "wb") as f:
                        f.write(rom(make(n)))
                    times.append(run(program, path))
                if None in times:
                    row.append("failed")
                else:
                    each = (times[1] - times[0]) / (LONG - SHORT) * 1e6
                    row.append(f"{each:8.2f} us (start to end of a short "
                               f"run: {times[0] * 1e3:.1f} ms)")
            for program, text in zip(programs, row):
                print(f"{name:12} {os.path.basename(program):20} {text}")
    return 0


sys.exit(main())
