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
from itertools import islice

import numpy as np
import numpy.typing as npt

from _mimetree import Part, TreeLimits, decode_charset, decode_transfer, parameter, parse
from dspam import html
from dspam.hashing import MAX_BUFFER, Keys, Words, mix, salt, slice_hashes, to_keys
from dspam.headers import HeaderFacts, content_type, owner, parents

MAX_SOURCE = 1 << 18
MAX_TEXT = 10_000
HEADER, WORD, PAIR, STRUCTURE = range(4)
_LIMITS = TreeLimits(max_parts=60, max_depth=12, max_encoded=2)
_MAX_HTML = 3 * MAX_TEXT
_MAX_LINKS = 40
_MAX_FACTS = 1000
_MAX_TOKEN = 40

# Soft hyphen, zero-width space, non-joiner and joiner, byte order mark.
_INVISIBLE = (b"\xc2\xad", b"\xe2\x80\x8b", b"\xe2\x80\x8c", b"\xe2\x80\x8d", b"\xef\xbb\xbf")
_SIGNS = re.compile(rb"\xc2\xa0|\xe2\x80[\x80-\xaf]|\xe3\x80[\x80-\x82]")  # no-break space, general and CJK punctuation
_ASCII_SIGNS = {b"\xe2\x80\x98": b"'", b"\xe2\x80\x99": b"'", b"\xe2\x80\x90": b"-", b"\xe2\x80\x91": b"-"}
_URL = re.compile(rb"(?:https?://|www\.)[^\s<>\"')\]]{1,200}", re.IGNORECASE)
# Charsets in which ASCII bytes mean something else.
_SEVEN_BITS = re.compile(r"utf-?7|iso-2022.*|hz.*|utf-?(?:16|32).*", re.IGNORECASE)

