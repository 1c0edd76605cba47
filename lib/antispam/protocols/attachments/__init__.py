"""Dangerous attachments: finding them in every possible reading of a message, and replacing exactly these.

Pure: bytes in, findings or bytes out; no milter, no settings, no disk. Attackers make readers disagree: two
Content-Types, two boundaries, split names, padding inside base64. So every reading is examined, and anything that a
limit excluded is itself a finding.

    findings = inspect(headers, body, rules, deadline)
    changed = rewrite(headers, body, [f for f in findings if ...], NOTICE, reference, rules.limits)

    parsing, names, octets  the names and the content of a part, in every reading
    kinds                   the kind of a file, by its octets, its name, its type
    contents                the dangers in one file; archives, markup and office know the formats
    search                  the walk through a message
    rewriting               the message without the dangerous parts
    rules, findings         what to look for, and the terms for findings

RFC 2045, 2046, 2047, 2183, 2231; RFC 1847 for signed mail.
"""

from __future__ import annotations

from antispam.protocols.attachments.findings import (
    BIDI,
    CLOSED,
    ENCRYPTED,
    EXTENSION,
    LIMIT,
    MACRO,
    MARKUP,
    OPAQUE,
    PARTIAL,
    PROGRAM,
    REPLACE,
    REPORT,
    SCRIPT,
    STRIP,
    UNREADABLE,
    Finding,
)
from antispam.protocols.attachments.names import dangerous_name
from antispam.protocols.attachments.parsing import Headers
from antispam.protocols.attachments.rewriting import NOTICE, HeaderChange, Rewritten, rewrite
from antispam.protocols.attachments.rules import DEFAULT_BANNED, DEFAULT_MACRO, Limits, Markup, Rules, Treatment
from antispam.protocols.attachments.search import OutOfTime, inspect

__all__ = [
    "BIDI",
    "CLOSED",
    "DEFAULT_BANNED",
    "DEFAULT_MACRO",
    "ENCRYPTED",
    "EXTENSION",
    "LIMIT",
    "MACRO",
    "MARKUP",
    "NOTICE",
    "OPAQUE",
    "PARTIAL",
    "PROGRAM",
    "REPLACE",
    "REPORT",
    "SCRIPT",
    "STRIP",
    "UNREADABLE",
    "Finding",
    "HeaderChange",
    "Headers",
    "Limits",
    "Markup",
    "OutOfTime",
    "Rewritten",
    "Rules",
    "Treatment",
    "dangerous_name",
    "inspect",
    "rewrite",
]
