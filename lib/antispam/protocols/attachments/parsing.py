"""The tree of parts of a message, as passed by the MTA."""

from __future__ import annotations

from collections.abc import Sequence

import _mimetree
from _mimetree import Field, Part
from antispam.protocols.attachments.rules import Limits

Headers = Sequence[tuple[str | bytes, str | bytes]]


def parsed(headers: Headers, body: bytes, limits: Limits) -> Part:
    """The tree of a message, given its (name, value) pairs and everything after the empty line."""
    fields = [Field(octets_of(name).strip(), octets_of(value), b"") for name, value in headers]
    return _mimetree.parse(body, _mimetree.TreeLimits(limits.max_parts, limits.max_depth), fields)


def octets_of(text: str | bytes) -> bytes:
    """The transferred octets of a text; surrogates represent undecodable octets."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
