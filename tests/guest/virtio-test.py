#!/usr/bin/env python3
"""Virtio devices under Linux: disks, with and without firmware.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import atexit
import hashlib
import os
import shutil
import socket
import tempfile

import disk
from guest import (Guest, cloud_kernel, initramfs, linux_words, package,
                   run_tests)

MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev",
           "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "crc16",
           "mbcache", "jbd2", "crc32c_generic", "crc32c-intel", "ext4",
           "virtio_console", "rng-core", "virtio-rng"]

# The first boot writes a file system's file and raw blocks; the second one,
# after a reset of everything, finds them.
INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in {' '.join(MODULES)}; do
    [ -e /modules/$module.ko ] && insmod /modules/$module.ko
done
case "$(cat /proc/cmdline)" in
*ports*)
    while [ ! -e /dev/hvc0 ] || [ ! -e /dev/vport0p1 ]; do sleep 0.1; done
    echo "port: $(cat /sys/class/virtio-ports/vport0p1/name)"
    echo "rng: $(cat /sys/class/misc/hw_random/rng_current)"
    echo "bytes: $(dd if=/dev/hwrng bs=1k count=64 2>/dev/null | wc -c)"
    exec 3<> /dev/vport0p1 4<> /dev/hvc0
    stty raw -echo <&4
    (while read line; do echo "hvc0 heard $line" >&4; done) <&4 &
    echo "listening"
    # Until somebody is at the other end there is nothing to read.
    while ! read word <&3; do sleep 0.1; done
    echo "port heard: $word"
    read bytes <&3
    # As much as it takes to fill every pipe between the two ends.
    dd if=/dev/zero bs=64k count=$bytes 2>/dev/null | tr '\\000' x >&3
    echo "all is out"
    read word <&3
    poweroff -f ;;
esac
n=0
while [ ! -e /dev/vda1 ] && [ $n -lt 100 ]; do
    sleep 0.1; n=$((n + 1))
done
dev=/sys/block/vda
echo "queues: $(ls $dev/mq | wc -l) serial: $(cat $dev/serial)" \\
    "cache: $(cat $dev/queue/write_cache)" \\
    "discard: $(cat $dev/queue/discard_max_bytes)" \\
    "zeroes: $(cat $dev/queue/write_zeroes_max_bytes)" \\
    "blocks: $(cat $dev/queue/logical_block_size)" \\
    "ro: $(cat $dev/ro)"
echo "features: $(cat $dev/device/features)"
grep -c msi /proc/interrupts | sed 's/^/msi lines: /'
grep virtio /proc/interrupts
mount -t ext4 /dev/vda1 /mnt || poweroff -f
if [ -e /mnt/written ]; then
    echo "found: $(sha256sum < /mnt/written)"
    echo "found raw: $(dd if=/dev/vda bs=64k skip=1600 count=40 \\
        iflag=direct 2>/dev/null | sha256sum)"
    poweroff -f
fi
dd if=/dev/urandom of=/mnt/written bs=64k count=80 2>/dev/null
echo "wrote: $(sha256sum < /mnt/written)"
dd if=/dev/urandom of=/raw bs=64k count=40 2>/dev/null
dd if=/raw of=/dev/vda bs=64k seek=1600 oflag=direct 2>/dev/null
echo "wrote raw: $(sha256sum < /raw)"
sync
umount /mnt
reboot -f
"""


def module_files():
    found = []
    root = os.path.join(package("linux-image-cloud-amd64"), "lib/modules")
    for path, _, files in os.walk(root):
        for name in files:
            if name.endswith(".ko") and name[:-3] in MODULES:
                found.append((f"/modules/{name}", os.path.join(path, name)))
    return found


def folder():
    path = tempfile.mkdtemp(prefix="rhea-virtio-")
    atexit.register(shutil.rmtree, path, True)
    return path


def ramdisk():
    path = os.path.join(folder(), "initrd")
    shutil.move(initramfs("virtio-test", INIT, files=module_files()), path)
    return path


