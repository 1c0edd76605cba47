"""The structure of a MIME message as slices of its bytes.

The standard library's parser decodes a message and its generator writes another one that means the same.  A mail filter
must do less: replace one part and leave every other byte alone.  So a `Part` here only says *where* in the source its
header and its body lie; whoever changes a part replaces that slice (`splice`) and nothing else is ever written anew.

Everything is linear in the size of the message and bounded by `TreeLimits`; nothing raises on any input.  Lines end in
LF or CRLF; a bare CR is an ordinary byte.  RFC 2045, RFC 2046 section 5.1, RFC 2047, RFC 2231, RFC 5322.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from _mimetree.transfer import decode_transfer, encode_transfer
from _mimetree.values import media_type, parameter, transfer_encoding

LIMIT_DEPTH = "depth"
LIMIT_PARTS = "parts"
NO_BOUNDARY = "no-boundary"
NO_START = "no-start"
NO_END = "no-end"
NO_SEPARATOR = "no-separator"

# RFC 5322 section 4.5.8 lets white space stand before the colon; a name without a colon ends the header.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+\n?)")
# Lines that are no field and yet do not end a header: an mbox "From " line, a missing name, a stray continuation.
_JUNK = re.compile(rb"(?:(?:From |[ \t]*+:|[ \t]+[^\s])[^\n]*+\n?)++")
_BLANK = re.compile(rb"\r?\n")
_ENCODED_TRANSFER = frozenset({"base64", "quoted-printable"})


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """How much structure is looked at: parts of one message, levels of nesting, transfer encodings inside of others, and lines
    that begin like a delimiter and are none (the default is a second's work for somebody who sends nothing else).

    `max_encoded` bounds memory: each such level holds a decoded copy.  Depth stays far below Python's recursion limit, so
    that callers may walk a tree recursively, as the email package does.
    """

    max_parts: int = 10_000
    max_depth: int = 100
    max_encoded: int = 4
    max_misses: int = 1_000_000


class Field(NamedTuple):
    """One header field: its name, the bytes after the colon, and all its bytes with its line end."""

    name: bytes
    value: bytes
    raw: bytes


_FIELD_OF = Field._make
_FEW = 8  # fields that are looked through faster than they are indexed


@dataclass(slots=True, eq=False)
class Part:
    """One part: `source[start:body]` is its header with the empty line, `source[body:end]` its body.

    `prefix` counts the bytes before the first field (an mbox "From " line), `fields_end` is where the fields end.
    A child whose `source` is not its parent's lies inside a transfer-encoded message/rfc822.
    """

    source: bytes
    start: int
    body: int
    end: int
    fields: list[Field]
    depth: int = 0
    media_type: str = "text/plain"
    boundary: bytes | None = None
    prefix: int = 0
    fields_end: int = 0
    children: list[Part] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    # How many fields are in the index, and their values by their names in lower case.
    _index: tuple[int, dict[bytes, list[bytes]]] = field(default=(0, {}), init=False, repr=False)

    @property
    def raw(self) -> bytes:
        """All bytes of the part."""
        return self.source[self.start : self.end]

    @property
    def content(self) -> bytes:
        """The bytes of the body, as they are transferred."""
        return self.source[self.body : self.end]

    @property
    def header(self) -> bytes:
        """The bytes of the header, with the empty line that ends it."""
        return self.source[self.start : self.body]

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of this (lower case) name, in order."""
        if len(self.fields) <= _FEW:
            size = len(name)  # looked at first: most names have another, and making them small takes longer
            return [value for found, value, _ in self.fields if len(found) == size and found.lower() == name]
        indexed, by_name = self._index
        if indexed != len(self.fields):
            by_name = {}
            for found, value, _ in self.fields:
                by_name.setdefault(found.lower(), []).append(value)
            self._index = len(self.fields), by_name
        return [*by_name.get(name, ())]

    @property
    def transfer_encoding(self) -> str:
        """The first Content-Transfer-Encoding in lower case, "7bit" if there is none."""
        found = self.values(b"content-transfer-encoding")
        return transfer_encoding(found[0]) if found else "7bit"

    def line_end(self) -> bytes:
        """The line end that the body uses (else the header, else the message)."""
        for low, high in ((self.body, self.end), (self.start, self.body), (0, len(self.source))):
            at = self.source.find(b"\n", low, high)
            if at >= 0:
                return b"\r\n" if at > low and self.source[at - 1 : at] == b"\r" else b"\n"
        return b"\r\n"

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order of the message."""
        pending = [self]
        while pending:
            part = pending.pop()
            yield part
            pending.extend(reversed(part.children))


def read_header(source: bytes, start: int, end: int, stop: Callable[[bytes], bool] | None = None) -> Part:
    """Read the fields that stand at `start`; the part that comes back reaches to `end`.

    `stop` is asked about lines that begin with "--": a delimiter ends a header too.
    """
    fields: list[Field] = []
    part = Part(source, start, end, end, fields)
    at = begun = start  # `begun` is where the last field begins: lines of junk after it belong to it
    while at < end:
        if stop and source.startswith(b"--", at) and stop(_line(source, at, end)):
            break
        if found := _FIELD.match(source, at, end):
            fields.append(_FIELD_OF(found.group(1, 2, 0)))
            begun = at
        elif found := _JUNK.match(source, at, end):
            # All lines of junk at once: a field that grew by one line after another would take quadratic time.
            if fields:
                fields[-1] = fields[-1]._replace(raw=source[begun : found.end()])
            else:
                part.prefix = found.end() - start
        elif found := _BLANK.match(source, at, end):
            part.body, part.fields_end = found.end(), at
            return part
        else:
            part.defects.append(NO_SEPARATOR)
            break
        at = found.end()
    part.body = part.fields_end = at
    return part


def _line(source: bytes, at: int, end: int) -> bytes:
    stop = source.find(b"\n", at, end)
    return source[at : end if stop < 0 else stop + 1]


def parse(source: bytes, limits: TreeLimits | None = None, fields: list[Field] | None = None) -> Part:
    """The tree of a message.

    `source` is the whole message, or with `fields` (the header as an MTA handed it over) only its body.
    """
    top = Part(source, 0, 0, len(source), fields) if fields is not None else read_header(source, 0, len(source))
    limits = limits or TreeLimits()
    _Builder(source, limits, count(1)).build(top, "text/plain")
    return top


class _Builder:
    """Walks once over the lines that begin with "--" and keeps the multiparts that are open on a stack."""

    def __init__(self, source: bytes, limits: TreeLimits, numbers: Iterator[int], encoded: int = 0) -> None:
        self.source = source
        self.encoded = encoded  # how many transfer encodings are around this source
        self.limits = limits
        self.numbers = numbers
        self.open: list[Part] = []  # from the top to the part that is being read
        self.levels: dict[bytes, int] = {}  # boundary -> index in open

    def build(self, top: Part, default_type: str) -> None:
        end = top.end
        self.enter(top, default_type)
        first = self.open[-1].body
        at = first
        if self.levels and not self.source.startswith(b"--", first):
            at = self.next_delimiter(first, end)
        misses = 0
        while 0 <= at < end and self.levels:
            line = _line(self.source, at, end)
            match = self.match(line)
            after = at + len(line)
            if match is not None:
                after = self.delimiter(at, after, *match)
            elif (misses := misses + 1) > self.limits.max_misses:
                self.open[-1].defects.append(LIMIT_PARTS)
                break
            at = after if self.source.startswith(b"--", after) else self.next_delimiter(after - 1, end)
        self.close(0, end)

    def next_delimiter(self, at: int, end: int) -> int:
        found = self.source.find(b"\n--", max(at, 0), end)
        return found + 1 if found >= 0 else -1

    def match(self, line: bytes) -> tuple[int, bool] | None:
        """The level whose delimiter this line is, and whether it is the closing one (RFC 2046 section 5.1.1)."""
        text = line[2:].rstrip(b" \t\r\n")
        if (level := self.levels.get(text)) is not None:
            return level, False
        if text.endswith(b"--") and (level := self.levels.get(text[:-2])) is not None:
            return level, True
        return None

    def delimiter(self, at: int, after: int, level: int, closing: bool) -> int:
        """Act on a delimiter line; returns where to look for the next one."""
        end = at
        if self.source[at - 1 : at] == b"\n" and at > self.open[-1].body:
            end -= 2 if self.source[at - 2 : at] == b"\r\n" and at - 2 >= self.open[-1].body else 1
        self.close(level + 1, end)
        owner = self.open[level]
        if closing:
            if not owner.children:
                return after  # a closing delimiter that closes nothing is text of the preamble
            del self.levels[owner.boundary or b""]
            owner.defects.remove(NO_END)
            return after
        if next(self.numbers) >= self.limits.max_parts:
            owner.defects.append(LIMIT_PARTS)
            self.levels.clear()
            return after
        child = read_header(self.source, after, len(self.source), lambda line: self.match(line) is not None)
        child.depth = owner.depth + 1
        owner.children.append(child)
        self.enter(child, "message/rfc822" if owner.media_type == "multipart/digest" else "text/plain")
        return self.open[-1].body

    def enter(self, part: Part, default_type: str) -> None:
        """Put a part whose header is read on the stack, with the message it carries, if it does."""
        while True:
            found = part.values(b"content-type")
            part.media_type = media_type(found[0]) if found else default_type
            self.open.append(part)
            maintype = part.media_type.split("/")[0]
            if maintype == "multipart":
                self.enter_multipart(part, found)
            if maintype != "message" or part.media_type == "message/delivery-status":
                return
            if part.depth >= self.limits.max_depth or next(self.numbers) >= self.limits.max_parts:
                part.defects.append(LIMIT_DEPTH if part.depth >= self.limits.max_depth else LIMIT_PARTS)
                return
            if part.transfer_encoding in _ENCODED_TRANSFER:
                return  # `close` knows where it ends
            inner = read_header(self.source, part.body, len(self.source), lambda line: self.match(line) is not None)
            inner.depth = part.depth + 1
            part.children.append(inner)
            part, default_type = inner, "text/plain"

    def enter_multipart(self, part: Part, found: list[bytes]) -> None:
        boundary = parameter(found[0], "boundary") if found else None
        if not boundary:
            part.defects.append(NO_BOUNDARY)
        elif part.depth >= self.limits.max_depth:
            part.defects.append(LIMIT_DEPTH)
        else:
            part.boundary = boundary.encode("utf-8", "surrogateescape").rstrip()
            part.defects.append(NO_END)
            # A boundary that is open already belongs to the outer multipart: that is how most readers see it.
            self.levels.setdefault(part.boundary, len(self.open) - 1)

    def close(self, level: int, end: int) -> None:
        """End all parts from `level` inwards at `end`."""
        while len(self.open) > level:
            part = self.open.pop()
            part.end = max(end, part.start)
            part.body = min(part.body, part.end)
            part.fields_end = min(part.fields_end, part.body)
            if part.boundary is not None:
                if self.levels.get(part.boundary) == len(self.open):
                    del self.levels[part.boundary]
                if not part.children:
                    part.defects.append(NO_START)
            if part.media_type == "message/delivery-status":
                self.status_blocks(part)
            elif part.media_type.startswith("message/") and not part.children:
                self.encoded_message(part)

    def encoded_message(self, part: Part) -> None:
        """RFC 2046 section 5.2.1 forbids to encode a message/rfc822; readers decode it all the same."""
        if part.transfer_encoding not in _ENCODED_TRANSFER or {LIMIT_DEPTH, LIMIT_PARTS} & set(part.defects):
            return
        if self.encoded >= self.limits.max_encoded:
            part.defects.append(LIMIT_DEPTH)
            return
        decoded = decode_transfer(part.content, part.transfer_encoding)
        inner = read_header(decoded, 0, len(decoded))
        inner.depth = part.depth + 1
        part.children.append(inner)
        _Builder(decoded, self.limits, self.numbers, self.encoded + 1).build(inner, "text/plain")

    def status_blocks(self, part: Part) -> None:
        """A delivery status is a sequence of headers (RFC 3464 section 2.1); each counts as a part."""
        at = part.body
        while at < part.end:
            while found := _BLANK.match(self.source, at, part.end):
                at = found.end()
            if at >= part.end:
                return
            if part.depth >= self.limits.max_depth or next(self.numbers) >= self.limits.max_parts:
                part.defects.append(LIMIT_PARTS)
                return
            stop = _end_of_block(self.source, at, part.end)
            block = read_header(self.source, at, stop)
            block.depth = part.depth + 1
            part.children.append(block)
            at = stop


_BLOCK_END = re.compile(rb"\n\r?\n")


def _end_of_block(source: bytes, at: int, end: int) -> int:
    found = _BLOCK_END.search(source, at, end)
    return found.start() + 1 if found else end


def splice(part: Part, replaced: dict[int, bytes]) -> bytes:
    """The body of `part` with the children at these indices replaced; all other bytes as they are."""
    if not replaced:
        return part.content
    if part.children[0].source is not part.source:
        return encode_transfer(replaced[0], part.transfer_encoding, part.line_end())
    pieces = []
    at = part.body
    for index in sorted(replaced):
        child = part.children[index]
        new = replaced[index]
        pieces += [part.source[at : child.start], new]
        if _needs_line_end(part, child.end, new):
            pieces.append(part.line_end())
        at = child.end
    pieces.append(part.source[at : part.end])
    return b"".join(pieces)


def _needs_line_end(part: Part, at: int, new: bytes) -> bool:
    """Whether a delimiter would end up in the middle of a line."""
    if at >= part.end or part.media_type.startswith("message/"):
        return False
    return not part.source.startswith((b"\n", b"\r\n"), at) and not new.endswith(b"\n")
