"""The names of messages, identities and nodes."""

from __future__ import annotations

import base64
import hashlib

PORT = 11900


def umis(identity: str, nonce: object) -> str:
    """A name for one message of an identity: 22 characters, none of them a separator of the protocol.

    The nonce makes the name unique. An unpredictable nonce makes it hard to guess, which matters because anybody who knows
    the name may report on the message.
    """
    digest = hashlib.md5(f"{identity}{nonce}".encode(errors="surrogateescape"), usedforsecurity=False).digest()
    return base64.b64encode(digest, b".$").decode("ascii").rstrip("=")


def split_address(text: str, host: str = "127.0.0.1") -> tuple[str, int]:
    """`host`, `host:port`, `[2001:db8::1]:port` or `port` alone, which means `host`. Raises ValueError."""
    text = text.strip()
    if text.isdecimal():
        return host, _port(text)
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text}: expected [address]:port")
        return name, _port(rest[1:]) if rest else PORT
    if text.count(":") > 1:
        return text, PORT
    name, colon, port = text.partition(":")
    if not name or any(char.isspace() for char in name):
        raise ValueError(f"{text}: expected host:port")
    return name, _port(port) if colon else PORT


def _port(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ValueError(f"{text} is no port: expected a number from 1 to 65535")
    return int(text)
