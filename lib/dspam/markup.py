"""The words of an HTML document as its reader sees them, for libdspam's tokenizers.  Linear in time, never raises."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import html

# "<" inside of a tag begins another one, so that nothing is looked at twice.
_TAG = re.compile(r"<(?:(/?)([a-zA-Z][a-zA-Z0-9:]*+)([^<>]*+)>?|[!?/][^<>]*+>)")
_LINK = re.compile(
    r"""\b(?:href|src|action|background|cite)\s{0,9}+=\s{0,9}+["']?((?:https?|ftp):[^\s"'<>]{1,512})""", re.IGNORECASE
)
# These do not end a word: che<b></b>ap is read as one.
_INLINE_NAMES = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark o:p q s samp small span strike strong "
    "sub sup time tt u var wbr"
)
_INLINE = frozenset(_INLINE_NAMES.split())
_UNREAD = frozenset({"script", "style"})


def clean_html(text: str) -> str:
    """The text without comments, tags, scripts and styles, and with character references resolved.

    A tag ends a word, unless it is one of those that only change how letters look.  The address of a link or an image stays,
    for that is where the reader is sent.
    """
    return html.unescape("".join(_pieces(_without_comments(text))))


def _without_comments(text: str) -> str:
    """Comments cut words in two: vi<!-- x -->agra. One without an end stays as text."""
    pieces = []
    at = 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        pieces.append(text[at:start])
        at = end + 3
    pieces.append(text[at:])
    return "".join(pieces)


def _pieces(text: str) -> Iterator[str]:
    at = 0
    unread = ""  # the element that is not read, until it ends
    for tag in _TAG.finditer(text):
        if not unread:
            yield text[at : tag.start()]
        at = tag.end()
        name = (tag[2] or "").lower()
        if unread:
            if tag[1] and name == unread:
                unread = ""
            continue
        if name not in _INLINE and name:
            yield " "
        if not name or tag[1]:
            continue
        for link in _LINK.finditer(tag[3]):
            yield f" {link[1]} "
        if name in _UNREAD:
            unread = name
    if not unread:
        yield text[at:]
