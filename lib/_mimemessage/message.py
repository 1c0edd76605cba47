"""MIME messages that remember the bytes they were read from; lib/mime.py tells what they are for."""

from __future__ import annotations

import email.errors
from collections.abc import Callable, Iterator
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Policy
from typing import IO, Any

import _charsets
import _mimetree
from _mimemessage.names import name_readings, names_in_archive
from _mimemessage.text import RawField, is_raw, kept_text, octets, plain, unquoted
from _mimemessage.writing import envelope_line, rendered
from _mimetree import Part, TreeLimits

_LIMITS = TreeLimits()


class StructureLimitDefect(email.errors.MessageDefect):
    """The part has more structure than was looked at."""


_DEFECTS: dict[str, type[email.errors.MessageDefect]] = {
    _mimetree.NO_BOUNDARY: email.errors.NoBoundaryInMultipartDefect,
    _mimetree.NO_START: email.errors.StartBoundaryNotFoundDefect,
    _mimetree.NO_END: email.errors.CloseBoundaryNotFoundDefect,
    _mimetree.NO_SEPARATOR: email.errors.MissingHeaderBodySeparatorDefect,
    _mimetree.LIMIT_DEPTH: StructureLimitDefect,
    _mimetree.LIMIT_PARTS: StructureLimitDefect,
}


class _Unread:
    """In the place of a payload that nobody has asked for yet (a class, so that a copy is the same)."""


