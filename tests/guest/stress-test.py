#!/usr/bin/env python3
"""Do many processes at once, again and again, harm a guest or its kernel?

Lanes run side by side and each repeats programs with threads, forks and pipes.
Every result must be the host's, and the kernel must see no fault.  What this
finds and one boot does not: states of the translator that only come about while
pages, address spaces and code change under several vCPUs.

RHEA_TEST_ARCH=i386: 32-bit programs.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import tempfile

from guest import GuestError, run_tests
from programs import (PARALLEL, PROGRAMS, make_tree, sum_on_host,
                      tree_guest)

ARCH = os.environ.get("RHEA_TEST_ARCH", "amd64")
SINGLE = {name: command for name, (_, command) in PROGRAMS.items()
          if name not in ("xz", "zstd", "rsa")}

SCRIPT = """
# run NAME SUM-EXPECTED COMMAND
run() {
    sum=$(sh -c "$3" < /dev/null 2>&1 | sha256sum)
    [ "${sum%% *}" = $2 ] || echo "different: lane $lane $1 ${sum%% *}"
}
PROGRAMS
# lane NUMBER TURNS KIND, in a folder of its own
lane() {
    lane=$1
    mkdir -p /lane$lane/tmp
    cd /lane$lane
    ln -s /data data
    turn=0
    while [ $turn -lt $2 ]; do
        $3
        turn=$((turn + 1))
        echo "lane $lane turn $turn"
    done
}
LANES
wait
"""
# A kernel's last words, a program's end, a wrong sum.
TROUBLE = (r"Oops|BUG:|WARNING:|Kernel panic|general protection|segfault|"
           r"complaint:|different:|self-detected stall")


def script(root, lanes):
    text = SCRIPT.replace("PROGRAMS", "".join(
        f"{kind}() {{\n" + "".join(
            f"run {name} {sum_on_host(root, name, command)} '{command}'\n"
            for name, command in programs.items()) + "}\n"
        for kind, programs in (("parallel", PARALLEL), ("single", SINGLE))))
    return text.replace("LANES", "".join(
        f"lane {i} {turns} {kind} &\n"
        for i, (turns, kind) in enumerate(lanes)))


def stress(n_cpus, *lanes):
    with tempfile.TemporaryDirectory(prefix="stress-test-") as folder:
        root = os.path.join(folder, "tree")
        make_tree(root, ARCH)
        with tree_guest(folder, root, script(root, lanes), n_cpus) as g:
            g.expect(f"at init: {n_cpus} processors", 90)
            at_init = g.seconds()
            turns = 0
            while True:
                m = g.expect(rf"({TROUBLE})[^\n]*\n|lane \d+ turn \d+\r?\n|"
                             "all done", 60)
                if m.group(1):
                    # The rest of what the kernel says helps.
                    with contextlib.suppress(GuestError):
                        g.expect("end Kernel panic|all done", 5)
                    g.fail(f"after {turns} turns: {m.group().strip()}")
                if m.group() == "all done":
                    break
                turns += 1
            if turns != sum(n for n, _ in lanes):
                g.fail(f"{turns} turns")
            g.wait(60)
            return f"{turns} turns in {g.seconds() - at_init:.1f} s"


def two_cpus():
    """More lanes than processors: the kernel changes address spaces often."""
    return stress(2, (10, "parallel"), (10, "parallel"), (5, "single"),
                  (5, "single"))


def four_cpus():
    return stress(4, (60, "parallel"), (60, "parallel"), (30, "single"),
                  (30, "single"), (30, "single"))


def few_turns():
    """For modes that make all slow."""
    return stress(2, (4, "parallel"), (2, "single"), (2, "single"))


if __name__ == "__main__":
    run_tests([two_cpus, four_cpus, few_turns])
