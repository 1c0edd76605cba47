"""The structure of a MIME message as slices of its bytes.

The standard library's parser decodes a message and its generator writes another one that means the same.  A mail filter
must do less: replace one part and leave every other byte alone.  So a `Part` here only says *where* in the source its
header and its body lie; whoever changes a part replaces that slice (`splice`) and nothing else is ever written anew.

Everything is linear in the size of the message and bounded by `TreeLimits`; nothing raises on any input.  Lines end in
LF or CRLF; a bare CR is an ordinary byte.  RFC 2045, RFC 2046 section 5.1, RFC 2047, RFC 2231, RFC 5322.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import _charsets

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
# Lines that begin like a delimiter and are none: a second's work for somebody who sends nothing else.
_MAX_MISSES = 1_000_000
_ENCODED_TRANSFER = frozenset({"base64", "quoted-printable"})


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """How much structure is looked at: parts of one message, levels of nesting, transfer encodings inside of others.

    The last one bounds memory: each such level holds a decoded copy.  Depth stays far below Python's recursion limit, so
    that callers may walk a tree recursively, as the email package does.
    """

    max_parts: int = 10_000
    max_depth: int = 100
    max_encoded: int = 4


class Field(NamedTuple):
    """One header field: its name, the bytes after the colon, and all its bytes with its line end."""

    name: bytes
    value: bytes
    raw: bytes


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
        return [value for field_name, value, _ in self.fields if field_name.lower() == name]

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


def transfer_encoding(value: bytes) -> str:
    """The mechanism that a Content-Transfer-Encoding value names, in lower case, without comments."""
    return _first_word(value) or "7bit"


def media_type(value: bytes) -> str:
    """The type/subtype that a Content-Type value names, in lower case; "text/plain" if it is malformed (RFC 2045, 5.2)."""
    found = _first_word(value)
    return found if found.count("/") == 1 and not found.startswith("/") and not found.endswith("/") else "text/plain"


def _first_word(value: bytes) -> str:
    words = value.decode("latin-1").split(";", 1)[0].split("(", 1)[0].split(None, 1)
    return words[0].strip('"').lower() if words else ""


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
            fields.append(Field(found[1], found[2], found[0]))
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
        at = first if self.source.startswith(b"--", first) else self.next_delimiter(first, end)
        misses = 0
        while 0 <= at < end and self.levels:
            line = _line(self.source, at, end)
            match = self.match(line)
            after = at + len(line)
            if match is not None:
                after = self.delimiter(at, after, *match)
            elif (misses := misses + 1) > _MAX_MISSES:
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


_BASE64_RUN = re.compile(rb"[^=]+")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


def decode_transfer(content: bytes, encoding: str) -> bytes:
    """Undo base64, quoted-printable or uuencode the lenient way; anything else comes back as it is."""
    if encoding == "base64":
        return _decode_base64(content)[0]
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    if encoding in {"x-uuencode", "uuencode", "x-uue", "uue"}:
        return decode_uu(content)
    return content


def transfer_readings(content: bytes, encoding: str) -> list[bytes]:
    """Every way in which readers decode the content: base64 after a padding is read by some and ignored by others."""
    if encoding == "base64":
        decoded, first = _decode_base64(content)
        return [decoded, decoded[:first]] if first < len(decoded) else [decoded]
    return [decode_transfer(content, encoding)]


def _decode_base64(content: bytes) -> tuple[bytes, int]:
    """All that stands between paddings, decoded and joined, and how much of it stands before the first padding."""
    decoded = bytearray()
    first = None
    for found in _BASE64_RUN.finditer(content.translate(None, _NOT_BASE64)):
        run = found[0]
        if len(run) % 4 == 1:
            run = run[:-1]  # six bits are no byte
        decoded += binascii.a2b_base64(run + b"=" * (-len(run) % 4))
        first = len(decoded) if first is None else first
    return bytes(decoded), first or 0


def decode_uu(content: bytes) -> bytes:
    """The bytes between a uuencode "begin" and "end" line; bad lines are left out."""
    pieces = []
    for line in content.splitlines():
        if line.startswith(b"begin ") or line.strip() in {b"", b"`", b"end"}:
            continue
        try:
            pieces.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Encoders that pad their lines: the first character says how many bytes are meant.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                pieces.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                continue
    return b"".join(pieces)


def encode_transfer(content: bytes, encoding: str, line_end: bytes) -> bytes:
    """The inverse of `decode_transfer`, with these line ends."""
    if encoding == "base64":
        return base64.encodebytes(content).replace(b"\n", line_end)
    if encoding == "quoted-printable":
        # istext=False would encode the line breaks as well.
        return binascii.b2a_qp(content.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", line_end)
    return content


# An open quote reaches to the end: so every character is looked at once, whatever a sender puts there.
_PARAMETER = re.compile(r'(?:[^;"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+', re.DOTALL)
_CONTINUED = re.compile(r"(.+?)\*(?:(\d{1,5})(\*)?)?\Z", re.DOTALL)
_QUOTED_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)"?', re.DOTALL)
_MAX_SEGMENTS = 1000


def split_parameters(text: str) -> list[str]:
    """Cut at the semicolons that stand outside of quotes, as pieces without white space around them."""
    pieces = []
    at = 0
    while at <= len(text):
        found = _PARAMETER.match(text, at)
        assert found  # it matches the empty string
        pieces.append(found[0].strip())
        at = found.end() + 1
    return pieces


def unquote(value: str) -> str:
    """The quoted string that the value begins with, without its backslashes; or take off angle brackets.

    What follows the closing quote (another field whose line was folded by mistake) does not count.
    """
    if found := _QUOTED_STRING.match(value):
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)
    if len(value) > 1 and value[0] == "<" and value[-1] == ">":
        return value[1:-1]
    return value


def raw_parameters(value: str) -> list[tuple[str, str]]:
    """The (name, still quoted value) pairs of a structured value; the first is the value itself with an empty one."""
    pairs = []
    for piece in split_parameters(value):
        name, equals, rest = piece.partition("=")
        pairs.append((name.strip(), rest.strip() if equals else ""))
    return pairs


def parameters(value: str) -> list[tuple[str, str | tuple[str | None, str | None, str]]]:
    """Like `raw_parameters`, with RFC 2231 continuations joined and encoded values as (charset, language, text)."""
    joined: list[tuple[str, str | tuple[str | None, str | None, str]]] = []
    split: dict[str, dict[int, tuple[str, bool]]] = {}
    for position, (name, text) in enumerate(raw_parameters(value)):
        if position and (found := _CONTINUED.match(name)):
            segments = split.setdefault(found[1].lower(), {})
            encoded = found[2] is None or found[3] is not None
            segments.setdefault(int(found[2] or 0), (unquote(text), encoded))
        else:
            joined.append((name, text))
    for name, segments in split.items():
        joined.append((name, _join(segments)))
    return joined


def _join(segments: dict[int, tuple[str, bool]]) -> str | tuple[str | None, str | None, str]:
    charset = language = None
    pieces = []
    any_encoded = False
    for position, number in enumerate(sorted(segments)[:_MAX_SEGMENTS]):
        text, encoded = segments[number]
        any_encoded |= encoded
        if encoded and position == 0 and text.count("'") >= 2:
            charset, language, text = text.split("'", 2)
        pieces.append(percent_bytes(text).decode("latin-1") if encoded else text)
    text = "".join(pieces)
    return (charset, language, text) if any_encoded else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def percent_bytes(text: str) -> bytes:
    """Undo RFC 2231's percent encoding; what is no pair of hexadecimal digits stays."""
    raw = text.encode("utf-8", "surrogatepass") if not text.isascii() else text.encode("ascii")
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode("ascii")), raw)


