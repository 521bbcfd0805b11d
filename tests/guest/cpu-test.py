#!/usr/bin/env python3
"""A guest of tests/guest/cpu, which prints TAP itself: its results are ours.

    cpu-test.py GUEST -accel ACCEL [ARGS OF RHEA]

SPDX-License-Identifier: GPL-2.0-or-later
"""
import subprocess
import sys

from guest import RHEA, Guest, GuestError


def why_not_kvm():
    """What keeps KVM from being the processor's word; None: nothing."""
    chosen = subprocess.run([RHEA, "-M", "none", "-display", "none",
                             "-monitor", "stdio"], input="quit\n", text=True,
                            capture_output=True, timeout=60).stderr
    return chosen.splitlines()[0] if "accel=tcg" in chosen else None


def main():
    why = "kvm" in sys.argv and why_not_kvm()
    if why:
        print(f"1..0 # SKIP {why}")
        return 0
    with Guest("-nodefaults", "-no-reboot", "-kernel", sys.argv[1], "-device",
               "pc-testdev", "-device", "pci-testdev", "-device",
               "isa-debug-exit,iobase=0xf4,iosize=4",
               *sys.argv[2:]) as g:
        try:
            # Status 1 is that of 0, written to isa-debug-exit.
            g.wait(180, status=1)
        except GuestError as e:
            print(g.text)
            print("\n".join("# " + line for line in str(e).splitlines()[:2]))
            return 1
        print(g.text)
    return 0


sys.exit(main())
