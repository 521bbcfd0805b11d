"""Disk images made from files, without loop devices or root: an MBR, GRUB in
the gap behind it, one ext4 partition.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import shutil
import struct
import subprocess
import tempfile

from guest import package

SECTOR = 512
PARTITION_LBA = 2048
MODULES = ["biosdisk", "part_msdos", "ext2", "iso9660", "normal", "linux",
           "serial", "terminal", "configfile", "search", "test", "echo",
           "reboot", "halt", "sleep"]


def tool(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        raise RuntimeError(f"{name} is missing: scripts/install-deps check")
    return path


def grub_folder():
    return os.path.join(package("grub-pc-bin"), "usr/lib/grub/i386-pc")


def grub_core(prefix, kind="i386-pc", modules=()):
    """core.img, as grub-install makes it."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([tool("grub-mkimage"), "-O", kind, "-d",
                        grub_folder(), "-o", out.name, "-p", prefix]
                       + MODULES + list(modules), check=True)
        return open(out.name, "rb").read()


def mbr(n_sectors):
    """boot.img, which loads core.img from sector 1, and the partition."""
    with open(os.path.join(grub_folder(), "boot.img"), "rb") as f:
        sector = bytearray(f.read(SECTOR))
    struct.pack_into("<Q", sector, 0x5c, 1)     # where core.img starts
    sector[0x64] = 0xff                         # the drive that was booted
    sector[0x66:0x68] = b"\x90\x90"             # believe DL
    struct.pack_into("<I", sector, 0x1b8, 0x52686561)
    struct.pack_into("<B3sB3sII", sector, 0x1be, 0x80, b"\xfe\xff\xff", 0x83,
                     b"\xfe\xff\xff", PARTITION_LBA, n_sectors)
    sector[0x1ee - 32:0x1fe] = bytes(0x1fe - (0x1ee - 32))
    sector[0x1fe:0x200] = b"\x55\xaa"
    return bytes(sector)


def make_disk(path, tree, size_mib, grub_cfg, modules=()):
    """An image of `size_mib` whose partition holds the folder `tree`; GRUB has
    these modules besides."""
    folder = os.path.join(tree, "boot/grub")
    core = grub_core("(hd0,msdos1)/boot/grub", modules=modules)
    assert len(core) < (PARTITION_LBA - 1) * SECTOR
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "grub.cfg"), "w") as f:
        f.write(grub_cfg)
    n_sectors = size_mib * 2048 - PARTITION_LBA
    with open(path, "wb") as f:
        f.truncate(size_mib << 20)
        f.write(mbr(n_sectors))
        f.write(core)
    subprocess.run([tool("mke2fs"), "-F", "-q", "-t", "ext4", "-L", "root",
                    "-O", "^metadata_csum_seed,^orphan_file", "-d", tree,
                    "-E", f"offset={PARTITION_LBA * SECTOR}", path,
                    f"{n_sectors // 2}k"], check=True)
