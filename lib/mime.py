"""MIME messages that can be inspected and changed part by part, with the names that pymilter's mime module has.

A `MimeMessage` is an `email.message.Message` that remembers the bytes it was read from.  `dump` writes those bytes; only
fields and bodies that were changed are written anew.  So line ends, folding, 8-bit text, broken boundaries, preambles
and missing line ends of everything else leave as they came.

Where this differs from pymilter 1.0.5 on purpose:
- `dump` and `as_bytes` keep line ends; text from `get_payload` has LF, as there.
- `check_html` leaves the transfer encoding as it is, works in every charset and never raises.
- `get_submsg` of a message/rfc822 is the message, not a list; one that is hidden in a base64 or quoted-printable body is
  found, and changes to it are written back in that encoding.
- `getnames` adds the names that other readers would see (RFC 2231 pieces, RFC 2047 words, duplicate parameters).
- Structure is read up to a limit; `defang` replaces what lies beyond it.
- `headerchange` hears of `replace_header` too.
- Nothing is printed.
"""

from __future__ import annotations

import email.errors
import secrets
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Policy
from email.utils import quote
from typing import IO, Any, ClassVar

import _charsets
import _mimetree
import _zipscan
from _filenames import opened_as
from _mimetree import Part, TreeLimits, unquote
from _sgmlfilter import HTMLScriptFilter, SGMLFilter, has_script

__all__ = [
    "HTMLScriptFilter",
    "MimeGenerator",
    "MimeMessage",
    "SGMLFilter",
    "StructureLimitDefect",
    "bad_extensions",
    "check_attachments",
    "check_ext",
    "check_html",
    "check_name",
    "defang",
    "extlist",
    "message_from_file",
    "quote",
    "unquote",
    "virus_msg",
    "zipnames",
]

CONTINUE = 0  # SMFIS_CONTINUE, without loading libmilter for it

extlist = (
    "ade,adp,asd,asx,asp,bas,bat,chm,cmd,com,cpl,crt,dll,exe,hlp,hta,inf,ins,isp,js,jse,lnk,mdb,mde,msc,msi,msp,mst,ocx,"
    "pcd,pif,reg,scr,sct,shs,url,vb,vbe,vbs,wsc,wsf,wsh"
)
bad_extensions = ["." + extension for extension in extlist.split(",")]

# Other people's milters and tests compare with this text, so its words are part of the interface.
virus_msg = (
    "This message appeared to contain a virus.\n"
    "It was originally named '%s', and has been removed.\n"
    "A copy of your original message was saved as '%s:%s'.\n"
    "See your administrator.\n"
)

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


class _RawField(tuple[str, str]):
    """A header field as `Message` keeps it, with the bytes that it was read from."""

    raw: bytes


class _Unread:
    """In the place of a payload that nobody has asked for yet (a class, so that a copy is the same)."""


