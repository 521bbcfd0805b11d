#!/usr/bin/env python3
"""Round trips under KVM beside QEMU's: ports, registers, interrupts between
processors, and from exec to the end.

kvm-bench.py RHEA [QEMU [ROW...]]

Each guest is a 64 KiB ROM that does one thing N times and leaves through
isa-debug-exit; the time of one round is the difference between a long and a
short run, so starting up does not count.  Both programs take turns; the least
of three runs is taken.  RHEA_BENCH_ACCEL="kvm,kernel-irqchip=on" and the like
give both of them these interrupt chips.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

SHORT, LONG, RUNS = 100, 10100, 3
SECONDS = 20
ACCEL = os.environ.get("RHEA_BENCH_ACCEL", "kvm")   # what follows -accel

# The ROM is seen at F0000h as well, so a SIPI to page F0h begins like a reset.
# %ebp counts rounds; %ebx is the local APIC's page.
HEAD = """
    .code16
    cli
    lgdtl %cs:gdtr
    mov $0xfee00000, %ebx
    mov %cr0, %eax
    or $1, %al
    .if BITS > 16
    mov %eax, %cr0
    ljmpl $8, $base + protected
    .code32
protected:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %esp
    mov $0x1b, %ecx             # the second processor has a stack of its own
    rdmsr
    test $1, %ah
    jnz 1f
    mov $0x8000, %esp
1:
    .if BITS > 32
    cmpl $0, 0x9000             # the first one makes the tables
    jne 3f
    movl $0x11000 + 7, 0x10000
    movl $0x12000 + 7, 0x11000
    movl $0x13000 + 7, 0x11008
    movl $0x14000 + 7, 0x11010
    movl $0x15000 + 7, 0x11018
    mov $0x12000, %edi
    mov $0x87, %eax
2:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    jnc 2b
    movl $1, 0x9000
3:  mov $0x10000, %eax
    mov %eax, %cr3
    mov $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    mov $0x100, %eax
    xor %edx, %edx
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmpl $24, $base + long_mode
    .code64
long_mode:
    .endif
    .endif
"""

LOOP = """
    mov $ROUNDS, %ebp
again:
    BODY
    dec %ebp
    jnz again
    mov $0x501, %dx
    xor %al, %al
    out %al, %dx
9:  hlt
    jmp 9b
"""

# To the second processor, which counts at 9010h; the first waits for each.
IPI = """
    lidt base + idtr
    movl $0x1ff, 0xf0(%ebx)
    mov $0x1b, %ecx
    rdmsr
    test $1, %ah
    jz second
    mov $base + handler, %eax   # gate 40h, in RAM
    mov %eax, %ecx
    and $0xffff, %eax
    or $0x80000, %eax
    mov %eax, 0xa200
    and $0xffff0000, %ecx
    or $0x8e00, %ecx
    mov %ecx, 0xa204
    movl $0xc4500, 0x300(%ebx)
    movl $0xc46f0, 0x300(%ebx)
1:  pause
    cmpl $1, 0x9014
    jne 1b
    mov $ROUNDS, %ebp
    xor %edi, %edi
again:
    movl $0x01000000, 0x310(%ebx)
    movl $0x4040, 0x300(%ebx)
    inc %edi
2:  pause
    cmp %edi, 0x9010
    jne 2b
    dec %ebp
    jnz again
    mov $0x501, %dx
    xor %al, %al
    out %al, %dx
9:  hlt
    jmp 9b
second:
    sti
    movl $1, 0x9014
3:  WAIT
    jmp 3b
handler:
    incl 0x9010
    movl $0, 0xb0(%ebx)
    iretl
"""

# Gate 41h, in RAM: %eax is the handler's address.
GATE = """
    lidt base + idtr
    mov %eax, %ecx
    and $0xffff, %eax
    or $0x80000, %eax
    mov %eax, 0xa208
    and $0xffff0000, %ecx
    or $0x8e00, %ecx
    mov %ecx, 0xa20c
    movl $0x1ff, 0xf0(%ebx)
    movl $0, 0x80(%ebx)
