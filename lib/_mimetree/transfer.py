"""Transfer encodings, undone the lenient way of mail programs (RFC 2045 section 6)."""

from __future__ import annotations

import base64
import binascii
import re

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
