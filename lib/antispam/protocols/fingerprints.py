"""Marks that identify near copies of a message: of its text, its links and its attachments. Pure.

A mark is a keyed hash of 63 bits: without the key nobody can find its origin or test guesses. Text is marked by
shingles, every four consecutive words: a changed name affects only four of them. Only the shingles with the smallest
hashes are kept, so that two copies keep the same ones (Broder 1997, "On the resemblance and containment of documents").
The measure is containment, the part of a reported message that is in this one: honest text around it does not change
that.

Numbers and words with digits are left out, because they differ between copies. Time and memory are bounded, and nothing
raises.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

SHINGLE = 4  # words
REPORTED = 64  # marks stored for a text
ASKED = 256  # marks searched for a text
HAM = 32  # marks stored for an honest text
LINKS = 30
FILES = 20
NEAR = 0.5  # part of a reported text that must be in a message
_LEAST = 16  # shingles in the shortest text: too many shorter texts are alike
_LEAST_COMMON = 7  # marks that must be found
_WORDS = 8000
_ALL = (1 << 63) - 1
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_WORD = re.compile(r"\b[^\W\d]+\b")  # excludes parts of words with digits
_DIGITS = re.compile(r"\d+")
_LINK = re.compile(r"(?:(https?):)?/{0,3}([^/?#\\]{1,300})([^?#]{0,400})", re.IGNORECASE)
_TOKEN = re.compile(r"(?=.*(?:\d|[a-z][A-Z]|[A-Z]{2}[a-z])).{8,}|.{40,}")
_SHARES = ((0.5, 1.0), (0.2, 0.8), (0.05, 0.6), (0.0, 0.3))
_VOICES = {0: 0.0, 1: 0.25, 2: 0.6}


class Kind(enum.IntEnum):
    """The origin of a mark. The numbers are in the store."""

    TEXT = 1
    LINK = 2
    FILE = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one message.

    texts  marks of its text, ascending: at most ASKED, those with the smallest hashes
    own    those of them that also occur outside quoted lines
    total  the number of all marks of the text
    """

    texts: tuple[int, ...] = ()
    own: frozenset[int] = frozenset()
    total: int = 0
    links: tuple[int, ...] = ()
    files: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.texts or self.links or self.files)

    @property
    def all(self) -> tuple[int, ...]:
        return (*self.texts, *self.links, *self.files)

    @property
    def ceiling(self) -> int:
        """The value above which no hash was kept."""
        return self.texts[-1] if self.total > len(self.texts) else _ALL

    def sample(self, size: int) -> Marks:
        """The same marks, but with fewer of the text."""
        return dataclasses.replace(self, texts=self.texts[:size])


def marks(text: str, own: str, links: Iterable[str], digests: Iterable[bytes], key: bytes) -> Marks:
    """The marks of a message.

    text     the text as readers see it, without disguises
    own      the same without quoted lines
    links    the targets of its links, as written
    digests  hashes of its attachments
    key      the secret of the site, 16 to 64 octets
    """
    shingles = _shingles(text, key)
    if len(shingles) < _LEAST:
        shingles = set()
    mine = shingles if own == text else shingles & _shingles(own, key)
    kept = tuple(sorted(shingles)[:ASKED])
    normal = dict.fromkeys(filter(None, map(normal_link, links)))
    return Marks(
        kept,
        frozenset(kept) & mine,
        len(shingles),
        tuple(_mark(key, b"link", one.encode("utf-8", "replace")) for one in list(normal)[:LINKS]),
        tuple(_mark(key, b"file", one) for one in list(dict.fromkeys(digests))[:FILES]),
    )


def name_mark(name: str, key: bytes) -> int:
    """A keyed hash of the name of a message, a reporter or a sender."""
    return _mark(key, b"name", name.encode("utf-8", "surrogateescape"))


def _shingles(text: str, key: bytes) -> set[int]:
    words = _WORD.findall(_URL.sub(" ", text[: 40 * _WORDS]).lower())[:_WORDS]
    joined = {" ".join(four) for four in zip(*(words[at:] for at in range(SHINGLE)), strict=False)}
    # Like _mark(), but without hundreds of calls.
    hashed, number = hashlib.blake2b, int.from_bytes
    return {
        number(hashed(one.encode("utf-8", "replace"), digest_size=8, key=key, person=b"text").digest(), "big") & _ALL
        for one in joined
    }


def _mark(key: bytes, kind: bytes, content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, key=key, person=kind).digest(), "big") & _ALL


