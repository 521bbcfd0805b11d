#!/usr/bin/env python3
"""The command line of the real program: probes, mistakes, and the process.

cli-test.py RHEA            TAP on stdout

SPDX-License-Identifier: GPL-2.0-or-later
"""
import ctypes
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "guest"))
from guest import patience              # noqa: E402

RHEA = os.path.abspath(sys.argv[1])
signal.signal(signal.SIGHUP, signal.SIG_DFL)    # we may be below nohup

# Probes: command line, exit status 0, a pattern in stdout.
PROBES = [
    ("-version", r"\AQEMU emulator version 10\.0\.0 \(Rhea 0\.1\.0\)\n"),
    ("--version", r"\AQEMU emulator version 10\.0\.0 \(Rhea 0\.1\.0\)\n"),
    ("-help", r"\AQEMU emulator version 10\.0\.0 \(Rhea 0\.1\.0\)\n"),
    ("-h", r"(?m)^-machine \[type=\]name"),
    ("-help", r"(?m)^-device driver"),
    ("-help", r"(?m)^-smp \[\[cpus=\]n\]"),
    ("-M help", r"(?m)^pc  +.* \(alias of pc-i440fx-10\.0\)$"),
    ("-machine help", r"(?m)^pc-i440fx-10\.0  +.* \(default\)$"),
    ("-M ?", r"(?m)^none  +empty machine$"),
    ("-M pc,help", r"(?m)^  hpet=<bool> .*\(default: on\)$"),
    ("-accel help", r"(?m)^tcg$"),
    ("-M none -accel help", r"\AAccelerators supported in QEMU binary:\n"),
    ("-cpu help", r"(?m)^ *(x86 +)?max\b"),
    ("-cpu ?", r"qemu64"),
    ("-M none -cpu help", r"Haswell"),
    ("-device help", r'(?m)^name "isa-serial", bus ISA'),
    ("-device ?", r'(?m)^name "isa-debug-exit", bus ISA'),
    ("-M none -device help", r'(?m)^name "pvpanic", bus ISA'),
    ("-device isa-debug-exit,help", r"(?m)^isa-debug-exit options:$"),
    ("-device isa-serial,?", r"(?m)^  chardev=<str> "),
    ("-chardev help", r"(?m)^  socket$"),
    ("-netdev help", r"\AAvailable netdev backend types:\n"),
    ("-object help", r"\AList of user creatable objects:\n"),
    ("-display help", r"(?m)^none$"),
    ("-vga help", r"(?m)^none "),
    ("-d help", r"(?m)^guest_errors "),
    ("-trace help", r"(?m)^apic-"),
    ("-M nonsense -version", r"\AQEMU"),
]

