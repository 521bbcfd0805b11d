#!/usr/bin/env python3
"""Does the emulator's memory stay flat?  Guests that make it forget and make
anew: code rewritten millions of times, processes and their address spaces.

RHEA_TEST_SECONDS=3600 has each go on for that long and say what it has once a
minute.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
from guest import RHEA, busybox, cloud_kernel, run_tests    # noqa: E402
from machines import Machine                                # noqa: E402
import subprocess                                           # noqa: E402

PROGRAM, CODE32 = sys.argv[1:3]
MAX_GROWTH_KIB = 4096
SECONDS = float(os.environ.get("RHEA_TEST_SECONDS", "0"))


def own_kib(pid):
    """Resident, but for the guest's RAM: its mapping is the one of 96 MiB."""
    total, size = 0, 0
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if m:
                size = int(m.group(2), 16) - int(m.group(1), 16)
            elif line.startswith("Rss:") and size < 96 << 20:
                total += int(line.split()[1])
    return total


def machine(folder, accel, cpus):
    initrd = os.path.join(folder, "initramfs")
    subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"), "-o",
                    initrd, "--busybox", busybox(), "--init", PROGRAM,
                    f"--file=/code32={CODE32}"], check=True)
    return Machine("rhea", [
        RHEA, "-accel", accel, "-cpu", "max", "-smp", str(cpus), "-m", "192",
        "-display", "none", "-serial", "stdio", "-monitor", "none",
        "-no-reboot", "-kernel", cloud_kernel(), "-initrd", initrd, "-append",
        "console=ttyS0 quiet panic=-1"])


def quarters(m, row, n):
    """What it has after each of four times `n` turns; the first is for
    everything to be seen once."""
    kib = []
    for _ in range(4):
        m.ask(f"{row} {n}")
        kib.append(own_kib(m.proc.pid))
    return kib


def minutes(m, row, n):
    """What it has once a minute."""
    kib, turns, start = [], 0, time.monotonic()
    while True:
        m.ask(f"{row} {n}")
        turns += n
        passed = time.monotonic() - start
        if passed >= min(60 * (len(kib) + 1), SECONDS):
            kib.append(own_kib(m.proc.pid))
            print(f"# {row}: {passed:.0f} s, {turns} turns: {kib[-1]} KiB",
                  flush=True)
        if passed >= SECONDS:
            return kib


def flat(accel, row, n, cpus=1):
    with tempfile.TemporaryDirectory() as folder:
        m = machine(folder, accel, cpus)
        try:
            kib = (minutes if SECONDS else quarters)(m, row, n)
        finally:
            m.close()
    note = f"{row}: {', '.join(str(k) for k in kib)} KiB"
    if kib[-1] > kib[0] + MAX_GROWTH_KIB:
        raise RuntimeError(f"it grows: {note}")
    return note


def code_rewritten():
    """A million changes of code in each quarter."""
    return flat("tcg,tb-size=16", "smc", 10000)


def code_rewritten_interpreted():
    return flat("tcg,jit=off,tb-size=16", "smc", 3000)


def processes():
    """Address spaces, on two processors."""
    return flat("tcg,tb-size=16", "fork", 30, 2)


def programs():
    return flat("tcg,tb-size=16", "exec", 10, 2)


if __name__ == "__main__":
    del sys.argv[1:3]
    run_tests([code_rewritten, code_rewritten_interpreted, processes,
               programs])
