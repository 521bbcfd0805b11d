#!/usr/bin/env python3
"""Command lines about disks that are wrong: each gets one clear line that
names the option, the value and what would do, and exit status 1.

drive-test.py RHEA

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import subprocess
import sys
import tempfile

# What is typed ({d} is a 1 MiB image, {q} a qcow2 one, {b} one without its
# backing file), and what the message must match.
MISTAKES = [
    ("-hda /nowhere/x.img",
     r"-hda /nowhere/x.img: could not open '/nowhere/x.img': No such file"),
    ("/nowhere/x.img", r"could not open '/nowhere/x.img'"),
    ("-cdrom /nowhere/x.iso", r"-cdrom /nowhere/x.iso: could not open"),
    ("-hda /", r"-hda /: could not open '/': .*irectory"),
    ("-hda /dev/null", r"neither a regular file nor a block device"),
    ("-hda nbd:localhost:1", r"unknown protocol 'nbd'; write './nbd:"),
    ("-drive file={d},format=rwa", r"unknown block driver 'rwa'; did you mean "
                                   r"'raw'\?"),
    ("-drive file={d},format=file", r"unknown block driver 'file'"),
    ("-drive file={d},if=scsi", r"if=scsi: not implemented yet; accepted: ide"),
    ("-drive file={d},if=floppy", r"if=floppy: there is no floppy controller"),
    ("-drive file={d},if=pflash,unit=1", r"flash 1 \(pflash1\) is there and "
                                         r"flash 0"),
    ("-drive file={d},if=pflash,unit=2", r"does not support if=pflash,bus=0,"
                                         r"unit=2"),
    ("-pflash {d} -bios {d}", r"-bios '.*' and a flash chip both have the"),
    ("-machine pflash0=nope", r"'nope'"),
    ("-drive file={d},if=sata", r"'if'.*'sata'"),
    ("-drive file={d},media=dvd", r"'media'.*'dvd'"),
    ("-drive file={d},cache=fast", r"invalid cache option 'fast'; accepted: "
                                   r"none, writeback"),
    ("-drive file={d},aio=fast", r"'aio'.*'fast'"),
    ("-drive file={d},aio=native", r"aio=native .*requires cache.direct=on"),
    ("-drive file={d},discard=maybe", r"'discard'.*'maybe'"),
    ("-drive file={d},detect-zeroes=unmap", r"detect-zeroes=unmap needs "
                                            r"discard=unmap"),
    ("-drive file={d},werror=panic", r"'werror'.*'panic'"),
    ("-drive file={d},rerror=enospc", r"a read cannot run out of space"),
    ("-drive file={d},readonly=on,read-only=on", r"alias 'readonly'"),
    ("-drive file={d},readonly=perhaps", r"'readonly'.*'perhaps'"),
    ("-drive file={d},index=4", r"two IDE buses of two units; index 0 to 3"),
    ("-drive file={d},index=0,bus=0", r"index cannot be used with bus"),
    ("-drive file={d},bus=0,unit=2", r"unit 2 too big \(max is 1\)"),
    ("-drive file={d},index=0 -hda {d}", r"a drive with if=ide, bus=0, unit=0 "
                                         r"\(index=0\) exists"),
    ("-drive file={d},id=x -drive file={d},id=x", r"duplicate ID 'x'"),
    ("-drive file={d},serial=1", r"'serial' is no longer one of -drive; write "
                                 r"-device ide-hd"),
    ("-drive file={d},fromat=raw", r"'fromat'"),
    ("-drive media=disk", r"drive 'ide0-hd0' is empty, and a disk needs an "
                          r"image"),
    ("-drive file={d},format=raw,readonly=on", r"is read-only, and the device "
                                               r"writes"),
    ("-drive file={d},bps=1,bps_rd=1", r"bps-total and bps-read cannot be "
                                       r"used at the same time"),
    ("-drive file={d},throttling.iops=5", r"'iops'; did you mean 'iops-"),
    ("-object throttle-group,id=g,x-iops-total-max=1",
     r"iops-total-max requires iops-total"),
    ("-object throttle-group", r"-object throttle-group: parameter 'id' is "
                               r"missing"),
    ("-blockdev throttle,node-name=n,throttle-group=g,file.driver=null-co",
     r"there is no -object throttle-group,id=g"),
    ("-drive file={d},format=qcow2", r"'.*disk.img': Image is not in qcow2 "
                                     r"format"),
    ("-drive file={q},format=raw,lazy-refcounts=on", r"'lazy-refcounts'"),
    ("-drive file={q},lazy-refcounts=maybe", r"'lazy-refcounts'.*'maybe'"),
    ("-drive file={q},l2-cache-size=big", r"'l2-cache-size'.*'big'"),
    ("-drive file={q},cache-size=1M,l2-cache-size=2M", r"may not exceed "
                                                       r"cache-size"),
    ("-drive file={q},overlap-check=some", r"'overlap-check'.*'some'"),
    ("-drive file={q},lazy_refcounts=on", r"unknown parameter "
                                          r"'lazy_refcounts'"),
    ("-drive file={q},backing=nope", r"there is no node 'nope' for 'backing'"),
    ("-hda {b}", r"Could not open backing file: .*gone.img': No such file"),
    ("-blockdev driver=qcow2,node-name=n,file.driver=file,file.filename={d}",
     r"Image is not in qcow2 format"),
    ("-blockdev driver=qcow2,node-name=n", r"parameter 'file' is missing"),
    ("-blockdev driver=raw,node-name=n", r"parameter 'file' is missing"),
    ("-blockdev driver=null-co", r"'node-name' is missing"),
    ("-blockdev driver=null-co,node-name=1", r"expects an identifier"),
    ("-blockdev driver=file,node-name=n,filename=/nowhere/y",
     r"-blockdev .*: could not open '/nowhere/y'"),
    ("-blockdev driver=null-co,node-name=n -blockdev driver=null-co,"
     "node-name=n", r"duplicate node name 'n'"),
    ("-device ide-hd", r"-device ide-hd: .*needs drive="),
    ("-device ide-hd,drive=nope", r"there is no drive 'nope'"),
    ("-device ide-hd,drive=n,bus=ide.7 -blockdev driver=null-co,node-name=n",
     r"bus 'ide.7' not found"),
    ("-device ide-hd,drive=n,unit=2 -blockdev driver=null-co,node-name=n",
     r"'unit' cannot be 2: 0 or 1"),
    ("-device ide-hd,drive=n,cyls=5 -blockdev driver=null-co,node-name=n",
     r"cyls=5,heads=0,secs=0 is not a geometry"),
    ("-device ide-hd,drive=n,bootindex=1 -device ide-hd,drive=m,bootindex=1 "
     "-blockdev driver=null-co,node-name=n -blockdev driver=null-co,"
     "node-name=m", r"the bootindex 1 is given to two devices"),
    ("-device ide-hd,drive=n -device ide-hd,drive=n "
     "-blockdev driver=null-co,node-name=n",
     r"is in use by device 'ide-hd'"),
    ("-M none -hda {d}", r"machine type 'none' does not support if=ide"),
    ("-boot order=q", r"Invalid boot device 'q'"),
    ("-boot once=cc", r"'c' was given twice"),
    ("-boot splash-time=99999", r"'splash-time' expects milliseconds"),
]


def run(rhea, line):
    return subprocess.run([rhea, "-display", "none", "-accel", "tcg", "-S",
                           "-monitor", "none"] + line.split(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)


def main():
    rhea = sys.argv[1]
    failed = 0
    print(f"1..{len(MISTAKES)}")
    with tempfile.TemporaryDirectory() as work:
        image = os.path.join(work, "disk.img")
        with open(image, "wb") as f:
            f.truncate(1 << 20)
        img = os.path.join(os.path.dirname(rhea), "rhea-img")
        qcow2 = os.path.join(work, "disk.qcow2")
        broken = os.path.join(work, "broken.qcow2")
        subprocess.run([img, "create", "-q", "-f", "qcow2", qcow2, "1M"],
                       check=True)
        subprocess.run([img, "create", "-q", "-u", "-f", "qcow2", "-b",
                        "gone.img", "-F", "raw", broken, "1M"], check=True)
        for i, (line, pattern) in enumerate(MISTAKES, 1):
            line = line.format(d=image, q=qcow2, b=broken)
            done = run(rhea, line)
            told = [text for text in done.stderr.splitlines()
                    if not re.match(r"\S+ (warning|info): ", text)]
            ok = (done.returncode == 1 and len(told) == 1
                  and re.search(pattern, told[0]) and not done.stdout)
            shown = line.replace(work + "/", "")
            print(f"{'ok' if ok else 'not ok'} {i} - {shown}", flush=True)
            if not ok:
                failed = 1
                print(f"# status {done.returncode}, wanted {pattern!r}")
                for text in told:
                    print(f"# {text}")
    return failed


sys.exit(main())