# Mistakes: command line, the one line on stderr after "rhea: ".
MISTAKES = [
    ("-foo", "-foo: invalid option; see -help"),
    ("-kernal x", "-kernal: invalid option; did you mean -kernel?"),
    ("--nograpic", "--nograpic: invalid option; did you mean -nographic?"),
    ("-smpp 4", "-smpp: invalid option; did you mean -smp?"),
    ("-m", "-m: requires an argument"),
    ("-serial", "-serial: requires an argument"),
    ("-no-kvm", "-no-kvm: no longer an option; write -accel tcg"),
    ("-redir tcp:1::2",
     "-redir tcp:1::2: no longer an option; write -nic user,hostfwd=..."),
    ("-soundhw hda", "-soundhw hda: no longer an option; "
     "write -audiodev and -device intel-hda"),
    ("-localtime", "-localtime: no longer an option; "
     "write -rtc base=localtime"),
    ("-drive file=/nowhere/x",
     "-drive file=/nowhere/x: could not open '/nowhere/x': "
     "No such file or directory"),
    ("-usb", "-usb: not implemented yet"),
    ("/nowhere/disk.img", "-hda /nowhere/disk.img: could not open "
     "'/nowhere/disk.img': No such file or directory"),
    ("-M foo", "unsupported machine type 'foo'; -machine help lists them"),
    ("-M pd", "unsupported machine type 'pd'; did you mean 'pc'?; "
     "-machine help lists them"),
    ("-M foo,help",
     "unsupported machine type 'foo'; -machine help lists them"),
    ("-M pc,hpte=off", "-M pc,hpte=off: device 'pc-i440fx-10.0' has no "
     "property 'hpte'; did you mean 'hpet'?"),
    ("-M pc,hpet=maybe", r"/-M pc,hpet=maybe: .*hpet.*maybe.*"),
    ("-M pc,usb=on", "-M pc,usb=on: -machine usb=on: not implemented yet"),
    ("-M pc,accel=foo", r"/.*invalid accelerator 'foo'.*"),
    ("-accel foo", r"/invalid accelerator 'foo': one of .*tcg is wanted"),
    ("-M accel=tcg:foo -accel x", 'The -accel and "-machine accel=" options '
     "are incompatible"),
    ("-accel xen", "accelerator 'xen' is not implemented yet"),
    ("-M pc,accel=xen:hvf", "accelerator 'hvf' is not implemented yet"),
    ("-accel tcg -M accel=tcg", 'The -accel and "-machine accel=" options '
     "are incompatible"),
    ("-accel tcg,tbsize=1", "accelerator 'tcg': unknown parameter 'tbsize'; "
     "did you mean 'tb-size'?"),
    ("-cpu foo", r"/.*foo.*"),
    ("-cpu max,+nonsense", r"/.*nonsense.*"),
    ("-smp 0", "-smp 0: Invalid CPU topology: CPU topology parameters must "
     "be greater than zero: 'cpus'"),
    ("-smp foo", "-smp foo: parameter 'cpus' expects a number from 0 to "
     "65536, not 'foo'"),
    ("-smp 4,cores=3", "-smp 4,cores=3: Invalid CPU topology: product of the "
     "hierarchy must match maxcpus: sockets (1) * dies (1) * cores (3) * "
     "threads (1) != maxcpus (4)"),
    ("-smp 4,maxcpus=2", "-smp 4,maxcpus=2: Invalid CPU topology: maxcpus "
     "must be equal to or greater than smp: sockets (1) * dies (1) * cores "
     "(2) * threads (1) == maxcpus (2) < smp_cpus (4)"),
    ("-smp 300", "-smp 300: Invalid SMP CPUs 300. The max CPUs supported by "
     "machine 'pc-i440fx-10.0' is 255"),
    ("-M none -smp 2", "-smp 2: Invalid SMP CPUs 2. The max CPUs supported "
     "by machine 'none' is 1"),
    ("-smp 2,core=2", "-smp 2,core=2: -smp: unknown parameter 'core'; did "
     "you mean 'cores'?"),
    ("-m foo", "-m foo: parameter 'size' expects a size: a number and "
     "perhaps k, M, G, T, P or E, not 'foo'"),
    ("-m 1X", "-m 1X: parameter 'size' expects a size: a number and perhaps "
     "k, M, G, T, P or E, not '1X'"),
    ("-m 512,slots=1",
     "-m 512,slots=1: slots specified but no max-size"),
    ("-m 512,foo=1", "-m 512,foo=1: -m: unknown parameter 'foo'"),
    ("-m 2G,maxmem=1G", "-m 2G,maxmem=1G: invalid value of maxmem: maximum "
     "memory size (0x40000000) must be at least the initial memory size "
     "(0x80000000)"),
    ("-append x", "-append only allowed with -kernel option"),
    ("-initrd x", "-initrd only allowed with -kernel option"),
    ("-dtb x", "-dtb only allowed with -kernel option"),
    ("-kernel /nonexistent", r"/could not open kernel .*'/nonexistent'.*"),
    ("-bios /nonexistent", "could not open firmware '/nonexistent': No such "
     "file or directory"),
    ("-bios {self}", r"/could not load firmware '.*': .*"),
    ("-M none -kernel x", "machine 'none' has nothing to boot: -kernel and "
     "-bios are not supported"),
    ("-kernel {self}", r"/could not load kernel '.*': .*"),
    ("-dfilter 5", "-dfilter: '5' is not a range: START+LENGTH, "
     "START-LENGTH or START..END"),
    ("-device foo", r"/-device foo: 'foo' is not a valid device model "
     "name.*"),
    ("-device isa-seral", "-device isa-seral: 'isa-seral' is not a valid "
     "device model name; did you mean 'isa-serial'?"),
    ("-acpitable data=x", "-acpitable data=x: parameter 'sig' is missing: "
     "'data' has no header that tells it"),
    ("-acpitable sgi=TEST", "-acpitable sgi=TEST: -acpitable: unknown parameter "
     "'sgi'; did you mean 'sig'?"),
    ("-acpitable file=/nowhere/x",
     r"/-acpitable file=/nowhere/x: .*/nowhere/x.*No such file or directory"),
    ("-acpitable sig=TEST", "-acpitable sig=TEST: either 'file', with a "
     "header, or 'data', without one, is wanted"),
    ("-device foo,help", "Device 'foo' not found"),
    ("-device scsi-hd,drive=x", "-device scsi-hd,drive=x: 'scsi-hd': SCSI is "
     "not implemented yet; accepted for disks: virtio-blk-pci, ide-hd, "
     "ide-cd"),
    ("-device virtio-balloon-pci", "-device virtio-balloon-pci: "
     "'virtio-balloon-pci': this device is not implemented yet"),
    ("-object memory-backend-ram,id=m", "-object memory-backend-ram,id=m: "
     "property 'size' is missing: the bytes of memory"),
    ("-M memory-backend=m", "-machine memory-backend=m: there is no -object "
     "memory-backend-ram or -memfd of that id"),
    ("-m 64 -M memory-backend=m -object memory-backend-memfd,id=m,size=32M",
     "-machine memory-backend=m: it has 33554432 bytes, and the machine "
     "67108864"),
    ("-device pci-testdev,membar=12k", "-device pci-testdev,membar=12k: "
     "pci-testdev: property 'membar' expects a power of two from 4096 bytes, "
     "not 12288"),
    ("-device isa-debug-exit,iobsae=4", "-device isa-debug-exit,iobsae=4: "
     "device 'isa-debug-exit' has no property 'iobsae'; did you mean "
     "'iobase'?"),
    ("-device isa-debug-exit,iobase=foo",
     r"/-device isa-debug-exit,iobase=foo: .*iobase.*foo.*"),
    ("-device isa-debug-exit,bus=foo",
     "-device isa-debug-exit,bus=foo: bus 'foo' not found"),
    ("-device isa-debug-exit,id=a -device isa-debug-exit,iobase=9,id=a",
     "-device isa-debug-exit,iobase=9,id=a: duplicate device ID 'a'"),
    ("-device isa-debug-exit,id=7", r"/-device isa-debug-exit,id=7: "
     "parameter 'id' expects an identifier .* not '7'"),
    ("-M none -device isa-serial", "-device isa-serial: no 'ISA' bus found "
     "for device 'isa-serial'"),
    ("-device driver=isa-serial,chardev=nope",
     r"/-device driver=isa-serial,chardev=nope: .*nope.*"),
    ("""-device '{"driver":"isa-debug-exit","iobase":}'""",
     r"/-device .*: JSON: unexpected text at character 37"),
    ("-serial foo", r"/-serial foo: .*foo.*"),
    ("-serial file:/nonexistent/x", r"/-serial .*/nonexistent/x.*"),
    ("-chardev foo,id=a", r"/-chardev foo,id=a: .*foo.*"),
    ("-chardev stdio", "-chardev stdio: chardev: no id specified"),
    ("-chardev null,id=a,sever=on", r"/-chardev null,id=a,sever=on: .*sever.*"),
    ("-chardev null,id=a -chardev null,id=a", r"/-chardev null,id=a: .*a.*"),
    ("-serial chardev:nope", r"/-serial chardev:nope: .*nope.*"),
    ("-parallel foo", r"/-parallel foo: .*foo.*"),
    ("-monitor foo", r"/-monitor foo: .*foo.*"),
    ("-mon nope", '-mon nope: chardev "nope" not found'),
    ("-mon chardev=nope,mode=foo", "-mon chardev=nope,mode=foo: parameter "
     "'mode' does not accept 'foo'; accepted: readline, control"),
    ("-qmp stdio", "-qmp stdio: only 'none' is implemented yet"),
    ("-rtc base=foo", "-rtc base=foo: parameter 'base' expects utc, "
     "localtime or a date such as '2006-06-17T16:01:21' or '2006-06-17', not "
     "'foo'"),
    ("-rtc clock=hots", "-rtc clock=hots: parameter 'clock' does not accept "
     "'hots' (did you mean 'host'?); accepted: host, rt, vm"),
    ("-boot order=z", "-boot: Invalid boot device 'z'; accepted: a to p "
     "(c disk, d CD-ROM, n network)"),
    ("-boot foo", "-boot: Boot device 'o' was given twice"),
    ("-action reboot=foo", "-action reboot=foo: parameter 'reboot' does not "
     "accept 'foo'; accepted: reset, shutdown"),
    ("-action foo=bar",
     "-action foo=bar: -action: unknown parameter 'foo'"),
    ("-display gtk", "-display gtk: not implemented yet; accepted: none"),
    ("-vga cirrus",
     "-vga cirrus: not implemented yet; accepted: std, none"),
    ("-vnc :0", "-vnc :0: not implemented yet; accepted: none"),
    ("-net user", "-net user: not implemented yet; accepted: none"),
    ("-nic user", "-nic user: not implemented yet; accepted: none"),
    ("-global foo", "-global foo: driver.property=value expected"),
    ("-global isa-serial.foo=1", r"/.*foo.*"),
    ("-uuid x",
     "-uuid x: failed to parse UUID string: wrong format"),
    ("-echr x", "-echr x: a character code from 0 to 255 expected"),
    ("-d foo", "-d: unknown log item 'foo' ('-d help' lists them)"),
    ("-d in_asn", "-d: unknown log item 'in_asn'; did you mean 'in_asm'? "
     "('-d help' lists them)"),
    ("-D /nonexistent/x",
     r"/-D: could not open '/nonexistent/x': No such file or directory"),
    ("-pidfile /nonexistent/x", "cannot create PID file: Could not create "
     "'/nonexistent/x': No such file or directory"),
    ("-readconfig /nonexistent", r"/-readconfig /nonexistent: Could not open "
     "'/nonexistent': .*"),
    ("-readconfig {bad_config}", r"/-readconfig .*: .*:1: no group defined"),
    ("-name foo=bar", "-name: unknown parameter 'foo'"),
    ("-sandbox on", "-sandbox on: not implemented yet"),
    ("-overcommit foo=on", "-overcommit: unknown parameter 'foo'"),
    ("-object foo,id=a", "-object foo,id=a: there is no object type 'foo'; "
     "-object help lists them"),
    ("-nographic -daemonize", "-nographic cannot be used with -daemonize"),
    ("-readconfig help", r"/-readconfig help: Could not open 'help': .*"),
]