def parameter(value: bytes, name: str) -> str | None:
    """The first parameter of this name, decoded; None if there is none."""
    for key, text in parameters(header_text(value))[1:]:
        if key.lower() == name:
            return (
                _charsets.decode(text[2].encode("latin-1", "replace"), text[0])
                if isinstance(text, tuple)
                else unquote(text)
            )
    return None


def header_text(value: bytes) -> str:
    """A field's value as text: unfolded lines stay folded with LF, undecodable bytes become surrogates."""
    text = value.decode("ascii", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").lstrip(" \t")


_NAME = re.compile(r"(?:file)?+name[ \t\r\n]*+(\*[ \t]*+(\d{0,9}+)(\*)?+)?+[ \t\r\n]*+=[ \t\r\n]*+", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"?+([^;\r\n]{0,4096}+)', re.DOTALL)
_BARE = re.compile(r"[^;\r\n]{0,4096}+")
_FOLD = re.compile(r"\r?\n[ \t]+")
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,80}+)\?([bq])\?([^?]*+)\?=", re.IGNORECASE)
_MAX_NAMES = 64
_MAX_VALUE = 1 << 16


def name_readings(values: Iterable[str]) -> tuple[list[str], bool]:
    """Every file name that some reader might find in these Content-Type and Content-Disposition values.

    Readers disagree on duplicates, split parameters (RFC 2231), encoded words inside of quotes (RFC 2047 forbids them),
    missing quotes and folding.  All of their answers are given, in order and once each; the flag says that there were
    more than anybody should have to look at.
    """
    found: dict[str, None] = {}
    too_many = False
    for value in values:
        if len(value) > _MAX_VALUE:
            too_many = True
            value = value[:_MAX_VALUE]
        texts = {_FOLD.sub(" ", value): None, _FOLD.sub("", value): None}
        for text in texts:
            too_many |= _scan_names(text, found)
    for name in list(found):
        if "=?" in name:
            found[decode_words(name)] = None
        if "%" in name:
            found[_charsets.decode(percent_bytes(name), None)] = None
    found.pop("", None)
    return list(found), too_many


