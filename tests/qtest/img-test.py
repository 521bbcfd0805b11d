#!/usr/bin/env python3
"""rhea-img beside qemu-img: the same commands in two folders, the same output
and the same exit status; and commands that are wrong, each with one clear line.

img-test.py RHEA-IMG

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

# Made by Python, so that no other tool is needed: runs of (offset, bytes, byte).
DATA = {
    "raw.img": (4 << 20, [(64 << 10, 128 << 10, 1), (3 << 20, 4096, 2)]),
    "other.img": (4 << 20, [(64 << 10, 128 << 10, 1), (3 << 20, 4096, 3)]),
    "long.img": (5 << 20, [(64 << 10, 128 << 10, 1), (3 << 20, 4096, 2)]),
    "odd.img": (1000000, [(999000, 1000, 7), (0, 10, 9)]),
}

# What both are to do alike, in order, one folder for all.  "~" before a line:
# the complaint is in words of our own.
SAME = """
create -f qcow2 a 10M
create a.raw 10M
create -q -f qcow2 a2 10M
create -f qcow2 -o cluster_size=4k,lazy_refcounts=on,preallocation=metadata a3 1000k
create -f qcow2 -o compat=0.10 a4 1M
create -f qcow2 -o refcount_bits=1,compression_type=zstd a5 1M
create -f qcow2 -o preallocation=falloc a6 1M
create -f qcow2 -o preallocation=full,cluster_size=2M a7 1M
create -f qcow2 -b a2 -F qcow2 b1
create -f qcow2 -b a2 -F qcow2 b3 20M
create -f qcow2 -u -b nosuch -F qcow2 b2 10M
create -f qcow2 -o size=2M x
create -f qcow2 x 1000
create -f raw -o preallocation=full xr 1M
create -f qcow2 -o cluster_size=512 x 100M
create -f qcow2 -o cluster_size=512,refcount_bits=64 x9 3G
~create -f qcow2 -b a2 b9
~create -f qcow2 -b nosuch -F qcow2 b9
~create -f qcow2 -b a2 -F foo b9 20M
create -f qcow2 -o foo=bar x 1M
create -f qcow2 -o cluster_size=100 x 1M
create -f qcow2 -o refcount_bits=3 x 1M
create -f qcow2 -o compat=0.10,lazy_refcounts=on x 1M
~create -f qcow2 -o compat=9 x 1M
~create -f qcow2 -o preallocation=foo x 1M
~create -f qcow2 x 1Q
create -f qcow2 x 1M 2M
create -f qcow2 x-new
create -f qcow2
create -f foo x 1M
create -f qcow2 /nodir/x 1M
create -f raw -b a2 xr 1M
create -f qcow2 -o cluster_size=512 x 1T
info a
info a2
info a3
info a4
info a5
info b1
info --output=json b1
info --backing-chain b1
info --backing-chain --output=json b3
info b2
~info nosuch
info
info --output=foo a
~info -f foo a
check a
check a3
check a4
check a5
check a6
check a7
check x9
check --output=json a3
check raw.img
check -r foo a
convert -O qcow2 raw.img q
check q
map q
map --output=json q
compare raw.img q
compare -f raw -F qcow2 raw.img q
compare -s q q
compare q other.img
compare -q q other.img
compare q long.img
compare long.img q
compare -s q long.img
~compare q nosuch
compare q
compare -F foo q q
compare odd.img odd.img
convert -c -O qcow2 raw.img z
compare raw.img z
check z
map --output=json z
map z
convert -c -O qcow2 -o compression_type=zstd,cluster_size=4k raw.img zs
compare raw.img zs
convert -O qcow2 odd.img oq
compare odd.img oq
convert -O raw oq o.raw
compare -f raw -F raw odd.img o.raw
convert -f qcow2 -O raw z z.raw
compare -f raw -F raw z.raw raw.img
convert -O qcow2 raw.img odd.img both
info both
convert -c -O qcow2 raw.img odd.img both.z
compare both both.z
convert -S 0 -O qcow2 raw.img full
check full
compare full raw.img
convert -W -m 16 -O qcow2 raw.img w
convert -r 100M -O qcow2 raw.img rated
compare raw.img rated
convert -r 0 -c -O qcow2 raw.img rated
compare raw.img rated
compare w raw.img
create -q -f qcow2 -b q -F qcow2 over
convert -n -O qcow2 other.img over
compare over other.img
info over
commit over
compare q other.img
check over
check q
info over
commit -q over
create -q -f qcow2 -b q -F qcow2 l1
create -q -f qcow2 -b l1 -F qcow2 l2
convert -n -O qcow2 raw.img l2
map --output=json l2
commit -b q l2
compare q raw.img
commit -d l1
commit q
commit -b nosuch l2
rebase -u -b nosuch -F raw l1
info l1
rebase -u -b q -F qcow2 l1
rebase -b over -F qcow2 l1
compare l1 q
~rebase -b nosuch l1
rebase -b "" l1
info l1
compare l1 q
~rebase -b q raw.img
rebase l1
resize a2 20M
resize a2 +1M
resize a2 -1M
resize --shrink a2 -1M
info a2
resize -f raw xr 2M
resize -q a2 21M
resize a2 21M
resize --preallocation=metadata a2 22M
check a2
resize --preallocation=foo a2 22M
resize --preallocation=full a2 23M
check a2
~resize a2
~resize a2 foo
~resize nosuch 1M
resize --shrink q 1M
check q
info q
resize q 4M
check q
snapshot -l q
snapshot -c one q
snapshot -c two q
snapshot -l q
info --output=json q
convert -n -O qcow2 other.img q
snapshot -a one q
check q
convert -l two -O raw q two.raw
compare -f raw two.raw q
snapshot -d 2 q
snapshot -d one q
snapshot -l q
check q
snapshot -a nosuch q
snapshot -d nosuch q
snapshot -l raw.img
snapshot -c x -l q
~snapshot -c x nosuch
measure -O qcow2 z
measure -O qcow2 raw.img
measure -O qcow2 over
measure -O raw z
measure --output=json -O raw --size 10M
measure --output=json -O qcow2 z
measure --size 10M -O qcow2
measure --size 1T -O qcow2 -o cluster_size=4k
measure -O qcow2 -o cluster_size=4k,preallocation=full --size 1G
measure -O qcow2 -o refcount_bits=1,cluster_size=512 --size 3G
measure
measure -O foo z
measure -O qcow2 --size 1G z
convert -O foo raw.img x
convert -c -O raw raw.img x
~convert -n -O raw raw.img nosuch
convert -S 5 raw.img x
convert -m 17 raw.img x
convert -m 0 raw.img x
convert -B q -O qcow2 raw.img x
convert raw.img
~convert nosuch x
convert -l nosuch -O qcow2 q x
convert -o foo=1 -O qcow2 raw.img x
convert -t foo raw.img x
convert -T foo raw.img x
~convert -f foo raw.img x
convert -n -O qcow2 long.img q
dd if=q of=d.raw bs=1M count=2
info d.raw
dd if=q of=d.raw -O raw bs=1M skip=1
info d.raw
dd -O qcow2 if=raw.img of=d.q bs=3000
compare d.q raw.img
dd if=q
~dd if=q of=x bs=0
map --output=json -s 1M -l 1M z
map --start-offset=64k --max-length=4k --output=json z
map over
create -q -f qcow2 -b raw.img -F raw am
convert -n -O qcow2 other.img am
amend -o compat=0.10 am
info am
check am
compare am other.img
amend -o lazy_refcounts=on am
amend -o compat=1.1,lazy_refcounts=on am
info am
check am
compare am other.img
amend -o size=8M am
info am
amend -o lazy_refcounts=off am
check am
amend am
amend -o foo=1 am
~amend -o cluster_size=4k am
~amend -f raw -o size=1M raw.img
create -q -f qcow2 az 4M
convert -n -O qcow2 raw.img az
amend -o compat=v2 az
check az
compare az raw.img
info az
bench -c 200 -d 8 -f raw other.img
bench -c 200 -d 3 -w --pattern=7 -s 512 -S 1000 -f raw other.img
compare other.img raw.img
bench -c 20 -d 4 -w --pattern=0x41 --flush-interval=5 -o 64k am
bench -c 20 -d 4 -w --no-drain --flush-interval=8 -s 64k am
bench -c 10 -d 1 -w -t writethrough am
bench -c 10 -i native -t none -q -U am
check am
compare am other.img
bench -c 0 raw.img
bench -c 3 -s 0 raw.img
~bench -c 3 -s 1G raw.img
bench -c 3 --flush-interval=1 raw.img
bench -c 3 -w --flush-interval=1 raw.img
bench -i foo raw.img
bench -c x raw.img
bench -d x raw.img
~bench -o x raw.img
bench -s 3G raw.img
bench --pattern=256 -w raw.img
~bench -t foo raw.img
bench
~bench nosuch
create -f qcow2 bm 10M
bitmap --add bm a
bitmap --add bm a
bitmap --add -g 1000 bm b
bitmap --add -g 128k bm b
bitmap --disable bm b
info bm
info --output=json bm
check bm
bitmap --add --disable bm c
bitmap --clear bm c
bitmap --clear bm nope
bitmap --remove bm nope
bitmap --remove bm c
bitmap --merge a bm b
bitmap --merge zz bm b
bitmap bm b
bitmap --add bm
bitmap --add --remove bm x
~bitmap --add -f raw raw.img a
bitmap --add -b bm bm g
bitmap -F qcow2 --merge a bm a
bitmap -g 64k --clear bm a
~bitmap --add -g 4G bm a4
~bitmap --add -g x bm a4
bitmap --add -g 512 bm fine
bitmap --add -g 2G bm coarse
create -f qcow2 -o cluster_size=512 bm5 20M
bitmap --add bm5 s
bitmap --merge s -b bm5 -F qcow2 bm a
create -f qcow2 -o cluster_size=2M bm2 10M
bitmap --add bm2 s
info bm2
bitmap --merge s -b bm2 -F qcow2 bm a
bitmap --merge s -b raw.img -F raw bm a
create -f qcow2 -o compat=0.10 bmv2 10M
~bitmap --add bmv2 s
check bm
check bm5
bitmap --remove bm2 s
info bm2
check bm2
foo
""".strip().splitlines()

# Ours alone: what must match the one line.
MISTAKES = [
    ("create -f qcow2 -o extended_l2=on x 1M", r"extended_l2=on: not support"),
    ("create -f qcow2 -o compat=9 x 1M", r"'9' for 'compat'; accepted: 0.10"),
    ("create -f qcow2 -b raw.img x 1M", r"without backing format \(write -F"),
    ("create -f qcow2 -o preallocation=foo x 1M", r"'preallocation'.*'foo'"),
    ("resize raw.img 3Q", r"'size' expects .* not '3Q'"),
    ("info nosuch", r"Could not open 'nosuch': .*No such file"),
    ("info -f rwa raw.img", r"Unknown driver 'rwa'"),
    ("bench -d 0 raw.img", r"Invalid queue depth"),
    ("bench -s 3 -S x raw.img", r"Invalid step_size specified"),
    ("convert -r x raw.img x", r"Invalid rate limit specified!"),
    ("convert -r 8000P raw.img x", r"8000P bytes a second are more than"),
    ("commit -r x raw.img", r"Invalid rate limit specified!"),
    ("convert --bitmaps raw.img x", r"--bitmaps: bitmaps are not copied"),
    ("info --image-opts driver=qcow2,file.filename=raw.img",
     r"'driver' is missing"),
    ("check --image-opts driver=qcow2,file.driver=file,file.filename=raw.img",
     r"'raw.img': Image is not in qcow2 format"),
    ("info --object secret,id=x raw.img", r"no objects are supported"),
]


def make_data(folder):
    for name, (size, runs) in DATA.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.truncate(size)
            for at, n, byte in runs:
                f.seek(at)
                f.write(bytes([byte]) * n)


def run(tool, line, folder):
    words = [word.replace('""', "") for word in line.split()]
    return subprocess.run([tool] + words, cwd=folder, text=True, timeout=300,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


# Sizes on the host depend on how files were written; dates on the day.
BLANK = [
    (r"Run completed in [0-9.]+ s", "Run completed in X s"),
    (r"disk size: .*", "disk size: X"),
    (r'"actual-size": \d+', '"actual-size": X'),
    (r'"date-n?sec": \d+', '"date": X'),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
    (r"(rhea|qemu)-img", "IMG"),
    (r"Image end offset: \d+", "Image end offset: X"),
    (r'"image-end-offset": \d+', '"image-end-offset": X'),
    (r"[0-9.]+% fragmented", "X% fragmented"),
    (r'"offset": \d+', '"offset": X'),
    (r"(0x[0-9a-f]+ +0x[0-9a-f]+ +)0x[0-9a-f]+", r"\1X"),
    (r'    "fragmented-clusters": \d+,\n', ''),
]


def blank(text):
    for pattern, with_ in BLANK:
        text = re.sub(pattern, with_, text)
    return text


def beside(ours, theirs, line, folders):
    words_differ = line.startswith("~")
    line = line.lstrip("~")
    a = run(ours, line, folders[0])
    b = run(theirs, line, folders[1])
    if a.returncode != b.returncode:
        return f"status {a.returncode}, wanted {b.returncode}: {a.stderr}"
    if blank(a.stdout) != blank(b.stdout):
        return f"said\n{a.stdout}\nwanted\n{b.stdout}"
    if words_differ:
        return "" if a.stderr else "no word of complaint"
    if blank(a.stderr) != blank(b.stderr):
        return f"complained\n{a.stderr}\nwanted\n{b.stderr}"
    return ""


def mistake(ours, line, pattern, folder):
    done = run(ours, line, folder)
    told = done.stderr.splitlines()
    if done.returncode != 1 or len(told) != 1 \
            or not re.search(pattern, told[0]):
        return f"status {done.returncode}, wanted {pattern!r}: {told!r}"
    return ""


# In the header's extension, or in the entry of the directory: where, how many
# bytes, what.  L1: the place of the L1 table.
BITMAP_DAMAGES = [
    ("extension", 0, 4, 0), ("extension", 0, 4, 2), ("extension", 0, 4, 70000),
    ("extension", 8, 8, 1 << 27), ("extension", 8, 8, 20),
    ("extension", 16, 8, "L1"), ("extension", 16, 8, 1 << 40),
    ("extension", 16, 8, 513),
    ("entry", 0, 8, "L1"), ("entry", 0, 8, 0), ("entry", 0, 8, 513),
    ("entry", 0, 8, 1 << 40), ("entry", 8, 4, 1 << 30), ("entry", 8, 4, 0),
    ("entry", 12, 4, 1 << 7), ("entry", 16, 1, 2), ("entry", 17, 1, 5),
    ("entry", 17, 1, 40), ("entry", 18, 2, 2000), ("entry", 18, 2, 0),
    ("entry", 20, 4, 0xffffffff),
]


def damaged_bitmaps(ours, folder):
    """Each is refused in one line, and the image stays as it was."""
    path = os.path.join(folder, "damaged")
    for line in "create -f qcow2 damaged 10M", "bitmap --add damaged a":
        run(ours, line, folder)
    with open(path, "rb") as f:
        good = f.read()
    extension = bitmaps_extension(good)
    places = {"extension": extension,
              "entry": struct.unpack_from(">Q", good, extension + 16)[0]}
    for damage in BITMAP_DAMAGES:
        where, at, size, what = damage
        bad = bytearray(good)
        value = (good[40:48] if what == "L1"
                 else what.to_bytes(size, "big"))
        bad[places[where] + at:places[where] + at + size] = value
        with open(path, "wb") as f:
            f.write(bad)
        done = run(ours, "bitmap --clear damaged a", folder)
        with open(path, "rb") as f:
            after = f.read()
        if (done.returncode != 1 or len(done.stderr.splitlines()) != 1
                or after != bad):
            return f"{damage}: status {done.returncode}: {done.stderr!r}"
    return ""


def limited(ours, folder):
    """Six MiB at four a second, of which the first two need not wait."""
    with open(os.path.join(folder, "six.img"), "wb") as f:
        f.write(b"6" * (6 << 20))
    start = time.monotonic()
    done = run(ours, "convert -r 4M six.img six.copy", folder)
    took = time.monotonic() - start
    if done.returncode or took < 0.5:
        return f"status {done.returncode} after {took:.2f} s: {done.stderr}"
    return run(ours, "compare six.img six.copy", folder).stderr


def bitmaps_extension(image):
    """Where the header's word about bitmaps is, or None."""
    at = struct.unpack_from(">I", image, 100)[0]
    while True:
        kind, size = struct.unpack_from(">II", image, at)
        if kind == 0x23852875:
            return at + 8
        if not kind:
            return None
        at += 8 + (size + 7 & ~7)


