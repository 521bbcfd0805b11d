"""Paired timing: two commands in turn, medians and the median ratio.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import shutil
import statistics
import subprocess
import time

QEMU = shutil.which("qemu-system-x86_64")


def run_once(args, until=None):
    """Seconds to the end of the command, or to the text `until` on stdout."""
    start = time.monotonic()
    with subprocess.Popen(args, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        seen, text = None, b""
        while True:
            data = os.read(p.stdout.fileno(), 65536)
            if not data:
                break
            text += data
            if until and seen is None and until in text:
                seen = time.monotonic() - start
        p.wait()
    return seen if until else time.monotonic() - start


def compare(name, rhea, qemu, pairs=5, until=None, unit=("ms", 1000)):
    """Print a row; without a QEMU installed only our own figure."""
    a, b = [], []
    run_once(rhea, until)
    for _ in range(pairs):
        a.append(run_once(rhea, until))
        if QEMU:
            b.append(run_once(qemu, until))
    ours = statistics.median(a) * unit[1]
    row = f"{name:<34} rhea {ours:8.1f} {unit[0]}"
    if b:
        ratio = statistics.median(x / y for x, y in zip(a, b))
        row += (f"   qemu {statistics.median(b) * unit[1]:8.1f} {unit[0]}"
                f"   ratio {ratio:.2f}")
    print(row, flush=True)