# Accepted: the machine comes up and goes when told.
GOOD = [
    "",
    "-M none",
    "-M pc -m 64 -smp 2",
    "-machine pc-i440fx-10.0,hpet=off,smm=off,vmport=off,usb=off",
    "-M pc-i440fx-6.2 -smp 2,sockets=1,cores=1,threads=2 -m 128M",
    "-M accel=tcg -cpu max -m size=64M",
    "-M pc,kernel_irqchip=split,dump_guest_core=off",
    "-M accel=xen:tcg", "-accel hvf -accel tcg,thread=multi",
    "-accel tcg -cpu qemu64,+nx,-pni -no-hpet",
    "-nodefaults -no-user-config -serial none -monitor none -vga none -vnc none",
    "-serial null -serial null -serial none -serial file:{tmp}/serial",
    "-chardev null,id=a -serial chardev:a -parallel none -net none -nic none",
    "-chardev socket,id=a,path={tmp}/sock,server,nowait -serial chardev:a",
    "-chardev socket,id=b,path={tmp}/sock2,server=on,wait=off -mon b",
    "-device isa-debug-exit,iobase=0xf4,iosize=4,id=exit",
    "-drive if=virtio,file={good_config},file.locking=off,format=raw "
    "-drive file.filename={good_config},file.locking=off,format=raw",
    "-M pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram "
    "-object '{{\"qom-type\":\"memory-backend-ram\",\"id\":\"pc.ram\","
    "\"size\":134217728}}'",
    "-M memory-backend=m,mem-merge=off,i8042=off,graphics=off -object "
    "memory-backend-memfd,id=m,size=64M",
    """-device '{{"driver":"isa-debug-exit","iobase":1281}}'""",
    "-debugcon file:{tmp}/debugcon -parallel file:{tmp}/lpt -parallel none",
    "-global isa-debug-exit.iobase=0x501 -device isa-debug-exit",
    "-nodefaults " + " ".join(f"-blockdev driver=null-co,node-name=n{i} "
                              f"-device ide-hd,drive=n{i}" for i in range(4)),
    "-global PIIX4_PM.disable_s3=1 -global PIIX4_PM.disable_s4=1",
    "-name guest=x,process=rhea-test,debug-threads=on "
    "-uuid 00112233-4455-6677-8899-aabbccddeeff",
    "-rtc base=2006-06-17T16:01:21,clock=vm,driftfix=slew",
    "-rtc base=localtime,clock=rt -boot order=cd,menu=on",
    "-no-reboot -no-shutdown -action panic=none,watchdog=none",
    "-d guest_errors,int -D {tmp}/log -trace runstate-*",
    "-trace enable=pic*,file={tmp}/trace -msg timestamp=on",
    "-readconfig {good_config}",
    "-L {tmp} -overcommit mem-lock=off -sandbox off -k de -full-screen",
    "-mem-prealloc -m 16",
]

