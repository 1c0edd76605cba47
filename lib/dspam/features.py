"""What a message consists of, for the learner: a few hundred integer keys.

A message is decoded as its reader would see it (MIME parts, transfer encodings, charsets, encoded words, HTML), and becomes
features of four kinds: facts of the header, words of the text, pairs of neighbouring words, facts of the structure (parts,
charsets, links).  Each is hashed into 63 bits, the kind in the lowest two (`kinds_of`).

Only so much of a message is looked at (MAX_SOURCE, MAX_TEXT): time and memory stay bounded whatever is sent, and nothing
raises on any input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import _charsets
from _mimetree import Part, TreeLimits, decode_transfer, parameter, parse
from dspam import html
from dspam.hashing import MAX_BUFFER, Keys, mix, salt, slice_hashes, to_keys
from dspam.headers import HeaderFacts, content_type, owner, parents

MAX_SOURCE = 1 << 18
MAX_TEXT = 10_000
HEADER, WORD, PAIR, STRUCTURE = range(4)
_LIMITS = TreeLimits(max_parts=60, max_depth=12, max_encoded=2)
_MAX_HTML = 3 * MAX_TEXT
_MAX_LINKS = 40
_MAX_FACTS = 1000
_MAX_FACT_OCTETS = MAX_BUFFER // 2
_MAX_TOKEN = 40

# Soft hyphen, zero-width space, non-joiner and joiner, byte order mark.
_INVISIBLE = (b"\xc2\xad", b"\xe2\x80\x8b", b"\xe2\x80\x8c", b"\xe2\x80\x8d", b"\xef\xbb\xbf")
_SIGNS = re.compile(rb"\xc2\xa0|\xe2\x80[\x80-\xaf]|\xe3\x80[\x80-\x82]")  # no-break space, general and CJK punctuation
_ASCII_SIGNS = {b"\xe2\x80\x98": b"'", b"\xe2\x80\x99": b"'", b"\xe2\x80\x90": b"-", b"\xe2\x80\x91": b"-"}
# "http://", "https://" or "www.", written so that the search for it skips what begins with neither letter.
_URL = re.compile(rb"[hHwW](?:(?<=[hH])[tT][tT][pP][sS]?://|(?<=[wW])[wW][wW]\.)[^\s<>\"')\]]{1,200}")
# Charsets in which ASCII bytes mean something else.
_SEVEN_BITS = re.compile(r"utf-?7|iso-2022.*|hz.*|utf-?(?:16|32).*", re.IGNORECASE)

_SPACE, _LETTER, _OTHER = range(3)
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'$_-") | frozenset(range(128, 256))
_CLASS = bytes(_SPACE if c <= 32 or c == 127 else _LETTER if c in _LETTERS else _OTHER for c in range(256))
# Small letters, and one digit for all: which it is says more about a day or a serial number than about a message.
_FOLD = bytes(c + 32 if 65 <= c <= 90 else 57 if 48 <= c <= 57 else c for c in range(256))


_FIRST = np.zeros(1, dtype=np.intp)
_ONE, _THREE, _NO_KIND = np.uint64(1), np.uint64(3), np.int64(-4)
_KINDS = np.array([HEADER, STRUCTURE, WORD, PAIR], dtype=np.int64)


@dataclass(slots=True)
class _Document:
    """What is to be hashed: facts are one feature each, texts are cut into words. Each text has its place."""

    header: list[bytes] = field(default_factory=list)
    structure: list[bytes] = field(default_factory=list)
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)
    author: bytes = b""
    linked: list[bytes] = field(default_factory=list)
    links: int = 0

    def text(self, place: bytes, text: bytes) -> None:
        if text:
            self.texts.append((place, text))


def _read(message: bytes) -> _Document:
    top = parse(message[:MAX_SOURCE], _LIMITS)
    header = HeaderFacts(top.fields)
    document = _Document(header=header.facts[:_MAX_FACTS], author=header.domain)
    document.text(b"text", header.subject[:1000])
    _read_body(top, document)
    del document.structure[_MAX_FACTS:]
    return document


def _read_body(top: Part, document: _Document) -> None:
    left = MAX_TEXT
    types = []
    for part in top.walk():
        kind = part.media_type.encode("ascii", "replace")[:40]
        types.append(kind)
        if part is not top:
            _part_header(part, document)
        if part.children:
            continue
        if not part.media_type.startswith(("text/", "message/", "multipart/")):
            document.structure.append(b"attached " + kind)
        elif left > 0:
            left -= _read_text(part, left, document)
    facts = document.structure
    facts.append(b"parts " + b" ".join(types[:8]))
    facts.append(b"size %d" % (top.end - top.body).bit_length())
    facts += [b"defect " + name.encode() for name in sorted(set(top.defects))]
    owners = {owner(host) for host in document.linked}
    if owners:
        facts.append(b"links %d" % min(len(document.linked).bit_length(), 6))
        facts.append(b"linked owners %d" % min(len(owners), 4))
        facts.append(b"links to author %d" % (document.author in owners))


def _part_header(part: Part, document: _Document) -> None:
    facts = document.structure
    for item in part.fields[:10]:
        name = item.name.lower()[:40]
        value = item.value[:300].strip()
        if name == b"content-type":
            facts += content_type(b" of part", value)
        elif name == b"content-disposition":
            facts.append(b"disposition " + value.partition(b";")[0][:20].lower())
        elif name != b"content-transfer-encoding":
            facts.append(b"part has " + item.name[:40])
        if name.startswith(b"content-") and (at := value.rfind(b".")) > 0 and b"name" in value:
            facts.append(b"extension " + value[at : at + 6].strip(b'"; ').lower())


def _read_text(part: Part, left: int, document: _Document) -> int:
    types = part.values(b"content-type")
    charset = _charset(types[0][:1000]) if types else None
    encoding = part.transfer_encoding
    facts = document.structure
    kind = part.media_type.encode("ascii", "replace")[:30]
    facts.append(b"charset " + (charset or "").lower().encode("ascii", "replace")[:20])
    facts.append(b"encoding %s %s" % (encoding.encode("ascii", "replace")[:20], kind))
    as_html = part.media_type == "text/html"
    limit = _MAX_HTML if as_html else left
    raw = decode_transfer(part.source[part.body : min(part.end, part.body + 2 * limit)], encoding)[:limit]
    if not raw.isascii() or (charset and _SEVEN_BITS.match(charset)):
        raw = _charsets.decode(raw, charset).encode("utf-8", "replace")
    if as_html or raw[:200].lstrip()[:5].lower() in (b"<html", b"<!doc"):
        raw = _read_html(raw, document)
    else:
        for found in islice(_URL.finditer(raw), _MAX_LINKS):
            _link(b"text", found[0], document)
    text = raw[:left] if raw.isascii() else _plain_signs(raw, document)[:left]
    document.text(b"text", text)
    if text:
        capitals = len(text) - len(text.translate(None, b"AEIORSTNL"))
        facts.append(b"capitals %d" % (capitals * 40 // len(text)))
        facts.append(b"excited %d" % min(text.count(b"!").bit_length(), 4))
        facts.append(b"text %s %d" % (kind, len(text).bit_length()))
    return len(text)


def _plain_signs(text: bytes, document: _Document) -> bytes:
    """Text (UTF-8) with the spaces, quotation marks and dashes of typography as those of ASCII, and nothing invisible."""
    for invisible in _INVISIBLE:
        if invisible in text:
            document.structure.append(b"invisible " + invisible)
            text = text.replace(invisible, b"")
    return _SIGNS.sub(lambda found: _ASCII_SIGNS.get(found[0], b" "), text)


def _read_html(source: bytes, document: _Document) -> bytes:
    reading = html.read(source)
    for name, target in reading.links:
        _link(name, target, document)
    facts = document.structure
    if reading.unseen.strip():
        document.text(b"unseen", reading.unseen[:500])
        facts.append(b"unseen %d" % len(reading.unseen).bit_length())
    if reading.comments:
        facts.append(b"comments %d" % reading.comments.bit_length())
    facts.append(b"seen %d" % (10 * len(reading.seen) // max(1, len(source))))
    facts.append(b"images %d" % reading.images.bit_length())
    return reading.seen


@lru_cache(maxsize=512)
def _charset(content_type: bytes) -> str | None:
    return parameter(content_type, "charset")


class _LinkRead(NamedTuple):
    """What a link says, the host that it leads to, if it is a name, and the path there."""

    facts: list[bytes]
    host: bytes
    path: bytes


def _link(place: bytes, target: bytes, document: _Document) -> None:
    if document.links >= _MAX_LINKS:
        return
    document.links += 1
    told = _read_link(place, target[:200].strip())
    document.structure += told.facts
    if told.host:
        document.linked.append(told.host)
    document.text(b"link", told.path)


@lru_cache(maxsize=2048)
def _read_link(place: bytes, target: bytes) -> _LinkRead:
    scheme, colon, rest = target.partition(b":")
    if not colon or len(scheme) > 10:
        scheme, rest = b"", target
    facts = []
    scheme = scheme.lower()
    host, _, path = rest.lstrip(b"/").partition(b"/")
    if scheme == b"mailto":
        host = rest.rpartition(b"@")[2].partition(b"?")[0]
    elif b"@" in host:
        facts.append(b"link with user")
    host = host.rpartition(b"@")[2].partition(b"?")[0]
    host, _, port = host.partition(b":")
    host = host.lower()[:100]
    if port:
        facts.append(b"link port " + port[:6])
    if host and host.translate(None, b"0123456789.") == b"":
        facts.append(b"link to number")
    facts.append(b"link of %s %s" % (place, scheme))
    facts += [b"link " + parent for parent in parents(host)]
    return _LinkRead(facts, host if b"." in host else b"", path[:60] if scheme != b"mailto" else b"")


class _Cut:
    """A document cut into what is hashed: facts of the header, facts of the structure, words, pairs of words.

    A word is known by its number: where it stands is `starts` and `ends`, in whose text `owners`, and a pair is of the words
    `first` and `second`. All stands in one buffer, because calling numpy takes longer than the work on a usual message.
    """

    def __init__(self, document: _Document) -> None:
        self.facts = [*document.header, *document.structure]
        fact_ends = np.fromiter(map(len, self.facts), dtype=np.intp, count=len(self.facts)).cumsum()
        if self.facts and fact_ends[-1] > _MAX_FACT_OCTETS:
            fact_ends = fact_ends[: int(fact_ends.searchsorted(_MAX_FACT_OCTETS, side="right"))]
            del self.facts[len(fact_ends) :]
        self.headers = min(len(document.header), len(self.facts))
        told = b"".join(self.facts)
        texts = document.texts
        text = (b"\n".join([text for _, text in texts]) + b"\n")[: MAX_BUFFER - len(told)]
        self.buffer = told + text.translate(_FOLD)

        classes = np.frombuffer(text.translate(_CLASS), dtype=np.uint8)
        edges = (classes[1:] != classes[:-1]).nonzero()[0] + 1
        starts, ends = np.concatenate((_FIRST, edges)), np.concatenate((edges, [len(classes)]))
        classes = classes.take(starts)
        kept = classes.nonzero()[0]  # what is no space
        starts, ends, classes = starts.take(kept), ends.take(kept), classes.take(kept)
        text_starts = starts.searchsorted([0, *accumulate(len(text) + 1 for _, text in texts)])
        self.owners = np.arange(len(texts)).repeat(text_starts[1:] - text_starts[:-1])
        # Pairs are of neighbouring words, whatever punctuation stands between them, in one text.
        letters = (classes == _LETTER).nonzero()[0]
        first, second = letters[:-1], letters[1:]
        together = (self.owners.take(first) == self.owners.take(second)).nonzero()[0]
        self.first, self.second = first.take(together), second.take(together)
        self.starts = starts + len(told)
        self.ends = np.minimum(ends + len(told), self.starts + _MAX_TOKEN)

        self._fact_ends = fact_ends
        self._places = np.array([salt(place) for place, _ in texts], dtype=np.uint64).take(self.owners)

    def keys(self) -> Keys:
        """The key of each fact, word and pair, in this order."""
        count, facts = len(self._fact_ends), self._fact_ends
        hashes = slice_hashes(
            np.frombuffer(self.buffer, dtype=np.uint8),
            np.concatenate((_FIRST[:count], facts[:-1], self.starts)),
            np.concatenate((facts, self.ends)),
        )
        words = hashes[count:]
        pairs = mix(words.take(self.first) + _ONE)
        pairs *= _THREE
        pairs += words.take(self.second)
        pairs ^= self._places.take(self.second)
        words ^= self._places
        keys = to_keys(np.concatenate((hashes, pairs)))
        keys &= _NO_KIND
        keys |= _KINDS.repeat((self.headers, count - self.headers, len(words), len(pairs)))
        return keys

    def name(self, word: int) -> str:
        """How a person would write this word."""
        return self.buffer[self.starts[word] : self.ends[word]].decode("utf-8", "replace")


def extract(message: bytes) -> Keys:
    """The features of a message (headers, an empty line, body; any bytes): its keys, each once, in ascending order."""
    keys = _Cut(_read(message)).keys()
    keys.sort()
    fresh = np.empty(len(keys), dtype=bool)
    fresh[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    return keys[fresh]


def author_key(address: str) -> int:
    """The key of the fact that a message is from this address, as extract() has it."""
    return int(_Cut(_Document(header=[b"from " + address.lower().encode("utf-8", "surrogateescape")])).keys()[0])


def names(message: bytes) -> dict[int, str]:
    """What each key of `extract(message)` stands for, for people: header facts, words, pairs of words, structure."""
    document = _read(message)
    cut = _Cut(document)
    places = [document.texts[owner][0].decode() for owner in cut.owners.tolist()]
    said = [f"header: {fact.decode('utf-8', 'replace')}" for fact in cut.facts[: cut.headers]]
    said += [f"structure: {fact.decode('utf-8', 'replace')}" for fact in cut.facts[cut.headers :]]
    said += [f"{place}: {cut.name(word)}" for word, place in enumerate(places)]
    pairs = zip(cut.first.tolist(), cut.second.tolist(), strict=True)
    said += [f"{places[first]}: {cut.name(first)} {cut.name(second)}" for first, second in pairs]
    return dict(zip(cut.keys().tolist(), said, strict=True))


def kinds_of(keys: Keys) -> npt.NDArray[np.int64]:
    """HEADER, WORD, PAIR or STRUCTURE for each key."""
    return keys & np.int64(3)
