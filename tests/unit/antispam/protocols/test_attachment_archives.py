"""Archives that fight back: bounded in octets, entries, depth, memory and time, and none of it silent."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _unpacking import LIMIT, UNREADABLE, Budget
from antispam.deadline import Deadline
from antispam.protocols.attachments import ENCRYPTED, Finding, Limits, OutOfTime, Rules, archives, inspect, kinds
from antispam.protocols.attachments.archives import foreign, unpacker
from support.allocations import peak_of
from support.archives import ARCHIVES, encrypted_zip, tarred, winmail, written, zipped
from support.effort import in_proportion, no_dearer
from support.patience import PATIENCE

ZIP = [("Content-Type", "application/zip; name=a.zip"), ("Content-Transfer-Encoding", "base64")]
UNPACKER = Path(unpacker.__file__)


def look(content: bytes, name: str = "a.zip", limits: Limits | None = None, **more: object) -> list[Finding]:
    head = [("Content-Type", f"a/b; name={name}"), ("Content-Transfer-Encoding", "base64")]
    return inspect(head, base64.encodebytes(content), Rules(limits=limits or Limits()), **more)  # type: ignore[arg-type]


def reasons(content: bytes, name: str = "a.zip", limits: Limits | None = None) -> set[str]:
    return {found.reason for found in look(content, name, limits)}


def headers_with_names(flags: int, octets: bytes, length: int) -> bytes:
    """A zip of 327,000 octets in base64: 5,000 headers, and all of them state the same octets as their names."""
    header = b"PK\x03\x04" + struct.pack("<5H3L2H", 20, flags, 0, 0, 0, 0, 1, 1, length, 0)
    made = header * 5_000
    return base64.encodebytes(made + (octets * (327_000 // len(octets) + 1))[: 327_000 - len(made)])


@pytest.mark.parametrize(
    ("flags", "octets"),
    [(0, b"\xe9"), (0, b"a"), (0x800, "\U0001f600".encode() + b"a" * 2996)],
    ids=["cp437", "ascii", "four octets a character"],
)
def test_thousands_of_headers_that_share_a_name_of_64_kb(flags: int, octets: bytes) -> None:
    long, short = headers_with_names(flags, octets, 0xFFFF), headers_with_names(flags, octets, 10)
    with peak_of() as peak:
        assert inspect(ZIP, long)
    assert peak.octets < 24 << 20
    assert no_dearer(lambda: inspect(ZIP, long), lambda: inspect(ZIP, short), 10)


BOMBS = {
    "a.gz": lambda octets: gzip.compress(octets),
    "a.bz2": lambda octets: bz2.compress(octets),
    "a.xz": lambda octets: lzma.compress(octets),
    "a.lzma": lambda octets: lzma.compress(octets, lzma.FORMAT_ALONE),
    "a.7z": lambda octets: written("7zip", {"a.html": octets}),
    "a.zst": lambda octets: written("raw", {"a": octets}, "zstd"),
    "a.tgz": lambda octets: gzip.compress(gzip.compress(octets)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_than_the_limit(name: str) -> None:
    bomb = BOMBS[name](b"<html>" + bytes(66 << 20))
    with peak_of() as peak:
        assert LIMIT in reasons(bomb, name.replace(".tgz", ".html.gz.gz").replace("a.", "a.html.", 1))
    assert peak.octets < 200 << 20


def test_members_of_a_tar_that_claim_the_same_octets() -> None:
    block = bytearray(tarred({"a.html": b"x"})[:512])
    block[124:136] = b"77777777777\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert LIMIT in reasons(bytes(block) * 4_000, "a.tar")
    assert in_proportion(lambda archive: reasons(archive, "a.tar"), lambda count: bytes(block) * count, 4_000)


def test_thousands_of_gzip_files_in_one() -> None:
    assert reasons(gzip.compress(b"<html>") * 6_000, "a.html.gz") == {LIMIT}


def test_archives_in_archives_of_other_kinds_are_counted() -> None:
    content = tarred({"a.txt": b"x"})
    for number in range(6):
        content = zipped({"n.tar": content}) if number % 2 else tarred({"n.zip": content})
    assert reasons(content) == {LIMIT}


def test_messages_in_archives_in_messages() -> None:
    content = b"MZ"
    name = "a.exe"
    for number in range(40):
        if number % 2:
            content, name = zipped({name: content}), "a.zip"
        else:
            head = (
                f"Subject: x\nMIME-Version: 1.0\nContent-Type: a/b; name={name}\nContent-Transfer-Encoding: base64\n\n"
            )
            content, name = head.encode() + base64.encodebytes(content), "a.eml"
    assert reasons(content, "a.zip") == {LIMIT}


def test_the_deadline_ends_it() -> None:
    now = iter(range(1000))
    deadline = Deadline(20.0, lambda: float(next(now)))
    with pytest.raises(OutOfTime):
        look(zipped({f"{number}.txt": b"" for number in range(100)}), deadline=deadline)


def test_the_deadline_ends_what_libarchive_does() -> None:
    now = iter(range(1000))
    deadline = Deadline(3.0, lambda: float(next(now)))
    with pytest.raises(OutOfTime):
        look(ARCHIVES["7z"]({"a.txt": b"x" * 9999}), deadline=deadline)


@pytest.mark.parametrize("kind", ["7z", "rar", "rar5.rar", "cab", "lzh", "xar", "cpio"])
def test_half_an_archive_is_unreadable(kind: str) -> None:
    whole = ARCHIVES[kind]({"a.txt": bytes(os.urandom(4000))})
    assert UNREADABLE in reasons(whole[: len(whole) // 2], "a.dat")


def test_a_zip_with_a_password_is_told_from_one_that_is_damaged() -> None:
    assert reasons(encrypted_zip({"a.txt": b"x"})) == {ENCRYPTED}


def test_a_program_behind_many_entries_that_are_only_reported_is_found() -> None:
    hidden = encrypted_zip({f"{number}.txt": b"x" for number in range(60)})
    assert reasons(hidden + zipped({"a.exe": b"MZ"})) >= {ENCRYPTED, "extension"}
    many = tarred({f"{number}.zip": encrypted_zip({"a.txt": b"x"}) for number in range(60)} | {"a.exe": b"MZ"})
    assert reasons(many, "a.tar") == {ENCRYPTED, "extension"}


def test_a_program_in_half_a_winmail_dat_is_found() -> None:
    made = winmail({"a.exe": b"MZ" * 900})
    assert reasons(made[:-900], "winmail.dat") >= {"extension", UNREADABLE}


def test_without_the_interpreter_an_archive_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert reasons(ARCHIVES["7z"]({"a.txt": b"x"}), "a.7z") == {UNREADABLE}


def test_without_libarchive_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LIBARCHIVE", "/nonexistent.so")
    monkeypatch.setattr(foreign, "_ENVIRONMENT", ("PATH", "LD_LIBRARY_PATH", "LIBARCHIVE"))
    (found,) = look(ARCHIVES["7z"]({"a.txt": b"x"}), "a.7z")
    assert (found.reason, "not installed" in found.detail) == (UNREADABLE, True)


def test_an_unpacker_that_dies_is_no_silence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dies.py"
    program.write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setattr(foreign, "_PROGRAM", program)
    assert reasons(ARCHIVES["7z"]({"a.txt": b"x"}), "a.7z") == {UNREADABLE}


def test_an_unpacker_that_never_stops_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "floods.py"
    program.write_text("import os\nwhile True: os.write(1, b'D' + bytes(99999))\n")
    monkeypatch.setattr(foreign, "_PROGRAM", program)
    monkeypatch.setattr(foreign, "_SECONDS", 1.0)
    assert reasons(ARCHIVES["7z"]({"a.txt": b"x"}), "a.7z") == {LIMIT}


CONFINED = """
import os, sys
sys.path.insert(0, {folder!r})
import unpacker, socket
unpacker.confine(256 << 20, 10)
for attempt in ("open('/etc/passwd')", "open('/proc/self/mem', 'wb')", "os.fork()", "socket.socket()", "os.kill(1, 0)",
                "os.execv('/bin/true', ['x'])", "bytearray(400 << 20)"):
    try:
        eval(attempt)
    except (OSError, MemoryError) as error:
        continue
    os.write(1, attempt.encode() + b" worked ")
