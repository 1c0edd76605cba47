"""What a reader sees of an HTML document, and what its author hid from him.  Linear in time, never raises."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

# "<" inside of a tag begins another one, so that nothing is looked at twice.
_TAG = re.compile(rb"<(?:(/?[a-zA-Z][^<>]*+)|[!?/][^<>]*+)>")
_TAG_NAME = re.compile(rb"(/?)([a-zA-Z][a-zA-Z0-9:]*+)")
_ATTRIBUTE = re.compile(rb"""([a-zA-Z-]{1,40}+)[ \t\r\n]*+=[ \t\r\n]*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s"'>]++))""")
_TURNED_OFF = re.compile(
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
_SHOWN = frozenset({b"alt", b"title", b"content", b"value"})
_LINKS = frozenset({b"href", b"src", b"action", b"background"})
_WHITE = {b"#fff": b"white", b"#ffffff": b"white", b"ffffff": b"white", b"#000": b"black", b"#000000": b"black"}
_MAX_TAGS = 3000
# Python refuses to read a number of more than 4300 digits.
_LONG_NUMBER = re.compile(r"(&#[0-9]{100})[0-9]++")
_REMEMBERED = 250  # octets of a tag that may be remembered: the same tags come again and again


@dataclass(slots=True)
class Reading:
    """A document, reduced: the text in sight, the text out of sight, link targets by element, how many images and comments."""

    seen: bytes = b""
    unseen: bytes = b""
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    images: int = 0
    comments: int = 0


def without_comments(source: bytes) -> tuple[bytes, int]:
    """The document without its comments, and how many there were; one without an end reaches to the end."""
    pieces = source.split(b"<!--", _MAX_TAGS)
    if len(pieces) == 1:
        return source, 0
    return pieces[0] + b"".join([piece.partition(b"-->")[2] for piece in pieces[1:]]), len(pieces) - 1


class _Tag(NamedTuple):
    """What a tag says by itself: its name, whether it closes an element, whether it ends a word, whether there is more to it;
    whether what the element contains is hidden, or may be; link targets and texts in its attributes; the colours it sets;
    whether its style turns it off."""

    name: bytes
    closing: bool
    breaks: bool
    plain: bool
    unread: bool = False
    can_hide: bool = False
    links: Sequence[tuple[bytes, bytes]] = ()
    texts: Sequence[bytes] = ()
    background: bytes = b""
    colour: bytes = b""
    turned_off: bool = False


def _read_new_tag(inner: bytes) -> _Tag:
    head = _TAG_NAME.match(inner)
    assert head  # what _TAG finds begins with a name
    name = head[2].lower()
    breaks = name not in _INLINE
    if head[1]:
        return _Tag(name, True, breaks, True)
    found = {key.lower(): a or b or c for key, a, b, c in _ATTRIBUTE.findall(inner, head.end())}
    unread = name in _UNREAD
    if not found and not unread:
        return _Tag(name, False, breaks, name != b"img")
    links, texts = [], []
    for key, value in found.items():
        if key in _LINKS:
            links.append((name, value))
        elif key in _SHOWN:
            texts.append(b" " + value + b" ")
    background, colour, turned_off = found.get(b"bgcolor"), found.get(b"color"), False
    if style := found.get(b"style"):
        colours = {key[:1]: value for key, value in _STYLE_COLOUR.findall(style.lower())}
        background, colour = background or colours.get(b"b"), colour or colours.get(b"c")
        turned_off = _TURNED_OFF.search(style) is not None
    background, colour = _colour(background), b"" if background else _colour(colour)
    return _Tag(name, False, breaks, False, unread, name not in _VOID, links, texts, background, colour, turned_off)


_read_tag = lru_cache(maxsize=2048)(_read_new_tag)


class _Reader:
    """Walks over the tags and keeps in mind which element it is that hides what follows."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.seen: list[bytes] = []
        self.unseen: list[bytes] = []
        self.into = self.seen  # where text goes
        self.hiding: bytes | None = None  # the element that hides, and how many of its kind are open inside of it
        self.nested = 0
        self.background = b"white"

    def tag(self, tag: _Tag) -> None:
        if tag.breaks:
            self.into.append(b" ")
        if tag.name == self.hiding:
            self.nested += -1 if tag.closing else 1
            if not self.nested:
                self.hiding, self.into = None, self.seen
        if not tag.plain:
            self.attributes(tag)

    def attributes(self, tag: _Tag) -> None:
        self.reading.images += tag.name == b"img"
        self.reading.links += tag.links
        self.seen += tag.texts
        if tag.can_hide and not self.hiding and (tag.unread or self.hides(tag)):
            self.hiding, self.into, self.nested = tag.name, self.unseen, 1

    def hides(self, tag: _Tag) -> bool:
        """Whether such an element can't be read: turned off, too small, or painted as its background."""
        if tag.background:
            self.background = tag.background
        return tag.turned_off or (bool(tag.colour) and tag.colour == self.background)


def _colour(value: bytes | None) -> bytes:
    if not value:
        return b""
    value = value.lower()
    return _WHITE.get(value, value)


def read(source: bytes) -> Reading:
    """Reduce a document, given in UTF-8 (or any bytes)."""
    source, comments = without_comments(source)
    reader = _Reader()
    reader.reading.comments = comments
    pieces = iter(_TAG.split(source, _MAX_TAGS))
    reader.seen.append(next(pieces))
    for inner, text in zip(pieces, pieces, strict=True):
        if inner is not None:
            reader.tag(_read_tag(inner) if len(inner) <= _REMEMBERED else _read_new_tag(inner))
        reader.into.append(text)
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
