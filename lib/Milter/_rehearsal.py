"""What :mod:`Milter.test` and :mod:`Milter.testctx` share: a message on its way, and the changes that a milter asks for.

It stands in for the MTA and for libmilter, so that a milter can be tested without either.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from Milter import (
    CONTINUE,
    M_CONNECT,
    M_DATA,
    M_ENVFROM,
    M_ENVRCPT,
    M_EOH,
    M_EOM,
    M_HELO,
    MACRO_CALLBACKS,
    NOREPLY,
    SKIP,
)

__all__ = ["M_CONNECT", "M_DATA", "M_ENVFROM", "M_ENVRCPT", "M_EOH", "M_EOM", "M_HELO", "RawMessage", "Rehearsal"]

_CHUNK = 8192
# One field with its line end, RFC 5322 2.2 and 4.5: folded lines begin with white space.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_END_OF_HEADER = re.compile(rb"\r?\n")


def octets(text: str | bytes) -> bytes:
    """Return what goes over the wire for ``text``."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def bracketed(address: str) -> str:
    """Return an envelope address as a client writes it."""
    return address if address.startswith("<") else f"<{address}>"


def answer(rc: int) -> int:
    """Return what the MTA makes of a reply: no reply means to go on."""
    return CONTINUE if rc == NOREPLY else rc


class Field(NamedTuple):
    """A header field: its name, what stands behind the colon, and all of it as it stands in the message."""

    name: str
    value: bytes
    raw: bytes


class RawMessage:
    """A message: header fields, an empty line and the body. What is not changed is written as it came."""

    def __init__(self, raw: bytes) -> None:
        """Take a message apart. A header section without end, or without fields, is fine."""
        self.newline = b"\r\n" if b"\r\n" in raw[:1000] else b"\n"
        self.fields: list[Field] = []
        at = raw.index(b"\n") + 1 if raw.startswith(b"From ") and b"\n" in raw else 0  # of an mbox file
        while field := _FIELD.match(raw, at):
            self.fields.append(Field(field[1].decode("ascii"), field[2].removesuffix(b"\r"), field[0]))
            at = field.end()
        end = _END_OF_HEADER.match(raw, at)
        self.separator = end[0] if end else b""
        self.body = raw[at + len(self.separator) :]

    def values(self, leading_space: bool) -> Iterator[tuple[str, bytes]]:
        """Yield the fields as libmilter hands them over: folded at a bare LF, as a rule without leading space."""
        for field in self.fields:
            value = field.value.replace(b"\r\n", b"\n")
            yield field.name, value if leading_space else value.lstrip(b" \t")

    def add(self, name: str, value: str | bytes, index: int) -> None:
        """Add a field at the end, or before the field that is now number ``index`` from the top."""
        if self.fields and not self.fields[-1].raw.endswith(b"\n"):  # the message ended within its header
            self.fields[-1] = self.fields[-1]._replace(raw=self.fields[-1].raw + self.newline)
        self.fields.insert(index if index >= 0 else len(self.fields), self._field(name, value))
        self.separator = self.separator or self.newline

    def change(self, name: str, index: int, value: str | bytes | None) -> None:
        """Change the ``index``-th field of that name; None or nothing removes it, one that is missing is added."""
        places = [place for place, field in enumerate(self.fields) if field.name.lower() == name.lower()]
        wanted = max(index, 1) - 1
        if wanted < len(places):
            place = places[wanted]
            self.fields[place : place + 1] = [self._field(self.fields[place].name, value)] if value else []
        elif value:
            self.add(name, value, -1)

    def _field(self, name: str, value: str | bytes) -> Field:
        text = b" " + octets(value).replace(b"\r\n", b"\n").replace(b"\n", self.newline)
        return Field(name, text, octets(name) + b":" + text + self.newline)

    def with_body(self, body: bytes) -> bytes:
        """Return the message with another body."""
        return b"".join(field.raw for field in self.fields) + self.separator + body


class Rehearsal:
    """Collects what a milter asks for, and answers what it asks."""

    _priv: Any = None

    def __init__(self) -> None:
        self._macros: dict[str, str] = {}
        self._symlist: list[set[bytes] | None] = [None] * len(MACRO_CALLBACKS)
        self._stage: int | None = None
        self._body: BytesIO | None = None
        self._msg: Any = None
        self._sender: str | None = None
        self._begin_message()

    def _begin_message(self, sender: str | None = None) -> None:
        self._sender = sender
        self._body = None
        self._received = RawMessage(b"")
        self._bodyreplaced = False
        self._headerschanged = False
        self._envfromchanged = False
        self._reply: tuple[Any, ...] | None = None
        self._quarantine: str | None = None
        self._addrcpt: list[Any] = []
        self._delrcpt: list[str] = []

    def _take(self, fp: BinaryIO) -> RawMessage:
        import mime  # it imports Milter, whose part this is

        raw = octets(fp.read())
        self._received = RawMessage(raw)
        self._msg = mime.message_from_file(BytesIO(raw))
        return self._received

    @contextlib.contextmanager
    def _at(self, stage: int | None) -> Iterator[None]:
        """During a callback of ``stage`` only the macros of that stage are known."""
        self._stage = stage
        try:
            yield
        finally:
            self._stage = None

    def _macro(self, name: str) -> str | None:
        wanted = self._symlist[self._stage] if self._stage is not None else None
        if wanted is not None and name.encode() not in wanted:
            return None
        return self._macros.get(name)

    def _want_macros(self, stage: int, macros: Iterable[Any]) -> None:
        words: set[bytes] = set()
        for item in macros:
            words.update(octets(item).split())
        self._symlist[stage] = words

    def _only_in_eom(self, action: str) -> None:
        if self._stage != M_EOM:
            raise OSError(f"{action} not called from eom()")

    def _end_message(self) -> None:
        """Make ``_body`` the message as the MTA would deliver it, and ``_msg`` the same, parsed."""
        import mime

        replaced = self._body.getvalue() if self._body is not None and self._bodyreplaced else self._received.body
        message = self._received.with_body(replaced)
        self._body = BytesIO()
        self._body.write(message)
        if self._headerschanged or self._bodyreplaced:
            self._msg = mime.message_from_file(BytesIO(message))

    # The requests that a milter may make at end of message.

    def _add_header(self, field: str, value: str | bytes, idx: int) -> None:
        self._only_in_eom("addheader")
        self._received.add(field, value, idx)
        self._headerschanged = True

    def _change_header(self, field: str, idx: int, value: str | bytes | None) -> None:
        self._only_in_eom("chgheader")
        self._received.change(field, idx, value)
        self._headerschanged = True

    def _replace_body(self, chunk: str | bytes) -> None:
        self._only_in_eom("replacebody")
        if self._body is None:
            self._body = BytesIO()
        self._body.write(octets(chunk))
        self._bodyreplaced = True

    def _change_sender(self, sender: str) -> None:
        self._only_in_eom("chgfrom")
        self._sender = sender
        self._envfromchanged = True


def feed_body(body: bytes, callback: Any) -> int:
    """Hand over the body in blocks; a milter that has seen enough (SKIP) gets no more."""
    for at in range(0, len(body), _CHUNK):
        rc = answer(callback(body[at : at + _CHUNK]))
        if rc == SKIP:
            break
        if rc != CONTINUE:
            return rc
    return CONTINUE
