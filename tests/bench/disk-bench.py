#!/usr/bin/env python3
"""A disk under Linux in Rhea and in QEMU's TCG: who moves more.

disk-bench.py --rhea RHEA --program DISK-BENCH [ROW]...

Both guests run at once, with an image of their own, and take turns at each row
with the same number of requests.  What they read must agree.  Printed are Rhea's
rate, the median of QEMU's time over Rhea's (above 1 Rhea is faster), and the
same of the processor time that the two spent, which a busy host does not
falsify.

  --bus virtio,ide          which disks
  --format raw              raw or qcow2
  --state allocated         as many requests as Rhea does in --seconds, where
                            data was; or, each pair of writes in a place of its
                            own that was never written:
          fresh             in a new image
          backing           in one above a raw file that has data everywhere
  --device OPTIONS          for virtio-blk-pci, as in --device iothread=io
  --drive OPTIONS           for -drive, as in --drive aio=native,cache=none

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "guest"))
from guest import busybox, cloud_kernel, package            # noqa: E402
from machines import BenchError, Machine                    # noqa: E402
from paired import QEMU                                     # noqa: E402

# Name: title, bytes of a request (0: counted), does it write.
ROWS = {
    "seqread": ("read, 1 MiB in order", 1 << 20, False),
    "seqwrite": ("write, 1 MiB in order", 1 << 20, True),
    "read4k": ("read, 4 KiB anywhere", 0, False),
    "write4k": ("write, 4 KiB anywhere", 0, True),
    "read4kx16": ("read, 4 KiB, 16 at once", 0, False),
    "write4kx16": ("write, 4 KiB, 16 at once", 0, True),
    "flush": ("write and flush, 4 KiB", 0, True),
}
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev",
           "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "scsi_common",
           "scsi_mod", "libata", "ata_piix", "sd_mod"]
READ_MIB = 128          # from the start: never written
WRITE_MIB = 128         # behind that, where data was
PLACE_MIB = 64          # of the places that are written once
PLACE_REQUESTS = 512    # small ones there: a cluster in two gets one
INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in {' '.join(MODULES)}; do
    [ -e /modules/$module.ko ] && insmod /modules/$module.ko
done
while [ ! -e /dev/vda ] && [ ! -e /dev/sda ]; do sleep 0.1; done
for disk in vda sda; do
    [ -e /dev/$disk ] && exec /disk-bench /dev/$disk
done
"""


def make_initramfs(folder, program):
    out = os.path.join(folder, "initramfs")
    init = os.path.join(folder, "init")
    with open(init, "w") as f:
        f.write(INIT)
    files = [f"/disk-bench={program}"]
    root = os.path.join(package("linux-image-cloud-amd64"), "lib/modules")
    for path, _, names in os.walk(root):
        files += [f"/modules/{n}={os.path.join(path, n)}" for n in names
                  if n.endswith(".ko") and n[:-3] in MODULES]
    subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"), "-o", out,
                    "--busybox", busybox(), "--init", init]
                   + [f"--file={f}" for f in files], check=True)
    return out


def disk_mib(o, rows):
    if o.state == "allocated":
        return READ_MIB + WRITE_MIB
    writes = sum(ROWS[row][2] for row in rows)
    return READ_MIB + writes * o.pairs * PLACE_MIB


def make_data(folder, name, mib):
    path = os.path.join(folder, name + ".raw")
    with open(path, "wb") as f:
        for i in range(mib):
            f.write((i + 1).to_bytes(8, "little") * (1 << 17))
        os.fsync(f.fileno())
    return path


def qemu_img(*args):
    subprocess.run(["qemu-img", *args], check=True,
                   stdout=subprocess.DEVNULL)


def make_image(o, folder, name, mib):
    path = os.path.join(folder, f"{name}.{o.format}")
    if o.state == "fresh":
        qemu_img("create", "-f", o.format, path, f"{mib}M")
    elif o.state == "backing":
        base = os.path.join(folder, "base.raw")     # of both
        if not os.path.exists(base):
            make_data(folder, "base", mib)
        qemu_img("create", "-f", o.format, "-b", base, "-F", "raw", path)
    else:
        raw = make_data(folder, name, mib)
        if raw != path:
            qemu_img("convert", "-O", o.format, raw, path)
            os.unlink(raw)
    return path


class Places:
    """Where requests go: see --state."""
    def __init__(self, state):
        self.state = state
        self.next_mib = READ_MIB

    def take(self, row):
        if not ROWS[row][2]:
            return 0, READ_MIB
        if self.state == "allocated":
            return READ_MIB, WRITE_MIB
        self.next_mib += PLACE_MIB
        return self.next_mib - PLACE_MIB, PLACE_MIB


