#!/usr/bin/env python3
"""Do real programs compute in a guest what they compute on the host?

Debian's, each once on the host and then, two at a time, in a guest with two
processors.  What each writes must be the same, to the byte.  One boot serves
all; a case is one program.

RHEA_TEST_ARCH=i386: 32-bit programs, which a 64-bit kernel runs too.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import hashlib
import os
import subprocess
import tempfile

from guest import (ROOT, Guest, busybox, cloud_kernel, linux_words,
                   run_tests)
from programs import PROGRAMS, make_tree, run_on_host

ARCH = os.environ.get("RHEA_TEST_ARCH", "amd64")
# Besides those of the benchmark: threads, pipes and background jobs.
CASES = {
    **{name: command for name, (_, command) in PROGRAMS.items()},
    "xz_threads": "xz -2 -T2 --block-size=50000 -c data/text",
    "zstd_threads": "zstd -3 -q -c -T2 -B65536 data/text",
    "unpack": "xz -1 -c data/text | xz -dc | gzip -c | gzip -dc | "
              "zstd -q -c | zstd -dc | md5sum",
    "jobs": "for i in 1 2 3 4 5 6 7 8; do (seq 1 ${i}00 | sort -rn | "
            "md5sum > tmp/job$i) & done; wait; cat tmp/job?",
}

INIT = """#!/bin/sh
export PATH=/usr/bin:/bin:/sbin LC_ALL=C HOME=/tmp
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /out
echo "at init: $(grep -c ^processor /proc/cpuinfo) processors"
# run NAME SUM-EXPECTED COMMAND
run() {
    sh -c "$3" < /dev/null > /out/$1 2>&1
    status=$?
    sum=$(sha256sum < /out/$1)
    echo "=$1 $status ${sum%% *}"
    [ "${sum%% *}" = $2 ] || head -c 400 /out/$1 | sed "s/^/$1: /"
}
LANES
wait
dmesg | grep -E 'segfault|general protection|trap |WARNING:|BUG:' |
    sed 's/^/complaint: /'
echo "all done"
poweroff -f
"""


class Run:
    """The one boot, made when the first case asks for it."""

    results = None

    def init(self, root):
        lanes = ["", ""]
        for i, (name, command) in enumerate(CASES.items()):
            done = run_on_host(root, command)
            if done.returncode or not done.stdout:
                raise RuntimeError(f"{name} fails on the host, status "
                                   f"{done.returncode}: {done.stdout[-400:]}")
            self.expected[name] = hashlib.sha256(done.stdout).hexdigest()
            lanes[i % 2] += f"run {name} {self.expected[name]} '{command}'\n"
        return INIT.replace("LANES", "".join(
            f"{{\n{lane}}} &\n" for lane in lanes))

    def boot(self):
        self.expected, self.results = {}, {}
        with tempfile.TemporaryDirectory(prefix="programs-test-") as folder:
            root = os.path.join(folder, "tree")
            make_tree(root, ARCH)
            init = os.path.join(folder, "init")
            with open(init, "w") as f:
                f.write(self.init(root))
            initrd = os.path.join(folder, "initramfs")
            subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"),
                            "-o", initrd, "--busybox", busybox(), "--init",
                            init, "--tree", root], check=True)
            with Guest("-accel", "tcg", "-cpu", "max", "-smp", "2", "-m",
                       "512", "-no-reboot", "-kernel", cloud_kernel(),
                       "-initrd", initrd, "-append",
                       f"console=ttyS0 quiet panic=-1 {linux_words()}") as g:
                self.guest = g
                g.expect("at init: 2 processors", 90)
                for _ in CASES:
                    name, status, got = g.expect(
                        r"=(\w+) (\d+) ([0-9a-f]{64})", 60).groups()
                    self.results[name] = (int(status), got, g.seconds())
                g.expect("all done", 30)
                g.expect("Power down", 30)
                g.wait(30)

    def check(self, name):
        if self.results is None:
            self.boot()
        if name not in self.results:
            raise RuntimeError("the guest did not get so far")
        status, got, at = self.results[name]
        if status:
            self.guest.fail(f"{name} ended with status {status}")
        if got != self.expected[name]:
            self.guest.fail(f"{name} computed something else than on the host")
        return f"{at:.1f} s"

    def complaints(self):
        """The kernel saw no program crash."""
        if self.results is None:
            self.boot()
        if "complaint:" in self.guest.text:
            self.guest.fail("the kernel complained")


def cases():
    run = Run()
    for name in CASES:
        def case(name=name):
            return run.check(name)
        case.__name__ = name
        yield case
    yield run.complaints


if __name__ == "__main__":
    run_tests(list(cases()))
