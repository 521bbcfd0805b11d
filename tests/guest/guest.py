"""Run Rhea on a real guest and talk to its first serial port.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import select
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
CACHE = os.environ.get("RHEA_CACHE", os.path.join(ROOT, ".cache"))
RHEA = os.environ.get("RHEA", os.path.join(ROOT, "build", "rhea"))
# How much slower than usual this is to be.
SLOW = float(os.environ.get("RHEA_TEST_SLOW", "1"))


def patience():
    """What multiplies every timeout: all takes longer on a busy host."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return SLOW * min(max(1, busy), 10)


def linux_words():
    """A word for Linux where a vCPU may wait long for a processor: it counts
    the timer's ticks for 70 ms, once, and panics when there were too few."""
    return "no_timer_check" if patience() > 2 or os.nice(0) > 0 else ""


class GuestError(Exception):
    pass


def package(name):
    """The folder with a Debian package's files, fetched when needed."""
    done = subprocess.run([os.path.join(ROOT, "scripts", "fetch-package"),
                           name], check=True, stdout=subprocess.PIPE,
                          text=True)
    return done.stdout.strip().splitlines()[-1]


def find(folder, pattern):
    for path, _, files in os.walk(folder):
        for name in files:
            full = os.path.join(path, name)
            if re.search(pattern, full):
                return full
    raise GuestError(f"nothing like {pattern} in {folder}")


def cloud_kernel():
    return find(package("linux-image-cloud-amd64"), r"/boot/vmlinuz-")


def busybox():
    return find(package("busybox-static"), r"/bin/busybox$")


def initramfs(name, init, box=None, files=()):
    """An initial ram disk of busybox with `init` as its /init and `files`,
    pairs of a guest's and a host's path."""
    os.makedirs(CACHE, exist_ok=True)
    script = os.path.join(CACHE, f"{name}.init.{os.getpid()}")
    out = os.path.join(CACHE, f"{name}.{os.getpid()}.cpio")
    with open(script, "w") as f:
        f.write(init)
    try:
        subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"), "-o",
                        out, "--busybox", box or busybox(), "--init",
                        script]
                       + [f"--file={to}={path}" for to, path in files],
                       check=True)
    finally:
        os.unlink(script)
    return out


def in_mode(args):
    """RHEA_TEST_ACCEL follows every -accel tcg: the translator's modes."""
    mode = os.environ.get("RHEA_TEST_ACCEL")
    return [f"{arg},{mode}" if mode and before == "-accel"
            and arg.split(",")[0] == "tcg" else arg
            for before, arg in zip(("", *args), args)]


class Guest:
    """One run; its console is read whole, so a failure can show it."""

    def __init__(self, *args):
        self.args = [RHEA, "-display", "none", "-serial", "stdio", "-monitor",
                     "none", *in_mode(args)]
        self.text = ""
        self.seen = 0
        self.start = time.monotonic()
        self.proc = subprocess.Popen(self.args, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()

    def fail(self, why):
        tail = "\n".join(self.text.splitlines()[-40:])[-4000:]
        raise GuestError(f"{why}\ncommand: {' '.join(self.args)}\n"
                         f"--- the end of its console:\n{tail}")

    def _read(self, begin, timeout_s):
        """What comes; None when that took too long by now."""
        while True:
            left = begin + timeout_s * patience() - time.monotonic()
            if left <= 0:
                return None
            # The load, and with it the limit, may have grown.
            if select.select([self.proc.stdout], [], [], left)[0]:
                break
        data = os.read(self.proc.stdout.fileno(), 65536)
        self.text += data.decode("utf-8", "replace")
        return data

    def expect(self, pattern, timeout_s):
        """Wait for a pattern after what was matched before; its match."""
        begin = time.monotonic()
        while True:
            m = re.compile(pattern).search(self.text, self.seen)
            if m:
                self.seen = m.end()
                return m
            data = self._read(begin, timeout_s)
            if data is None:
                self.fail(f"no {pattern!r} within "
                          f"{time.monotonic() - begin:.0f} s")
            if data == b"":
                self.fail(f"it ended before {pattern!r}, status "
                          f"{self.proc.wait(10 * patience())}")

    def send(self, text):
        self.proc.stdin.write(text.encode())
        self.proc.stdin.flush()

    def wait(self, timeout_s, status=0):
        """Wait for the end of the run and check its exit status."""
        begin = time.monotonic()
        while True:
            data = self._read(begin, timeout_s)
            if data is None:
                self.fail(f"still running after "
                          f"{time.monotonic() - begin:.0f} s")
            if data == b"":
                break
        got = self.proc.wait(10 * patience())
        if got != status:
            self.fail(f"exit status {got}, not {status}")

    def seconds(self):
        return time.monotonic() - self.start


def run_tests(tests):
    """Run the functions named on the command line, or all; print TAP."""
    wanted = sys.argv[1:] or [t.__name__ for t in tests]
    failed = 0
    print(f"1..{len(wanted)}")
    for i, name in enumerate(wanted, 1):
        test = next(t for t in tests if t.__name__ == name)
        try:
            note = test()
            print(f"ok {i} {name}" + (f" # {note}" if note else ""),
                  flush=True)
        except Exception as e:
            failed = 1
            print(f"not ok {i} {name}")
            for line in str(e).splitlines():
                print("# " + line)
            sys.stdout.flush()
    sys.exit(failed)
