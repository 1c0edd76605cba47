"""The form of a message that the learning filter reads."""

from __future__ import annotations

from antispam.mail.connection import Connection
from antispam.mail.message import Message, as_octets


def as_delivered(connection: Connection, message: Message, *, body: bool = True) -> bytes:
    """The message, or only its header, below the Received field that our MTA will add. Mail taught from mailboxes has
    this field, and the origin of mail is strong evidence.
    """
    return received(connection) + (message.raw() if body else as_octets(message.headers, b""))


def received(connection: Connection) -> bytes:
    """That Received field, as far as it is known."""
    helo, name = (" ".join(text.split()) or "unknown" for text in (connection.helo, connection.name))
    field = f"Received: from {helo} ({name} [{connection.ip}])\r\n\tby {connection.receiver}\r\n"
    return field.encode("utf-8", "surrogateescape")