GOOD_CONFIG = """
# as QEMU writes it
[machine]
  type = "pc"

[memory]
  size = "64"

[chardev "c0"]
  backend = "null"

[device "exit"]
  driver = "isa-debug-exit"
  iobase = "0xf4"
"""

# What is not about the command line: which accelerator was chosen, no SeaBIOS
# on this host.
NOISE = re.compile(r"rhea: (info: accel=.*|warning: no "
                   r"kernel, and no firmware .* is installed .*)\n")

count = failures = 0
tmp = tempfile.TemporaryDirectory(prefix="rhea-cli-")
good_config = os.path.join(tmp.name, "good.cfg")
bad_config = os.path.join(tmp.name, "bad.cfg")
with open(good_config, "w", encoding="ascii") as config:
    config.write(GOOD_CONFIG)
with open(bad_config, "w", encoding="ascii") as config:
    config.write('driver = "x"\n')


def report(ok, name, why=""):
    global count, failures
    count += 1
    failures += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {name}")
    if not ok:
        for line in str(why).splitlines():
            print(f"# {line}")
    sys.stdout.flush()


def expand(line):
    return line.format(tmp=tmp.name, self=os.path.abspath(__file__),
                       good_config=good_config, bad_config=bad_config)


def run(line):
    command = [RHEA, *shlex.split(line)]
    try:
        return subprocess.run(command, timeout=10 * patience(),
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace")
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(command, None, "",
                                           f"{e.stderr} and still running")


def test_probes():
    for line, pattern in PROBES:
        r = run(line)
        ok = (r.returncode == 0 and re.search(pattern, r.stdout)
              and not r.stderr)
        report(ok, f"probe {line}",
               f"status {r.returncode}\n{r.stdout}{r.stderr}")


def test_mistakes():
    for line, expected in MISTAKES:
        if "{self}" in line or "{bad_config}" in line:
            line = expand(line)
        r = run(("" if "-display" in line else "-display none ") + line)
        got = NOISE.sub("", r.stderr)
        if expected.startswith("/"):
            ok = re.fullmatch("rhea: " + expected[1:] + "\n", got)
        else:
            ok = got == f"rhea: {expected}\n"
        ok = ok and r.returncode == 1 and not r.stdout
        report(ok, f"mistake {line}",
               f"expected {expected}\nstatus {r.returncode}\n{got}{r.stdout}")


class Machine:
    """One that waits, stopped, with its output in pipes."""

    def __init__(self, line, **kwargs):
        self.proc = subprocess.Popen(
            [RHEA, "-S", *shlex.split(line)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **kwargs)

    def wait_pidfile(self, path):
        end = time.monotonic() + 20 * patience()
        while time.monotonic() < end and self.proc.poll() is None:
            if os.path.exists(path) and os.path.getsize(path):
                return True
            time.sleep(0.01)
        return False

    def stop(self, how=signal.SIGTERM):
        """Seconds until it was gone, and what it said."""
        start = time.monotonic()
        self.proc.send_signal(how)
        try:
            _, err = self.proc.communicate(timeout=10 * patience())
        except subprocess.TimeoutExpired:
            self.proc.kill()
            _, err = self.proc.communicate()
        return time.monotonic() - start, err


def test_good():
    pidfile = os.path.join(tmp.name, "pid")
    for line in GOOD:
        m = Machine(f"{expand(line)} -display none -pidfile {pidfile}")
        up = m.wait_pidfile(pidfile)
        time.sleep(0.05)
        seconds, err = m.stop()
        err = "".join(l for l in NOISE.sub("", err).splitlines(True)
                      if "terminating on signal" not in l)
        # The pidfile comes before the board: a late failure shows here.
        ok = (up and seconds < 2 * patience() and m.proc.returncode == 0 and not err
              and not os.path.exists(pidfile))
        report(ok, f"accepts {line or '(nothing)'}",
               f"status {m.proc.returncode}, {seconds:.1f} s, up {up}\n{err}")


def test_signals():
    pidfile = os.path.join(tmp.name, "pid")
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        m = Machine(f"-display none -pidfile {pidfile}")
        m.wait_pidfile(pidfile)
        time.sleep(0.1)
        seconds, err = m.stop(sig)
        ok = (seconds < 2 * patience() and m.proc.returncode == 0
              and f"terminating on signal {int(sig)} from pid {os.getpid()}"
              in err and not os.path.exists(pidfile))
        report(ok, f"{sig.name} ends it within 2 s",
               f"status {m.proc.returncode}, {seconds:.1f} s\n{err}")


def test_pidfile():
    pidfile = os.path.join(tmp.name, "pid")
    m = Machine(f"-display none -pidfile {pidfile}")
    m.wait_pidfile(pidfile)
    with open(pidfile, encoding="ascii") as f:
        report(f.read() == f"{m.proc.pid}\n", "the pidfile holds the pid")
    r = run(f"-S -display none -pidfile {pidfile}")
    report(r.returncode == 1 and r.stderr == "rhea: cannot create PID file: "
           f"Cannot lock pid file '{pidfile}': another process holds it\n",
           "a second process does not take the pidfile", r.stderr)
    report(os.path.exists(pidfile), "and leaves it alone")
    m.stop()
    report(not os.path.exists(pidfile), "the pidfile goes with its owner")
    with open(pidfile, "w", encoding="ascii") as f:
        f.write("a much longer text that somebody left\n")
    m = Machine(f"-display none -pidfile {pidfile}")
    end = time.monotonic() + 10 * patience()
    text = ""
    while text != f"{m.proc.pid}\n" and time.monotonic() < end:
        with open(pidfile, encoding="ascii") as f:
            text = f.read()
        time.sleep(0.01)
    report(text == f"{m.proc.pid}\n", "a stale pidfile is taken over", text)
    m.stop()


def test_daemonize():
    pidfile = os.path.join(tmp.name, "pid")
    r = run(f"-S -display none -daemonize -pidfile {pidfile}")
    report(r.returncode == 0 and not r.stdout, "-daemonize returns",
           r.stderr)
    try:
        with open(pidfile, encoding="ascii") as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 2 * patience()
        while os.path.exists(pidfile) and time.monotonic() < end:
            time.sleep(0.02)
        report(not os.path.exists(pidfile), "its child ends on SIGTERM")
    except OSError as e:
        report(False, "its child ends on SIGTERM", e)
    r = run("-S -display none -daemonize -M foo")
    report(r.returncode == 1 and "foo" in r.stderr,
           "-daemonize reports what went wrong", r.stderr)


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, line):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.flags = fcntl.fcntl(self.slave, fcntl.F_GETFL)
        self.out = b""
        self.proc = subprocess.Popen([RHEA, *shlex.split(line)],
                                     stdin=self.slave, stdout=self.slave,
                                     stderr=self.slave,
                                     start_new_session=True)

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON
                                                       | termios.ECHO)

    def wait_raw(self):
        """Until it has taken the terminal over."""
        end = time.monotonic() + 10 * patience()
        while (not self.is_raw() and self.proc.poll() is None
               and time.monotonic() < end):
            self.read(0.05)

    def read(self, seconds, until=None):
        end = time.monotonic() + seconds * (patience() if until else 1)
        while time.monotonic() < end:
            if until and until in self.out:
                return True
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                self.out += os.read(self.master, 4096)
        return False

    def write(self, data):
        os.write(self.master, data)

    def ended(self, seconds=3):
        try:
            self.proc.wait(seconds * patience())
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            return False
        self.read(0.1)
        return True

    def restored(self):
        return (termios.tcgetattr(self.slave) == self.before
                and fcntl.fcntl(self.slave, fcntl.F_GETFL) == self.flags)


