#!/usr/bin/env python3
"""What a guest writes under -snapshot: gone at the end, or kept by "commit".

A boot sector writes itself into the second sector by INT 13h.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import socket
import tempfile

from guest import Guest, patience, run_tests

CODE = (b"\x31\xc0\x8e\xc0"             # xor ax, ax; mov es, ax
        b"\xbb\x00\x7c"                 # mov bx, 7c00h
        b"\xb8\x01\x03\xb9\x02\x00"     # mov ax, 301h; mov cx, 2
        b"\xba\x80\x00\xcd\x13"         # mov dx, 80h; int 13h
        b"\xb0\x57\x73\x02\xb0\x45"     # mov al, 'W'; jnc +2; mov al, 'E'
        b"\xba\xf8\x03\x88\xc3"         # mov dx, 3f8h; mov bl, al
        b"\xb0\x3c\xee\x88\xd8\xee\xb0\x3e\xee"     # '<', bl, '>'
        b"\xfa\xf4\xeb\xfd")            # cli; hlt
SECTOR = CODE.ljust(510, b"\0") + b"\x55\xaa"


def ask(path, line):
    """The monitor's answer to one line, up to its next prompt."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60 * patience())
        s.connect(path)
        text = b""
        for words in (b"", line.encode() + b"\n"):
            s.sendall(words)
            text = b""
            while not text.endswith(b"(qemu) "):
                data = s.recv(4096)
                assert data, text
                text += data
    return text.decode()


def run(kind, fmt, command):
    """The second sector of the disk after the guest and the command."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "disk")
        sock = os.path.join(folder, "monitor")
        with open(path, "wb") as f:
            f.write(SECTOR)
            f.truncate(1 << 20)
        if fmt == "qcow2":
            tool = os.environ["RHEA_IMG"]
            assert os.system(f"{tool} convert -f raw -O qcow2 {path} {path}2 "
                             f"&& mv {path}2 {path}") == 0
        with Guest("-accel", "tcg", "-m", "64", "-snapshot", "-drive",
                   f"if={kind},format={fmt},file={path}", "-monitor",
                   f"unix:{sock},server=on,wait=off") as g:
            g.expect(r"<W>", 60)
            if command:
                answer = ask(sock, command)
                assert "rror" not in answer, answer
            g.proc.terminate()
            g.wait(60)
        if fmt == "qcow2":
            assert os.system(f"{tool} check -q {path} && {tool} convert -f "
                             f"qcow2 -O raw {path} {path}2 "
                             f"&& mv {path}2 {path}") == 0
        with open(path, "rb") as f:
            f.seek(512)
            return f.read(512)


def gone():
    assert run("ide", "raw", None) == bytes(512)


def kept_raw():
    assert run("ide", "raw", "commit all") == SECTOR


def kept_qcow2():
    assert run("virtio", "qcow2", "commit all") == SECTOR


if __name__ == "__main__":
    run_tests([gone, kept_raw, kept_qcow2])
