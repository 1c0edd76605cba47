"""What a reader sees of an HTML document, and what its author hid from them.  Linear in time, never raises.

Tags are cut as the HTML standard cuts them (section 13.2.5), so that no quote, comment or unfinished tag makes the filter read
another text than people do.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

try:
    from dspam import _cutting
except ImportError:  # see features
    _cutting = None  # type: ignore[assignment]

from dspam.styles import NO_STYLE, Declaration, Look, Sheet, Style, declarations, look, style

# A comment, a comment by mistake, a tag (what never ends reaches to the end). A quote matters behind "=" only.
_TOKEN = re.compile(
    rb"<(?:!--(?:-?>|.*?(?:--!?>|\Z))|(?:[!?]|/(?![a-zA-Z]))[^>]*+>?"
    rb"|(/?[a-zA-Z](?:[^>=]++|=[ \t\r\n\f]*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))?+)*+)(?:>|\Z))",
    re.DOTALL,
)
_TAG_NAME = re.compile(rb"(/?)([^\s/>]++)")
_ATTRIBUTE = re.compile(
    rb"""([^\s=>"'/]{1,40}+)(?:[ \t\r\n\f]*+=[ \t\r\n\f]*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>]++))?)?+"""
)
# These end a word; all others, known or not, do not: "V<b></b>iagra" and "V<x></x>iagra" are read as one.
_BLOCKS = frozenset(
    (
        b"address article aside blockquote body br button caption center dd details dialog dir div dl dt fieldset figcaption "
        b"figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html iframe img input isindex legend li listing main "
        b"menu nav object ol optgroup option p plaintext pre section select summary table tbody td textarea tfoot th thead tr "
        b"ul video"
    ).split()
)
_VOID = frozenset(
    b"area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr".split()
)
_RAW = {
    name: re.compile(rb"</" + name + rb"(?=[\s/>])", re.IGNORECASE)
    for name in b"style script title textarea xmp noembed noframes iframe".split()
}
_UNSEEN_RAW = frozenset(b"style script title noembed noframes iframe".split())
_GONE = frozenset(b"template datalist rp".split())
_LINKS = frozenset({b"href", b"src", b"action", b"background", b"formaction", b"xlink:href"})
_IN_PARAGRAPH = frozenset(
    (
        b"body br button html iframe img input object optgroup option select tbody td textarea tfoot th thead tr video"
    ).split()
)
_PARAGRAPH_ENDS = _BLOCKS - _IN_PARAGRAPH
_ENDS = {
    **dict.fromkeys((b"td", b"th"), frozenset({b"td", b"th"})),
    b"tr": frozenset({b"td", b"th", b"tr"}),
    b"li": frozenset({b"li"}),
    b"option": frozenset({b"option"}),
    **dict.fromkeys((b"dt", b"dd"), frozenset({b"dt", b"dd"})),
}
_FENCES = {
    **dict.fromkeys((b"td", b"th", b"tr"), frozenset({b"table"})),
    b"li": frozenset({b"ul", b"ol", b"menu", b"dir"}),
}
_CELLS = frozenset({b"td", b"th", b"table", b"caption"})
_TABLE_PARTS = frozenset({b"table", b"tr", b"td", b"th", b"tbody", b"thead", b"tfoot", b"caption", b"body", b"html"})
_MAX_TAGS = 20_000
_MAX_DEPTH = 200
_MAX_SHEET = 200_000
_MAX_ANCHORS = 40
# Python refuses to read a number of more than 4300 digits.
_LONG_NUMBER = re.compile(r"(&#[0-9]{100})[0-9]++")
_REMEMBERED = 400  # octets of a tag that may be remembered: the same tags come again and again
_LINK_BLUE = ("color", "#0000ee", False)


@dataclass(slots=True)
class Reading:
    """A document, reduced: the text in sight, the text out of sight, link targets by element, how many images and comments, and
    whether there is more of it than is read.

    hidden   of the text out of sight what an author hid by its look; scripts and style sheets are no text
    severed  words in sight that hidden text cuts in two
    """

    seen: bytes = b""
    unseen: bytes = b""
    hidden: bytes = b""
    severed: int = 0
    asides: bytes = b""
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    anchors: list[tuple[bytes, bytes]] = field(default_factory=list)
    images: int = 0
    comments: int = 0
    cut: bool = False


@dataclass(slots=True, eq=False)
class _Element:
    """What an opening tag says without its links: its name, whether it ends a word, which open elements end where it begins and
    which keep them, what it is called in style sheets, what it declares there (weak as attributes, and strong); texts in
    sight and out of sight in its attributes; and its style if there is no sheet. Each is one of its own."""

    name: bytes
    breaks: bool
    ends: tuple[frozenset[bytes], frozenset[bytes]] | None
    names: tuple[str, ...]
    weak: tuple[Declaration, ...]
    strong: tuple[Declaration, ...]
    texts: tuple[bytes, ...]
    asides: tuple[bytes, ...]
    style: Style


class _Tag(NamedTuple):
    """A tag: its name, the element that it opens (None if it closes one), or if it leads."""

    name: bytes
    opens: _Element | None
    links: tuple[tuple[bytes, bytes], ...] = ()


def _read_new_tag(inner: bytes) -> _Tag:
    head = _TAG_NAME.match(inner)
    assert head  # what _TOKEN finds begins with a name
    name = head[2].lower()
    if head[1]:
        return _Tag(name, None)
    found: dict[bytes, bytes] = {}
    for key, a, b, c in _ATTRIBUTE.findall(inner, head.end()):
        found.setdefault(key.lower(), a or b or c)
    links = tuple([(name, value) for key, value in found.items() if key in _LINKS])
    # Most links lead somewhere else; of them only matters here whether there are any.
    said = tuple([(key, value[:1] if key in _LINKS else value) for key, value in found.items()])
    often = len(inner) - sum([len(value) for _, value in links]) <= _REMEMBERED
    return _Tag(name, _read_element(name, said) if often else _read_new_element(name, said), links)


def _read_new_element(name: bytes, attributes: tuple[tuple[bytes, bytes], ...]) -> _Element:
    found = dict(attributes)
    ends = (_ENDS[name], _FENCES.get(name, _CELLS)) if name in _ENDS else None
    texts, asides = _texts(name, found)
    breaks = not _is_dot(found) if name == b"img" else name in _BLOCKS
    weak, strong = _weak(name, found), declarations(_said(found, b"style"))
    names = [f".{one}" for one in _said(found, b"class").lower().split()[:20]]
    if b"id" in found:
        names.append("#" + _said(found, b"id").strip().lower())
    return _Element(name, breaks, ends, tuple(names), weak, strong, texts, asides, style(weak + strong))


_read_tag = lru_cache(maxsize=2048)(_read_new_tag)
_read_element = lru_cache(maxsize=2048)(_read_new_element)


def _said(found: dict[bytes, bytes], name: bytes) -> str:
    value = found.get(name, b"")
    text = value[:2000].decode("latin-1")
    return unescape(text) if "&" in text else text


def _is_dot(found: dict[bytes, bytes]) -> bool:
    """Whether an image takes no room: it does not part a word."""
    return any(found.get(side, b"").strip(b" px") in (b"0", b"1") for side in (b"width", b"height"))


def _texts(name: bytes, found: dict[bytes, bytes]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Texts in attributes: those that are shown in the element's place, and those that are not."""
    shown = [b" " + found[key] + b" " for key in (b"alt", b"placeholder") if found.get(key)]
    hidden = [b" " + found[key] + b" " for key in (b"title", b"content") if found.get(key)]
    if value := found.get(b"value"):
        (hidden if found.get(b"type", b"").lower() == b"hidden" else shown).append(b" " + value + b" ")
    return tuple(shown), tuple(hidden)


def _weak(name: bytes, found: dict[bytes, bytes]) -> tuple[Declaration, ...]:
    """What attributes say of an element's look: any rule of a style sheet wins over them."""
    said = [_LINK_BLUE] if name == b"a" and b"href" in found else []
    if b"hidden" in found or name in _GONE or (name == b"dialog" and b"open" not in found):
        said.append(("display", "none", name in _GONE))
    for attribute, property_ in ((b"bgcolor", "background-color"), (b"color", "color"), (b"text", "color")):
        if attribute in found and (attribute != b"text" or name == b"body"):
            said.append((property_, _said(found, attribute).strip().lower(), False))
    if found.get(b"background"):
        said.append(("background-image", "url()", False))
    if name == b"bdo" and _said(found, b"dir").lower() == "rtl":
        said += [("direction", "rtl", False), ("unicode-bidi", "bidi-override", False)]
    return tuple(said)


class _Open(NamedTuple):
    """An element that is open, how what is in it looks, and whether its end ends a word."""

    name: bytes
    look: Look
    breaks: bool


class _Reader:
    """Walks over the tags and keeps in mind which elements are open."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.seen: list[bytes] = []
        self.unseen: list[bytes] = []
        self.code: list[bytes] = []
        self.asides: list[bytes] = []
        self.sheet = Sheet()
        self.ruled = False  # whether the sheet has rules
        self.sheet_left = _MAX_SHEET
        self.styles: dict[_Element, Style] = {}
        self.open: list[_Open] = []
        self.counts: dict[bytes, int] = {}
        self.look = Look()
        self.cut_at = -1  # how much was in sight when hidden text began right behind a letter
        self.anchor: tuple[bytes, int] | None = None  # where the open link leads, and where its text begins

    def text(self, text: bytes) -> None:
        if not self.look.seen:
            self.unseen.append(text)
            if self.seen and _ENDS_IN_LETTER(self.seen[-1]) and not text.isspace():
                self.cut_at = len(self.seen)
            return
        if self.cut_at == len(self.seen) and text[:1].isalpha():
            self.reading.severed += 1
        self.seen.append(text)

    def start(self, tag: _Element, links: tuple[tuple[bytes, bytes], ...]) -> None:
        name = tag.name
        if tag.ends is not None:
            self.end_implied(*tag.ends)
        elif name in _PARAGRAPH_ENDS and self.counts.get(b"p"):
            self.end_implied(_P, _CELLS)
        found = self.style(tag) if self.ruled else tag.style
        breaks, inside = tag.breaks, self.look
        if found is not NO_STYLE:
            inside = look(inside, found)
            if found.inline is not None:
                breaks = not found.inline
        shown = self.seen if inside.seen else self.unseen
        if breaks:
            shown.append(b" ")
        if links:
            self.reading.links += links
        shown += tag.texts
        self.asides += tag.asides
        if name in _VOID or len(self.open) >= _MAX_DEPTH:
            self.reading.images += name == b"img"
            return
        if name == b"a" and links and len(self.reading.anchors) < _MAX_ANCHORS:
            self.anchor = links[0][1], len(self.seen)
        if inside.reversed and not self.look.reversed:
            self.seen.append(b"\xe2\x80\xae")
        self.open.append(_Open(name, self.look, breaks))
        self.counts[name] = self.counts.get(name, 0) + 1
        self.look = inside

    def style(self, tag: _Element) -> Style:
        """By the rules of the sheet, too."""
        found = self.styles.get(tag)
        if found is None:
            declared = self.sheet.declared(tag.name.decode("latin-1"), tag.names)
            found = self.styles[tag] = style(tag.weak + declared + tag.strong) if declared else tag.style
        return found

    def end(self, name: bytes) -> None:
        if not self.counts.get(name):
            if name in _BLOCKS:
                self.text(b" ")
            return
        at = len(self.open) - 1
        while self.open[at].name != name:
            if self.open[at].name in _CELLS and name not in _TABLE_PARTS:
                return  # an element of the cell's surroundings does not end within the cell
            at -= 1
        self.close_to(at)

    def end_implied(self, names: frozenset[bytes], fences: frozenset[bytes]) -> None:
        """Close what ends where this element begins, though its end tag was left out."""
        found = None
        for at in range(len(self.open) - 1, -1, -1):
            name = self.open[at].name
            if name in names:
                found = at
            elif name in fences:
                break
        if found is not None:
            self.close_to(found)

    def close_to(self, at: int) -> None:
        for name, before, breaks in reversed(self.open[at:]):
            self.counts[name] -= 1
            if name == b"a" and self.anchor:
                target, start = self.anchor
                self.reading.anchors.append((target, b"".join(self.seen[start : start + 10])[:200]))
                self.anchor = None
            if self.look.reversed and not before.reversed:
                self.seen.append(b"\xe2\x80\xac")
            if breaks:
                self.text(b" ")
            self.look = before
        del self.open[at:]

    def add_sheet(self, content: bytes) -> bool:
        """Take in a style sheet; whether there are rules."""
        if self.sheet_left > 0:
            self.sheet.add(content[: self.sheet_left].decode("latin-1"))
            self.sheet_left -= len(content)
            self.styles.clear()
        return bool(self.sheet)

    def raw(self, name: bytes, content: bytes) -> None:
        """The content of an element in which there are no tags."""
        if name == b"style":
            self.ruled = self.add_sheet(content)
        if name in _UNSEEN_RAW:
            self.code += (b" ", content)
        else:
            self.text(content)


_P = frozenset({b"p"})
_ENDS_IN_LETTER = re.compile(rb"[A-Za-z]\Z").search


def _walk(reader: _Reader, source: bytes) -> None:
    """Read all tags and texts: what they mean is said here."""
    reading, search, at = reader.reading, _TOKEN.search, 0
    for _ in range(_MAX_TAGS):
        found = search(source, at)
        if found is None:
            reader.text(source[at:])
            break
        begin, end = found.span()
        if begin > at:
            reader.text(source[at:begin])
        at, inner = end, found[1]
        if inner is None:
            reading.comments += source.startswith(b"<!--", begin)
            continue
        name, opens, links = _read_tag(inner) if len(inner) <= _REMEMBERED else _read_new_tag(inner)
        if opens is None:
            reader.end(name)
            continue
        reader.start(opens, links)
        if name in _RAW:
            close = _RAW[name].search(source, at)
            stop = close.start() if close else len(source)
            reader.raw(name, source[at:stop])
            at = stop
    else:
        reading.cut = True


def _walk_compiled(reader: _Reader, source: bytes) -> None:
    """The same by _walking.c."""
    reading = reader.reading
    reading.severed, reading.images, reading.comments, reading.cut = _cutting.walk(
        source,
        (reader.seen, reader.unseen, reader.code, reader.asides, reading.links, reading.anchors),
        reader.look,
        (_BLOCKS, _VOID, _PARAGRAPH_ENDS, _P, _CELLS, _TABLE_PARTS, _RAW, _UNSEEN_RAW),
        (_read_tag, _read_new_tag, look, reader.style, reader.add_sheet),
        NO_STYLE,
        _MAX_TAGS,
        _REMEMBERED,
    )


def read(source: bytes) -> Reading:
    """Reduce a document, given in UTF-8 (or any bytes)."""
    reader = _Reader()
    (_walk_compiled if _cutting else _walk)(reader, source)
    reading = reader.reading
    joined = _cutting.joined if _cutting else joined_words
    reading.seen = _unescape(joined(reader.seen))
    reading.unseen = _unescape(joined(reader.unseen + reader.code))
    reading.hidden = _unescape(joined(reader.unseen)) if reader.code else reading.unseen
    reading.asides = _unescape(joined(reader.asides))
    return reading


def joined_words(pieces: list[bytes]) -> bytes:
    """The pieces together, one space for all space between words and none at the ends."""
    return b" ".join(b"".join(pieces).split())


def unescape(text: str) -> str:
    """The text with its character references resolved, as the standard library does it, and without its exception."""
    return html.unescape(_LONG_NUMBER.sub(r"\1", text) if "&#" in text else text)


def _unescape(text: bytes) -> bytes:
    if b"&" not in text:
        return text
    text = text.replace(b"&nbsp;", b" ")
    return unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace") if b"&" in text else text