def test_terminal():
    t = Terminal("-S -nographic")
    t.wait_raw()
    report(t.is_raw(), "-nographic makes the terminal raw",
           termios.tcgetattr(t.slave))
    report(not fcntl.fcntl(t.slave, fcntl.F_GETFL) & os.O_NONBLOCK,
           "O_NONBLOCK is not set on the terminal")
    t.write(b"\x01h")
    report(t.read(2, b"C-a x"), "C-a h helps", t.out)
    t.write(b"\x01c")
    report(t.read(2, b"(qemu) "), "C-a c shows the monitor", t.out)
    t.write(b"info status\r")
    report(t.read(2, b"VM status: paused"), "which answers", t.out)
    t.write(b"\x01c\x01x")
    report(t.ended() and t.proc.returncode == 0, "C-a x quits", t.out)
    report(t.restored(), "and restores the terminal")

    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        t = Terminal("-S -nographic")
        t.wait_raw()
        t.proc.send_signal(sig)
        report(t.ended(2) and t.restored(),
               f"{sig.name} restores the terminal", t.out)
    t = Terminal("-S -nographic -monitor none -serial stdio -echr 2")
    t.wait_raw()
    t.proc.send_signal(signal.SIGABRT)
    report(t.ended(2) and t.restored() and t.proc.returncode == -6,
           "so does a crash")
    t = Terminal("-S -nographic -device nonsense")
    report(t.ended() and t.restored() and t.proc.returncode == 1,
           "so does a mistake", t.out)
    t = Terminal("-S -display none -monitor stdio")
    t.read(2, b"(qemu) ")
    t.write(b"quit\r")
    report(t.ended() and t.restored() and t.proc.returncode == 0,
           "and so does the monitor's quit", t.out)


