#!/usr/bin/env python3
"""Debian 12 from its disk to the login prompt, in Rhea and in QEMU's TCG.

login-bench.py [--rhea RHEA] [--pairs N] [BUS]...

SeaBIOS, GRUB, Linux and systemd from the image of tests/guest/debian-test.py
(which needs mmdebstrap), on each bus of: ide virtio qcow2 (virtio-blk, an image
above the raw one).  Both use the image under -snapshot and take turns.  Printed
are medians of the time to the prompt and of the processor time until then, and
of their ratios; without a QEMU installed only our own.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import importlib.util
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GUEST = os.path.join(ROOT, "tests", "guest")
sys.path.insert(0, GUEST)
from paired import QEMU                                     # noqa: E402

DRIVES = {
    "ide": "file={raw},format=raw",
    "virtio": "file={raw},format=raw,if=virtio",
    "qcow2": "file={over},format=qcow2,if=virtio",
}
LIMIT_S = 1200


def debian_test():
    """tests/guest/debian-test.py, whose name no import statement can say."""
    spec = importlib.util.spec_from_file_location(
        "debian_test", os.path.join(GUEST, "debian-test.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def processor_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def to_login(emulator, drive):
    """Seconds, and seconds of processor time, to the prompt."""
    start = time.monotonic()
    with subprocess.Popen(
            [emulator, "-accel", "tcg", "-cpu", "max", "-m", "512", "-display",
             "none", "-serial", "stdio", "-monitor", "none", "-snapshot",
             "-drive", drive],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as p:
        text = b""
        try:
            while b"login: " not in text:
                left = start + LIMIT_S - time.monotonic()
                if left <= 0 or not select.select([p.stdout], [], [], left)[0]:
                    sys.exit(f"{emulator}: no prompt within {LIMIT_S} s")
                data = os.read(p.stdout.fileno(), 65536)
                if not data:
                    sys.exit(f"{emulator} ended before the prompt:\n"
                             f"{text.decode(errors='replace')[-2000:]}")
                text += data
            return time.monotonic() - start, processor_s(p.pid)
        finally:
            p.kill()


def row(name, rhea, drive, pairs):
    a, b = [], []
    for _ in range(pairs):
        a.append(to_login(rhea, drive))
        if QEMU:
            b.append(to_login(QEMU, drive))

    def middle(values):
        return statistics.median(values)

    line = (f"{name:<8} rhea {middle(x[0] for x in a):6.1f} s "
            f"({middle(x[1] for x in a):6.1f})")
    if b:
        wall, work = ([x[k] / y[k] for x, y in zip(a, b)] for k in (0, 1))
        line += (f"   qemu {middle(y[0] for y in b):6.1f} s "
                 f"({middle(y[1] for y in b):6.1f})"
                 f"   ratio {middle(wall):.2f} ({middle(work):.2f})")
    print(line, flush=True)


def main():
    ap = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rhea", default=os.path.join(ROOT, "build", "rhea"))
    ap.add_argument("--pairs", type=int, default=1)
    ap.add_argument("buses", nargs="*", metavar="BUS",
                    help=" ".join(DRIVES))
    o = ap.parse_args()
    for bus in o.buses:
        if bus not in DRIVES:
            ap.error(f"no bus {bus!r}; there are: {' '.join(DRIVES)}")
    os.environ["RHEA"] = o.rhea
    test = debian_test()
    with tempfile.TemporaryDirectory() as work:
        raw = os.path.join(work, "debian.img")
        over = os.path.join(work, "over.qcow2")
        test.make_image(raw)
        subprocess.run([test.RHEA_IMG, "create", "-q", "-f", "qcow2", "-b",
                        raw, "-F", "raw", over], check=True)
        for bus in o.buses or DRIVES:
            row(bus, o.rhea, DRIVES[bus].format(raw=raw, over=over), o.pairs)
    return 0


sys.exit(main())