"""

COUNT = """
handler:
    incl 0x9010
    movl $0, 0xb0(%ebx)
    iretl
"""

# %edi interrupts have come: wait for that, asleep.
SLEEP = """
2:  cli
    cmp %edi, 0x9010
    je 4f
    sti
    hlt
    jmp 2b
4:
"""

# HLT until the local APIC's timer wakes it, as soon as it can.
WAKE = """
    mov $base + handler, %eax
""" + GATE + """
    movl $0xb, 0x3e0(%ebx)
    movl $0x41, 0x320(%ebx)
    xor %edi, %edi
""" + LOOP + COUNT

WAKE_ROUND = """
    inc %edi
    movl $1, 0x380(%ebx)
""" + SLEEP

# virtio-rng in slot 2: BAR1 (MSI-X) at FE800000h, BAR4 at FE000000h, queue 0 of
# one descriptor at 20000h, its rings at 21000h and 22000h.
VIRTIO = """
    mov $base + handler, %eax
""" + GATE + """
    .macro config reg
    mov $0x80001000 + \\reg, %eax
    mov $0xcf8, %dx
    out %eax, %dx
    mov $0xcfc, %dx
    .endm
    config 0x14
    mov $0xfe800000, %eax
    out %eax, %dx
    config 0x20
    mov $0xfe000000, %eax
    out %eax, %dx
    config 0x24
    xor %eax, %eax
    out %eax, %dx
    config 0x04
    mov $0x406, %eax
    out %eax, %dx
    config 0x34                 # MSI-X on
    in %dx, %eax
    movzbl %al, %esi
5:  lea 0x80001000(%esi), %eax
    mov $0xcf8, %dx
    out %eax, %dx
    mov $0xcfc, %dx
    in %dx, %eax
    cmp $0x11, %al
    je 6f
    movzbl %ah, %esi
    jmp 5b
6:  or $0x80000000, %eax
    out %eax, %dx
    mov $0xfe800000, %esi
    movl $0xfee00000, (%esi)
    movl $0, 4(%esi)
    movl $0x41, 8(%esi)
    movl $0, 12(%esi)
    mov $0xfe000000, %esi
    movb $0, 20(%esi)
    movb $3, 20(%esi)
    movl $1, 8(%esi)            # VIRTIO_F_VERSION_1
    movl $1, 12(%esi)
    movb $11, 20(%esi)
    movw $0, 22(%esi)
    movw $1, 24(%esi)
    movw $0, 26(%esi)
    movl $0x20000, 32(%esi)
    movl $0x21000, 40(%esi)
    movl $0x22000, 48(%esi)
    movw $1, 28(%esi)
    movb $15, 20(%esi)
    movl $0x23000, 0x20000      # 16 bytes to be written
    movl $16, 0x20008
    movl $2, 0x2000c
    xor %edi, %edi
""" + LOOP + COUNT

BUSY = """
    sti
2:  pause
    cmp %edi, 0x9010
    jne 2b
"""

KICK_ROUND = "movw $0, 0x3000(%esi)"

REQUEST_ROUND = """
    inc %edi
    mov %di, 0x21002
    movw $0, 0x3000(%esi)
"""

TAIL = """
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdtr:
    .word 31
    .long base + gdt
idtr:
    .word 0x7ff
    .long 0xa000
    .org 0xfff0
    .code16
    ljmp $0xf000, $0
    .org 0x10000
