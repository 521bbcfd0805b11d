#!/usr/bin/env python3
"""The monitor's commands about disks, on the real program.

hmp-block-test.py RHEA RHEA-IMG

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import subprocess
import sys

from monitor import monitor as ask, run_tests

RHEA, RHEA_IMG = (os.path.abspath(path) for path in sys.argv[1:3])


def monitor(args, *lines):
    return ask(RHEA, args, *lines)


def image(work, name, size=1 << 20):
    path = os.path.join(work, name)
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def same(got, want):
    assert got == want, f"\n{got}---- and not\n{want}"


def like(got, pattern):
    assert re.search(pattern, got), f"{got!r} is not like {pattern!r}"


def info(work):
    disk = image(work, "disk.img")
    answers = monitor(
        ["-drive", f"file={disk},format=raw,cache=unsafe,bps=1000"],
        "info block", "info block nobody", "info block -x", "info blockstats",
        "info block -n")
    same(answers[0],
         f"""ide0-hd0 (#block000): {disk} (raw)
    Attached to:      /machine/unattached/ide-hd[0]
    Cache mode:       writeback, ignore flushes
    I/O throttling:   bps=1000 bps_rd=0 bps_wr=0 iops=0 iops_rd=0 iops_wr=0 \
bps_max=0 bps_rd_max=0 bps_wr_max=0 iops_max=0 iops_rd_max=0 iops_wr_max=0 \
iops_size=0 group=ide0-hd0

ide1-cd0: [not inserted]
    Attached to:      /machine/unattached/ide-cd[0]
    Removable device: not locked, tray closed
""")
    same(answers[1], "Device 'nobody' not found\n")
    like(answers[2], "unknown flag '-x'")
    like(answers[3], r"\Aide0-hd0: rd_bytes=0 wr_bytes=0 rd_operations=0 .*"
                     r"flush_total_time_ns=0 .*\nide1-cd0: ")
    like(answers[4], r"#block000: .* \(raw\)\n\n#block001: .* \(file\)\n")


def media(work):
    first, second = image(work, "a.iso"), image(work, "b.iso", 4096)
    answers = monitor(
        ["-cdrom", first], "info block ide1-cd0", "eject ide1-cd0",
        "info block ide1-cd0", "eject ide1-cd0",
        f"change ide1-cd0 {second} raw", "info block ide1-cd0",
        "change ide1-cd0 /nowhere/x", "info block ide1-cd0",
        f"change ide1-cd0 {second} raw read-mostly",
        f"change ide1-cd0 {first} qcow3", "eject nobody")
    like(answers[0], r"a\.iso \(raw, read-only\)(?s:.)*not locked, tray closed")
    same(answers[1], "")
    like(answers[2], r"\[not inserted\](?s:.)*not locked, tray open")
    same(answers[3] + answers[4], "")
    like(answers[5], r"b\.iso \(raw, read-only\)(?s:.)*tray closed")
    like(answers[6], r"Error: could not open '/nowhere/x': No such file")
    like(answers[7], r"b\.iso")         # the old one stays
    like(answers[8], "'read-mostly': retain, read-only or read-write")
    like(answers[9], "unknown block driver 'qcow3'; did you mean 'qcow2'")
    like(answers[10], "Error: Device 'nobody' not found")
    like(monitor([image(work, "c.img")], "eject ide0-hd0")[0],
         "Device 'ide0-hd0' is not removable")


def resize(work):
    disk = image(work, "disk.img")
    answers = monitor(["-drive", f"file={disk},format=raw"],
                      "block_resize ide0-hd0 3", "block_resize ide0-hd0 5x",
                      "block_resize nobody 5", "info block -v ide0-hd0")
    same(answers[0], "")
    assert os.path.getsize(disk) == 3 << 20
    like(answers[1], "'5x' is not a size")
    like(answers[2], "'nobody' not found")
    like(answers[3], "virtual size: 3145728 bytes")


def commit(work):
    base, top = image(work, "base.img"), os.path.join(work, "top")
    data = os.path.join(work, "data")
    with open(data, "wb") as f:
        f.write(bytes(range(256)) * 4096)
    subprocess.run([RHEA_IMG, "create", "-q", "-f", "qcow2", "-b", base, "-F",
                    "raw", top], check=True)
    subprocess.run([RHEA_IMG, "convert", "-n", "-f", "raw", "-O", "qcow2",
                    data, top], check=True)
    answers = monitor(["-drive", f"file={top},format=qcow2"],
                      "info block ide0-hd0", "commit ide0-hd0", "commit all",
                      "commit nobody", "commit ide1-cd0")
    like(answers[0], r"Backing file: +\S*base.img \(chain depth: 1\)")
    same(answers[1] + answers[2], "")
    like(answers[3], "'nobody' not found")
    like(answers[4], "no backing file")
    with open(base, "rb") as f, open(data, "rb") as g:
        assert f.read() == g.read()
    subprocess.run([RHEA_IMG, "compare", "-q", top, base], check=True)
    # What -snapshot holds can be kept as well; nothing has been written here.
    same(monitor(["-snapshot", "-drive", f"file={base},format=raw"],
                 "commit all")[0], "")


def drives(work):
    disk = image(work, "disk.img")
    answers = monitor(
        [], f"drive_add 0 if=none,id=x,file={disk},format=raw",
        "info block x", f"drive_add 0 if=none,id=x,file={disk},format=raw",
        "drive_del x", "info block x", "drive_del x",
        f"drive_add 0 if=ide,index=0,file={disk},format=raw",
        "drive_add -n 0 driver=null-co,node-name=n", "info block -n n",
        "drive_del n", "drive_add 0 file=/nowhere/x,if=none",
        "block_set_io_throttle ide1-cd0 0 0 0 50 0 0",
        "info block ide1-cd0", "block_set_io_throttle ide1-cd0 1 1 0 0 0 0")
    same(answers[0], "OK\n")
    like(answers[1], r"x \(#block\d+\): .*disk.img \(raw\)")
    like(answers[2], "Error: duplicate ID 'x'")
    same(answers[3], "")
    same(answers[4], "Device 'x' not found\n")
    like(answers[5], "Error: Device 'x' not found")
    like(answers[6], "if=ide cannot be added while the machine runs")
    same(answers[7], "OK\n")
    like(answers[8], r"n: null-co:// \(null-co\)")
    same(answers[9], "")
    like(answers[10], "Error: could not open '/nowhere/x'")
    same(answers[11], "")
    like(answers[13], "bps-total and bps-read cannot be used")


run_tests([info, media, resize, commit, drives])
