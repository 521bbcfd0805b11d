#!/usr/bin/env python3
"""Debian 12 on a disk of its own: SeaBIOS, GRUB, systemd, login, data that is
there after a reboot.

The system comes from mmdebstrap, which needs root or user namespaces; without
either the test is skipped.  It is kept in the cache.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

import disk
from guest import CACHE, RHEA, Guest, run_tests

RHEA_IMG = os.environ.get("RHEA_IMG") or os.path.join(
    os.path.dirname(RHEA), "rhea-img")

PACKAGES = "systemd,systemd-sysv,udev,login,passwd,linux-image-cloud-amd64"
HOOK = """#!/bin/sh
set -e
echo rhea-disk > $1/etc/hostname
echo root:rhea | chroot $1 chpasswd
echo 'LABEL=root / ext4 errors=remount-ro 0 1' > $1/etc/fstab
# A busy host is no reason to give up on a serial port.
mkdir -p $1/etc/systemd/system.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=900\nDefaultDeviceTimeoutSec=900\n' \
    > $1/etc/systemd/system.conf.d/patience.conf
"""
GRUB = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=0
menuentry debian {{
    linux /boot/{kernel} root=LABEL=root ro console=ttyS0 quiet
    initrd /boot/{initrd}
}}
"""


def tarball():
    path = os.path.join(CACHE, "debian-12.tar")
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            hook = os.path.join(work, "hook")
            with open(hook, "w") as f:
                f.write(HOOK)
            os.chmod(hook, 0o755)
            made = os.path.join(work, "debian.tar")
            subprocess.run([disk.tool("mmdebstrap"), "--variant=minbase",
                            f"--include={PACKAGES}",
                            "--dpkgopt=path-exclude=/usr/share/doc/*",
                            "--dpkgopt=path-exclude=/usr/share/man/*",
                            "--dpkgopt=path-exclude=/usr/share/locale/*",
                            f"--customize-hook={hook}", "bookworm", made],
                           check=True, stdout=subprocess.DEVNULL)
            shutil.move(made, path)
    return path


def be_patient(login_defs):
    """On a busy host a login takes longer than a minute."""
    with open(login_defs) as f:
        text = f.read()
    with open(login_defs, "w") as f:
        f.write(re.sub(r"(?m)^LOGIN_TIMEOUT.*", "LOGIN_TIMEOUT 900", text))


def make_image(path):
    with tempfile.TemporaryDirectory() as tree:
        # As root the owners are right; else mke2fs would write ours.
        subprocess.run(["tar", "xf", tarball(), "-C", tree,
                        "--exclude=./dev/*"], check=True)
        be_patient(os.path.join(tree, "etc/login.defs"))
        names = os.listdir(os.path.join(tree, "boot"))
        kernel = next(n for n in names if n.startswith("vmlinuz"))
        initrd = next(n for n in names if n.startswith("initrd"))
        disk.make_disk(path, tree, 1024,
                       GRUB.format(kernel=kernel, initrd=initrd))


def log_in(g):
    g.expect(r"login: ", 900)
    g.send("root\n")
    g.expect(r"[Pp]assword: ", 60)
    g.send("rhea\n")
    g.expect(r"# ", 120)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def debian(*args, drive="format=raw", over=None):
    """`over`: the disk is an image of that format above the one with Debian,
    which stays as it is; so it does with -snapshot."""
    keeps = over or "-snapshot" in args
    with tempfile.TemporaryDirectory() as work:
        image = os.path.join(work, "debian.img")
        make_image(image)
        before = digest(image) if keeps else None
        top = image
        if over:
            top = os.path.join(work, "top")
            subprocess.run([RHEA_IMG, "create", "-q", "-f", over, "-b", image,
                            "-F", "raw", top], check=True)
        with Guest("-accel", "tcg", "-cpu", "max", "-m", "512", "-drive",
                   f"file={top},{drive}", *args) as g:
            log_in(g)
            first = g.seconds()
            g.send("head -c 3000000 /dev/urandom > /root/data; "
                   "echo sum-$(sha256sum < /root/data); sync; reboot\n")
            wrote = g.expect(r"sum-([0-9a-f]{64})", 120).group(1)
            log_in(g)
            g.send("echo again-$(sha256sum < /root/data)\n")
            again = g.expect(r"again-([0-9a-f]{64})", 120).group(1)
            assert wrote == again, (wrote, again)
            g.send("poweroff\n")
            g.wait(180)
        if keeps:
            assert digest(image) == before, "the base was written to"
        if over:
            subprocess.run([RHEA_IMG, "check", "-q", top], check=True)
    return f"login after {first:.0f} s"


def one_cpu():
    return debian()


def four_cpus():
    return debian("-smp", "4")


def virtio():
    return debian(drive="format=raw,if=virtio")


def virtio_four_cpus():
    return debian("-smp", "4", drive="format=raw,if=virtio")


def qcow2():
    return debian(drive="format=qcow2,if=virtio", over="qcow2")


def qcow2_ide_four_cpus():
    return debian("-smp", "4", drive="format=qcow2", over="qcow2")


def snapshot():
    return debian("-snapshot", drive="format=raw,if=virtio")


if __name__ == "__main__":
    run_tests([one_cpu, four_cpus, virtio, virtio_four_cpus, qcow2,
               qcow2_ide_four_cpus, snapshot])
