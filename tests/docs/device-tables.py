#!/usr/bin/env python3
"""Each register in docs/devices has its test, and each test named is there.

A table whose last column is "Test" names in every row the g_test paths, in
backquotes, of the unit tests that exercise the register.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def test_paths():
    paths = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "tests", "unit")):
        for name in files:
            if name.endswith(".c"):
                with open(os.path.join(folder, name)) as f:
                    paths.update(re.findall(r'g_test_add\w*\(\s*"([^"]+)"',
                                            f.read()))
    return paths


def complaints(path, known):
    in_table = False
    with open(path) as f:
        for number, line in enumerate(f, 1):
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if not line.startswith("|"):
                in_table = False
            elif cells[-1] == "Test":
                in_table = True
            elif in_table and not set(line.strip()) <= set("|- "):
                named = re.findall(r"`([^`]+)`", cells[-1])
                if not named:
                    yield f"{path}:{number}: no test for {cells[:2]}"
                for test in named:
                    if test not in known:
                        yield f"{path}:{number}: no test is called {test}"


def main():
    folder = os.path.join(ROOT, "docs", "devices")
    known = test_paths()
    bad = 0
    files = sorted(os.listdir(folder))
    print(f"1..{len(files)}")
    for i, name in enumerate(files, 1):
        found = list(complaints(os.path.join(folder, name), known))
        bad += len(found)
        for text in found:
            print(f"# {text}")
        print(f"{'not ok' if found else 'ok'} {i} {name}")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
