"""The lines of a text as a reader sees them, for plain text and displayed HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dspam import html

MAX_LINES = 50_000  # per text; forwarded messages begin earlier

_QUOTE = re.compile(r"(?:[ \t\xa0]{0,3}+>)*+[ \t\xa0]?+")
_MARKUP = re.compile(r"<(?:!--|(/?)([A-Za-z][A-Za-z0-9:]*+)[^<>]*+>|[!?/][^<>]*+>)")
_BLOCKS = (
    "address article blockquote body center dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr html li ol p pre"
    " section table tbody thead tr ul"
)
_BREAKING = frozenset(_BLOCKS.split())
_UNREAD = frozenset({"style", "script", "title"})


class Line(NamedTuple):
    """One visible line: its text without quoting marks, its quoting depth, and its place in the source."""

    text: str
    level: int
    start: int
    end: int

    @property
    def blank(self) -> bool:
        return not self.text or self.text.isspace()


def lines_of(source: str, is_html: bool) -> list[Line]:
    """The lines of a text, or of an HTML document as displayed; at most MAX_LINES, with the rest of the source in the
    last.
    """
    return list(_html_lines(source) if is_html else _plain_lines(source))


def _line(text: str, start: int, end: int) -> Line:
    quoted = _QUOTE.match(text)
    marks = quoted[0] if quoted else ""
    return Line(text[len(marks) :] if ">" in marks else text, marks.count(">"), start, end)


def _plain_lines(source: str) -> Iterator[Line]:
    at = 0
    for piece in source.split("\n", MAX_LINES - 1):
        end = at + len(piece) + 1
        yield _line(piece.rstrip("\r"), at, min(end, len(source)))
        at = end


def _html_lines(source: str) -> Iterator[Line]:
    """The lines of HTML. A line ends at <br> and where a block element begins or ends; two block boundaries in a row
    make no empty line.
    """
    pieces: list[str] = []
    start = at = count = 0
    while count < MAX_LINES - 1 and (found := _MARKUP.search(source, at)):
        pieces.append(source[at : found.start()])
        name = (found[2] or "").lower()
        at = _after(source, found, name)
        if name == "br" or (name in _BREAKING and any(piece and not piece.isspace() for piece in pieces)):
            yield _line(_shown(pieces), start, at)
            pieces, start, count = [], at, count + 1
        elif name in {"td", "th"}:
            pieces.append(" ")
        elif name in _BREAKING:
            pieces = []  # only blanks; a later block must not examine them again
    pieces.append(source[at:])
    yield _line(_shown(pieces), start, len(source))


def _after(source: str, found: re.Match[str], name: str) -> int:
    """The place after this markup. Unclosed markup extends to the end of the text, so its end is searched only once."""
    if found[0] == "<!--":
        end = source.find("-->", found.end())
        return end + 3 if end >= 0 else len(source)
    if name in _UNREAD and not found[1]:
        close = re.compile(f"</{name}", re.IGNORECASE).search(source, found.end())
        return close.start() if close else len(source)
    return found.end()


def _shown(pieces: list[str]) -> str:
    return " ".join(html.unescape("".join(pieces)).split())