def test_pipes():
    """Descriptors shared with others keep their flags."""
    r, w = os.pipe()
    r2, w2 = os.pipe()
    p = subprocess.Popen([RHEA, "-S", "-nographic"], stdin=r, stdout=w2,
                         stderr=subprocess.DEVNULL)
    time.sleep(0.7)
    flags = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK for fd in (r, w2)]
    report(p.poll() is None and flags == [0, 0],
           "O_NONBLOCK is not set on pipes", f"{flags} {p.poll()}")
    p.terminate()
    p.wait(5 * patience())
    for fd in (r, w, r2, w2):
        os.close(fd)


def multiboot(code):
    """A kernel of these bytes, loaded and entered at 1 MiB."""
    at, size = 0x100000, 32 + len(code)
    magic, flags = 0x1badb002, 0x10000
    head = struct.pack("<8I", magic, flags, -(magic + flags) & 0xffffffff,
                       at, at, at + size, at + size, at + 32)
    path = os.path.join(tmp.name, "kernel")
    with open(path, "wb") as f:
        f.write(head + code)
    return path


def out8(port, val):
    # mov dx, port; mov al, val; out dx, al
    return struct.pack("<BBHBBB", 0x66, 0xba, port, 0xb0, val, 0xee)


def out16(port, val):
    # mov dx, port; mov ax, val; out dx, ax
    return struct.pack("<BBHBBHBB", 0x66, 0xba, port, 0x66, 0xb8, val, 0x66,
                       0xef)


