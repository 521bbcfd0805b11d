#!/usr/bin/env python3
"""Other kernels than Debian's amd64: memtest86+, Xen with Linux as its first
domain, GNU Mach with a task of ours, Linux for i386 with and without PAE.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import functools
import hashlib
import os
import re
import subprocess
import sys
import tempfile

from guest import Guest, find, initramfs, linux_words, package, run_tests

TMP = tempfile.TemporaryDirectory(prefix="kernels-test-")
MEMTEST_LAST = 10               # the bit fade: minutes of sleep


def guest(jit, *args):
    return Guest("-accel", f"tcg,jit={jit}", "-cpu", "max", "-no-reboot",
                 *args)


# --- memtest86+ ------------------------------------------------------------------

def memtest(kind, jit, n_cpus):
    image = find(package("memtest86+"), rf"/memtest86\+{kind}\.bin$")
    return guest(jit, "-m", "16", "-smp", str(n_cpus), "-kernel", image,
                 "-append", "console=ttyS0,115200")


def memtest_errors(g):
    """Its screen says "Errors: N" again and again."""
    bad = [n for n in re.findall(r"Errors: +(\d+)", g.text) if n != "0"]
    if bad:
        g.fail(f"memtest found {bad[-1]} errors")


def memtest_begins(kind, jit, n_cpus):
    """Each of its tests but the last, on all of memory."""
    with memtest(kind, jit, n_cpus) as g:
        g.expect(r"#\d+ +\[", 60)
        g.expect(rf"#{MEMTEST_LAST} +\[", 200)
        memtest_errors(g)
        return f"ten tests after {g.seconds():.1f} s"


def memtest_pass(kind, jit, n_cpus):
    with memtest(kind, jit, n_cpus) as g:
        g.expect("Pass: +1 ", 1700)
        memtest_errors(g)
        return f"a pass after {g.seconds():.0f} s"


# --- Linux, twice: below Xen, and for i386 ---------------------------------------

INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
echo "at init: $(nproc) processors, $(uname -m), $(uname -v)"
echo "hypervisor: $(cat /sys/hypervisor/type)"
echo "flags: $(grep -m 1 ^flags /proc/cpuinfo)"
echo "sum: $(seq 1 20000 | sha1sum)"
dmesg | grep -E 'WARNING:|BUG:' | sed 's/^/complaint: /'
poweroff -f
"""


SUM = hashlib.sha1("".join(f"{i}\n" for i in range(1, 20001)).encode())


def linux_checks(g, machine, n_cpus):
    g.expect(rf"at init: {n_cpus} processors, {machine},", 400)
    g.expect(f"sum: {SUM.hexdigest()}", 60)
    if "complaint:" in g.text:
        g.fail("the kernel complained")


def xen(jit, n_cpus):
    """The hypervisor by multiboot; Linux, its first domain, is a module."""
    hypervisor = find(package("xen-hypervisor-4.17-amd64"),
                      r"/boot/xen-[\d.]+-amd64\.gz$")
    linux = find(package("linux-image-amd64"), r"/boot/vmlinuz-")
    rd = initramfs("kernels-test", INIT)
    try:
        with guest(jit, "-m", "768", "-smp", str(n_cpus),
                   "-kernel", hypervisor, "-append",
                   "console=com1 com1=115200 loglvl=all noreboot",
                   "-initrd", f"{linux} console=hvc0,{rd}") as g:
            g.expect(r"\(XEN\) Xen version 4", 60)
            g.expect(rf"\(XEN\) Brought up {n_cpus} CPUs", 120)
            g.expect("Linux version 6", 120)
            linux_checks(g, "x86_64", n_cpus)
            if "hypervisor: xen" not in g.text:
                g.fail("Linux does not run below Xen")
            g.expect(r"\(XEN\) Entering ACPI S5 state", 120)
            g.wait(60)
            return f"powered off after {g.seconds():.1f} s"
    finally:
        os.unlink(rd)