def bits_of(path):
    """What each of an image's bitmaps holds, by name."""
    with open(path, "rb") as f:
        image = f.read()
    cluster = 1 << struct.unpack_from(">I", image, 20)[0]
    at, found = bitmaps_extension(image), {}
    if at is None:
        return found
    count, _, _, entry = struct.unpack_from(">IIQQ", image, at)
    for _ in range(count):
        table, n, flags, _, granularity, name, extra = struct.unpack_from(
            ">QIIBBHI", image, entry)
        data = b""
        for place in struct.unpack_from(f">{n}Q", image, table):
            start = place & 0xfffffffffffe00
            data += (image[start:start + cluster] if start
                     else (b"\xff" if place & 1 else b"\0") * cluster)
        start = entry + 24 + extra
        found[image[start:start + name]] = flags, granularity, data
        entry = start + name + 7 & ~7
    return found


BITMAPS = """
--merge fine image fine2
--merge fine image coarse
--merge coarse image fine2
--merge coarse image middle
--clear image fine
--merge full image fine
--remove image middle
--disable image coarse
--merge off -b other -F qcow2 image coarse
""".strip().splitlines()


def bitmaps(ours, theirs, folders):
    """Bits that qemu-img set, moved by both."""
    for cluster in 512, 65536:
        for line in [f"create -f qcow2 -o cluster_size={cluster} image 40M",
                     f"create -f qcow2 -o cluster_size={cluster} other 40M",
                     "bitmap --add -g 512 image fine",
                     "bitmap --add -g 1k image fine2",
                     "bitmap --add -g 64k image middle",
                     "bitmap --add -g 1M image coarse",
                     "bitmap --add -g 4k other off",
                     "bench -c 9 -d 1 -w -s 512 -o 3k -S 700k image",
                     "bench -c 5 -d 1 -w -s 64k -o 9M -S 6M other",
                     "bitmap --disable image fine",
                     "bitmap --disable image coarse",
                     "bitmap --add -g 2M image full",
                     "bench -c 10 -d 1 -w -s 4M image"]:
            done = run(theirs, line, folders[1])
            if done.returncode:
                return f"{line}: {done.stderr}"
        for name in "image", "other":
            shutil.copy(os.path.join(folders[1], name), folders[0])
        if not any(any(data) for _, _, data in
                   bits_of(os.path.join(folders[0], "image")).values()):
            return "no bit is set"
        for line in BITMAPS:
            trouble = beside(ours, theirs, "bitmap " + line, folders)
            a, b = (bits_of(os.path.join(f, "image")) for f in folders)
            if trouble or a != b:
                return f"{cluster}: {line}: {trouble or 'other bits'}"
            done = run(theirs, "check image", folders[0])
            if done.returncode:
                return f"{cluster}: {line}: {done.stdout}"
    return ""