def machine(o, name, emulator, accel, bus, path, initrd):
    drive = f"id=d,if=none,file={path},format={o.format}"
    if o.drive:
        drive += "," + o.drive
    device = "ide-hd,drive=d" if bus == "ide" else "virtio-blk-pci,drive=d"
    if bus == "virtio" and o.device:
        device += "," + o.device
    return Machine(name, [
        emulator, "-accel", accel, "-cpu", "max", "-smp", str(o.cpus), "-m",
        "256", "-display", "none", "-serial", "stdio", "-monitor", "none",
        "-no-reboot", "-net", "none", "-kernel", cloud_kernel(), "-initrd",
        initrd, "-append", "console=ttyS0 quiet panic=-1", "-object",
        "iothread,id=io", "-drive", drive, "-device", device])


def count(o, m, row, places):
    """How many requests."""
    n = 16
    if o.state != "allocated" and ROWS[row][2]:
        return PLACE_MIB if ROWS[row][1] else PLACE_REQUESTS
    at, mib = places.take(row)
    while True:
        took, _ = m.ask(f"{row} {n} {at} {mib}")
        if took >= o.seconds or n >= 1 << 20:
            return n
        n = max(2 * n, int(n * min(o.seconds * 1.15 / max(took, 1e-6), 100)))


def processor_seconds(m):
    """Of all threads: an idle worker that has ended takes its share along."""
    spent = 0
    for task in os.scandir(f"/proc/{m.proc.pid}/task"):
        try:
            with open(os.path.join(task.path, "schedstat")) as f:
                spent += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return spent / 1e9


def measure(o, row, machines, n, places):
    """Pairs of elapsed and processor time, by machine."""
    took = {m.name: [] for m in machines}
    for _ in range(o.pairs):
        sums = set()
        at, mib = places.take(row)
        for m in machines:
            before = processor_seconds(m)
            seconds, words = m.ask(f"{row} {n} {at} {mib}")
            spent = processor_seconds(m) - before
            took[m.name].append((seconds, max(spent, 1e-6)))
            sums.add(words[0])
        if len(sums) > 1:
            raise BenchError(f"{row}: the guests read different bytes")
    return took


def ratio(took, i):
    return statistics.median(q[i] / r[i] for q, r in zip(took["qemu"],
                                                         took["rhea"]))


def print_row(bus, row, n, took):
    title, bytes_each, _ = ROWS[row]
    rate = n / statistics.median(seconds for seconds, _ in took["rhea"])
    text = (f"{rate * bytes_each / 1e6:9.0f} MB/s" if bytes_each
            else f"{rate:9.0f} /s  ")
    if "qemu" in took:
        text += (f"{ratio(took, 0):8.2f}x elapsed{ratio(took, 1):8.2f}x "
                 f"processor" + (" slower" if ratio(took, 0) < 1 else ""))
    print(f"{bus:<8}{title:<28}{text}", flush=True)


def run(o, bus, rows, folder, initrd):
    machines = []
    places = Places(o.state)
    try:
        for name, emulator, accel in (("rhea", o.rhea, o.accel),
                                      ("qemu", None if o.no_qemu else QEMU,
                                       "tcg,thread=multi")):
            if emulator:
                path = make_image(o, folder, name, disk_mib(o, rows))
                machines.append(machine(o, name, emulator, accel, bus, path,
                                        initrd))
        for row in rows:
            n = count(o, machines[0], row, places)
            print_row(bus, row, n, measure(o, row, machines, n, places))
    finally:
        for m in machines:
            m.close()


def main():
    ap = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    build = os.path.join(ROOT, "build")
    ap.add_argument("--rhea", default=os.path.join(build, "rhea"))
    ap.add_argument("--program", default=os.path.join(
        build, "tests", "bench", "bench-disk"))
    ap.add_argument("--accel", default="tcg,jit=on")
    ap.add_argument("--bus", default="virtio,ide")
    ap.add_argument("--format", default="raw", choices=["raw", "qcow2"])
    ap.add_argument("--state", default="allocated",
                    choices=["allocated", "fresh", "backing"])
    ap.add_argument("--device", help="more properties of virtio-blk-pci")
    ap.add_argument("--drive", help="more options of -drive")
    ap.add_argument("--cpus", type=int, default=1)
    ap.add_argument("--seconds", type=float, default=0.5)
    ap.add_argument("--pairs", type=int, default=5)
    ap.add_argument("--no-qemu", action="store_true")
    ap.add_argument("rows", nargs="*", metavar="ROW", help=" ".join(ROWS))
    o = ap.parse_args()
    for row in o.rows:
        if row not in ROWS:
            ap.error(f"no row {row!r}; there are: {' '.join(ROWS)}")
    if o.state == "backing" and o.format == "raw":
        ap.error("--state backing needs --format qcow2")
    folder = tempfile.mkdtemp(prefix="rhea-disk-bench-")
    try:
        initrd = make_initramfs(folder, o.program)
        for bus in o.bus.split(","):
            run(o, bus, o.rows or list(ROWS), folder, initrd)
    except BenchError as e:
        sys.exit(f"disk-bench: {e}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