"""

HPET = "0xfed00010"
CASES = {                       # bits, processors, source
    "nothing, real": (16, 1, LOOP, "nop"),
    "in, real": (16, 1, LOOP, "in $0x92, %al"),
    "out, real": (16, 1, LOOP, "out %al, $0x80"),
    "in, protected": (32, 1, LOOP, "in $0x92, %al"),
    "out, protected": (32, 1, LOOP, "out %al, $0x80"),
    "load, protected": (32, 1, LOOP, f"mov {HPET}, %eax"),
    "store, protected": (32, 1, LOOP, f"movl $0, {HPET}"),
    "in, long": (64, 1, LOOP, "in $0x92, %al"),
    "out, long": (64, 1, LOOP, "out %al, $0x80"),
    "load, long": (64, 1, "mov $0xfed00010, %esi\n" + LOOP,
                   "mov (%rsi), %eax"),
    "store, long": (64, 1, "mov $0xfed00010, %esi\n" + LOOP,
                    "movl $0, (%rsi)"),
    "ipi to a busy processor": (32, 2, IPI, "pause"),
    "ipi to a halted processor": (32, 2, IPI, "hlt"),
    "hlt, woken by the timer": (32, 1, WAKE, WAKE_ROUND),
    "kick (ioeventfd)": (32, 1, VIRTIO, KICK_ROUND),
    "kick to interrupt (MSI-X)": (32, 1, VIRTIO, REQUEST_ROUND + BUSY),
    "kick to interrupt, halted": (32, 1, VIRTIO, REQUEST_ROUND + SLEEP),
}
# What the board has besides.
DEVICES = {VIRTIO: ["-device", "virtio-rng-pci,addr=2,disable-legacy=on"]}


def rom(folder, bits, body, what, rounds):
    """Assembled; its path."""
    text = f".set BITS, {bits}\n.set base, 0xf0000\n" + HEAD + body + TAIL
    text = text.replace("ROUNDS", str(rounds))
    text = text.replace("BODY", what).replace("WAIT", what)
    source, obj, out = (os.path.join(folder, n) for n in "sob")
    with open(source, "w") as f:
        f.write(text)
    subprocess.run(["as", "--64", "-o", obj, source], check=True)
    subprocess.run(["ld", "-m", "elf_x86_64", "-Ttext", "0", "--oformat",
                    "binary", "-o", out, obj], check=True,
                   stderr=subprocess.DEVNULL)
    return out


def run(program, path, n_cpus, devices):
    args = [program, "-accel", ACCEL, "-cpu", "qemu64", "-m", "16",
            "-smp", str(n_cpus), "-nodefaults", "-display", "none",
            "-vga", "none", "-bios", path, "-device", "isa-debug-exit",
            *devices]
    start = time.monotonic()
    try:
        status = subprocess.run(args, stdin=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL,
                                timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - start if status == 1 else None


def measure(folder, programs, case):
    """For each program (microseconds a round, ms of a short run) or None."""
    bits, n_cpus, body, what = case
    best = {}
    for _ in range(RUNS):
        for n in (SHORT, LONG):
            path = rom(folder, bits, body, what, n)
            for program in programs:
                if None in (best.get((program, SHORT), 0),
                            best.get((program, LONG), 0)):
                    best[program, n] = None     # never mind the rest
                    continue
                t = run(program, path, n_cpus, DEVICES.get(body, []))
                if t is None:
                    best[program, n] = None
                elif best.get((program, n), 1e9) is not None:
                    best[program, n] = min(best.get((program, n), 1e9), t)
    return [None if None in (best[p, SHORT], best[p, LONG]) else
            ((best[p, LONG] - best[p, SHORT]) / (LONG - SHORT) * 1e6,
             best[p, SHORT] * 1e3) for p in programs]


def main():
    programs = [sys.argv[1]]
    qemu = sys.argv[2] if len(sys.argv) > 2 else \
        shutil.which("qemu-system-x86_64")
    if qemu:
        programs.append(qemu)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is not there, or may not be used")
        return 77
    print(f"{'us a round (ms of a short run)':32} {'rhea':>16} {'QEMU':>16}"
          "  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            if len(sys.argv) > 3 and name not in sys.argv[3:]:
                continue
            row = measure(folder, programs, case)
            cells = ["failed" if r is None else f"{r[0]:8.2f} ({r[1]:4.0f})"
                     for r in row]
            ratio = f"{row[0][0] / row[1][0]:6.2f}" \
                if len(row) > 1 and None not in row else ""
            print(f"{name:32} " + " ".join(f"{c:>16}" for c in cells) + ratio,
                  flush=True)
    return 0


sys.exit(main())