_SPACE, _LETTER, _OTHER = range(3)
_CLASS = np.full(256, _OTHER, dtype=np.uint8)
_CLASS[:33] = _SPACE
_CLASS[127] = _SPACE
_CLASS[list(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'$_-")] = _LETTER
_CLASS[128:] = _LETTER
_FOLD = np.arange(256, dtype=np.uint8)
_FOLD[65:91] += 32
_FOLD[48:58] = 57  # which digits they are says more about a day or a serial number than about a message


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
    charset = parameter(types[0][:1000], "charset") if types else None
    facts = document.structure
    kind = part.media_type.encode("ascii", "replace")[:30]
    facts.append(b"charset " + (charset or "").lower().encode("ascii", "replace")[:20])
    facts.append(b"encoding %s %s" % (part.transfer_encoding.encode("ascii", "replace")[:20], kind))
    as_html = part.media_type == "text/html"
    limit = _MAX_HTML if as_html else left
    raw = decode_transfer(part.source[part.body : min(part.end, part.body + 2 * limit)], part.transfer_encoding)[:limit]
    if not raw.isascii() or (charset and _SEVEN_BITS.match(charset)):
        raw = decode_charset(raw, charset).encode("utf-8", "replace")
    if as_html or raw[:200].lstrip()[:5].lower() in (b"<html", b"<!doc"):
        raw = _read_html(raw, document)
    else:
        for found in islice(_URL.finditer(raw), _MAX_LINKS):
            _link(b"text", found[0], document)
    text = raw[:left] if raw.isascii() else _plain_signs(raw, document)[:left]
    document.text(b"text", text)
    if text:
        capitals = sum(map(text.count, b"AEIORSTNL"))
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
    facts.append(b"images %d" % reading.tags.count(b"img").bit_length())
    return reading.seen


def _link(place: bytes, target: bytes, document: _Document) -> None:
    if document.links >= _MAX_LINKS:
        return
    document.links += 1
    target = target[:200].strip()
    scheme, colon, rest = target.partition(b":")
    if not colon or len(scheme) > 10:
        scheme, rest = b"", target
    facts = document.structure
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
    if b"." in host:
        document.linked.append(host)
    if path and scheme != b"mailto":
        document.text(b"link", path[:60])


class _Texts:
    """All texts in one buffer, cut into words; each word by its hash, where it stands and in whose text."""

    def __init__(self, texts: list[tuple[bytes, bytes]]) -> None:
        self.buffer = np.frombuffer((b"\n".join([text for _, text in texts]) + b"\n")[:MAX_BUFFER], dtype=np.uint8)
        classes = _CLASS[self.buffer]
        edges = np.concatenate(([0], np.flatnonzero(classes[1:] != classes[:-1]) + 1, [len(classes)]))
        starts, ends = edges[:-1], np.minimum(edges[1:], edges[:-1] + _MAX_TOKEN)
        classes = classes[starts]
        kept = classes != _SPACE
        self.starts, self.ends, classes = starts[kept], ends[kept], classes[kept]
        self.hashes = slice_hashes(_FOLD[self.buffer], self.starts, self.ends)
        self.owners = np.searchsorted(np.cumsum([len(text) + 1 for _, text in texts]), self.starts, side="right")
        self.places = np.array([*(salt(place) for place, _ in texts), 0], dtype=np.uint64)[self.owners]
        # Pairs are of neighbouring words, whatever punctuation stands between them, in one text.
        letters = np.flatnonzero(classes == _LETTER)
        self.first, self.second = letters[:-1], letters[1:]
        together = self.owners[self.first] == self.owners[self.second]
        self.first, self.second = self.first[together], self.second[together]

    def words(self) -> Keys:
        return _of_kind(self.hashes ^ self.places, WORD)

    def pairs(self) -> Keys:
        joined = mix(self.hashes[self.first] + np.uint64(1)) * np.uint64(3) + self.hashes[self.second]
        return _of_kind(joined ^ self.places[self.second], PAIR)

    def name(self, word: int) -> str:
        """How a person would write this word; where it does not stand in sight, its place before it."""
        return bytes(_FOLD[self.buffer[self.starts[word] : self.ends[word]]]).decode("utf-8", "replace")


def _of_kind(words: Words, kind: int) -> Keys:
    return to_keys(words) & np.int64(-4) | np.int64(kind)


def _fact_keys(facts: list[bytes], kind: int) -> Keys:
    buffer = np.frombuffer(b"".join(facts)[:MAX_BUFFER], dtype=np.uint8)
    ends = np.minimum(np.cumsum([0, *map(len, facts)]), len(buffer))
    return _of_kind(slice_hashes(buffer, ends[:-1], ends[1:]), kind)


def extract(message: bytes) -> Keys:
    """The features of a message (headers, an empty line, body; any bytes): its keys, each once, in ascending order."""
    document = _read(message)
    texts = _Texts(document.texts)
    found = (
        _fact_keys(document.header, HEADER),
        _fact_keys(document.structure, STRUCTURE),
        texts.words(),
        texts.pairs(),
    )
    keys = np.sort(np.concatenate(found))
    fresh = np.empty(len(keys), dtype=bool)
    fresh[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    return keys[fresh]


def author_key(address: str) -> int:
    """The key of the fact that a message is from this address, as extract() has it."""
    return int(_fact_keys([b"from " + address.lower().encode("utf-8", "surrogateescape")], HEADER)[0])


def names(message: bytes) -> dict[int, str]:
    """What each key of `extract(message)` stands for, for people: header facts, words, pairs of words, structure."""
    document = _read(message)
    texts = _Texts(document.texts)
    found: dict[int, str] = {}
    for kind, facts, title in ((HEADER, document.header, "header"), (STRUCTURE, document.structure, "structure")):
        for key, fact in zip(_fact_keys(facts, kind).tolist(), facts, strict=True):
            found[key] = f"{title}: {fact.decode('utf-8', 'replace')}"
    for word, key in enumerate(texts.words().tolist()):
        found[key] = f"{_place(document, texts, word)}: {texts.name(word)}"
    for first, second, key in zip(texts.first.tolist(), texts.second.tolist(), texts.pairs().tolist(), strict=True):
        found[key] = f"{_place(document, texts, first)}: {texts.name(first)} {texts.name(second)}"
    return found


def _place(document: _Document, texts: _Texts, word: int) -> str:
    return document.texts[int(texts.owners[word])][0].decode()


def kinds_of(keys: Keys) -> npt.NDArray[np.int64]:
    """HEADER, WORD, PAIR or STRUCTURE for each key."""
    return keys & np.int64(3)
