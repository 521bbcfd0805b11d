#!/usr/bin/env python3
"""-fw_cfg: what a guest reads of it, by ports and by DMA, and what is refused.

fw-cfg-test.py RHEA

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import struct
import subprocess
import sys

from monitor import monitor, run_tests

RHEA = os.path.abspath(sys.argv[1])
SELECTOR, DATA, DMA_HIGH, DMA_LOW = 0x510, 0x511, 0x514, 0x518
DIRECTORY = 0x19
DESCRIPTOR, BUFFER = 0x100100, 0x110000     # guest physical
SELECT_AND_READ = 0x0a
NAME_BYTES = 56


def same(what, got, want):
    assert got == want, f"{what}: {got!r}, not {want!r}"


def fw_cfg_args(*options):
    return [word for option in options for word in ("-fw_cfg", option)]


def port_bytes(answers):
    return bytes(int(re.search(r"= 0x([0-9a-f]+)", a)[1], 16) for a in answers)


def read_item(args, key, n, before=()):
    lines = [*before, f"o/h {SELECTOR:#x} {key:#x}"]
    answers = monitor(RHEA, args, *lines, *[f"i/b {DATA:#x}"] * n)
    return port_bytes(answers[len(lines):])


def directory(args):
    """Size and key by name, in the order of the directory."""
    n = struct.unpack(">I", read_item(args, DIRECTORY, 4))[0]
    raw = read_item(args, DIRECTORY, 4 + 64 * n)
    files = {}
    for i in range(n):
        size, key, _, name = struct.unpack_from(">IHH56s", raw, 4 + 64 * i)
        files[name.rstrip(b"\0").decode()] = size, key
    assert list(files) == sorted(files), f"not sorted: {list(files)}"
    assert len(files) == n, "a name twice"
    return files


# --- what a guest reads --------------------------------------------------

def by_ports(work):
    path = os.path.join(work, "blob")
    blob = bytes(range(256)) + b"\0\0"
    with open(path, "wb") as f:
        f.write(blob)
    open(os.path.join(work, "empty"), "w").close()
    longest = "opt/" + "n" * (NAME_BYTES - 1 - 4)
    args = fw_cfg_args("name=opt/text,string=one two", f"opt/blob,file={path}",
                       "name=opt/none,string=", f"{longest},string=long",
                       f"name=opt/empty,file={work}/empty",
                       "name=opt/commas,string=a,,b")
    files = directory(args)
    for name, want in [("opt/text", b"one two"), ("opt/blob", blob),
                       ("opt/none", b""), ("opt/empty", b""),
                       ("opt/commas", b"a,b"), (longest, b"long")]:
        size, key = files[name]
        same(f"size of {name}", size, len(want))
        same(name, read_item(args, key, size + 2), want + b"\0\0")
    key = files["opt/text"][1]
    same("after a reset", read_item(args, key, 3, ["system_reset"]), b"one")


def multiboot_kernel(path, descriptor):
    """A file that lies at 1 MiB when the machine has been made: with
    `descriptor` at DESCRIPTOR."""
    start, flags = 0x100000, 0x10000        # the header says what goes where
    header = struct.pack("<8I", 0x1badb002, flags,
                         -(0x1badb002 + flags) & 0xffffffff, start, start,
                         start + 4096, 0, start)
    body = header.ljust(DESCRIPTOR - start, b"\0") + descriptor
    with open(path, "wb") as f:
        f.write(body.ljust(4096, b"\0"))


def dma(work, args, key, n, gpa=BUFFER):
    """The descriptor's first word after the transfer, and what came."""
    kernel = os.path.join(work, "kernel")
    multiboot_kernel(kernel, struct.pack(">IIQ", key << 16 | SELECT_AND_READ,
                                         n, gpa))
    low = struct.unpack("<I", struct.pack(">I", DESCRIPTOR))[0]
    answers = monitor(RHEA, args + ["-kernel", kernel],
                      f"o/w {DMA_HIGH:#x} 0", f"o/w {DMA_LOW:#x} {low:#x}",
                      f"xp/1wx {DESCRIPTOR:#x}", f"xp/{n}bx {BUFFER:#x}")
    words = [re.findall(r"0x([0-9a-f]+)", re.sub(r"(?m)^[0-9a-f]+:", "", a))
             for a in answers[2:]]
    control = struct.unpack(">I", struct.pack("<I", int(words[0][0], 16)))[0]
    return control, bytes(int(byte, 16) for byte in words[1])


def by_dma(work):
    path = os.path.join(work, "blob")
    blob = bytes(i * 7 + i // 256 & 255 for i in range(5000))
    with open(path, "wb") as f:
        f.write(blob)
    args = fw_cfg_args(f"name=opt/blob,file={path}")
    key = directory(args)["opt/blob"][1]
    same("read", dma(work, args, key, len(blob)), (0, blob))
    same("behind the end", dma(work, args, key, len(blob) + 8),
         (0, blob + bytes(8)))
    control, got = dma(work, args, key, 16, gpa=0xfeb00000)
    same("not RAM", (control, got), (1, bytes(16)))


# --- what is refused -----------------------------------------------------

def run(options):
    return subprocess.run(
        [RHEA, "-display", "none", "-accel", "tcg", "-S", "-monitor", "stdio"]
        + fw_cfg_args(*options), input="quit\n", stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=60, check=False)


def refused(work):
    long_name = "opt/" + "n" * (NAME_BYTES - 4)
    for options, words in [
            (["opt/a"], "either file= or string="),
            (["string=a"], "needs name="),
            (["name=,string=a"], "needs name="),
            (["opt/a,string=a,file=b"], "either file= or string="),
            ([f"name={long_name},string=a"], "at most 55 characters"),
            ([f"opt/a,file={work}"], "directory"),
            ([f"opt/a,file={work}/absent"], f"{work}/absent"),
            (["opt/a,file="], "No such file"),
            (["opt/a,strng=a"], "strng"),
            (["opt/a,string=a", "opt/a,string=b"],
             "opt/a: there is a file of that name already"),
            (["name=etc/e820,string=a"], "etc/e820"),
            ([f"opt/{i},string=a" for i in range(33)], "x-file-slots")]:
        ended = run(options)
        errors = [line for line in ended.stderr.splitlines()
                  if "warning:" not in line]
        same(f"{options}: status", ended.returncode, 1)
        assert len(errors) == 1 and words in errors[0], \
            f"{options}: {ended.stderr!r} does not say {words!r}"


def warned(work):
    for name, warns in [("opt/a", False), ("org.example/a", True),
                        ("opta", True)]:
        ended = run([f"name={name},string=a"])
        same(f"{name}: status", ended.returncode, 0)
        want = (f"rhea: warning: -fw_cfg name={name}: names of one's own "
                f"begin with 'opt/'\n" if warns else "")
        same(name, ended.stderr, want)


run_tests([by_ports, by_dma, refused, warned])
