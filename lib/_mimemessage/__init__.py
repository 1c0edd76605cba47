"""What lib/mime.py offers as messages: reading, looking into and changing them part by part."""

from __future__ import annotations

from _mimemessage.message import (
    MimeGenerator,
    MimeMessage,
    StructureLimitDefect,
    message_from_bytes,
    message_from_file,
)

__all__ = ["MimeGenerator", "MimeMessage", "StructureLimitDefect", "message_from_bytes", "message_from_file"]
