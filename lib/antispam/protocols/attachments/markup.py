"""Scripts in HTML and SVG, whatever the charset."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable

import _charsets
import _mimetree
from _htmlscripts import suspect
from _mimetree import Part
from _sgmlfilter import has_script

_ASCII = bytes(range(0x20, 0x7F))
_UTF7 = frozenset({"utf_7", "utf7", "unicode_1_1_utf_7"})


def script(content: bytes, labels: Iterable[str], xml: bool, tick: Callable[[], object]) -> str | None:
    """None without a script; "" for a script in ASCII, which can be removed; else the charset that hides it.

    labels  the charsets stated in the header
    xml     whether SVG's rules apply, where a tag may close itself
    """
    charset = _wide_charset(labels, content)
    if charset and has_script(_charsets.decode(content, charset), xml, tick):
        return charset
    return "" if has_script(content.decode("latin-1"), xml, tick) else None


def costs_too_much(content: bytes, labels: Iterable[str], most: int) -> bool:
    """Whether more than `most` tags would have to be examined singly; without suspicious content none have to."""
    if content.count(b"<") <= most:
        return False
    return _wide_charset(labels, content) is not None or suspect(content.decode("latin-1"))


def labels(part: Part) -> list[str]:
    """The charsets that the header of a part states."""
    return [_mimetree.parameter(value, "charset") or "" for value in part.values(b"content-type")]


def _wide_charset(labels: Iterable[str], content: bytes) -> str | None:
    """The charset of HTML whose tags are not in ASCII; None for all other HTML."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for label in labels:
        charset = _charsets.known(label)
        if charset in _UTF7:
            return charset
        if charset and _charsets.decode(_ASCII, charset) != _ASCII.decode("ascii"):
            return charset
    return None
