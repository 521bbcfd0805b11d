"""Real programs for programs-test.py, stress-test.py and guest-bench.py: a
folder with what they need, what they do, and a guest that has it.

Everything comes from Debian packages that are unpacked, not installed; host
and guests run the same files in the same tree, from its root, so all names are
relative.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import hashlib
import os
import random
import shutil
import subprocess

from guest import ROOT, Guest, busybox, cloud_kernel, linux_words, package

PACKAGES = """dash libc6 libgcc-s1 zlib1g liblzma5 xz-utils libzstd1 liblz4-1 zstd
gzip libssl3 openssl tcc perl-base libcrypt1 libexpat1 python3.11-minimal
libpython3.11-minimal libsqlite3-0 libreadline8 libtinfo6 sqlite3""".split()
# Where an architecture has its libraries, and which of them loads programs.
ARCHES = {"amd64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
          "i386": ("i386-linux-gnu", "ld-linux.so.2")}

SCRIPT = """
i=0
while [ $i -lt 40 ]; do
    x=$(echo $i | sed s/3/three/)
    [ -n "$x" ] && expr $i + 1 > tmp/n && read -r i < tmp/n
    ls data | wc -l > /dev/null
done
echo $x
"""
PYTHON = """
words = open("data/text").read().split()
count = {}
for w in words:
    count[w] = count.get(w, 0) + 1
print(sorted(count.items(), key=lambda p: (-p[1], p[0]))[:5])
def primes(n):
    s = bytearray([1]) * n
    for i in range(2, int(n ** 0.5) + 1):
        if s[i]:
            for j in range(i * i, n, i):
                s[j] = 0
    return sum(s) - 2
print(primes(60000), sum(x * x % 7 for x in range(60000)), 3 ** 3000 % 10 ** 9)
"""
PERL = r"""
open F, "data/text"; my (%n, $c);
while (<F>) { $n{lc $1}++ while /(\w+)/g; $c++ if /th(e|at)\s+\w+ing/; }
print join(" ", map { "$_=$n{$_}" } (sort keys %n)[0..9]), " ", $c // 0, "\n";
my $s = 0; for my $i (1..100000) { $s = ($s * 31 + $i) % 1000003; }
print "$s\n";
"""
SQL = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<10000)
  INSERT INTO t SELECT x, x*7919%1000, 'row '||x FROM n;
CREATE INDEX i ON t(b);
SELECT count(*), sum(length(c)) FROM t WHERE b BETWEEN 100 AND 300;
SELECT sum(x.a*y.b) FROM t x JOIN t y ON x.b=y.a;
UPDATE t SET c=c||b WHERE a%3=0;
SELECT b, count(*), max(c) FROM t GROUP BY b ORDER BY 3 DESC LIMIT 3;
"""

# Name: what it is, and its command.
PROGRAMS = {
    "xz": ("xz -3", "xz -3 -T1 -c data/text"),
    "zstd": ("zstd -9", "zstd -9 -q -c --single-thread data/text"),
    "gzip": ("gzip -6", "gzip -6 -n -c data/text"),
    "sha256": ("openssl SHA-256", "openssl dgst -sha256 data/big"),
    "cipher": ("openssl AES-128-CBC", "openssl enc -aes-128-cbc -K 0123456789"
               "abcdef0123456789abcdef -iv 0123456789abcdef0123456789abcdef "
               "-in data/big | tail -c 64 | md5sum"),
    "rsa": ("openssl RSA-2048 sign", "openssl dgst -sha256 -sign data/key "
            "data/text | md5sum"),
    "tcc": ("tcc, a C compiler", "tcc -c -o tmp/o data/source.c && "
            "md5sum < tmp/o"),
    "python": ("python3", "python3.11 -S -E data/script.py"),
    "perl": ("perl", "perl data/script.pl"),
    "sqlite": ("sqlite3", "sqlite3 :memory: < data/script.sql"),
    "shell": ("shell of short processes", "sh data/script.sh"),
}

# More than one thread or process at a time.
PARALLEL = {
    "xz_threads": "xz -2 -T2 --block-size=50000 -c data/text",
    "zstd_threads": "zstd -3 -q -c -T2 -B65536 data/text",
    "jobs": "for i in 1 2 3 4 5 6 7 8; do (seq 1 ${i}00 | sort -rn | "
            "md5sum > tmp/job$i) & done; wait; cat tmp/job?",
}

# What a guest with the tree does around its test; its console must not show
# a complaint.
INIT = """#!/bin/sh
export PATH=/usr/bin:/bin:/sbin LC_ALL=C HOME=/tmp
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
echo "at init: $(grep -c ^processor /proc/cpuinfo) processors"
{}
dmesg | grep -E 'segfault|general protection|trap |WARNING:|BUG:' |
    sed 's/^/complaint: /'
echo "all done"
poweroff -f
"""


def text(n_bytes):
    rng = random.Random(1)
    words = ["".join(rng.choice("etaoinshrdlucmfwypvbgk")
                     for _ in range(rng.randint(1, 9))) for _ in range(3000)]
    words += ["the", "that", "running", "is", "and"] * 20
    out, size = [], 0
    while size < n_bytes:
        line = " ".join(rng.choice(words) for _ in range(12)) + "\n"
        out.append(line)
        size += len(line)
    return "".join(out)