SPIN = b"\xfa\xeb\xfe"             # cli; jmp $
TRIPLE = b"\x0f\x01\x1d" + struct.pack("<I", 0x10002b) + b"\xcc" + bytes(8)
DEBUG_EXIT = "-device isa-debug-exit,iobase=0xf4,iosize=4"

# How a guest ends: what, its code, options, exit status.
ENDS = [
    ("isa-debug-exit", out8(0xf4, 0x10) + SPIN, DEBUG_EXIT, 33),
    ("isa-debug-exit, 0", out8(0xf4, 0) + SPIN, DEBUG_EXIT, 1),
    ("soft-off", out16(0x604, 0x2000) + SPIN, "", 0),
    ("triple fault", TRIPLE, "-no-reboot", 0),
    ("triple fault", TRIPLE, "-action reboot=shutdown", 0),
    ("reset by the keyboard controller", out8(0x64, 0xfe) + SPIN,
     "-no-reboot", 0),
    ("reset by port CF9h", out8(0xcf9, 6) + SPIN, "-no-reboot", 0),
    ("reset by port 92h", out8(0x92, 1) + SPIN, "-no-reboot", 0),
    # What follows is never executed, also in the same stretch of code.
    ("isa-debug-exit twice", out8(0xf4, 0x10) + 50 * out8(0xf4, 0) + SPIN,
     DEBUG_EXIT, 33),
    ("soft-off, then isa-debug-exit",
     out16(0x604, 0x2000) + 50 * out8(0xf4, 0x10) + SPIN, DEBUG_EXIT, 0),
    ("reset, then isa-debug-exit",
     out8(0xcf9, 6) + 50 * out8(0xf4, 0x10) + SPIN,
     DEBUG_EXIT + " -no-reboot", 0),
    ("isa-debug-exit twice, interpreted",
     out8(0xf4, 0x10) + 50 * out8(0xf4, 0) + SPIN,
     DEBUG_EXIT + " -accel tcg,jit=off", 33),
    ("panic", out8(0x505, 1) + SPIN, "-device pvpanic", 0),
    ("panic", out8(0x505, 1) + SPIN,
     "-device pvpanic -action panic=exit-failure", 1),
    ("panic, ignored", out8(0x505, 1) + out8(0xf4, 1) + SPIN,
     DEBUG_EXIT + " -device pvpanic -action panic=none", 3),
]

