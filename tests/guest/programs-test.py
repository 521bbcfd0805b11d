#!/usr/bin/env python3
"""Do real programs compute in a guest what they compute on the host?

Debian's, each once on the host and then, two at a time, in a guest with two
processors.  What each writes must be the same, to the byte.  One boot serves
all; a case is one program.

RHEA_TEST_ARCH=i386: 32-bit programs, which a 64-bit kernel runs too.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import tempfile

from guest import run_tests
from programs import (PARALLEL, PROGRAMS, make_tree, sum_on_host,
                      tree_guest)

ARCH = os.environ.get("RHEA_TEST_ARCH", "amd64")
CASES = {
    **{name: command for name, (_, command) in PROGRAMS.items()},
    **PARALLEL,
    "unpack": "xz -1 -c data/text | xz -dc | gzip -c | gzip -dc | "
              "zstd -q -c | zstd -dc | md5sum",
}

SCRIPT = """
mkdir -p /out
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
"""


class Run:
    """The one boot, made when the first case asks for it."""

    results = None

    def script(self, root):
        lanes = ["", ""]
        for i, (name, command) in enumerate(CASES.items()):
            self.expected[name] = sum_on_host(root, name, command)
            lanes[i % 2] += f"run {name} {self.expected[name]} '{command}'\n"
        return SCRIPT.replace("LANES", "".join(
            f"{{\n{lane}}} &\n" for lane in lanes))

    def boot(self):
        self.expected, self.results = {}, {}
        with tempfile.TemporaryDirectory(prefix="programs-test-") as folder:
            root = os.path.join(folder, "tree")
            make_tree(root, ARCH)
            with tree_guest(folder, root, self.script(root), 2) as g:
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