class MimeMessage(Message):
    """A message, or a part of one, that keeps its original bytes.

    `headerchange(message, name, value)`, if set, is called for each field that is set on this very part; value None says
    that all fields of this name go away (and is said before they do).
    """

    headerchange: Callable[[MimeMessage, str, str | None], object] | None
    _payload: Any

    def __init__(self, fp: IO[bytes] | None = None, seekable: int = 1) -> None:
        self._part: Part | None = None
        self._children: list[MimeMessage] = []
        self._fields: list[_RawField] = []
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
            self._loaded = _text(self._part.content)
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
        return (self._envelope_line() if unixfrom else b"") + self._render()

    def as_string(self, unixfrom: bool = False, maxheaderlen: int = 0, policy: Policy | None = None) -> str:
        """The message as text to look at; undecodable bytes are replaced, `as_bytes` keeps them."""
        return self.as_bytes(unixfrom).decode("utf-8", "replace")

    def _envelope_line(self) -> bytes:
        line = self.get_unixfrom()
        part = self._part
        if part is not None and part.prefix and line is not None and line == self._unixfrom_read:
            return part.source[part.start : part.start + self._envelope]
        end = part.line_end() if part is not None else b"\n"
        return _encode(line or "From nobody " + time.ctime(time.time())) + end

    def _render(self) -> bytes:
        part = self._part
        if part is not None and not self.ismodified():
            return part.source[part.start + self._envelope : part.end]
        body_changed = self._body_changed()
        body = self._render_body(body_changed)
        fields = self._render_fields()
        if part is None:
            return fields + b"\n" + body
        separator = part.source[part.fields_end : part.body]
        if not separator and body_changed:
            separator = self._line_end_of_header()
        return fields + separator + body

    def _line_end_of_header(self) -> bytes:
        if self._fields and self._fields[0].raw.endswith(b"\n"):
            return b"\r\n" if self._fields[0].raw.endswith(b"\r\n") else b"\n"
        return self._part.line_end() if self._part is not None else b"\n"

    def _render_fields(self) -> bytes:
        end = self._line_end_of_header()
        pieces = []
        part = self._part
        if part is not None:
            pieces.append(part.source[part.start + self._envelope : part.start + part.prefix])
        for item in self._headers:
            if isinstance(item, _RawField):
                raw = item.raw
            else:
                raw = self.policy.fold_binary(*item).replace(b"\r\n", b"\n").replace(b"\n", end)
            pieces.append(raw if raw.endswith(b"\n") else raw + end)
        if part is not None and not self._header_changed():
            return part.source[part.start + self._envelope : part.fields_end]
        return b"".join(pieces)

    def _render_body(self, changed: bool) -> bytes:
        part = self._part
        if part is not None and not changed:
            if self._submsg is not None and self._submsg.ismodified():
                return _mimetree.encode_transfer(self._submsg._render(), part.transfer_encoding, part.line_end())
            edited = {index: child._render() for index, child in enumerate(self._children) if child.ismodified()}
            return _mimetree.splice(part, edited)
        end = part.line_end() if part is not None else b"\n"
        payload = self._loaded
        if not isinstance(payload, list):
            text = payload if isinstance(payload, bytes) else _encode(str(payload if payload is not None else ""))
            return text if end == b"\n" else text.replace(b"\r\n", b"\n").replace(b"\n", end)
        parts = [child.as_bytes() for child in payload]
        if self.get_content_maintype() == "message":
            return b"".join(parts)
        return self._join(parts, end)

    def _join(self, parts: list[bytes], end: bytes) -> bytes:
        """Write a multipart whose parts are not those that were read."""
        boundary = self.get_boundary()
        if boundary is None:
            boundary = "=" * 15 + secrets.token_hex(12)
            self.set_boundary(boundary)
        mark = b"--" + _encode(boundary)
        preamble = _encode(self.preamble).replace(b"\n", end) + end if self.preamble is not None else b""
        epilogue = end + _encode(self.epilogue).replace(b"\n", end) if self.epilogue is not None else end
        return preamble + b"".join(mark + end + part + end for part in parts) + mark + b"--" + epilogue

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
                raw = value.encode("ascii", "surrogateescape") if isinstance(value, str) and _is_raw(value) else None
                text = _charsets.decode(raw, None) if raw is not None else str(value)
                return _mimetree.parameters(text.replace("\n", " "))
        return failobj

    def get_param(self, param: str, failobj: Any = None, header: str = "content-type", unquote: bool = True) -> Any:
        """A parameter of a structured field: text, or (charset, language, text) if it was encoded (RFC 2231)."""
        for key, value in self._get_params_preserve([], header):
            if key.lower() == param.lower():
                return _unquotevalue(value) if unquote else value
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
                return _plain(value)
        return failobj

    getfilename = get_filename

    def get_boundary(self, failobj: Any = None) -> Any:
        """The boundary without white space at its end."""
        value = self.get_param("boundary")
        return failobj if value is None else _plain(value).rstrip()

    def get_content_charset(self, failobj: Any = None) -> Any:
        """The charset in lower case; `failobj` where none is named, or one that is not in ASCII."""
        value = self.get_param("charset")
        text = "" if value is None else _plain(value)
        return text.lower() if text and text.isascii() else failobj

    def getname(self) -> str | None:
        """The name in Content-Type, None without one."""
        value = self.get_param("name")
        return None if value is None else _plain(value)

    def getnames(self, scan_zip: bool = False) -> list[tuple[str, str | None]]:
        """(attribute, name) pairs: whatever some reader might take for a file name and act on.

        With `scan_zip` also ("zipname", name) for the entries of an archive; zipfile.BadZipFile if it cannot be read.
        """
        names: list[tuple[str, str | None]] = [(key, _plain(value)) for key, value in self.getparams()]
        names.append(("filename", self.getfilename()))
        seen = {name for _, name in names}
        names += [("filename", name) for name in self._name_readings()[0] if name not in seen]
        if scan_zip and not self.is_multipart():
            names += [("zipname", name) for name in self._zip_names()]
        return names

    def _name_readings(self) -> tuple[list[str], bool]:
        values = []
        for name, value in self._headers:
            if name.lower() in {"content-type", "content-disposition"} and "name" in str(value).lower():
                raw = _encode(value if isinstance(value, str) else str(value))
                values.append(_charsets.decode(raw, None))
        return _mimetree.name_readings(values)

    def _zip_names(self) -> list[str]:
        content = self.get_payload(decode=True) or b""
        named = any(name.lower().rstrip(". ").endswith(".zip") for name in self._name_readings()[0])
        if content.strip() and (named or _zipscan.looks_like_zip(content)):
            return [name for _, name in zipnames(content)]
        return []

    # ---- content

    def getencoding(self) -> str | None:
        """The transfer encoding in lower case, None without one."""
        values = self.get_all("content-transfer-encoding", [])
        return _mimetree.transfer_encoding(_encode(str(values[0]))) if values else None

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
            return self._as_text(payload) if _is_raw(payload) else payload
        if self._part is not None and not self._body_set and encoding == "binary":
            return self._part.content
        return _mimetree.decode_transfer(_encode(payload), encoding)

    def _as_text(self, payload: str) -> str:
        named = self.get_content_charset()
        try:
            octets = payload.encode("ascii", "surrogateescape")
        except UnicodeError:
            return payload.encode("utf-8", "replace").decode("utf-8", "replace")
        known = bool(named) and _charsets.known(named) is not None
        return _charsets.decode(octets, named) if known else octets.decode("ascii", "replace")

    def get_payload_decoded(self) -> bytes | None:
        """The content without its transfer encoding, None for a multipart."""
        return self.get_payload(decode=True)

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
            if maintype == "multipart":
                return self.get_payload()
            return self.get_payload(0) if subtype == "rfc822" and self.get_payload() else None
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

    def _dispatch(self, msg: Message) -> None:
        self._fp.write(msg.as_bytes())

    def flatten(self, msg: Message, unixfrom: bool = False, linesep: str | None = None) -> None:
        """Write `msg`; one of the standard library's own classes is written as the library does it."""
        if isinstance(msg, MimeMessage):
            msg.dump(self._fp, unixfrom)
        else:
            super().flatten(msg, unixfrom, linesep)


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
    return _encode(content) if isinstance(content, str) else bytes(content)


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
        target._unixfrom_read = _text(line).rstrip("\n")
        target.set_unixfrom(target._unixfrom_read)
    if part.boundary is not None and part.children:
        target.preamble, target.epilogue = _frame(part)
    target._frame = (target.preamble, target.epilogue)


