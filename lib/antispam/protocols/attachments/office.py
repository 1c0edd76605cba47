"""Macros in Office documents: [MS-OVBA], [MS-XLS] 2.4.28, ECMA-376, OpenDocument 1.3 part 2.

Names are searched for in the octets, not through the tables that should lead to them, so a damaged document, which
Office would repair, hides nothing.
"""

from __future__ import annotations

import re

_VBA = "_VBA_PROJECT".encode("utf-16-le")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# A sheet of Excel 4 macros: record BoundSheet8 with the type 1, visible, hidden or very hidden.
_MACRO_SHEET = re.compile(rb"\x85\x00(.)\x00.{4}[\x00-\x02]\x01(.)([\x00\x01])", re.DOTALL)
_MACRO_ENTRY = re.compile(
    r"(?:^|/)(?:vbaproject[^/]*\.bin|vbadata\.xml|macrosheets/[^/]+|basic/(?:[^/]+/)?(?!script-l[bc]\.xml)[^/]+\.xml|scripts/[^/]+/.+)\Z",
    re.IGNORECASE,
)


def in_ole(content: bytes) -> str | None:
    """The kind of macros in an OLE document (doc, xls, ppt); None for none."""
    if _VBA in content:
        return "a VBA project"
    for found in _MACRO_SHEET.finditer(content):
        # The length proves the record: 8 octets, and the name with one or two octets per letter.
        if found[1][0] == 8 + found[2][0] * (2 if found[3] == b"\x01" else 1) and found[2][0]:
            return "a sheet of Excel 4 macros"
    return None


def is_encrypted(content: bytes) -> bool:
    """Whether an OLE file contains a password-protected document ([MS-OFFCRYPTO] 2.3.4)."""
    return _ENCRYPTED in content


def is_macro_entry(name: str) -> bool:
    """Whether a file of this name inside a document (a zip) contains macros."""
    return _MACRO_ENTRY.search(name) is not None