GRUB = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=0
menuentry disk {
    linux /boot/vmlinuz console=ttyS0 panic=-1
    initrd /boot/initrd
}
"""


def make_disk(bootable):
    """128 MiB, with a partition of 96 MiB: what is behind it is raw."""
    where = folder()
    tree = os.path.join(where, "tree")
    os.makedirs(os.path.join(tree, "boot"))
    if bootable:
        shutil.copy(cloud_kernel(), os.path.join(tree, "boot/vmlinuz"))
        shutil.copy(ramdisk(), os.path.join(tree, "boot/initrd"))
    path = os.path.join(where, "disk.img")
    disk.make_disk(path, tree, 96, GRUB)
    os.truncate(path, 128 << 20)
    return path


def guest(*args):
    return Guest("-accel", "tcg", "-cpu", "max", "-m", "256", *args)


def kernel(append=""):
    return ["-kernel", cloud_kernel(), "-initrd", ramdisk(), "-append",
            f"console=ttyS0 panic=-1 {linux_words()} {append}"]


def two_boots(g, path=None):
    """What the second boot reads is what the first one wrote."""
    wrote = g.expect(r"wrote: ([0-9a-f]{64})", 300).group(1)
    raw = g.expect(r"wrote raw: ([0-9a-f]{64})", 300).group(1)
    found = g.expect(r"found: ([0-9a-f]{64})", 300).group(1)
    found_raw = g.expect(r"found raw: ([0-9a-f]{64})", 300).group(1)
    assert (wrote, raw) == (found, found_raw), (wrote, raw, found, found_raw)
    g.wait(60)
    if path:
        with open(path, "rb") as f:
            f.seek(1600 * 65536)
            assert hashlib.sha256(f.read(40 * 65536)).hexdigest() == raw


def legacy_and_modern():
    """-drive if=virtio: transitional, MSI-X, one queue."""
    path = make_disk(False)
    with guest(*kernel(), "-drive", f"if=virtio,file={path},format=raw") as g:
        seen = g.expect(r"queues: (\d+) serial: (\S*) ?cache: (.*) discard: "
                        r"(\d+) zeroes: (\d+) blocks: (\d+) ro: (\d)", 300)
        assert seen.group(1) == "1" and seen.group(3) == "write back", seen
        assert int(seen.group(4)) and int(seen.group(5)), seen
        two_boots(g, path)


def legacy_intx():
    """The legacy interface alone, and no MSI."""
    path = make_disk(False)
    with guest(*kernel("pci=nomsi"), "-drive",
               f"id=d,if=none,file={path},format=raw", "-device",
               "virtio-blk-pci,drive=d,disable-modern=on") as g:
        assert g.expect(r"msi lines: (\d+)\s", 300).group(1) == "0"
        two_boots(g, path)


def four_cpus_iothread():
    """Four queues in an iothread, 4 KiB blocks, a serial number."""
    path = make_disk(False)
    with guest(*kernel(), "-smp", "4", "-object", "iothread,id=io",
               "-drive", f"id=d,if=none,file={path},format=raw", "-device",
               "virtio-blk-pci-non-transitional,drive=d,iothread=io,"
               "serial=rhea-1") as g:
        seen = g.expect(r"queues: (\d+) serial: (\S+)\s", 300)
        assert seen.groups() == ("4", "rhea-1"), seen
        two_boots(g, path)


def packed():
    """The packed ring, and INTx from an iothread."""
    path = make_disk(False)
    with guest(*kernel("pci=nomsi"), "-object", "iothread,id=io", "-drive",
               f"id=d,if=none,file={path},format=raw", "-device",
               "virtio-blk-pci,drive=d,packed=on,iothread=io") as g:
        assert g.expect(r"features: ([01]+)\s", 300).group(1)[34] == "1"
        two_boots(g, path)


def firmware():
    """SeaBIOS and GRUB from the disk; the file is left alone."""
    path = make_disk(True)
    with open(path, "rb") as f:
        before = hashlib.sha256(f.read()).hexdigest()
    with guest("-smp", "4", "-snapshot", "-drive",
               f"if=virtio,file={path},format=raw") as g:
        two_boots(g)
    with open(path, "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == before


def firmware_modern():
    """SeaBIOS's modern driver."""
    path = make_disk(True)
    with guest("-drive", f"id=d,if=none,file={path},format=raw", "-device",
               "virtio-blk-pci,drive=d,disable-legacy=on,bootindex=1") as g:
        two_boots(g, path)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(120)
    return s


def read_until(s, n, end=None):
    got = b""
    while len(got) < n and not (end and got.endswith(end)):
        got += s.recv(1 << 16)
    return got


def ports():
    """hvc0, a named port and random bytes, in both directions."""
    where = folder()
    paths = [os.path.join(where, name) for name in ("console", "port")]
    args = [arg for i, path in enumerate(paths) for arg in
            ("-chardev", f"socket,id=c{i},path={path},server=on,wait=off")]
    with guest(*kernel("ports"), *args, "-device", "virtio-serial,id=vs",
               "-device", "virtconsole,chardev=c0", "-device",
               "virtserialport,bus=vs.0,chardev=c1,name=org.rhea.test",
               "-object", "rng-random,id=r,filename=/dev/urandom", "-device",
               "virtio-rng-pci,rng=r,max-bytes=32768,period=100") as g:
        g.expect(r"port: org.rhea.test\s", 300)
        g.expect(r"rng: virtio_rng", 60)
        g.expect(r"bytes: 65536\s", 60)
        g.expect(r"listening", 60)
        with connect(paths[0]) as console, connect(paths[1]) as port:
            console.sendall(b"hello\n")
            heard = read_until(console, 1000, b"hello\n")
            assert heard.endswith(b"hvc0 heard hello\n"), heard
            port.sendall(b"word\n")
            g.expect(r"port heard: word\s", 60)
            port.sendall(b"64\n")
            got = read_until(port, 64 << 16)
            assert got == b"x" * (64 << 16), len(got)
            g.expect(r"all is out", 60)
            port.sendall(b"end\n")
            g.wait(60)


if __name__ == "__main__":
    run_tests([legacy_and_modern, legacy_intx, four_cpus_iothread, packed,
               firmware, firmware_modern, ports])