def _field(item: _mimetree.Field) -> _RawField:
    made = _RawField((item.name.decode("ascii"), _mimetree.header_text(item.value)))
    made.raw = item.raw
    return made


def _frame(part: Part) -> tuple[str | None, str | None]:
    """The text before the first delimiter and after the last, None where there is none."""
    before = part.source[part.body : part.children[0].start].rstrip(b"\n")
    at = before.rfind(b"\n")
    preamble = _text(before[: at + 1]) if at >= 0 else None
    if preamble and preamble.endswith("\n"):
        preamble = preamble[:-1]
    after = _text(part.source[part.children[-1].end : part.end]).lstrip("\n")
    _, newline, epilogue = after.partition("\n")
    return preamble, (epilogue if newline and _mimetree.NO_END not in part.defects else None)


def _subtree(message: MimeMessage) -> Iterator[MimeMessage]:
    pending: list[Any] = [message]
    while pending:
        part = pending.pop()
        if not isinstance(part, MimeMessage):
            continue
        yield part
        pending.extend(part._loaded if isinstance(part._loaded, list) else ())
        pending.append(part._submsg)


def _text(raw: bytes) -> str:
    """Bytes as `Message` keeps them: LF, and surrogates for what is not ASCII."""
    return raw.decode("ascii", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _is_raw(text: str) -> bool:
    """Whether this text came from bytes that are not ASCII."""
    if text.isascii():
        return False
    try:
        text.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> str:
    """A parameter as text, whatever way it was encoded."""
    if isinstance(value, tuple):
        return _charsets.decode(_encode_latin(value[2] or ""), value[0])
    return unquote(value)


def _encode_latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return _encode(text)


def _parseparam(s: str) -> list[str]:
    return _mimetree.split_parameters(s)


def _unquotevalue(value: Any) -> Any:
    if isinstance(value, tuple):
        return value[0], value[1], unquote(value[2])
    return unquote(value)


def zipnames(txt: bytes) -> list[tuple[str, str]]:
    """("zipname", name) for each entry of the archive and of archives in it.

    Raises zipfile.BadZipFile where the archive cannot be read or is larger than anybody should unpack.
    """
    names = []
    for seen in _zipscan.scan(txt, _zipscan.Budget()):
        if seen.kind in {_zipscan.LIMIT, _zipscan.UNREADABLE}:
            raise zipfile.BadZipFile(seen.detail)
        if seen.kind == _zipscan.NAME:
            names.append(("zipname", seen.name))
    return list(dict.fromkeys(names))


def check_ext(name: str | None) -> str | None:
    """The name if it, or what it is opened as, ends in one of `bad_extensions`, else None (a false value as it came)."""
    if not name:
        return name
    banned = tuple(bad_extensions)
    return name if any(form.lower().endswith(banned) for form in opened_as(name)) else None


def check_name(
    msg: MimeMessage,
    savname: str | None = None,
    ckname: Callable[[str], object] = check_ext,
    scan_zip: bool = False,
) -> int:
    """Replace this part by a warning if one of its names is dangerous.

    `ckname` returns a true value, the name to report, for a dangerous name; `savname` says where the original is kept.
    Returns the milter code CONTINUE.
    """
    try:
        for attribute, name in msg.getnames(scan_zip):
            if name and (bad := ckname(name)):
                _warn(msg, msg.getfilename() if attribute == "zipname" else bad, savname)
                break
    except zipfile.BadZipFile:
        _warn(msg, msg.getfilename(), savname)
    return CONTINUE


def _warn(msg: MimeMessage, name: object, savname: str | None) -> None:
    msg.set_payload(virus_msg % (name, socket.gethostname(), savname))
    for header in ("content-type", "content-disposition", "content-transfer-encoding"):
        del msg[header]
    msg["Content-Type"] = "text/plain; name=WARNING.TXT"


def check_html(msg: MimeMessage, savname: str | None = None) -> int:
    """Remove scripts from a text/html part; every other byte stays.  Returns the milter code CONTINUE."""
    if msg.get_content_type() != "text/html" or msg.is_multipart():
        return CONTINUE
    encoding = msg.getencoding() or "7bit"
    part = msg._part
    raw = part.content if part is not None and not msg._body_set else _encode(str(msg._payload or ""))
    # Latin-1 gives each byte a character, and tags are in ASCII: nothing else can change.
    text = _mimetree.decode_transfer(raw, encoding).decode("latin-1")
    if has_script(text):
        pieces: list[str] = []
        filtered = HTMLScriptFilter(_Pieces(pieces))
        filtered.feed(text)
        filtered.close()
        if filtered.modified:
            clean = "".join(pieces).encode("latin-1")
            end = part.line_end() if part is not None else b"\n"
            msg.set_payload(_mimetree.encode_transfer(clean, encoding, end).decode("ascii", "surrogateescape"))
    return CONTINUE


class _Pieces:
    def __init__(self, pieces: list[str]) -> None:
        self.write = pieces.append


def check_attachments(msg: MimeMessage, check: Callable[[MimeMessage], int], lev: list[int] | None = None) -> int:
    """Call `check` for each part that has no parts itself, in order, until one returns something other than CONTINUE.

    `lev` is the number of `msg` among its siblings, for each level; it only serves callers that pass it.
    """
    pending: list[Any] = [msg]
    while pending:
        part = pending.pop()
        if part.is_multipart():
            pending.extend(reversed(part.get_payload()))
        elif (code := check(part)) != CONTINUE:
            return code
    return CONTINUE


class _defang:
    """Replace all attachments with dangerous names, and remove scripts."""

    unchecked: ClassVar[tuple[type[email.errors.MessageDefect], ...]] = (StructureLimitDefect,)

    def __init__(self, scan_html: bool = True) -> None:
        self.scan_html = scan_html

    def __call__(
        self,
        msg: MimeMessage,
        savname: str | None = None,
        check: Callable[[str], object] = check_ext,
        scan_rfc822: bool = True,
        scan_zip: bool = False,
    ) -> bool:
        """Returns whether the message was modified.

        `check` names what is dangerous, as in `check_name`; `scan_rfc822` goes into forwarded messages, `scan_zip` into
        archives.
        """
        pending = [msg]
        while pending:
            part = pending.pop()
            if any(isinstance(defect, self.unchecked) for defect in part.defects):
                _warn(part, part.getfilename(), savname)
            elif any(check(name) for name in part._name_readings()[0]) or not part.is_multipart():
                check_name(part, savname, check, scan_zip)
                if self.scan_html:
                    check_html(part, savname)
            if part.get_content_maintype() != "message" or scan_rfc822:
                pending.extend(reversed(part.get_payload() if part.is_multipart() else ()))
            if scan_rfc822 and not part.is_multipart() and (inner := part.get_submsg()) is not None:
                pending.append(inner)
        return msg.ismodified()


defang = _defang()