# And how it does not.
STAYS = [
    ("spins with interrupts off", SPIN, ""),
    ("spins on two processors", SPIN, "-smp 2"),
    ("resets for ever", TRIPLE, ""),
    ("powered off, -no-shutdown", out16(0x604, 0x2000) + SPIN,
     "-no-shutdown"),
    ("panicked, panic=pause", out8(0x505, 1) + SPIN,
     "-device pvpanic -action panic=pause"),
]


def test_guests():
    for what, code, options, status in ENDS:
        kernel = multiboot(code)
        r = run(f"-display none -kernel {kernel} {options}")
        report(r.returncode == status, f"guest: {what} {options}",
               f"status {r.returncode}, expected {status}\n{r.stderr}")
    for what, code, options in STAYS:
        kernel = multiboot(code)
        p = subprocess.Popen([RHEA, "-display", "none", "-kernel", kernel,
                              *options.split()], stderr=subprocess.PIPE,
                             text=True)
        time.sleep(0.5)
        alive = p.poll() is None
        start = time.monotonic()
        p.terminate()
        _, err = p.communicate()
        seconds = time.monotonic() - start
        report(alive and p.returncode == 0 and seconds < 2 * patience(),
               f"guest: {what} {options}; SIGTERM ends it",
               f"{p.returncode} after {seconds:.1f} s\n{err}")


def test_stuck():
    """A vCPU's thread that never answers must not keep the process."""
    pidfile = os.path.join(tmp.name, "pid")
    kernel = multiboot(SPIN)
    t = Terminal(f"-nographic -accel tcg -kernel {kernel} -pidfile {pidfile}")
    t.wait_raw()
    t.read(0.3)
    libc = ctypes.CDLL(None, use_errno=True)
    attach, main = 16, t.proc.pid
    others = [int(tid) for tid in os.listdir(f"/proc/{main}/task")
              if int(tid) != main]
    # A traced thread stands still; its process does not.
    if any(libc.ptrace(attach, tid, None, None) for tid in others):
        report(True, "a stuck vCPU # SKIP ptrace is not allowed here")
    else:
        wall = 0x40000000       # __WALL: threads, too
        left = {tid for tid in others if os.waitpid(tid, wall)}
        start = time.monotonic()
        os.kill(main, signal.SIGTERM)
        while left and time.monotonic() - start < 3 * patience():
            # Whoever traces a thread has to collect it.
            left = {tid for tid in left
                    if os.waitpid(tid, wall | os.WNOHANG)[0] == 0}
            time.sleep(0.01)
        seconds = time.monotonic() - start
        if left:
            os.kill(main, signal.SIGKILL)
            for tid in left:
                os.waitpid(tid, wall)
        t.ended(3)
        report(seconds < 2 * patience() and t.restored()
               and not os.path.exists(pidfile) and len(others) > 0,
               "SIGTERM ends a process whose vCPU is stuck",
               f"{t.proc.returncode} after {seconds:.1f} s, {others}")
    if t.proc.poll() is None:
        t.proc.kill()
        t.proc.wait()


TESTS = {
    "probes": test_probes, "mistakes": test_mistakes, "good": test_good,
    "signals": test_signals, "pidfile": test_pidfile,
    "daemonize": test_daemonize, "terminal": test_terminal,
    "pipes": test_pipes, "guests": test_guests, "stuck": test_stuck,
}

if __name__ == "__main__":
    for test in sys.argv[2:] or TESTS:
        TESTS[test]()
    print(f"1..{count}")
    sys.exit(failures > 0)
