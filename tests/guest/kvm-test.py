#!/usr/bin/env python3
"""A PC under KVM from its firmware on: SeaBIOS and GRUB load a small kernel from
a disk, which says what it finds.

Where a KVM interprets kernels all of this is a hundred times slower than
elsewhere, and little of it goes by without a rescue.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import subprocess
import tempfile

import disk
from guest import Guest, run_tests

ACCEL = os.environ.get("RHEA_KVM_TEST_ACCEL", "kvm")    # what follows -accel

GRUB = """serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry kernel {
    multiboot /kernel word
}
"""

# A multiboot kernel: a word, the last one of its command line, and out.
KERNEL = """
    .set FLAGS, 2
    .balign 4
    .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
    .globl _start
_start:
    mov %ebx, %ebp
    mov $hello, %esi
    call say
    mov 16(%ebp), %esi          # cmdline
    call say
    mov $0x2a, %al
    out %al, $0xf4
1:  hlt
    jmp 1b
say:
    mov $0x3fd, %dx
2:  in %dx, %al
    test $0x20, %al
    jz 2b
    lodsb
    test %al, %al
    jz 3f
    mov $0x3f8, %dx
    out %al, %dx
    jmp say
3:  ret
hello: .asciz "\\r\\nthe kernel is here: "
"""


def make_image(folder):
    source, obj = (os.path.join(folder, n) for n in ("kernel.s", "kernel.o"))
    tree = os.path.join(folder, "tree")
    image = os.path.join(folder, "disk.img")
    os.mkdir(tree)
    with open(source, "w") as f:
        f.write(KERNEL)
    subprocess.run(["as", "--32", "-o", obj, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x100000", "-o",
                    os.path.join(tree, "kernel"), obj], check=True)
    disk.make_disk(image, tree, 16, GRUB, ["multiboot"])
    return image


def boot(interface):
    with tempfile.TemporaryDirectory(prefix="kvm-test-") as folder, \
            Guest("-accel", ACCEL, "-m", "64", "-no-reboot", "-nodefaults",
                  "-drive", f"file={make_image(folder)},format=raw,"
                  f"if={interface}", "-device",
                  "isa-debug-exit,iobase=0xf4,iosize=4") as g:
        g.expect("the kernel is here: ", 300)
        g.expect("word", 10)
        g.wait(30, status=0x2a * 2 + 1)
        return f"after {g.seconds():.1f} s"


def ide():
    return boot("ide")


def virtio():
    return boot("virtio")


if ACCEL == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("1..0 # SKIP /dev/kvm is not there, or may not be used")
else:
    run_tests([ide, virtio])
