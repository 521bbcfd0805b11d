#!/usr/bin/env python3
"""Firmware from the reset vector to its prompt: U-Boot, OVMF; SeaBIOS, which
starts what needs a BIOS: iPXE, GRUB and MEMDISK.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import functools
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib

from guest import Guest, GuestError, find, package, run_tests


def firmware(jit, image, *args):
    return Guest("-accel", f"tcg,jit={jit}", "-cpu", "max", "-m", "256",
                 "-no-reboot", "-vga", "none", "-bios", image, *args)


def u_boot(width, jit):
    image = find(package("u-boot-qemu"), rf"/qemu-{width}/u-boot\.rom$")
    with firmware(jit, image) as g:
        # More keys than the UART holds, which is reset once more: some are
        # there when it counts down, however late we are.
        g.expect("U-Boot 2", 60)
        g.send("\r" * 40)
        g.expect("=> ", 90)
        g.send("pci\r")
        g.expect("00.01.00 +0x8086 +0x7000", 30)
        # Memory written is read back, and summed by its own code.
        g.send("mw.l 1000000 12345678 4000; crc32 1000000 10000\r")
        crc = zlib.crc32(struct.pack("<I", 0x12345678) * 0x4000)
        g.expect(f"crc32 for 01000000 ... 0100ffff ==> {crc:08x}", 30)
        g.send("cpu list\r")
        g.expect("0: cpu@0", 30)
        g.send("reset\r")
        g.wait(30)
        return f"reset after {g.seconds():.1f} s"


def ovmf(jit):
    """UEFI's shell: flash below 4 GiB, long mode, ACPI, PCI enumeration."""
    image = find(package("ovmf"), r"/ovmf/OVMF\.fd$")
    with firmware(jit, image) as g:
        g.expect("UEFI Interactive Shell", 120)
        g.expect("in [0-9] seconds to skip", 60)
        g.send("\x1b")
        g.expect("Shell> ", 60)
        g.send("memmap\r")
        g.expect(r"Total Memory: +255 MB", 60)
        g.send("reset -s\r")
        g.wait(60)
        return f"powered off after {g.seconds():.1f} s"


def ovmf_flash(jit):
    """Code and variables in two flash chips: what is set is there after a
    reset, and in the image."""
    files = package("ovmf")
    code = find(files, r"/OVMF/OVMF_CODE_4M\.fd$")
    variable = "setvar Rhea -guid 7c2f8f5e-98b4-4bd1-a1b5-3c6d5e0f1a2b"
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "vars.fd")
        shutil.copy(find(files, r"/OVMF/OVMF_VARS_4M\.fd$"), store)
        with Guest("-accel", f"tcg,jit={jit}", "-cpu", "max", "-m", "256",
                   "-vga", "none", "-drive",
                   f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
                   "-drive", f"if=pflash,format=raw,unit=1,file={store}") as g:
            for turn in range(2):
                g.expect("in [0-9] seconds to skip", 180)
                g.send("\x1b")
                g.expect("Shell> ", 60)
                if turn == 0:
                    g.send(f'{variable} -bs -nv ="salad"\r')
                    g.expect("Shell> ", 60)
                    g.send("reset\r")
            g.send(f"{variable}\r")
            g.expect("73 61 6C 61 64", 60)
            g.send("reset -s\r")
            g.wait(60)
        with open(store, "rb") as f:
            if b"salad" not in f.read():
                raise GuestError("the variable is not in the image")


def option_rom(words, device=None):
    """A ROM of 512 bytes that says something on the serial port."""
    code = (b"\x60\x1e\x0e\x1f\xbe\x60\x00\xba\xf8\x03"   # DS:SI, DX
            b"\xac\x84\xc0\x74\x03\xee\xeb\xf8"             # until zero
            b"\x1f\x61\xcb")
    rom = bytearray(512)
    rom[:3] = b"\x55\xaa\x01"
    rom[3:6] = b"\xe9" + struct.pack("<H", 0x80 - 6)
    rom[0x80:0x80 + len(code)] = code
    rom[0x60:0x60 + len(words)] = words
    if device:
        rom[0x18:0x1a] = b"\x1c\0"
        rom[0x1c:0x34] = struct.pack("<4sHHHHB3sHHBBH", b"PCIR", 0x1af4,
                                     device, 0, 0x18, 0, b"\0\0\xff", 1, 0,
                                     0, 0x80, 0)
    rom[511] = -sum(rom) & 0xff
    return bytes(rom)


def option_roms():
    """-option-rom, found by -L, and romfile= are run by SeaBIOS."""
    with tempfile.TemporaryDirectory() as work:
        for name, rom in (("own.rom", option_rom(b"own ROM runs\r\n")),
                          ("pci.rom", option_rom(b"PCI ROM runs\r\n",
                                                 0x1005))):
            with open(os.path.join(work, name), "wb") as f:
                f.write(rom)
        with Guest("-accel", "tcg", "-m", "64", "-no-reboot", "-vga", "none",
                   "-L", work, "-option-rom", "own.rom", "-device",
                   "virtio-rng-pci,disable-modern=on,romfile=pci.rom",
                   "-boot", "menu=off") as g:
            g.expect("PCI ROM runs", 60)
            g.expect("own ROM runs", 60)


def type_slowly(g, text):
    """Into the BIOS's keyboard buffer, which holds 15 keys."""
    for c in text:
        g.send(c)
        g.expect(re.escape(c), 30)
    g.send("\r")


