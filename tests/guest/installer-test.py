#!/usr/bin/env python3
"""Debian's i386 installer starts from its kernel and initrd.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from guest import Guest, find, package, run_tests


def i386_installer():
    """A 32-bit PAE-less kernel, 90 MB of user space, a text interface."""
    folder = package("debian-installer-12-netboot-i386")
    kernel = find(folder, r"/text/debian-installer/i386/linux$")
    initrd = find(folder, r"/text/debian-installer/i386/initrd.gz$")
    with Guest("-accel", "tcg", "-cpu", "max", "-m", "512", "-kernel", kernel,
               "-initrd", initrd, "-append",
               "console=ttyS0") as g:
        g.expect("Linux version 6", 60)
        g.expect("Run /init as init process", 200)
        g.expect("Select a language", 200)
        g.expect("English", 30)
        return f"language menu after {g.seconds():.1f} s"


if __name__ == "__main__":
    run_tests([i386_installer])
