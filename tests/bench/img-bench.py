#!/usr/bin/env python3
"""rhea-img convert beside qemu-img's: pairs of runs, medians of both and of
the ratios, by the clock and by the processor.

img-bench.py [RHEA-IMG] [PAIRS] [MIB] [FOLDER]

The source is half text-like, a quarter random, a quarter holes.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

CASES = [
    ("raw -> qcow2", "convert -O qcow2 {raw} {out}"),
    ("qcow2 -> raw", "convert -O raw {qcow2} {out}"),
    ("raw -> qcow2 -c", "convert -c -O qcow2 {small} {out}"),
    ("qcow2 -c -> raw", "convert -O raw {packed} {out}"),
    ("compare", "compare -q {raw} {qcow2}"),
]


def make_source(path, mib):
    rnd = random.Random(1)
    words = [rnd.randbytes(rnd.randrange(3, 12)) for _ in range(2000)]
    with open(path, "wb") as f:
        f.truncate(mib << 20)
        for i in range(mib):
            f.seek(i << 20)
            if i % 4 == 1:
                f.write(rnd.randbytes(1 << 20))
            elif i % 4 != 3:
                f.write(b"".join(rnd.choices(words, k=180000))[:1 << 20])


def run(tool, line, files):
    if os.path.exists(files["out"]):
        os.unlink(files["out"])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run([tool] + line.format(**files).split(), check=True)
    clock = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, (after.ru_utime + after.ru_stime
                   - before.ru_utime - before.ru_stime)


def main():
    ours = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 \
        else os.path.join(ROOT, "build", "rhea-img")
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    mib = int(sys.argv[3]) if len(sys.argv) > 3 else 512
    theirs = shutil.which("qemu-img")
    if not theirs:
        sys.exit("img-bench: qemu-img is missing")
    with tempfile.TemporaryDirectory(dir=(sys.argv + [None] * 4)[4]) as work:
        files = {name: os.path.join(work, name)
                 for name in ("raw", "qcow2", "small", "packed", "out")}
        make_source(files["raw"], mib)
        make_source(files["small"], mib // 8)
        run(theirs, "convert -O qcow2 {raw} {qcow2}", files)
        run(theirs, "convert -c -W -O qcow2 {small} {packed}", files)
        for name, line in CASES:
            a, b = [], []
            for _ in range(pairs):
                a.append(run(ours, line, files))
                b.append(run(theirs, line, files))
            for what, i in (("clock", 0), ("processor", 1)):
                ratio = statistics.median(x[i] / max(y[i], 0.001)
                                          for x, y in zip(a, b))
                print(f"{name:16} {what:9} ours "
                      f"{statistics.median(x[i] for x in a):6.2f} s  qemu-img "
                      f"{statistics.median(y[i] for y in b):6.2f} s  ratio "
                      f"{ratio:.2f}", flush=True)


main()