def normal_link(link: str) -> str:
    """The constant part of a link: host and path without the parts that differ in each message; "" for none."""
    link = link.strip()
    if link[:7].lower() == "mailto:":
        address = link[7:].partition("?")[0].strip().lower()
        return f"mailto:{address}" if "@" in address else ""
    found = _LINK.match(link)
    if not found or not (found[1] or link[:4].lower() == "www."):
        return ""
    host = found[2].rpartition("@")[2].lower()
    host = host if host.startswith("[") else host.partition(":")[0].rstrip(".").removeprefix("www.")
    if "." not in host and ":" not in host:
        return ""
    if not host.replace(".", "").isdecimal() and not host.startswith("["):
        host = _DIGITS.sub("0", host)
    path = "/".join(map(_segment, found[3].replace("\\", "/").strip("/").split("/")[:12]))
    return f"{host}/{path}"


def _segment(segment: str) -> str:
    return "*" if _TOKEN.fullmatch(segment) else _DIGITS.sub("0", segment.lower())


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A mark of a report, as stored.

    reporter  the mark of the reporter
    trusted   the report is an administrator's and counts as that of several users
    texts     the number of marks of the text stored with the report
    ceiling   the value above which no mark was stored
    """

    mark: int
    kind: Kind
    report: int
    reporter: int
    trusted: bool
    texts: int
    ceiling: int


@dataclasses.dataclass(frozen=True, slots=True)
class Near:
    """The similarity of a message to reported spam.

    similarity  the part of the reported text that is in this message, or of this message's links that were reported
    share       the part of this message's text that this is
    quoted      it is only in quoted lines
    voices      the number of reporters; an administrator counts as three, except for links
    """

    kind: Kind
    similarity: float
    share: float = 1.0
    quoted: bool = False
    voices: int = 1

    @property
    def weight(self) -> float:
        """The share of the full points, 0 to 1.

        A single report must not decide for everybody: one person's newsletter is another's spam. Text that is a small
        part of a message may be quoted by an honest sender or padded by a spammer, so it counts less, but not zero.
        """
        weight = _VOICES.get(self.voices, 1.0)
        if self.kind is Kind.LINK:
            return weight * (1.0 if self.similarity >= 0.3 else 0.5)
        if self.kind is Kind.FILE:
            return weight
        weight *= min(1.0, 0.5 + (self.similarity - NEAR) / 0.7)
        weight *= next(worth for least, worth in _SHARES if self.share >= least)
        return weight * (0.4 if self.quoted else 1.0)


def near(own: Marks, found: Sequence[Stored]) -> tuple[Near, ...]:
    """The similarities of a message to the reports whose marks were found among its own, one per kind."""
    by_kind: defaultdict[Kind, list[Stored]] = defaultdict(list)
    for one in found:
        by_kind[one.kind].append(one)
    told = (_near_text(own, by_kind[Kind.TEXT]), _near_links(own, by_kind[Kind.LINK]), _near_files(by_kind[Kind.FILE]))
    return tuple(one for one in told if one is not None)


def _near_text(own: Marks, found: Sequence[Stored]) -> Near | None:
    reports: defaultdict[int, list[Stored]] = defaultdict(list)
    for one in found:
        reports[one.report].append(one)
    copies = {report: kept for report, ones in reports.items() if (kept := contained(own, ones)) >= NEAR}
    if not copies:
        return None
    best = max(copies, key=lambda report: copies[report])
    common = {one.mark for one in reports[best]}
    comparable = bisect_right(own.texts, reports[best][0].ceiling)
    unquoted = [one for one in reports[best] if one.mark in own.own]
    return Near(
        Kind.TEXT,
        copies[best],
        share=round(len(common) / max(1, comparable), 3),
        quoted=contained(own, unquoted) < NEAR,
        voices=_voices(one for report in copies for one in reports[report]),
    )


def contained(own: Marks, found: Sequence[Stored]) -> float:
    """The part of a reported text that is in this message, 0 to 1, measured by the marks that both would have kept.
    `found` are the marks of one report. 0 if there are too few.
    """
    if len(found) < _LEAST_COMMON:
        return 0.0
    expected = found[0].texts * min(1.0, own.ceiling / max(1, found[0].ceiling))
    return round(min(1.0, len(found) / max(expected, _LEAST_COMMON)), 3)


def _near_links(own: Marks, found: Sequence[Stored]) -> Near | None:
    by_mark: defaultdict[int, list[Stored]] = defaultdict(list)
    for one in found:
        by_mark[one.mark].append(one)
    if not by_mark:
        return None
    similarity = round(len(by_mark) / max(1, len(own.links)), 3)
    # Nobody examines each link of a mailbox used for training: some are in list footers and lead to honest sites.
    return Near(Kind.LINK, similarity, voices=max(len({one.reporter for one in ones}) for ones in by_mark.values()))


def _near_files(found: Sequence[Stored]) -> Near | None:
    return Near(Kind.FILE, 1.0, voices=_voices(found)) if found else None


def _voices(found: Iterable[Stored]) -> int:
    reporters = {one.reporter: one.trusted for one in found}
    return sum(3 if trusted else 1 for trusted in reporters.values())