os.write(1, b"done")
"""


@pytest.mark.skipif(
    os.uname().machine not in unpacker._CALLS, reason="system calls are only forbidden on x86-64 and ARM64"
)
def test_the_unpacker_can_do_nothing_but_read_and_write() -> None:
    program = CONFINED.format(folder=str(UNPACKER.parent))
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=PATIENCE, check=False)
    assert done.stdout == b"done", done.stderr


MADE = {kind: make({"a.txt": b"hello" * 50, "n.zip": zipped({"b.txt": b"c" * 500})}) for kind, make in ARCHIVES.items()}
PURE = {"zip": kinds.ZIP, "tar": kinds.TAR, "tar.gz": kinds.GZIP, "winmail.dat": kinds.TNEF}


@st.composite
def damaged(draw: st.DrawFn, choice: list[str]) -> tuple[str, bytes]:
    kind = draw(st.sampled_from(choice))
    content = bytearray(MADE[kind])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return kind, bytes(content)


@given(damaged(list(PURE)))
def test_a_damaged_archive_never_raises_and_keeps_to_its_budget(made: tuple[str, bytes]) -> None:
    kind, content = made
    budget = Budget(entries=50, unpacked=100_000)
    got = sum(len(octets) for octets in _contents(archives.items(PURE[kind], content, budget)))
    assert got <= 100_000 + (1 << 18)
    look(content, f"a.{kind}")


def _contents(items: Iterator[archives.Item]) -> Iterator[bytes]:
    for item in items:
        octets, _ = item.whole()
        yield octets


@settings(max_examples=20)
@given(damaged(["7z", "rar", "rar5.rar", "cab", "iso", "lzh"]))
def test_a_damaged_archive_for_libarchive_never_raises(made: tuple[str, bytes]) -> None:
    look(made[1], f"a.{made[0]}")
