"""A message as its reader would see it: facts of its structure, texts with the places they stand in, and where its links lead.

Budgets are for text in sight.  Each alternative and each part has its own, and it is spent after markup, spaces and invisible
characters are gone, so that nobody can push text out of sight of the filter and keep it in sight of people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

import _charsets
from _mimetree import Field, Part, TreeLimits, decode_transfer, parameter, parse
from dspam import html
from dspam.headers import HeaderRead, content_type, facts_of
from dspam.letters import plain, signs, without_invisible
from dspam.links import link_parts, take_links
from dspam.shapes import owner, parents
from dspam.sight import Sight

try:
    from dspam import _cutting
except ImportError:  # see features
    _cutting = None  # type: ignore[assignment]

MAX_SOURCE = 1 << 24
MAX_TEXT = 10_000
_MAX_ALL_TEXT = 40_000
_MAX_RAW = 1 << 19  # octets of one part, and twice as many of all, that are decoded
_MAX_UNSEEN = 300
_MAX_UNREAD = 300
UNSEEN = frozenset({b"unseen", b"unread", b"aside"})
"""Places of texts that are not in sight."""
_MAX_LINKS = 40
_MAX_TARGETS = 400
_MAX_HIDDEN = 10_000
_MAX_FACTS = 1000
_LIMITS = TreeLimits(max_parts=60, max_depth=12, max_encoded=2, max_misses=50_000)

# "http://", "https://" or "www.", written so that the search for it skips what begins with neither letter.
_URL = re.compile(rb"[hHwW](?:(?<=[hH])[tT][tT][pP][sS]?://|(?<=[wW])[wW][wW]\.)[^\s<>\"')\]]{1,200}")
_WIDE_GAP = re.compile(rb"[ \t\n\v\f]{3}")
_GAP = re.compile(rb"[ \t\n\v\f]{2,}")
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml", "text/enriched", "text/richtext"})
_HTML_NAMES = frozenset({b".html", b".htm", b".shtml", b".xhtml", b".svg", b".xht"})
_NAMED_HOST = re.compile(rb"(?<![a-z0-9.@-])((?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,12})(?![a-z0-9.@-])")
_SPACES = re.compile(r"\s{2,}")
_FOLD = re.compile(rb"\r?\n[ \t]")
_EDGES = b".,;:!?()[]<>\"'*_-"
_CALENDAR_LINE = re.compile(
    rb"^(?:SUMMARY|DESCRIPTION|LOCATION|COMMENT|CONTACT|X-ALT-DESC)[;:][^\n]*+", re.IGNORECASE | re.MULTILINE
)


@dataclass(slots=True)
class Document:
    """What is to be hashed: facts are one feature each, texts are cut into words. Each text has its place.

    written  the texts in sight, the subject first, in UTF-8 with their letters as they were
    targets  where links lead, as they are written, the first 400 octets of each
    sight    what else people see of the message, for those who judge without having learned
    facts    those of the header, None if nobody asked for them yet: `header` reads it then
    header_read, odd_header  for under(): what was read of the header; a header that does not begin with a field, as it is
    """

    facts: list[bytes] | None = None
    structure: list[bytes] = field(default_factory=list)
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)
    author: bytes = b""
    linked: list[bytes] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)
    targets: list[bytes] = field(default_factory=list)
    links: int = 0
    text_left: int = _MAX_ALL_TEXT
    raw_left: int = 2 * _MAX_RAW
    sight: Sight = field(default_factory=Sight)
    header_read: HeaderRead | None = None
    odd_header: bytes = b""

    @property
    def header(self) -> list[bytes]:
        """The facts of the header."""
        if self.facts is None:
            self.facts = self.header_read.facts[:_MAX_FACTS] if self.header_read is not None else []
        return self.facts

    def text(self, place: bytes, text: bytes, limit: int = MAX_TEXT) -> bytes:
        """Add a text in UTF-8, of a long one the beginning and the end; returns what was added, its letters as they were."""
        folded = text.isascii()
        if not folded:
            shown, facts = without_invisible(text.decode("utf-8", "replace"))
            self.structure += facts + signs(shown)
            text = _SPACES.sub("  ", shown).encode("utf-8", "replace")
        text = (_cutting.squeezed if _cutting else squeezed)(text)
        text = _shortened(text, min(limit, self.text_left))
        self.text_left -= len(text)
        if text and place == b"text":
            self.written.append(text)
        if text:
            self.texts.append(
                (place, text if folded else plain(text.decode("utf-8", "ignore")).encode("utf-8", "replace"))
            )
        return text

    def link(self, path: bytes) -> None:
        """Add the path of a link: most are in ASCII and fit, so that text() has nothing to do."""
        if not path.isascii() or len(path) > self.text_left:
            self.text(b"link", path)
            return
        path = (_cutting.squeezed if _cutting else squeezed)(path)
        self.text_left -= len(path)
        self.texts.append((b"link", path))


def urls(text: bytes, most: int) -> list[bytes]:
    """The first links of a plain text."""
    return [found[0] for found in islice(_URL.finditer(text), most)]


def squeezed(text: bytes) -> bytes:
    """The text with two spaces for each gap, if there is a gap of three or more: two spaces part words as well as many."""
    return _GAP.sub(b"  ", text) if _WIDE_GAP.search(text) else text


def _shortened(text: bytes, limit: int) -> bytes:
    """At most so many octets of a text, from both of its ends; no character is cut."""
    if len(text) <= limit:
        return text
    text = text[: limit * 4 // 5] + b"\n" + text[len(text) - limit // 5 :]
    return text if text.isascii() else text.decode("utf-8", "ignore").encode()


def read(message: bytes, fields: list[Field] | None = None) -> Document:
    """Read a message: headers, an empty line, body; any octets. Time and memory are bounded, nothing is raised.

    fields  the header's, where it was taken apart already as the octets would be; `message` is its body then
    """
    top = parse(message[:MAX_SOURCE], _LIMITS, fields)
    header = HeaderRead(top.fields)
    document = Document(author=header.domain, header_read=header)
    if top.prefix:  # lines that are no field, and would belong to one above them
        document.odd_header = message[: top.body]
    document.text(b"text", header.subject[:1000])
    document.text(b"from", header.name[:200])
    _Body(document).read(top)
    del document.structure[_MAX_FACTS:]
    return document


def under(trace: bytes, document: Document) -> Document:
    """A document as it would be under one more trace field, such as the one that our MTA will write: a Received field in
    octets, its line end included. The two share their parts, which must not be changed."""
    if document.header_read is not None and not document.odd_header:
        facts = document.header_read.below(parse(trace, _LIMITS).fields[0])
    else:
        facts = facts_of(parse((trace + document.odd_header)[:MAX_SOURCE], _LIMITS).fields)
    return replace(document, facts=facts[:_MAX_FACTS])


class _Body:
    """Reads the parts of a message into a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.types: list[bytes] = []

    def read(self, top: Part) -> None:
        document = self.document
        self.part(top, top=True)
        facts = document.structure
        facts.append(b"parts " + b" ".join(self.types[:8]))
        facts.append(b"size %d" % (top.end - top.body).bit_length())
        facts += [b"defect " + name.encode() for name in sorted(set(top.defects))]
        owners = {owner(host) for host in document.linked}
        if owners:
            facts.append(b"links %d" % min(len(document.linked).bit_length(), 6))
            facts.append(b"linked owners %d" % min(len(owners), 4))
            facts.append(b"links to author %d" % (document.author in owners))

    def part(self, part: Part, top: bool = False) -> None:
        """A part and what is in it, in the order of the message."""
        kind = part.media_type.encode("ascii", "replace")[:40]
        self.types.append(kind)
        extensions = () if top else _part_header(part, self.document)
        if part.children:
            if part.media_type == "multipart/alternative":
                self.alternatives(part.children)
            else:
                for child in part.children:
                    self.part(child)
            return
        if not part.media_type.startswith(("text/", "message/", "multipart/")):
            self.document.structure.append(b"attached " + kind)
        self.document.sight.note(part)
        if (form := _form(part, extensions)) is not None:
            raw = self.content(part, form)
            self.show(part, form, raw)

    def alternatives(self, children: list[Part]) -> None:
        """Of alternatives, readers are shown the last that their program knows, which is HTML if there is any."""
        shown = max((number for number, child in enumerate(children) if _has_html(child)), default=len(children) - 1)
        others = []
        before = len(self.document.texts)
        for number, child in enumerate(children):
            plain_text = number != shown and not child.children and child.media_type == "text/plain"
            if plain_text and _has_html(children[shown]):
                self.types.append(b"text/plain")
                _part_header(child, self.document)
                others.append(child)
            else:
                self.part(child)
        seen = b" ".join([text for place, text in self.document.texts[before:] if place == b"text"])
        for child in others:
            self.compare(child, seen)

    def compare(self, part: Part, seen: bytes) -> None:
        """The plain text beside HTML that people read: how much of it says something else, and what that is."""
        raw = self.content(part, "plain")
        known = set(seen.lower().split())
        own = {word.strip(_EDGES) for word in _URL.sub(b" ", raw).lower().split()[:3000]}
        own = {word for word in own if word.isalpha()}
        other = own - {word.strip(_EDGES) for word in known}
        self.document.structure.append(b"alternatives differ %d" % (4 * len(other) // max(1, len(own))))
        if 2 * len(other) > len(own):
            self.document.text(b"unread", raw, _MAX_UNREAD)
        else:
            self.show(part, "plain", raw)

    def content(self, part: Part, form: str) -> bytes:
        """The text of a part in UTF-8, with LF, as far as the budget for markup goes."""
        document = self.document
        types = part.values(b"content-type")
        charset = _charset(types[0][:1000]) if types else None
        encoding = part.transfer_encoding
        kind = part.media_type.encode("ascii", "replace")[:30]
        document.structure.append(b"charset " + (charset or "").lower().encode("ascii", "replace")[:20])
        document.structure.append(b"encoding %s %s" % (encoding.encode("ascii", "replace")[:20], kind))
        limit = min(_MAX_RAW, document.raw_left)
        raw = decode_transfer(part.source[part.body : min(part.end, part.body + 2 * limit)], encoding)
        if len(raw) > limit:
            document.structure.append(b"too long to read")
        raw = raw[:limit]
        document.raw_left -= len(raw)
        if not raw.isascii() or _charsets.shifted(charset):
            raw = _charsets.decode(raw, charset).encode("utf-8", "replace")
        if form == "calendar":
            return _calendar(raw)
        return raw.replace(b"\r\n", b"\n") if b"\r" in raw else raw

    def show(self, part: Part, form: str, raw: bytes) -> None:
        """Take in a text that people see."""
        document, facts = self.document, self.document.structure
        document.sight.invitation |= form == "calendar"
        if form == "html" or raw[:200].lstrip()[:5].lower() in (b"<html", b"<!doc"):
            raw = _read_html(raw, document)
        else:
            found = (_cutting.urls if _cutting else urls)(raw, _MAX_TARGETS)
            _links([(b"text", target) for target in found], document)
        text = document.text(b"text", raw)
        if text:
            document.sight.texts.append(text)
            kind = part.media_type.encode("ascii", "replace")[:30]
            capitals = len(text) - len(text.translate(None, b"AEIORSTNL"))
            facts.append(b"capitals %d" % (capitals * 40 // len(text)))
            facts.append(b"excited %d" % min(text.count(b"!").bit_length(), 4))
            facts.append(b"text %s %d" % (kind, len(text).bit_length()))


def _form(part: Part, extensions: tuple[bytes, ...]) -> str | None:
    """How the content of a part is read: "html", "calendar", "plain"; None for what is no text."""
    if part.media_type in _HTML_TYPES:
        return "html"
    if part.media_type in ("text/calendar", "application/ics") or b".ics" in extensions:
        return "calendar"
    if part.media_type.startswith(("text/", "message/", "multipart/")):
        return "plain"
    return "html" if _HTML_NAMES.intersection(extensions) else None


def _has_html(part: Part) -> bool:
    return any(not one.children and one.media_type in _HTML_TYPES for one in part.walk())


def _part_header(part: Part, document: Document) -> tuple[bytes, ...]:
    """Take in the header of a part; returns the extensions of its names."""
    facts, extensions = document.structure, []
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
            extensions.append(value[at : at + 6].strip(b'"; ').lower())
            facts.append(b"extension " + extensions[-1])
    return tuple(extensions)


def _calendar(raw: bytes) -> bytes:
    """What an invitation shows (RFC 5545): lines are unfolded (3.1), text is unescaped (3.3.11)."""
    raw = _FOLD.sub(b"", raw)
    lines = [line.partition(b":")[2] for line in islice(_CALENDAR_LINE.findall(raw), 100)]
    text = b"\n".join(lines).replace(b"\r", b"")
    return text.replace(b"\\n", b"\n").replace(b"\\N", b"\n").replace(b"\\", b"")


def _read_html(source: bytes, document: Document) -> bytes:
    reading = html.read(source)
    sight = document.sight
    sight.html = True
    sight.images += reading.images
    sight.severed += reading.severed
    sight.hidden.append(reading.hidden[:_MAX_HIDDEN])
    sight.anchors += reading.anchors[: _MAX_LINKS - len(sight.anchors)]
    _links(reading.links, document)
    for target, text in reading.anchors:
        _compare_anchor(target, text, document)
    facts = document.structure
    document.text(b"aside", reading.asides, _MAX_UNSEEN)
    if reading.unseen:
        document.text(b"unseen", reading.unseen, _MAX_UNSEEN)
        facts.append(b"unseen %d" % len(reading.unseen).bit_length())
    if reading.comments:
        facts.append(b"comments %d" % reading.comments.bit_length())
    facts.append(b"seen %d" % (10 * len(reading.seen) // max(1, len(source))))
    facts.append(b"images %d" % reading.images.bit_length())
    return reading.seen


@lru_cache(maxsize=512)
def _charset(content_type: bytes) -> str | None:
    return parameter(content_type, "charset")


def _compare_anchor(target: bytes, text: bytes, document: Document) -> None:
    """A link whose text names one host and that leads to another: what it says it is, is a fact."""
    if b"." not in text or not (named := _NAMED_HOST.search(text.lower())):
        return
    _, host, _ = _read_link(b"a", target)
    if host and owner(named[1]) != owner(host):
        document.structure += [b"link says another host", b"link says " + owner(named[1])]


def _links(links: list[tuple[bytes, bytes]], document: Document) -> None:
    """Take in links: the element and the target of each, of a few what they say."""
    (_cutting.take_links if _cutting else take_links)(links, _MAX_TARGETS, document.targets, document.sight.links)
    for place, target in links[: _MAX_LINKS - document.links]:
        document.links += 1
        facts, host, path = _read_link(place, target)
        document.structure += facts
        if host:
            document.linked.append(host)
        if path:
            document.link(path)


def _read_link(place: bytes, target: bytes) -> tuple[list[bytes], bytes, bytes]:
    """What a link says, the host that it leads to, if it is a name, and the path there."""
    scheme, host, path = (_cutting.link_parts if _cutting else link_parts)(target)
    return *_read_host(place, scheme, host), path


@lru_cache(maxsize=2048)  # many links lead to one host
def _read_host(place: bytes, scheme: bytes, host: bytes) -> tuple[list[bytes], bytes]:
    facts = []
    if b"@" in host and scheme != b"mailto":
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
    return facts, host if b"." in host else b""
