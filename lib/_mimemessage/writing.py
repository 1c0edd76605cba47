"""Writing a message: the bytes that were read, but for what was changed."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import _mimetree
from _mimemessage.text import RawField, octets

if TYPE_CHECKING:
    from _mimemessage.message import MimeMessage


def envelope_line(message: MimeMessage) -> bytes:
    """The "From " line of a mailbox, as it was read if it is still that."""
    line = message.get_unixfrom()
    part = message._part
    if part is not None and part.prefix and line is not None and line == message._unixfrom_read:
        return part.source[part.start : part.start + message._envelope]
    end = part.line_end() if part is not None else b"\n"
    return octets(line or "From nobody " + time.ctime(time.time())) + end


def rendered(message: MimeMessage) -> bytes:
    """The bytes of the message without a mailbox line: the original ones wherever nothing was changed."""
    part = message._part
    if part is not None and not message.ismodified():
        return part.source[part.start + message._envelope : part.end]
    body_changed = message._body_changed()
    body = _body(message, body_changed)
    fields = _fields(message)
    if part is None:
        return fields + b"\n" + body
    separator = part.source[part.fields_end : part.body]
    if not separator and body_changed:
        separator = _line_end_of_header(message)
    return fields + separator + body


def _line_end_of_header(message: MimeMessage) -> bytes:
    if message._fields and message._fields[0].raw.endswith(b"\n"):
        return b"\r\n" if message._fields[0].raw.endswith(b"\r\n") else b"\n"
    return message._part.line_end() if message._part is not None else b"\n"


def _fields(message: MimeMessage) -> bytes:
    end = _line_end_of_header(message)
    pieces = []
    part = message._part
    if part is not None:
        pieces.append(part.source[part.start + message._envelope : part.start + part.prefix])
    for item in message._headers:
        if isinstance(item, RawField):
            raw = item.raw
        else:
            raw = message.policy.fold_binary(*item).replace(b"\r\n", b"\n").replace(b"\n", end)
        pieces.append(raw if raw.endswith(b"\n") else raw + end)
    if part is not None and not message._header_changed():
        return part.source[part.start + message._envelope : part.fields_end]
    return b"".join(pieces)


def _body(message: MimeMessage, changed: bool) -> bytes:
    part = message._part
    if part is not None and not changed:
        if message._submsg is not None and message._submsg.ismodified():
            return _mimetree.encode_transfer(rendered(message._submsg), part.transfer_encoding, part.line_end())
        edited = {index: rendered(child) for index, child in enumerate(message._children) if child.ismodified()}
        return _mimetree.splice(part, edited)
    end = part.line_end() if part is not None else b"\n"
    payload = message._loaded
    if not isinstance(payload, list):
        text = payload if isinstance(payload, bytes) else octets(str(payload if payload is not None else ""))
        return text if end == b"\n" else text.replace(b"\r\n", b"\n").replace(b"\n", end)
    parts = [child.as_bytes() for child in payload]
    if message.get_content_maintype() == "message":
        return b"".join(parts)
    return _joined(message, parts, end)


def _joined(message: MimeMessage, parts: list[bytes], end: bytes) -> bytes:
    """Write a multipart whose parts are not those that were read."""
    boundary = message.get_boundary()
    if boundary is None:
        boundary = "=" * 15 + secrets.token_hex(12)
        message.set_boundary(boundary)
    mark = b"--" + octets(boundary)
    preamble = octets(message.preamble).replace(b"\n", end) + end if message.preamble is not None else b""
    epilogue = end + octets(message.epilogue).replace(b"\n", end) if message.epilogue is not None else end
    return preamble + b"".join(mark + end + part + end for part in parts) + mark + b"--" + epilogue