class MimeMessage(Message):
    """A message, or a part of one, that keeps its original bytes.

    `headerchange(message, name, value)`, if set, is called for each field that is set on this very part; value None says
    that all fields of this name go away (and is said before they do).
    """

    headerchange: Callable[[MimeMessage, str, str | None], object] | None
    _headers: list[tuple[str, Any]]  # of Message

    def __init__(self, fp: IO[bytes] | None = None, seekable: int = 1) -> None:
        self._part: Part | None = None
        self._children: list[MimeMessage] = []
        self._fields: list[RawField] = []
        self._submsg: MimeMessage | None = None
        self._loaded: Any = None
        self._frame: tuple[str | None, str | None] = (None, None)  # preamble and epilogue as they were read
        self._envelope = 0  # the length of the mailbox line
        self._unixfrom_read: str | None = None
        self._touched = False
        super().__init__()
        self.headerchange = None
        self._body_set = False
        if fp is not None:
            _load(self, _mimetree.parse(_read(fp), _LIMITS))

    # What `Message` keeps in an attribute is made here when somebody asks for it.
    @property
    def _payload(self) -> Any:
        if self._loaded is _Unread and self._part is not None:
            self._loaded = kept_text(self._part.content)
        return self._loaded

    @_payload.setter
    def _payload(self, value: Any) -> None:
        self._loaded = value
        self._body_set = True

    def ismultipart(self) -> bool:
        """Whether the message consists of parts."""
        return self.is_multipart()

    def ismodified(self) -> bool:
        """Whether this message or a part of it was changed."""
        return any(part._own_change() for part in _subtree(self))

    def _own_change(self) -> bool:
        return self._touched or self._header_changed() or self._body_changed()

    def _header_changed(self) -> bool:
        fields = self._headers
        if len(fields) != len(self._fields) or any(a is not b for a, b in zip(fields, self._fields, strict=True)):
            return self._part is not None
        return False

    def _body_changed(self) -> bool:
        if self._body_set:
            return self._touched or self._part is not None
        payload = self._loaded
        if isinstance(payload, list) and (
            len(payload) != len(self._children) or any(a is not b for a, b in zip(payload, self._children, strict=True))
        ):
            return True
        return self._part is not None and (self.preamble, self.epilogue) != self._frame

    # ---- writing

    def dump(self, file: IO[bytes], unixfrom: bool = False) -> None:
        """Write the message; with `unixfrom` also the "From " line of a mailbox."""
        file.write(self.as_bytes(unixfrom))

    def as_bytes(self, unixfrom: bool = False, policy: Policy | None = None) -> bytes:
        """The bytes of the message: the original ones wherever nothing was changed."""
        return (envelope_line(self) if unixfrom else b"") + rendered(self)

    def as_string(self, unixfrom: bool = False, maxheaderlen: int = 0, policy: Policy | None = None) -> str:
        """The message as text to look at; undecodable bytes are replaced, `as_bytes` keeps them."""
        return self.as_bytes(unixfrom).decode("utf-8", "replace")

    # ---- header fields

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name, value)
        self._touched = True
        if self.headerchange:
            self.headerchange(self, name, value)

    def __delitem__(self, name: str) -> None:
        if self.headerchange:
            self.headerchange(self, name, None)
        self._touched |= name in self
        super().__delitem__(name)

    def replace_header(self, _name: str, _value: str) -> None:
        """Replace the first field of this name in its place; KeyError if there is none."""
        if _name in self and self.headerchange:
            self.headerchange(self, _name, None)
        super().replace_header(_name, _value)
        self._touched = True
        if self.headerchange:
            for value in self.get_all(_name, []):
                self.headerchange(self, _name, value)

    def getheaders(self, name: str, failobj: Any = None) -> Any:
        """All values of this field, in order; `failobj` if there is none."""
        return self.get_all(name, failobj)

    def _get_params_preserve(self, failobj: Any, header: str) -> Any:
        # The parameters for all of `Message`'s methods: its own way takes quadratic time and may raise.
        for name, value in self._headers:
            if name.lower() == header.lower():
                raw = value.encode("ascii", "surrogateescape") if isinstance(value, str) and is_raw(value) else None
                text = _charsets.decode(raw, None) if raw is not None else str(value)
                first, *others = _mimetree.parameters(text.replace("\n", " "))
                return [first, *((key.lower(), value) for key, value in others)]
        return failobj

    def get_param(self, param: str, failobj: Any = None, header: str = "content-type", unquote: bool = True) -> Any:
        """A parameter of a structured field: text, or (charset, language, text) if it was encoded (RFC 2231)."""
        for key, value in self._get_params_preserve([], header):
            if key.lower() == param.lower():
                return unquoted(value) if unquote else value
        return failobj

    getparam = get_param

    def getparams(self) -> list[tuple[str, Any]]:
        """The parameters of Content-Type, the type itself first; empty without one."""
        return self.get_params([])

    def gettype(self) -> str:
        """The type in lower case."""
        return self.get_content_type()

    def get_filename(self, failobj: Any = None) -> Any:
        """The name in Content-Disposition, else in Content-Type, decoded."""
        for header, param in (("content-disposition", "filename"), ("content-type", "name")):
            value = self.get_param(param, None, header)
            if value is not None:
                return plain(value).strip()
        return failobj

    getfilename = get_filename

    def get_boundary(self, failobj: Any = None) -> Any:
        """The boundary without white space at its end."""
        value = self.get_param("boundary")
        return failobj if value is None else plain(value).rstrip()

    def get_content_charset(self, failobj: Any = None) -> Any:
        """The charset in lower case; `failobj` where none is named, or one that is not in ASCII."""
        value = self.get_param("charset")
        text = "" if value is None else plain(value)
        return text.lower() if text and text.isascii() else failobj

    def getname(self) -> str | None:
        """The name in Content-Type, None without one."""
        value = self.get_param("name")
        return None if value is None else plain(value)

    def getnames(self, scan_zip: bool = False) -> list[tuple[str, str | None]]:
        """(attribute, name) pairs: whatever some reader might take for a file name and act on.

        With `scan_zip` also ("zipname", name) for the entries of an archive; zipfile.BadZipFile if it cannot be read.
        """
        names: list[tuple[str, str | None]] = [(key, plain(value)) for key, value in self.getparams()]
        names.append(("filename", self.getfilename()))
        seen = {name for _, name in names}
        names += [("filename", name) for name in self._name_readings()[0] if name not in seen]
        if scan_zip and not self.is_multipart():
            content = self.get_payload(decode=True) or b""
            names += [("zipname", name) for name in names_in_archive(content, self._name_readings()[0])]
        return names

    def _name_readings(self) -> tuple[list[str], bool]:
        return name_readings(self._headers)

    # ---- content

    def getencoding(self) -> str | None:
        """The transfer encoding in lower case, None without one."""
        values = self.get_all("content-transfer-encoding", [])
        return _mimetree.transfer_encoding(octets(str(values[0]))) if values else None

    def get_payload(self, i: int | None = None, decode: bool = False) -> Any:
        """The parts, one of them, or the content: as text with LF, or with `decode` as bytes without transfer encoding."""
        payload = self._payload
        if isinstance(payload, list):
            if i is not None:
                return payload[i]
            return None if decode else payload
        if i is not None:
            raise TypeError(f"Expected list, got {type(payload)}")
        if not isinstance(payload, str):
            return payload
        encoding = self.getencoding() or "7bit"
        if not decode:
            return self._as_text(payload) if is_raw(payload) else payload
        if self._part is not None and not self._body_set and encoding == "binary":
            return self._part.content
        return _mimetree.decode_transfer(octets(payload), encoding)

    def _as_text(self, payload: str) -> str:
        named = self.get_content_charset()
        try:
            raw = payload.encode("ascii", "surrogateescape")
        except UnicodeError:
            return payload.encode("utf-8", "replace").decode("utf-8", "replace")
        known = bool(named) and _charsets.known(named) is not None
        return _charsets.decode(raw, named) if known else raw.decode("ascii", "replace")

    def get_payload_decoded(self) -> bytes | None:
        """The content without its transfer encoding, None for a multipart."""
        content: bytes | None = self.get_payload(decode=True)
        return content

    def set_payload(self, val: Any, charset: Any = None) -> None:
        """Replace the content, as it is to be transferred."""
        self._touched = True
        self._submsg = None
        super().set_payload(val, charset)

    def decode(self, filt: object) -> str | None:
        """The name of the transfer encoding (kept for old milters; `filt` is not used)."""
        return self.getencoding()

    def get_submsg(self) -> MimeMessage | list[MimeMessage] | None:
        """What this part carries: the message of a message/rfc822, also one in an attachment of that name; the parts of a
        multipart; else None.  Changes to it are changes to this part."""
        if self.is_multipart():
            maintype, subtype = self.get_content_type().split("/", 1)
            parts: list[MimeMessage] = self.get_payload()
            if maintype == "multipart":
                return parts
            return parts[0] if subtype == "rfc822" and parts else None
        if self._submsg is None and self._part is not None and not self._body_set and self._holds_message():
            self._submsg = MimeMessage()
            content = _mimetree.decode_transfer(self._part.content, self._part.transfer_encoding)
            _load(self._submsg, _mimetree.parse(content, TreeLimits(_LIMITS.max_parts, _LIMITS.max_depth // 2)))
        return self._submsg

    def _holds_message(self) -> bool:
        if self.get_content_maintype() in {"message", "multipart"}:
            return self.get_content_type() == "message/rfc822"
        return any(name.lower().endswith(".eml") for name in self._name_readings()[0])


class MimeGenerator(BytesGenerator):
    """A generator that writes a `MimeMessage` with its original bytes."""

    _fp: IO[bytes]  # of BytesGenerator

    def _dispatch(self, msg: Message) -> None:
        self._fp.write(msg.as_bytes())

    def flatten(self, msg: Message, unixfrom: bool = False, linesep: str | None = None) -> None:
        """Write `msg`; one of the standard library's own classes is written as the library does it."""
        if isinstance(msg, MimeMessage):
            msg.dump(self._fp, unixfrom)
        else:
            super().flatten(msg, unixfrom, linesep)


def _subtree(message: MimeMessage) -> Iterator[MimeMessage]:
    pending: list[Any] = [message]
    while pending:
        part = pending.pop()
        if not isinstance(part, MimeMessage):
            continue
        yield part
        pending.extend(part._loaded if isinstance(part._loaded, list) else ())
        pending.append(part._submsg)


def message_from_file(fp: IO[bytes]) -> MimeMessage:
    """Read a message from a binary file (a text file is taken for the UTF-8 that it came from).  Never raises on content."""
    return MimeMessage(fp)


def message_from_bytes(content: bytes) -> MimeMessage:
    """Read a message from its bytes."""
    message = MimeMessage()
    _load(message, _mimetree.parse(content, _LIMITS))
    return message


def _read(fp: IO[bytes]) -> bytes:
    content: bytes | str = fp.read()
    return octets(content) if isinstance(content, str) else bytes(content)


def _load(message: MimeMessage, top: Part) -> None:
    """Fill `message` from a tree, part by part."""
    pending = [(message, top)]
    while pending:
        target, part = pending.pop()
        _load_one(target, part)
        for child in part.children:
            inner = MimeMessage()
            if part.media_type == "multipart/digest":
                inner.set_default_type("message/rfc822")
            target._children.append(inner)
            pending.append((inner, child))
        if part.children:
            target._loaded = list(target._children)


def _load_one(target: MimeMessage, part: Part) -> None:
    target._part = part
    target._fields = [_field(item) for item in part.fields]
    target._headers = list(target._fields)
    target._loaded = _Unread
    target.defects = [_DEFECTS[defect]() for defect in part.defects]
    if part.prefix and part.source.startswith(b"From ", part.start):
        line = part.source[part.start : part.start + part.prefix].split(b"\n", 1)[0]
        target._envelope = min(len(line) + 1, part.prefix)
        target._unixfrom_read = kept_text(line).rstrip("\n")
        target.set_unixfrom(target._unixfrom_read)
    if part.boundary is not None and part.children:
        target.preamble, target.epilogue = _frame(part)
    target._frame = (target.preamble, target.epilogue)


def _field(item: _mimetree.Field) -> RawField:
    made = RawField((item.name.decode("ascii"), _mimetree.header_text(item.value)))
    made.raw = item.raw
    return made


def _frame(part: Part) -> tuple[str | None, str | None]:
    """The text before the first delimiter and after the last, None if there is none."""
    before = part.source[part.body : part.children[0].start].rstrip(b"\n")
    at = before.rfind(b"\n")
    preamble = kept_text(before[: at + 1]) if at >= 0 else None
    if preamble and preamble.endswith("\n"):
        preamble = preamble[:-1]
    after = kept_text(part.source[part.children[-1].end : part.end]).lstrip("\n")
    _, newline, epilogue = after.partition("\n")
    return preamble, (epilogue if newline and _mimetree.NO_END not in part.defects else None)