def ipxe(jit):
    """A bzImage without 32-bit code: SeaBIOS and our option ROM start it."""
    image = find(package("ipxe"), r"/ipxe\.lkrn$")
    with Guest("-accel", f"tcg,jit={jit}", "-cpu", "max", "-m", "128",
               "-no-reboot", "-kernel", image) as g:
        g.expect("SeaBIOS", 60)
        g.expect("iPXE initialising devices...", 60)
        g.send("\x02")                  # waits in the BIOS's buffer
        g.expect("Ctrl-B for the iPXE command line", 60)
        g.send("\x02")
        g.expect("iPXE> ", 30)
        type_slowly(g, "show version")
        g.expect(r"builtin/version:string = \d", 30)
        type_slowly(g, "cpuid --ext 29 && echo long${}mode")
        g.expect("longmode", 30)
        type_slowly(g, "reboot")
        g.wait(30)
        return f"rebooted after {g.seconds():.1f} s"


GRUB_CONFIG = """serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
"""
GRUB_MODULES = ("serial terminal normal ls cpuid lsmmap lspci reboot halt echo "
                "test cmp_test setjmp_test functional_test").split()


def grub_image(folder):
    """GRUB with the header that makes it look like a Linux kernel."""
    modules = os.path.dirname(find(package("grub-pc-bin"), r"/lnxboot\.img$"))
    config = os.path.join(folder, "grub.cfg")
    core = os.path.join(folder, "core.img")
    image = os.path.join(folder, "grub.lnx")
    with open(config, "w") as f:
        f.write(GRUB_CONFIG)
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-d", modules, "-p",
                    "/boot/grub", "-c", config, "-o", core, *GRUB_MODULES],
                   check=True)
    with open(image, "wb") as out:
        for part in (os.path.join(modules, "lnxboot.img"), core):
            with open(part, "rb") as f:
                out.write(f.read())
    return image


def grub(jit):
    """GRUB's command line, its answers, its own tests of the processor."""
    with tempfile.TemporaryDirectory(prefix="firmware-test-") as folder, \
            Guest("-accel", f"tcg,jit={jit}", "-cpu", "max", "-m", "128",
                  "-no-reboot", "-kernel", grub_image(folder)) as g:
        g.expect("GNU GRUB", 60)
        g.expect("grub> ", 30)
        type_slowly(g, "if cpuid -l; then echo long$x mode; fi")
        g.expect("long mode", 30)
        type_slowly(g, "lsmmap")
        g.expect("base_addr = 0x100000, length = 0x7efe000, available", 30)
        type_slowly(g, "lspci")
        g.expect("00:01.0 8086:7000", 30)
        type_slowly(g, "functional_test")
        for _ in ("cmp", "setjmp"):
            g.expect("_test: PASS", 100)
        g.expect("grub> ", 30)
        if "FAIL" in g.text:
            g.fail("a test of GRUB's failed")
        type_slowly(g, "reboot")
        g.wait(30)
        return f"rebooted after {g.seconds():.1f} s"


# A boot sector that says a word, reads the next sector and says what is there.
BOOT_SECTOR = """
    .code16
    .globl _start
_start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov $first, %si
    call say
    mov $0x0201, %ax
    mov $2, %cx
    xor %dh, %dh
    mov $0x7e00, %bx
    int $0x13
    jc 1f
    mov $0x7e00, %si
    call say
1:  mov $0x10, %al
    out %al, $0xf4
    hlt
say:
    lodsb
    test %al, %al
    jz 2f
    push %dx
    mov $0x3f8, %dx
    out %al, %dx
    pop %dx
    jmp say
2:  ret
first: .asciz "the floppy boots\\r\\n"
    .org 510
    .word 0xaa55
    .asciz "its second sector\\r\\n"
    .org 1474560
"""


def memdisk(jit):
    """SYSLINUX's disk in memory hooks the BIOS' interrupts."""
    image = find(package("syslinux-common"), r"/memdisk$")
    with tempfile.TemporaryDirectory(prefix="firmware-test-") as folder:
        source = os.path.join(folder, "floppy.S")
        floppy = os.path.join(folder, "floppy")
        with open(source, "w") as f:
            f.write(BOOT_SECTOR)
        subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie",
                        "-Wl,-Ttext=0x7c00,--oformat=binary,--build-id=none",
                        "-o", floppy, source], check=True)
        with Guest("-accel", f"tcg,jit={jit}", "-m", "64", "-no-reboot",
                   "-kernel", image, "-initrd", floppy, "-append", "floppy",
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4") as g:
            g.expect("Loading boot sector... booting", 60)
            g.expect("the floppy boots", 30)
            g.expect("its second sector", 30)
            g.wait(30, status=0x21)


CASES = {
    "u_boot": functools.partial(u_boot, "x86_64", "on"),
    "u_boot_interpreted": functools.partial(u_boot, "x86_64", "off"),
    "u_boot_32bit": functools.partial(u_boot, "x86", "on"),
    "ipxe": functools.partial(ipxe, "on"),
    "ipxe_interpreted": functools.partial(ipxe, "off"),
    "grub": functools.partial(grub, "on"),
    "grub_interpreted": functools.partial(grub, "off"),
    "memdisk": functools.partial(memdisk, "on"),
    "option_roms": option_roms,
    "ovmf": functools.partial(ovmf, "on"),
    "ovmf_flash": functools.partial(ovmf_flash, "on"),
    "ovmf_interpreted": functools.partial(ovmf, "off"),
}

if __name__ == "__main__":
    for name, case in CASES.items():
        case.__name__ = name
    run_tests(list(CASES.values()))
