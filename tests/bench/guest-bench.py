#!/usr/bin/env python3
"""One program on the host, in Rhea and in QEMU's TCG: how much slower.

guest-bench.py --rhea RHEA --program PROGRAM --code32 CODE32 [ROW]...

All three run at once and take turns at each row with the same number of
turns, chosen so that the host needs --seconds.  Their checksums must agree and
their clocks must agree with ours; a row that fails or is missing is an error.
Printed are medians of the slow-down over the pairs.

  --quick        one pair of 0.05 s: for work on one part of the translator,
                 as in  guest-bench.py --quick saxpy x87
  --no-qemu      without QEMU
  --accel A      the same Rhea with other options: --accel tcg,jit=off

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "guest"))
import plot                                                 # noqa: E402
from guest import busybox, cloud_kernel                     # noqa: E402
from machines import BenchError, guest, native              # noqa: E402
from paired import QEMU                                     # noqa: E402
from programs import PROGRAMS, make_tree                    # noqa: E402

# Name: what it is, and what Rhea must reach; None: no slower than QEMU.
ROWS = {
    "sieve": ("sieve of bytes", 2.3),
    "crc": ("table CRC", 1.7),
    "chase": ("pointer chase, 4 MiB", 2.0),
    "bytecode": ("bytecode interpreter", 2.6),
    "recursion": ("recursive calls", 2.5),
    "qsort": ("qsort with comparator", 2.6),
    "nbody": ("n-body, scalar double", 1.6),
    "saxpy": ("saxpy, packed float", 2.2),
    "x87": ("x87 series", 1.5),
    "memcpy": ("memcpy, 1 MiB blocks", 2.5),
    "movsb": ("rep movsb, 64 KiB", 1.5),
    "getppid": ("getppid loop", 3.2),
    "pipe": ("pipe, two processes", 1.2),
    "fork": ("fork, exit, wait", 5.0),
    "exec": ("vfork, exec, static", 3.6),
    "pages": ("fresh pages, unmap", 5.0),
    "smc": ("code rewritten, run", 16.0),
    "pipe1": ("pipe, one processor", None),
    "avx2": ("AVX2 integers", None),
    "fma": ("FMA", None),
    "aes": ("AES instructions", None),
    "sha": ("SHA instructions", None),
    "code32": ("32-bit code", None),
    "cpus2": ("2 at once, 4 vCPUs", None),
    "cpus4": ("4 at once, 4 vCPUs", None),
}
ROWS.update({name: (title, None) for name, (title, _) in PROGRAMS.items()})
CLASSES = [name for name, (_, target) in ROWS.items() if target]
MEAN_TARGET = 2.8
NEEDS = {"avx2": 1, "fma": 3, "aes": 4, "sha": 8}
MANY_CPUS = ("cpus2", "cpus4")
PROGRAM_ROWS = tuple(PROGRAMS)


def make_initramfs(folder, program, code32, tree=None):
    out = os.path.join(folder, "initramfs")
    subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"), "-o", out,
                    "--busybox", busybox(), "--init", program, "--file",
                    f"/code32={code32}", *(["--tree", tree] if tree else [])],
                   check=True)
    return out


def order(row, n):
    """What to tell the benchmark program."""
    return f"run {n} {PROGRAMS[row][1]}" if row in PROGRAMS else f"{row} {n}"


def check(row, m, words):
    if row in PROGRAMS and words[1] != "0":
        raise BenchError(f"{row}: failed with status {words[1]}: {m.name}")
    return words[0]


def calibrate(machine, row, seconds):
    """How many turns the host needs for `seconds`."""
    n = 1
    while True:
        took, words = machine.ask(order(row, n))
        check(row, machine, words)
        if took >= seconds:
            return n
        n = max(2 * n, int(n * min(seconds * 1.15 / max(took, 1e-6), 100)))


def measure(row, machines, n, pairs):
    """Slow-downs over the host in each pair, for each of the others."""
    slow = {m.name: [] for m in machines[1:]}
    sums = {}
    for _ in range(pairs):
        base = None
        for m in machines:
            took, words = m.ask(order(row, n))
            sums[m.name] = check(row, m, words)
            if base is None:
                base = took
            else:
                slow[m.name].append(took / base)
    if len(set(sums.values())) > 1:
        raise BenchError(f"{row}: different results: " + ", ".join(
            f"{k} {v}" for k, v in sums.items()))
    return {name: statistics.median(v) for name, v in slow.items()}


def geometric(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def cell(v):
    return f"{v:8.2f}" if v is not None else "       -"


def print_row(title, r, q, target):
    ratio = f"{q / r:7.2f}x" if q and r else "       -"
    missed = " over" if target and r and r > target else ""
    print(f"{title:<24}{cell(q)}{cell(r)}{ratio}"
          f"{cell(target)}{missed}", flush=True)


def parse():
    ap = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    build = os.path.join(ROOT, "build")
    ap.add_argument("--rhea", default=os.path.join(build, "rhea"))
    ap.add_argument("--program", default=os.path.join(
        build, "tests", "bench", "bench-program"))
    ap.add_argument("--code32", default=os.path.join(
        build, "tests", "bench", "bench-code32"))
    ap.add_argument("--accel", default="tcg,jit=on")
    ap.add_argument("--seconds", type=float, default=0.3)
    ap.add_argument("--pairs", type=int, default=5)
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--no-qemu", action="store_true")
    ap.add_argument("--plot", help="write a chart to this SVG file")
    ap.add_argument("--json", help="write the figures to this file")
    ap.add_argument("rows", nargs="*", metavar="ROW",
                    help=" ".join(ROWS))
    o = ap.parse_args()
    if o.quick:
        o.seconds, o.pairs = 0.05, 1
    for row in o.rows:
        if row not in ROWS:
            ap.error(f"no row {row!r}; there are: {' '.join(ROWS)}")
    return o


def run(o, rows, machines, results):
    have = [int(m.ask("features")[0]) for m in machines]
    for row in rows:
        title, target = ROWS[row]
        need = NEEDS.get(row, 0)
        able = [m for m, h in zip(machines, have) if h & need == need]
        if machines[0] not in able:
            print(f"{title:<24} this host has no such instructions")
            continue
        if machines[1] not in able:
            raise BenchError(f"{row}: Rhea's guest has no such instructions")
        n = calibrate(machines[0], row, o.seconds)
        slow = measure(row, able, n, o.pairs)
        results[row] = slow
        print_row(title, slow["rhea"], slow.get("qemu"), target)


def summary(results):
    def mean(names, key):
        v = [results[n][key] for n in names
             if n in results and key in results[n]]
        return geometric(v) if v else None

    classes = [n for n in CLASSES if n in results]
    if len(classes) > 1:
        print_row(f"geometric mean of {len(classes)}", mean(classes, "rhea"),
                  mean(classes, "qemu"),
                  MEAN_TARGET if len(classes) == len(CLASSES) else None)
    both = [n for n in results if len(results[n]) == 2]
    slower = [n for n in both if results[n]["rhea"] > results[n]["qemu"]]
    if len(both) > 1:
        ratio = mean(both, "qemu") / mean(both, "rhea")
        print(f"all {len(both)} rows: {ratio:.2f} times QEMU's speed; slower: "
              f"{', '.join(slower) or 'none'}")


def main():
    o = parse()
    rows = o.rows or list(ROWS)
    kernel = cloud_kernel()
    qemu = None if o.no_qemu else QEMU
    results = {}
    machines = []
    print(f"{'times native':<24}{'QEMU':>8}{'Rhea':>8}{'ratio':>8}"
          f"{'at most':>8}")
    with tempfile.TemporaryDirectory() as folder:
        small = make_initramfs(folder, o.program, o.code32)
        tree = None
        for cpus, part in (
                (1, [r for r in rows if r not in MANY_CPUS + PROGRAM_ROWS]),
                (4, [r for r in rows if r in MANY_CPUS]),
                (1, [r for r in rows if r in PROGRAM_ROWS])):
            if not part:
                continue
            initrd = small
            if part[0] in PROGRAMS:
                tree = os.path.join(folder, "tree")
                make_tree(tree)
                initrd = make_initramfs(folder, o.program, o.code32, tree)
            try:
                machines.append(native(o.program, o.code32, tree))
                machines.append(guest("rhea", o.rhea, o.accel, kernel, initrd,
                                      cpus))
                if qemu:
                    machines.append(guest("qemu", qemu, "tcg", kernel, initrd,
                                          cpus))
                run(o, part, machines, results)
            except BenchError as e:
                print(f"error: {e}", file=sys.stderr)
                return 1
            finally:
                while machines:
                    machines.pop().close()
    summary(results)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(results, f, indent=1)
    if o.plot:
        plot.draw(o.plot, "Slow-down of guests over the host, both emulators "
                  "on this machine", [(ROWS[r][0], v, ROWS[r][1])
                                      for r, v in results.items()])
    return 0


sys.exit(main())
