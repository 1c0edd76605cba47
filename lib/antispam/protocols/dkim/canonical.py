"""Canonical forms of a message's header fields and body (RFC 6376 section 3.4), computed once and shared by all
signatures.

dkimpy's own functions are not used here for three reasons. They canonicalise everything again for each signature; two
of their regular expressions take quadratic time on a line of blanks (a body with one line of a million blanks keeps
them busy for minutes), as does their search for signed fields; and their parser needs the text of the message, in which
a forged field may be read differently from the MTA.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

HeaderField: TypeAlias = tuple[bytes, bytes]
Octets: TypeAlias = bytes | bytearray | memoryview


class HeaderFields:
    """The header of a message as passed by the MTA, ready for hashing.

    Each field is (name, value); the value is the text after the colon, including its leading blank (SMFIP_HDR_LEADSPC
    negotiated), folded by LF, as in libmilter, or by CRLF, without the final line end.
    """

    def __init__(self, fields: Sequence[HeaderField]) -> None:
        self._fields = fields
        self._positions: dict[bytes, list[int]] = {}
        for position, (name, _) in enumerate(fields):
            self._positions.setdefault(name.strip().lower(), []).append(position)
        self._relaxed: dict[int, bytes] = {}

    def count(self, name: bytes) -> int:
        """The number of fields with the (lower-case) name."""
        return len(self._positions.get(name, ()))

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields with the (lower-case) name, topmost first."""
        return [self._fields[position][1] for position in self._positions.get(name, ())]

    def signed(self, names: Sequence[bytes], relaxed: bool) -> list[bytes]:
        """The canonical fields covered by an h= list of lower-case `names`. Each mention takes the next instance from
        the bottom up; a mention without a remaining instance adds nothing (RFC 6376 section 5.4.2).
        """
        used: dict[bytes, int] = {}
        chosen = []
        for name in names:
            positions = self._positions.get(name)
            if positions is None:
                continue
            taken = used.get(name, 0)
            if taken < len(positions):
                used[name] = taken + 1
                chosen.append(self._canonical(positions[-1 - taken], relaxed))
        return chosen

    def _canonical(self, position: int, relaxed: bool) -> bytes:
        name, value = self._fields[position]
        if not relaxed:
            return simple_field(name, value)
        done = self._relaxed.get(position)
        if done is None:
            done = self._relaxed[position] = relaxed_field(name, value)
        return done


class Body:
    """The body of a message and its hashes, each computed once for all signatures."""

    def __init__(self, octets: Octets) -> None:
        self._octets = with_crlf(bytes(octets))
        self._canonical: dict[bool, bytes] = {}
        self._hashes: dict[tuple[bool, int | None], bytes] = {}

    def length(self, relaxed: bool) -> int:
        """The number of octets of the canonical body, which l= tags refer to."""
        return len(self._form(relaxed))

    def sha256(self, relaxed: bool, limit: int | None = None) -> bytes:
        """The digest of the canonical body, or of its first `limit` octets (l= tag)."""
        found = self._hashes.get((relaxed, limit))
        if found is None:
            form = self._form(relaxed)
            found = hashlib.sha256(form if limit is None else memoryview(form)[:limit]).digest()
            self._hashes[relaxed, limit] = found
        return found

    def _form(self, relaxed: bool) -> bytes:
        form = self._canonical.get(relaxed)
        if form is None:
            form = self._canonical[relaxed] = relaxed_body(self._octets) if relaxed else simple_body(self._octets)
        return form


def simple_field(name: bytes, value: bytes) -> bytes:
    """A field in simple form, unchanged (RFC 6376 section 3.4.1)."""
    return b"%s:%s\r\n" % (name, with_crlf(value))


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """A field in relaxed form: name in lower case, value unfolded, blanks reduced (RFC 6376 section 3.4.2)."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return b"%s:%s\r\n" % (name.strip(b" \t").lower(), _squeeze(value).strip(b" "))


def simple_body(body: bytes) -> bytes:
    """A body of CRLF lines in simple form, without trailing empty lines; an empty body is one CRLF (RFC 6376 section
    3.4.3).
    """
    return _without_trailing_empty_lines(body) or b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """A body of CRLF lines in relaxed form: blanks reduced, none before a line end, no trailing empty lines (RFC 6376
    section 3.4.4).
    """
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    body = _squeeze(body)
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    body = _without_trailing_empty_lines(body)
    return b"" if body == b"\r\n" else body


def with_crlf(text: bytes) -> bytes:
    """`text` with every bare LF converted to CRLF, as on the wire (RFC 6376 section 5.3). A bare CR stays: no MTA
    changes it.
    """
    if text.count(b"\n") == text.count(b"\r\n"):
        return text
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _squeeze(text: bytes) -> bytes:
    """The text with runs of blanks and tabs reduced to one blank. Each round halves the longest run, so the time is O(n
    log n).
    """
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _without_trailing_empty_lines(body: bytes) -> bytes:
    """`body`, in which each LF must follow a CR, with exactly one CRLF at its end; b"" if it has only empty lines."""
    text = body.rstrip(b"\r\n")
    ends = body[len(text) :]
    if ends.endswith(b"\r"):
        return body + b"\r\n"
    kept = ends[: ends.rfind(b"\r\r") + 1]
    return text + kept + b"\r\n" if text or kept else b""
