#!/usr/bin/env python3
"""PCs that boot disks: SeaBIOS, GRUB and Linux from IDE disks and CDs.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import atexit
import hashlib
import os
import shutil
import subprocess
import tempfile

import disk
from guest import (Guest, RHEA, cloud_kernel, find, initramfs, package,
                   run_tests)

GRUB = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=0
menuentry disk {{
    linux {kernel} console=ttyS0 panic=-1 {append}
    initrd {initrd}
}}
"""

# Writes through the disk's cache, reboots, and finds what was written.
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in scsi_common scsi_mod libata ata_piix cdrom sr_mod sd_mod isofs \
        crc16 mbcache jbd2 crc32c_generic crc32c-intel ext4; do
    [ -e /modules/$module.ko ] && insmod /modules/$module.ko
done
n=0
while [ ! -e /dev/sda1 ] && [ ! -e /dev/sr0 ] && [ $n -lt 100 ]; do
    sleep 0.1; n=$((n + 1))
done
case "$(cat /proc/cmdline)" in
*cd*)
    mount -t iso9660 /dev/sr0 /mnt && sha256sum /mnt/data | sed 's/^/sum: /'
    poweroff -f ;;
esac
mount -t ext4 /dev/sda1 /mnt || poweroff -f
if [ -e /mnt/written ]; then
    echo "found: $(sha256sum < /mnt/written)"
    poweroff -f
fi
dd if=/dev/urandom of=/mnt/written bs=64k count=20 2>/dev/null
echo "wrote: $(sha256sum < /mnt/written)"
sync
umount /mnt
reboot -f
"""

MODULES = ["scsi_common", "scsi_mod", "libata", "ata_piix", "cdrom", "sr_mod",
           "sd_mod", "isofs", "crc16", "mbcache", "jbd2", "crc32c_generic",
           "crc32c-intel", "ext4"]


def module_files():
    found = []
    root = os.path.join(package("linux-image-cloud-amd64"), "lib/modules")
    for path, _, files in os.walk(root):
        for name in files:
            if name.endswith(".ko") and name[:-3] in MODULES:
                found.append((f"/modules/{name}", os.path.join(path, name)))
    return found


def folder():
    path = tempfile.mkdtemp(prefix="rhea-disk-")
    atexit.register(shutil.rmtree, path, True)
    return path


def tree(data=b""):
    """/boot with a kernel and an initial ram disk."""
    path = folder()
    os.makedirs(os.path.join(path, "boot"))
    shutil.copy(cloud_kernel(), os.path.join(path, "boot/vmlinuz"))
    image = initramfs("disk-test", INIT, files=module_files())
    shutil.move(image, os.path.join(path, "boot/initrd"))
    if data:
        with open(os.path.join(path, "data"), "wb") as f:
            f.write(data)
    return path


def small_disk():
    path = os.path.join(folder(), "small.img")
    disk.make_disk(path, tree(), 64, GRUB.format(
        kernel="/boot/vmlinuz", initrd="/boot/initrd", append=""))
    return path


def guest(*args):
    return Guest("-accel", "tcg", "-cpu", "max", "-m", "256", *args)


def check_two_boots(*args):
    with guest(*args) as g:
        wrote = g.expect(r"wrote: ([0-9a-f]{64})", 300).group(1)
        found = g.expect(r"found: ([0-9a-f]{64})", 300).group(1)
        assert wrote == found, (wrote, found)
        g.wait(60)


def ide_disk():
    """GRUB from the MBR, data that outlives a reboot."""
    check_two_boots("-drive", f"file={small_disk()},format=raw")


def snapshot():
    """-snapshot: a guest that writes, a file that stays as it was."""
    path = small_disk()
    with open(path, "rb") as f:
        before = hashlib.sha256(f.read()).hexdigest()
    check_two_boots("-snapshot", "-drive", f"file={path},format=raw")
    with open(path, "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == before


def img(*args):
    tool = os.path.join(os.path.dirname(RHEA), "rhea-img")
    return subprocess.run([tool, *args], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def qcow2():
    """An overlay above a raw disk, its format probed; packed, and committed."""
    base = small_disk()
    with open(base, "rb") as f:
        before = hashlib.sha256(f.read()).hexdigest()
    path = os.path.join(os.path.dirname(base), "overlay.qcow2")
    img("create", "-q", "-f", "qcow2", "-b", "small.img", "-F", "raw", path)
    check_two_boots("-hda", path)
    assert "No errors" in img("check", path)
    with open(base, "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == before
    packed = path + ".packed"
    img("convert", "-c", "-O", "qcow2", path, packed)
    assert "identical" in img("compare", path, packed)
    img("commit", "-q", path)
    assert "identical" in img("compare", "-F", "raw", packed, base)
    with guest("-blockdev", "driver=qcow2,node-name=d,file.driver=file,"
               f"file.filename={packed}", "-device", "ide-hd,drive=d") as g:
        g.expect(r"found: ([0-9a-f]{64})", 300)
        g.wait(60)


def bootable_cd(where, kernel, initrd, append):
    """The folder as ISO 9660, with GRUB by El Torito."""
    path = os.path.join(folder(), "cd.iso")
    grub = os.path.join(where, "boot/grub")
    os.makedirs(grub)
    with open(os.path.join(grub, "grub.cfg"), "w") as f:
        f.write(GRUB.format(kernel=kernel, initrd=initrd, append=append))
    with open(os.path.join(grub, "eltorito.img"), "wb") as f:
        f.write(disk.grub_core("/boot/grub", "i386-pc-eltorito"))
    subprocess.run([disk.tool("xorriso"), "-as", "mkisofs", "-quiet", "-R",
                    "-b", "boot/grub/eltorito.img", "-no-emul-boot",
                    "-boot-load-size", "4", "-boot-info-table", "-o", path,
                    where], check=True, stderr=subprocess.DEVNULL)
    return path


def cd():
    """El Torito, GRUB and the CD itself from ISO 9660."""
    data = bytes(i * 7 & 255 for i in range(3 << 20))
    path = bootable_cd(tree(data), "/boot/vmlinuz", "/boot/initrd", "cd")
    with guest("-cdrom", path, "-boot", "d") as g:
        seen = g.expect(r"sum: ([0-9a-f]{64})", 300).group(1)
        assert seen == hashlib.sha256(data).hexdigest(), seen
        g.wait(60)


def installer_cd():
    """Debian's installer, from its netboot files, to its first menu."""
    files = package("debian-installer-12-netboot-i386")
    where = folder()
    for name, pattern in (("linux", r"/text/debian-installer/i386/linux$"),
                          ("initrd.gz",
                           r"/text/debian-installer/i386/initrd.gz$")):
        shutil.copy(find(files, pattern), os.path.join(where, name))
    path = bootable_cd(where, "/linux", "/initrd.gz", "")
    with guest("-m", "512", "-cdrom", path, "-boot", "d") as g:
        g.expect("Select a language", 600)
        g.expect("English", 60)
        return f"menu after {g.seconds():.0f} s"


if __name__ == "__main__":
    run_tests([ide_disk, snapshot, qcow2, cd, installer_cd])