def _scan_names(text: str, found: dict[str, None]) -> bool:
    segments: dict[int, list[tuple[str, bool]]] = {}
    in_order: list[tuple[str, bool]] = []
    for seen, match in enumerate(_NAME.finditer(text)):
        if seen >= _MAX_NAMES:
            return True
        for position, reading in enumerate(_value_readings(text, match.end())):
            if match[1] is None:
                found[reading] = None
            elif not match[2]:
                _extended(found, [(reading, True)])
            elif position == 0:
                segment = (reading, match[3] is not None)
                segments.setdefault(int(match[2]), []).append(segment)
                in_order.append(segment)
    if segments:
        _extended(found, in_order)
        _extended(found, [segments[number][0] for number in sorted(segments)])
        _extended(found, [segments[number][-1] for number in sorted(segments)])
    return False


def _value_readings(text: str, at: int) -> list[str]:
    """The value that begins here: in quotes, with what follows the quote, up to the semicolon, up to a space."""
    if match := _QUOTED.match(text, at):
        inner, rest = match[1], match[2].strip()
        plain = re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)
        return [plain, inner] + ([plain + rest, inner.rstrip() + rest] if rest else [])
    match = _BARE.match(text, at)
    bare = match[0].strip() if match else ""
    return [bare, re.split(r'[\s(,"]', bare, maxsplit=1)[0]]


def _extended(found: dict[str, None], segments: list[tuple[str, bool]]) -> None:
    text = "".join(piece for piece, _ in segments)
    found[text] = None
    charset = None
    if text.count("'") >= 2:
        charset, _, stripped = text.split("'", 2)
        found[stripped] = None
    for candidate in (text, text.split("'", 2)[-1] if charset is not None else text):
        raw = percent_bytes(candidate)
        found[_charsets.decode(raw, charset)] = None
        found[_charsets.decode(raw, None)] = None


def decode_words(text: str) -> str:
    """Decode the encoded words wherever they stand; bytes of neighbours are joined first (a word may be cut anywhere)."""
    text = re.sub(r"\?=[ \t\r\n]++=\?", "?==?", text)
    pieces: list[str] = []
    pending = b""
    charset = ""
    at = 0
    for match in _ENCODED_WORD.finditer(text):
        if match.start() > at or match[1].lower() != charset:
            pieces.append(_charsets.decode(pending, charset.split("*")[0]))
            pieces.append(text[at : match.start()])
            pending = b""
        charset = match[1].lower()
        raw = match[3].encode("utf-8", "surrogatepass")
        if match[2] in "bB":
            pending += decode_transfer(raw, "base64")
        else:
            pending += binascii.a2b_qp(raw, header=True)
        at = match.end()
    pieces += [_charsets.decode(pending, charset.split("*")[0]), text[at:]]
    return "".join(pieces)
