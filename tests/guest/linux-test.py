#!/usr/bin/env python3
"""Debian's cloud kernel with a busybox initramfs: boots, computes, ends.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import hashlib
import os

from guest import (Guest, GuestError, cloud_kernel, initramfs, linux_words,
                   run_tests)

INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo "at init: $(cut -d' ' -f1 /proc/uptime) s, $(nproc) processors"
for sum in md5sum sha1sum sha256sum sha512sum; do
    echo "$sum: $(yes rhea | dd bs=4096 count=64 iflag=fullblock 2>/dev/null |
        $sum | cut -d' ' -f1)"
done
echo "awk: $(awk 'BEGIN { x = 0; for (i = 1; i <= 20000; i++)
    x += 1 / (i * i); printf "%.12f", x }')"
echo "gzip: $(dd if=/bin/busybox bs=1k count=512 2>/dev/null | gzip | gunzip |
    cmp - /bin/busybox 2>&1 | grep -c EOF)"
cat /proc/interrupts > /tmp/i
dmesg | grep -iE 'ACPI.*(warn|error|bios bug)|firmware bug|WARNING:|BUG:' |
    sed 's/^/complaint: /'
echo "sums done"
case "$(cat /proc/cmdline)" in
*then-shell*)  setsid cttyhack sh ;;
*then-flags*)  grep -m1 ^flags /proc/cpuinfo ;;
*then-reboot*) reboot -f ;;
*then-sleep=*)
    cat /sys/power/mem_sleep
    alarm=$(grep -o 'then-sleep=[0-9]*' /proc/cmdline)
    echo +${alarm#*=} > /sys/class/rtc/rtc0/wakealarm
    echo mem > /sys/power/state
    echo "status $?"
    echo "sum: $(yes rhea | dd bs=4096 count=64 iflag=fullblock 2>/dev/null |
        sha1sum)"
    dmesg | grep Waking ;;
esac
poweroff -f
"""

DATA = (b"rhea\n" * 60000)[:4096 * 64]
IMAGE = None


def image():
    global IMAGE
    if not IMAGE:
        IMAGE = initramfs("linux-test", INIT)
    return IMAGE


def guest(*args, append="", accel=""):
    return Guest("-accel", "tcg" + accel, "-cpu", "max", "-m", "256", "-kernel",
                 cloud_kernel(), "-initrd", image(), "-append",
                 f"console=ttyS0 panic=-1 {linux_words()} {append}", *args)


def awk_value():
    x = 0.0
    for i in range(1, 20001):
        x += 1 / (i * i)
    return f"{x:.12f}"


def check_sums(g):
    for name in ("md5", "sha1", "sha256", "sha512"):
        g.expect(f"{name}sum: {hashlib.new(name, DATA).hexdigest()}", 60)
    value = g.expect(r"awk: ([-0-9.]+)\s", 60).group(1)
    if value != awk_value():
        g.fail(f"awk computed {value}, not {awk_value()}")
    g.expect("gzip: 1", 60)
    g.expect("sums done", 60)
    complaints = [l for l in g.text.splitlines()
                  if l.startswith("complaint:")]
    if complaints:
        g.fail("the kernel complained")


def boot(n_cpus, *args):
    with guest("-smp", str(n_cpus), "-no-reboot", *args) as g:
        up, cpus = g.expect(r"at init: ([0-9.]+) s, (\d+) proc", 90).groups()
        at_init = g.seconds()
        if int(cpus) != n_cpus:
            g.fail(f"{cpus} processors, not {n_cpus}")
        check_sums(g)
        g.wait(60)
        return f"/init after {at_init:.1f} s"


def power_off_1_cpu():
    return boot(1)


def power_off_2_cpus():
    return boot(2)


def power_off_4_cpus():
    return boot(4)


def default_cpu_model():
    return boot(1, "-cpu", "qemu64")


def bare_host():
    """On a processor the translator cannot use: one line, and slower."""
    with guest("-no-reboot", accel=",x-bare-host=on") as g:
        g.expect("accelerator 'tcg': this host's processor lacks BMI2: "
                 "code is interpreted", 30)
        g.expect("at init", 90)


def no_avx():
    """Without the host's AVX, then without AVX2, guests have none."""
    for option, what in ("x-no-avx", "AVX"), ("x-no-avx2", "AVX2"):
        with guest("-no-reboot", accel=f",{option}=on",
                   append="then-flags") as g:
            g.expect("accelerator 'tcg': this host's processor lacks "
                     f"{what}, and so do guests'", 30)
            g.expect("at init", 90)
            check_sums(g)
            flags = g.expect(r"flags\s*:([^\r\n]*)\r?\n", 60).group(1).split()
            if what.lower() in flags or (what == "AVX2") != ("avx" in flags):
                g.fail(f"{option}: the guest has {flags}")


def slow_pext():
    """Translated code without PEXT."""
    with guest("-no-reboot", "-smp", "2", accel=",x-slow-pext=on") as g:
        g.expect("accelerator 'tcg': this host's processor has a slow PEXT: "
                 "translated code goes without it", 30)
        g.expect("at init", 90)
        check_sums(g)
        g.wait(60)


def reboot():
    """A reset starts the same kernel again; -no-reboot makes it the end."""
    with guest("-smp", "2", append="then-reboot") as g:
        g.expect("at init", 90)
        g.expect("sums done", 90)
        g.expect("at init", 90)
    with guest("-no-reboot", append="then-reboot") as g:
        g.expect("sums done", 120)
        g.wait(60)


def sleep(*args, alarm_s=1):
    with guest(*args, append=f"then-sleep={alarm_s}") as g:
        g.expect(r"\[deep\]", 120)
        try:
            g.expect("status 0", 30 + alarm_s)
        except GuestError:
            # An alarm that comes before the kernel sleeps is lost to it.
            if alarm_s < 16:
                return sleep(*args, alarm_s=4 * alarm_s)
            raise
        g.expect("sum: " + hashlib.sha1(DATA).hexdigest(), 60)
        if "Waking up from system sleep state S3" not in g.text:
            g.fail("it did not sleep")
        g.wait(60)


def suspend():
    """To RAM; the RTC wakes.  Without firmware, and through SeaBIOS."""
    sleep("-smp", "2")
    sleep("-bios", "bios-256k.bin")


def shell():
    with guest(append="then-shell quiet") as g:
        g.expect("# ", 120)
        g.send("echo $((6 * 7)) && uname -m\n")
        g.expect("42", 30)
        g.expect("x86_64", 30)
        g.send("poweroff -f\n")
        g.wait(60)


if __name__ == "__main__":
    try:
        run_tests([power_off_1_cpu, power_off_2_cpus, power_off_4_cpus,
                   default_cpu_model, bare_host, no_avx, slow_pext, reboot,
                   suspend, shell])
    finally:
        if IMAGE:
            os.unlink(IMAGE)
