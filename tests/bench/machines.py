"""Where the benchmark program runs: on the host, in Rhea, in QEMU.

Each is a process that takes lines and answers "=NAME SECONDS CHECKSUM"; the
seconds are its own clock's and are compared with ours.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import select
import subprocess
import time


class BenchError(Exception):
    pass


class Machine:
    def __init__(self, name, args):
        self.name = name
        self.args = args
        self.text = ""
        self.proc = subprocess.Popen(args, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)
        self._answer("ready", 120, time.monotonic())

    def _fail(self, why):
        tail = "\n".join(self.text.splitlines()[-20:])
        raise BenchError(f"{self.name}: {why}\n{' '.join(self.args)}\n{tail}")

    def _answer(self, name, timeout_s, start):
        """The words after =NAME, and how long since `start`."""
        pattern = re.compile(rf"=({re.escape(name)}|error)\b(.*)\n")
        while True:
            m = pattern.search(self.text)
            if m and m.group(1) == "error":
                self._fail(m.group(0).strip())
            if m:
                self.text = self.text[m.end():]
                return m.group(2).split(), time.monotonic() - start
            left = start + timeout_s - time.monotonic()
            if left <= 0:
                self._fail(f"no answer to {name} within {timeout_s} s")
            if select.select([self.proc.stdout], [], [], left)[0]:
                data = os.read(self.proc.stdout.fileno(), 65536)
                if not data:
                    self._fail(f"ended before it answered {name}")
                self.text += data.decode("utf-8", "replace")

    def ask(self, line, timeout_s=900):
        """Its seconds and the other words of its answer."""
        name = line.split()[0]
        self.text = ""
        start = time.monotonic()
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()
        words, host_s = self._answer(name, timeout_s, start)
        own_s = float(words[0])
        # A clock that runs wrong makes all else meaningless.  A busy host may
        # keep the answer back a while.
        if name != "features" and not (0.9 * host_s - 0.5 <= own_s
                                       <= 1.02 * host_s + 0.02):
            self._fail(f"{name}: {own_s:.3f} s by its own clock, "
                       f"{host_s:.3f} s by the host's")
        return own_s, words[1:]

    def close(self):
        if self.proc.poll() is None:
            try:
                self.proc.stdin.write(b"off\n")
                self.proc.stdin.close()
                self.proc.wait(30)
            except (OSError, subprocess.TimeoutExpired):
                self.proc.kill()
        self.proc.stdout.close()
        self.proc.wait()


def native(program, code32, root=None):
    return Machine("native", [program, code32] + ([root] if root else []))


def guest(name, emulator, accel, kernel, initrd, cpus=1, mib=512):
    return Machine(name, [
        emulator, "-accel", accel, "-cpu", "max", "-smp", str(cpus), "-m",
        str(mib), "-display", "none", "-serial", "stdio", "-monitor", "none",
        "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append",
        "console=ttyS0 quiet panic=-1"])
