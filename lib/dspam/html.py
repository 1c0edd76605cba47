"""What a reader sees of an HTML document, and what its author hid from him.  Linear in time, never raises."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

# "<" inside of a tag begins another one, so that nothing is looked at twice.
_TAG = re.compile(rb"<(?:(/?)([a-zA-Z][a-zA-Z0-9:]*+)([^<>]*+)>|[!?/][^<>]*+>)")
_ATTRIBUTE = re.compile(rb"""([a-zA-Z-]{1,40}+)[ \t\r\n]*+=[ \t\r\n]*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s"'>]++))""")
_UNSEEN = re.compile(
    rb"display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden|font-size\s{0,9}:\s{0,9}[01](?:p[xt]|em|%|[;\"'\s]|$)|mso-hide",
    re.IGNORECASE,
)
_STYLE_COLOUR = re.compile(rb"(?:^|[;\s])(background(?:-color)?|color)\s{0,9}:\s{0,9}([#\w]{3,20})")
# These do not end a word: "V<b></b>iagra" is read as one.
_INLINE = frozenset(
    b"a abbr b big bdo cite code em font i ins kbd o:p s small span strike strong sub sup tt u wbr".split()
)
_UNREAD = frozenset({b"style", b"script", b"noscript", b"noframes", b"title"})
_VOID = frozenset(b"area base br col hr img input link meta param".split())
_LINKS = frozenset({b"href", b"src", b"action", b"background"})
_WHITE = {b"#fff": b"white", b"#ffffff": b"white", b"ffffff": b"white", b"#000": b"black", b"#000000": b"black"}
_MAX_TAGS = 3000
# Python refuses to read a number of more than 4300 digits.
_LONG_NUMBER = re.compile(r"(&#[0-9]{100})[0-9]++")


@dataclass(slots=True)
class Reading:
    """A document, reduced: the text in sight, the text out of sight, link targets by attribute, its tags, odd things."""

    seen: bytes = b""
    unseen: bytes = b""
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    tags: list[bytes] = field(default_factory=list)
    comments: int = 0


def without_comments(source: bytes) -> tuple[bytes, int]:
    """The document without its comments, and how many there were; one without an end reaches to the end."""
    pieces = source.split(b"<!--", _MAX_TAGS)
    if len(pieces) == 1:
        return source, 0
    return pieces[0] + b"".join([piece.partition(b"-->")[2] for piece in pieces[1:]]), len(pieces) - 1


class _Reader:
    """Walks over the tags and keeps in mind which element it is that hides what follows."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.seen: list[bytes] = []
        self.unseen: list[bytes] = []
        self.hiding: bytes | None = None  # the element that hides, and how many of its kind are open inside of it
        self.nested = 0
        self.background = b"white"

    def text(self, piece: bytes) -> None:
        (self.unseen if self.hiding else self.seen).append(piece)

    def end(self, name: bytes) -> None:
        if name == self.hiding:
            self.nested -= 1
            if not self.nested:
                self.hiding = None

    def start(self, name: bytes, attributes: bytes) -> None:
        found = {key.lower(): a or b or c for key, a, b, c in _ATTRIBUTE.findall(attributes)} if attributes else {}
        self.reading.tags.append(name)
        for key, value in found.items():
            if key in _LINKS:
                self.reading.links.append((name, value))
            elif key in (b"alt", b"title", b"content", b"value"):
                self.seen.append(b" " + value + b" ")
        if name == self.hiding:
            self.nested += 1
        elif not self.hiding and name not in _VOID and (name in _UNREAD or (found and self.hides(found))):
            self.hiding, self.nested = name, 1

    def hides(self, found: dict[bytes, bytes]) -> bool:
        """Whether an element with these attributes can't be read: turned off, too small, or painted as its background."""
        style = found.get(b"style", b"")
        colours = {key[:1]: value for key, value in _STYLE_COLOUR.findall(style.lower())} if style else {}
        if back := found.get(b"bgcolor") or colours.get(b"b"):
            self.background = _colour(back)
        fore = found.get(b"color") or colours.get(b"c")
        if fore and not back and _colour(fore) == self.background:
            return True
        return bool(style and _UNSEEN.search(style))


def _colour(value: bytes) -> bytes:
    value = value.lower()
    return _WHITE.get(value, value)


def read(source: bytes) -> Reading:
    """Reduce a document, given in UTF-8 (or any bytes)."""
    source, comments = without_comments(source)
    reader = _Reader()
    reader.reading.comments = comments
    at = 0
    for number, tag in enumerate(_TAG.finditer(source)):
        if number >= _MAX_TAGS:
            break
        start = tag.start()
        if start > at:
            reader.text(source[at:start])
        at = tag.end()
        name = tag[2]
        if name is None:
            continue
        name = name.lower()
        if name not in _INLINE:
            reader.text(b" ")
        if tag[1]:
            reader.end(name)
        else:
            reader.start(name, tag[3])
    reader.text(source[at:])
    reader.reading.seen = _unescape(b"".join(reader.seen))
    reader.reading.unseen = _unescape(b"".join(reader.unseen))
    return reader.reading


def unescape(text: str) -> str:
    """The text with its character references resolved, as the standard library does it, and without its exception."""
    return html.unescape(_LONG_NUMBER.sub(r"\1", text) if "&#" in text else text)


def _unescape(text: bytes) -> bytes:
    if b"&" not in text:
        return text
    return unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace")
