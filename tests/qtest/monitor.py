"""The real program, stopped, asked by its monitor; and TAP for scripts.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import re
import subprocess
import sys
import tempfile


def monitor(rhea, args, *lines):
    """What each line answered; each is written when the one before it has."""
    with tempfile.TemporaryFile("w+") as err, subprocess.Popen(
            [rhea, "-display", "none", "-accel", "tcg", "-S", "-monitor",
             "stdio"] + args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=err, text=True) as rhea_run:
        answers = []
        until_prompt(rhea_run)
        for line in lines:
            rhea_run.stdin.write(line + "\n")
            rhea_run.stdin.flush()
            answers.append(until_prompt(rhea_run).split("\n", 1)[-1])
        rhea_run.stdin.write("quit\n")
        rhea_run.stdin.close()
        rhea_run.stdout.read()
        status = rhea_run.wait(60)
        err.seek(0)
        assert status == 0, err.read()
    return answers


def until_prompt(run):
    text = ""
    while not re.search(r"^\(qemu\) \Z", text, re.M):
        c = run.stdout.read(1)
        if not c:
            return text         # it has ended: the status tells
        text += c
    return text[:-len("(qemu) ")]


def run_tests(tests):
    """Each gets a folder of its own; the exit status."""
    failed = 0
    print(f"1..{len(tests)}")
    for i, test in enumerate(tests, 1):
        with tempfile.TemporaryDirectory() as work:
            try:
                test(work)
                print(f"ok {i} {test.__name__}", flush=True)
            except AssertionError as e:
                failed = 1
                print(f"not ok {i} {test.__name__}")
                for line in str(e).splitlines():
                    print(f"# {line}")
    sys.exit(failed)