def source():
    out = ["typedef unsigned long u;\n"]
    for i in range(600):
        out.append(f"u f{i}(u a, u b) {{ u s = {i}; for (u k = 0; k < a; k++)"
                   f" {{ if (k % {i % 7 + 2}) s += k * b; else s ^= a - k; }}"
                   f" switch (s & 3) {{ case 0: return s + {i}; case 1: "
                   f"return s / (b | 1); default: return s << 1; }} }}\n")
    return "".join(out)


def host_bin(root):
    return root.rstrip("/") + "-bin"


def make_host_bin(root, arch):
    """Commands that run the tree's programs on the host, where they are, with
    the tree's libraries."""
    folder, loader = ARCHES[arch]
    lib = os.path.join(root, "lib", folder)
    os.makedirs(host_bin(root))
    for path in ("bin/dash", "bin/gzip", "usr/bin/xz", "usr/bin/zstd",
                 "usr/bin/openssl", "usr/bin/tcc", "usr/bin/perl",
                 "usr/bin/python3.11", "usr/bin/sqlite3"):
        command = os.path.join(host_bin(root), os.path.basename(path))
        with open(command, "w") as f:
            f.write(f"#!/bin/sh\nexec {lib}/{loader} --library-path "
                    f'{lib}:{root}/usr/lib/{folder} {root}/{path} "$@"\n')
        os.chmod(command, 0o755)
    os.symlink("dash", os.path.join(host_bin(root), "sh"))


def run_on_host(root, command):
    """What the command writes and its status, as in a guest: from the root of
    the tree."""
    return subprocess.run(
        ["sh", "-c", command], cwd=root, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={
            "PATH": host_bin(root) + ":/usr/bin:/bin",
            "LC_ALL": "C", "HOME": "/tmp", "OPENSSL_CONF": "/dev/null"})


def sum_on_host(root, name, command):
    """SHA-256 of what the command writes."""
    done = run_on_host(root, command)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{name} fails on the host, status "
                           f"{done.returncode}: {done.stdout[-400:]}")
    return hashlib.sha256(done.stdout).hexdigest()


def tree_guest(folder, root, script, n_cpus):
    """A guest whose root is the tree, and that runs the script; `folder` is
    for files of ours."""
    init = os.path.join(folder, "init")
    with open(init, "w") as f:
        f.write(INIT.format(script))
    initrd = os.path.join(folder, "initramfs")
    subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"), "-o",
                    initrd, "--busybox", busybox(), "--init", init, "--tree",
                    root], check=True)
    return Guest("-accel", "tcg", "-cpu", "max", "-smp", str(n_cpus), "-m",
                 "512", "-no-reboot", "-kernel", cloud_kernel(), "-initrd",
                 initrd, "-append", "console=ttyS0 quiet panic=-1 oops=panic "
                 + linux_words())


def make_tree(root, arch="amd64"):
    for name in PACKAGES:
        folder = package(name if arch == "amd64" else f"{name}:{arch}")
        for path, _, files in os.walk(folder):
            guest = os.path.relpath(path, folder)
            if guest.startswith(("usr/share/doc", "usr/share/man",
                                 "usr/share/locale", "usr/share/lintian",
                                 f"usr/lib/{ARCHES[arch][0]}/gconv")):
                continue
            for file in files:
                to = os.path.join(root, guest, file)
                if file != ".complete" and not os.path.lexists(to):
                    os.makedirs(os.path.dirname(to), exist_ok=True)
                    shutil.copy2(os.path.join(path, file), to,
                                 follow_symlinks=False)
    for name in ("bin", "tmp", "dev", "data", "proc", "usr/bin"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    box = os.path.join(root, "bin", "busybox")
    shutil.copy2(busybox(), box)
    for applet in subprocess.run([box, "--list-full"], check=True, text=True,
                                 capture_output=True).stdout.split():
        to = os.path.join(root, applet)
        if os.path.isdir(os.path.dirname(to)) and not os.path.lexists(to):
            os.symlink("/bin/busybox", to)
    # Busybox's own shell runs applets in the place of programs.
    shell = os.path.join(root, "bin", "sh")
    if os.path.lexists(shell):
        os.unlink(shell)
    os.symlink("dash", shell)
    data = os.path.join(root, "data")
    for name, content in (("text", text(400000)), ("source.c", source()),
                          ("script.sh", SCRIPT), ("script.py", PYTHON),
                          ("script.pl", PERL), ("script.sql", SQL)):
        with open(os.path.join(data, name), "w") as f:
            f.write(content)
    with open(os.path.join(data, "big"), "wb") as f:
        f.write(random.Random(2).randbytes(8 << 20))
    make_host_bin(root, arch)
    made = run_on_host(root, "openssl genrsa -out data/key 2048")
    if made.returncode:
        raise RuntimeError(f"openssl genrsa: {made.stdout.decode()}")
