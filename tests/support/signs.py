"""What tests of the checks that look for signs begin with: which tests of the score a message meets."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from antispam.mail.connection import Connection
from antispam.mail.findings import Finding
from antispam.mail.score import Hit
from support.checking import message, services

FIELDS = (
    "From: Ann Example <ann@example.org>",
    "To: Bob <bob@example.com>",
    "Subject: lunch tomorrow",
    "Date: Thu, 24 Sep 2026 12:09:54 +0200",
    "Message-ID: <20260924.1234@example.org>",
)


def hits(
    check: ModuleType,
    *fields: str | bytes,
    body: bytes = b"hello\r\n",
    config: str = "",
    found: Iterable[Finding] = (),
    connection: Connection | None = None,
    **more: Any,
) -> dict[str, Hit]:
    """The tests that a message meets, by their names. Fields replace those of an honest letter of the same name; one without a
    value takes it away."""
    own = [field.encode("utf-8", "surrogateescape") if isinstance(field, str) else field for field in fields]
    names = {field.partition(b":")[0].lower() for field in own}
    kept = [field.encode() for field in FIELDS if field.partition(":")[0].lower().encode() not in names]
    it = message(*kept, *(field for field in own if field.partition(b":")[2]), body=body, found=found, **more)
    given = services(check, config)
    finding = check.collect(connection or Connection("c"), it, None, given)
    if finding is None:
        return {}
    assert type(finding).from_json(finding.to_json()) == finding
    return {hit.test: hit for hit in check.points(finding, it.findings, given.settings[check.Settings])}


def html(body: str) -> dict[str, Any]:
    """For hits(): a message of HTML, with a field for its type."""
    return {"body": body.encode()}
