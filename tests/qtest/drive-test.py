#!/usr/bin/env python3
"""Command lines about disks, and images, that are wrong: each gets one clear
line that names the option, the value and what would do, and exit status 1.

drive-test.py RHEA RHEA-IMG

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import resource
import struct
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
    ("-drive file={d},file.lcking=off", r"file: unknown parameter 'lcking'"),
    ("-drive file.locking=off", r"parameter 'file.filename' or 'file.driver' "
                                r"is missing"),
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
    ("-device virtio-blk-pci", r"drive property not set: it needs drive="),
    ("-device virtio-blk-pci,drive=nope", r"there is no drive 'nope'"),
    ("-drive file={d},if=virtio -machine none", r"no 'PCI' bus found"),
    ("-drive file={d},if=none,id=x -device virtio-blk-pci,drive=x,iothread=y",
     r"iothread' cannot be 'y': the id of an object of type iothread"),
    ("-drive file={d},if=none,id=x -device virtio-blk-pci,drive=x,scsi=on",
     r"'scsi' cannot be on: SCSI commands are not passed through"),
    ("-drive file={d},if=none,id=x -device virtio-blk-pci,drive=x,"
     "queue-size=100", r"'queue-size' cannot be 100: a power of two from 4"),
    ("-drive file={d},if=none,id=x -device virtio-blk-pci,drive=x,"
     "disable-legacy=on,disable-modern=on", r"leave no interface at all"),
    ("-object iothread", r"parameter 'id' is missing"),
    ("-object iothread,id=a -object iothread,id=a", r"duplicate id 'a'"),
    ("-object iothread,id=a,speed=3", r"'speed'"),
    ("-object iothread,id=a,poll-max-ns=-1", r"'poll-max-ns' cannot be -1"),
    ("-object iothread,id=a,poll-grow=-2", r"'poll-grow' cannot be -2"),
    ("-drive media=disk", r"drive 'ide0-hd0' is empty, and a disk needs an "
                          r"image"),
    ("-drive file={d},format=raw,readonly=on",
     r"-drive if=ide,index=0: '.*' is read-only, and the device writes"),
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
    ("-nodefaults " + " ".join(f"-blockdev driver=null-co,node-name=n{i} "
                               f"-device ide-hd,drive=n{i}" for i in range(5)),
     r"-device ide-hd,drive=n4: .*in use"),
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
    ("-option-rom /nowhere/rom", r"-option-rom .*/nowhere/rom"),
    ("-option-rom {d}", r"option ROM '.*disk.img': its size is not from 512"),
    ("-device virtio-rng-pci,romfile=/nowhere/rom",
     r"romfile=/nowhere/rom: "),
    ("-boot order=q", r"Invalid boot device 'q'"),
    ("-boot once=cc", r"'c' was given twice"),
    ("-boot splash-time=99999", r"'splash-time' expects milliseconds"),
]


# --- images ------------------------------------------------------------------

# What the file's first bytes are, and what is said about it.
FOREIGN = [
    (b"KDMV" + bytes(508), r"is a VMDK image, .*convert it: qemu-img convert "
                           r"-f vmdk"),
    (b"# Disk DescriptorFile\nversion=1\n", r"VMDK image's description"),
    (b"<<< QEMU VM Virtual Disk Image >>>\n".ljust(64, b"\0")
     + b"\x7f\x10\xda\xbe" + bytes(512), r"is a VDI image"),
    (b"vhdxfile" + bytes(504), r"is a VHDX image"),
    (b"conectix" + bytes(504), r"is a VHD image"),
    (b"QFI\xfb\0\0\0\1" + bytes(504), r"is a qcow image of version 1"),
    (b"QED\0" + bytes(508), r"is a QED image"),
    (b"LUKS\xba\xbe\0\2" + bytes(504), r"is encrypted \(LUKS\)"),
    (b"WithoutFreeSpace" + bytes(496), r"is a Parallels image"),
    (b"Bochs Virtual HD Image\0" + bytes(490), r"is a Bochs image"),
    (b"\x1f\x8b\x08" + bytes(509), r"packed by gzip; unpack it first"),
    (b"\xfd7zXZ\0" + bytes(506), r"packed by xz"),
    (b"\x28\xb5\x2f\xfd" + bytes(508), r"packed by zstd"),
]

# Changes to a good qcow2 image of 1 MiB, named by what is written where.
QCOW2 = [
    ("version 9", 4, struct.pack(">I", 9), r"version 9"),
    ("cluster of 2^40", 20, struct.pack(">I", 40), r"cluster"),
    ("cluster of 2^3", 20, struct.pack(">I", 3), r"cluster"),
    ("encryption", 32, struct.pack(">I", 2), r"ncrypt"),
    ("unknown feature", 72, struct.pack(">Q", 1 << 40), r"feature"),
    ("corrupt bit", 72, struct.pack(">Q", 2), r"corrupt"),
    ("L1 table nowhere", 40, struct.pack(">Q", 1 << 60), r"L1"),
    ("L1 table unaligned", 40, struct.pack(">Q", 0x30008), r"L1"),
    ("L1 table of 2^31", 36, struct.pack(">I", 1 << 31), r"L1"),
    ("refcount table nowhere", 48, struct.pack(">Q", 1 << 60),
     r"eference count table"),
    ("refcounts of 2^9 bits", 96, struct.pack(">I", 9), r"eference count"),
    ("header of 8 bytes", 100, struct.pack(">I", 8), r"eader"),
    ("size of 2^63", 24, struct.pack(">Q", 1 << 63), r"large|size|big"),
    ("backing name of 2000", 8, struct.pack(">QI", 0x200, 2000),
     r"acking file name"),
]


def image_mistakes(work, rhea_img):
    """(what, arguments, pattern), with the files made."""
    def path(name, data):
        full = os.path.join(work, name)
        with open(full, "wb") as f:
            f.write(data)
        return full

    for i, (data, pattern) in enumerate(FOREIGN):
        yield (f"foreign {i}", ["-drive", "file=" + path(f"f{i}", data)],
               pattern)
    for name in ("vmdk", "vdi", "vhdx", "vpc", "luks", "qed"):
        yield (f"format={name}", ["-drive", "file=" + path("any", bytes(512))
                                  + f",format={name}"],
               f"images of format '{name}' cannot be read here; convert")

    good = os.path.join(work, "good.qcow2")
    subprocess.run([rhea_img, "create", "-q", "-f", "qcow2", good, "1M"],
                   check=True)
    with open(good, "rb") as f:
        good_bytes = f.read()
    for what, at, data, pattern in QCOW2:
        bad = good_bytes[:at] + data + good_bytes[at + len(data):]
        yield (what, ["-drive", "format=qcow2,file=" + path("bad.qcow2", bad)],
               pattern)
    yield ("truncated header", ["-drive", "format=qcow2,file="
                                + path("cut.qcow2", good_bytes[:50])],
           r"qcow2")
    yield ("empty as qcow2", ["-drive", "format=qcow2,file="
                              + path("empty.qcow2", b"")], r"qcow2")
    yield ("zeroes as qcow2", ["-drive", "format=qcow2,file="
                               + path("zero.qcow2", bytes(4096))],
           r"not in qcow2 format|qcow2")

    for what, backing, pattern in (
            ("missing backing", "/nowhere/base.img", r"/nowhere/base.img"),
            ("backing is a folder", work, r"irectory"),
            ("backing is foreign", path("b.vmdk", FOREIGN[0][0]),
             r"VMDK|vmdk")):
        top = os.path.join(work, "top.qcow2")
        fmt = ["-F", "raw"] if "foreign" not in what else []
        done = subprocess.run([rhea_img, "create", "-q", "-u", "-f", "qcow2",
                               "-b", backing, *fmt, top, "1M"],
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:     # refused even before
            continue
        yield what, ["-drive", f"format=qcow2,file={top}"], pattern

    fifo = os.path.join(work, "fifo")
    os.mkfifo(fifo)
    yield "a FIFO", ["-drive", f"file={fifo},format=raw"], r"neither a regular"
    loop = os.path.join(work, "loop")
    os.symlink(loop, loop)
    yield "a loop of links", ["-hda", loop], r"symbolic links"
    yield ("a name too long", ["-hda", "x" * 300], r"File name too long")
    if os.getuid():
        locked = path("mine", bytes(512))
        os.chmod(locked, 0)
        yield "no permission", ["-hda", locked], r"Permission denied"
    yield ("twice", ["-drive", f"file={good},format=qcow2,index=0", "-drive",
                     f"file={good},format=qcow2,index=1"],
           r"lock|in use")


def check_images(rhea, rhea_img, work, number):
    failed = 0
    for what, args, pattern in image_mistakes(work, rhea_img):
        number += 1
        # One that starts all the same ends by itself, with status 0.
        done = subprocess.run([rhea, "-display", "none", "-accel", "tcg",
                               "-S", "-monitor", "stdio", *args],
                              input="quit\n", text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=300)
        told = [text for text in done.stderr.splitlines()
                if not re.match(r"\S+ (warning|info): ", text)]
        ok = (done.returncode == 1 and len(told) == 1
              and re.search(pattern, told[0]))
        print(f"{'ok' if ok else 'not ok'} {number} - image: {what}",
              flush=True)
        if not ok:
            failed = 1
            print(f"# status {done.returncode}, wanted {pattern!r}")
            for text in told:
                print(f"# {text}")
    return failed, number


def check_descriptors(rhea, work, number):
    """However few there are: one line that says what did not get one."""
    line = []
    for i in range(10):
        image = os.path.join(work, f"few{i}.img")
        with open(image, "wb") as f:
            f.truncate(1 << 20)
        line += [f"-object iothread,id=io{i} -drive if=none,format=raw,"
                 f"id=d{i},file={image} -device virtio-blk-pci,drive=d{i},"
                 f"iothread=io{i},num-queues=4"]
    wrong, seen = 0, set()
    for limit in (5, 7, 8, 20, 40, 50, 60, 70, 80):
        done = run(rhea, " ".join(line), limit)
        told = done.stderr.splitlines()
        what = re.search(r"main loop|disks|iothread '|could not open|APICs|"
                         r"eventfd for queue", done.stderr)
        ok = (done.returncode == 1 and len(told) == 1 and what
              and "Too many open files" in told[0])
        number += 1
        print(f"{'ok' if ok else 'not ok'} {number} - {limit} descriptors",
              flush=True)
        if not ok:
            wrong = 1
            print(f"# status {done.returncode}: {told}")
        seen.add(what and what.group())
    number += 1
    ok = {"iothread '", "eventfd for queue"} <= seen
    print(f"{'ok' if ok else 'not ok'} {number} - devices were named")
    return wrong or not ok, number


def run(rhea, line, descriptors=None):
    def limit():
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (descriptors, descriptors))

    env = dict(os.environ)
    if descriptors:
        # A leak checker needs some as well, and says so.
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return subprocess.run([rhea, "-display", "none", "-accel", "tcg", "-S",
                           "-monitor", "none"] + line.split(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300,
                          env=env, preexec_fn=limit)


def main():
    rhea, rhea_img = sys.argv[1:3]
    failed = 0
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
        wrong, number = check_images(rhea, rhea_img, work, len(MISTAKES))
        few, number = check_descriptors(rhea, work, number)
    print(f"1..{number}")
    return failed or wrong or few


sys.exit(main())