def i386(flavour, jit, n_cpus):
    kernel = find(package(f"linux-image-{flavour}:i386"), r"/boot/vmlinuz-")
    busybox = find(package("busybox-static:i386"), r"/bin/busybox$")
    rd = initramfs("kernels-test-i386", INIT, busybox)
    try:
        # The self-tests of its ciphers are most of the time to /init.
        with guest(jit, "-m", "256", "-smp", str(n_cpus), "-kernel", kernel,
                   "-initrd", rd, "-append",
                   "console=ttyS0 panic=-1 cryptomgr.notests "
                   + linux_words()) as g:
            linux_checks(g, "i686", n_cpus)
            g.wait(60)
            return f"powered off after {g.seconds():.1f} s"
    finally:
        os.unlink(rd)


def real_time(jit, n_cpus):
    """Linux with PREEMPT_RT: threads for interrupts, locks that sleep."""
    kernel = find(package("linux-image-rt-amd64"), r"/boot/vmlinuz-")
    rd = initramfs("kernels-test-rt", INIT)
    try:
        with guest(jit, "-m", "512", "-smp", str(n_cpus), "-kernel", kernel,
                   "-initrd", rd, "-append",
                   "console=ttyS0 panic=-1 cryptomgr.notests "
                   + linux_words()) as g:
            g.expect("PREEMPT_RT", 300)
            linux_checks(g, "x86_64", n_cpus)
            g.wait(60)
            return f"powered off after {g.seconds():.1f} s"
    finally:
        os.unlink(rd)


# --- GNU Mach ------------------------------------------------------------------------

# mach_print() by the call gate, then a fault that nobody handles.
TASK = """
    .globl _start
_start:
    mov $3, %ebx
1:  push $msg
    push $0
    mov $-30, %eax
    lcall $7, $0
    add $8, %esp
    dec %ebx
    jnz 1b
2:  jmp 2b
msg: .asciz "a task says hello\\n"
"""


def gnumach(jit):
    """A 32-bit microkernel: segments, call gates, a task in user mode."""
    kernel = find(package("gnumach-image-1-486:i386"), r"/boot/gnumach.*\.gz$")
    source = os.path.join(TMP.name, "task.S")
    task = os.path.join(TMP.name, "task")
    with open(source, "w") as f:
        f.write(TASK)
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie",
                    "-Wl,-z,noexecstack", "-o", task, source], check=True)
    with guest(jit, "-m", "128", "-kernel", kernel, "-append", "console=com0",
               "-initrd",
               f"{task} task $(task-create) $(task-resume)") as g:
        g.expect("GNU Mach 1.8", 60)
        g.expect("1 multiboot modules", 60)
        for _ in range(3):
            g.expect("a task says hello\r*\n", 30)
        return f"the task ran after {g.seconds():.1f} s"


QUICK = {
    "memtest": functools.partial(memtest_begins, "x64", "on", 2),
    "xen": functools.partial(xen, "on", 2),
    "gnumach": functools.partial(gnumach, "on"),
    "i386_pae": functools.partial(i386, "686-pae", "on", 2),
    "i386_no_pae": functools.partial(i386, "686", "on", 1),
}
SLOW = {
    "gnumach_interpreted": functools.partial(gnumach, "off"),
    "xen_interpreted": functools.partial(xen, "off", 1),
}
for jit in ("off", "on"):
    SLOW[f"real_time_{jit}"] = functools.partial(real_time, jit, 2)
    for kind in ("ia32", "x64"):
        SLOW[f"memtest_pass_{kind}_{jit}"] = functools.partial(
            memtest_pass, kind, jit, 2 if kind == "x64" else 1)
    for n in (1, 2, 4):
        for flavour in ("686", "686-pae"):
            SLOW[f"i386_{flavour}_{n}_{jit}"] = functools.partial(
                i386, flavour, jit, n)

if __name__ == "__main__":
    cases = {**QUICK, **SLOW}
    for name, case in cases.items():
        case.__name__ = name
    wanted = sys.argv[1:]
    if wanted == ["slow"]:
        sys.argv[1:] = list(SLOW)
    run_tests(list(cases.values()))
