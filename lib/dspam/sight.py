"""What people see of a message, for those who judge it without having learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from _mimetree import Part, decode_transfer, decode_words, parameter

_MAX_PIECES = 20
_BEGINNING = 400  # octets of a part, as they are transferred
_TEXTS = ("text/", "message/", "multipart/")


class Piece(NamedTuple):
    """A part that is not read as text: its media type, the names that it is given, and its first octets, decoded."""

    media_type: str
    names: tuple[str, ...]
    beginning: bytes


@dataclass(slots=True)
class Sight:
    """What people see of a message and where it sends them, as it was written, in UTF-8. Bounded as the document is.

    texts    those in sight, of HTML the text without its markup
    hidden   text of HTML that its author hid; `severed` is how many words in sight are cut in two by such text
    links    the element ("text" for plain text) and the target as it is written
    anchors  target and text of links of HTML
    images   how many there are; html says whether there is any HTML
    invitation  there is a calendar object
    pieces   what is attached, the first few
    """

    texts: list[bytes] = field(default_factory=list)
    hidden: list[bytes] = field(default_factory=list)
    severed: int = 0
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    anchors: list[tuple[bytes, bytes]] = field(default_factory=list)
    images: int = 0
    html: bool = False
    invitation: bool = False
    pieces: list[Piece] = field(default_factory=list)

    def note(self, part: Part) -> None:
        """Take in a part that is attached, or that is no text."""
        names = _names_of(part)
        if len(self.pieces) < _MAX_PIECES and (names or not part.media_type.startswith(_TEXTS)):
            coded = part.source[part.body : min(part.end, part.body + _BEGINNING)]
            self.pieces.append(Piece(part.media_type, names, decode_transfer(coded, part.transfer_encoding)))


def _names_of(part: Part) -> tuple[str, ...]:
    """The names that a part is given, each once, decoded."""
    found = [
        parameter(value[:1000], name)
        for field_name, name in ((b"content-disposition", "filename"), (b"content-type", "name"))
        for value in part.values(field_name)[:1]
    ]
    return tuple(dict.fromkeys(decode_words(name[:200]) for name in found if name))