def report(number, name, trouble):
    print(f"{'not ok' if trouble else 'ok'} {number} - {name}", flush=True)
    for text in trouble.splitlines():
        print(f"# {text}")
    return bool(trouble)


def has_zstd(ours):
    with tempfile.TemporaryDirectory() as work:
        return run(ours, "create -f qcow2 -o compression_type=zstd x 1M",
                   work).returncode == 0


def main():
    ours = os.path.abspath(sys.argv[1])
    theirs = shutil.which("qemu-img")
    same = SAME if theirs else []
    if not has_zstd(ours):
        same = [line for line in same
                if not re.search(r"zstd|\b(a5|zs)\b", line)]
    failed = 0
    number = 0
    print(f"1..{len(same) + len(MISTAKES) + 3}")
    with tempfile.TemporaryDirectory() as work:
        folders = [os.path.join(work, name) for name in ("ours", "theirs")]
        for folder in folders:
            os.mkdir(folder)
            make_data(folder)
        for line in same:
            number += 1
            failed |= report(number, line.lstrip("~"),
                             beside(ours, theirs, line, folders))
        if not theirs:
            number += 1
            print(f"ok {number} - beside qemu-img # SKIP qemu-img is missing")
        else:
            number += 1
            failed |= report(number, "bits of bitmaps",
                             bitmaps(ours, theirs, folders))
        for line, pattern in MISTAKES:
            number += 1
            failed |= report(number, line, mistake(ours, line, pattern,
                                                   folders[0]))
        failed |= report(number + 1, "a rate limit",
                         limited(ours, folders[0]))
        failed |= report(number + 2, "damaged bitmaps",
                         damaged_bitmaps(ours, folders[0]))
    return failed


sys.exit(main())
