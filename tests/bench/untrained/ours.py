"""What our checks say of a message on the first day: points of all checks that need neither network nor store nor learning."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterator
from typing import NamedTuple

from bms import JOURNEY

from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.journey.table import Row, Scope, Stage
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import DkimFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient, split_message
from antispam.mail.score import Hit, counted, total
from antispam.mail.score_table import TABLE
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.service.application import settings_classes
from antispam.settings import default_settings
from support.dns import ScriptedResolver

NOW = 1_790_000_000.0
_SETTINGS = default_settings(settings_classes(JOURNEY))
_RESULT = re.compile(r"\b(spf|dkim|dmarc)\s*=\s*(\w+)", re.IGNORECASE)
_SIGNER = re.compile(r"\bheader\.[di]\s*=\s*@?([\w.-]+)", re.IGNORECASE)
_ACTION = re.compile(r"\baction\s*=\s*(\w+)", re.IGNORECASE)
_SPF = {"fail": "SPF_FAIL", "softfail": "SPF_SOFTFAIL", "none": "SPF_NONE", "permerror": "SPF_PERMERROR"}
_DMARC = {"oreject": "DMARC_REJECT", "reject": "DMARC_REJECT", "quarantine": "DMARC_QUAR"}


class Score(NamedTuple):
    """The total of a message, and the tests that it meets with their points, the heaviest first."""

    total: float
    tests: tuple[tuple[str, float], ...]


def _rows() -> list[Row]:
    return [
        row
        for row in JOURNEY.rows
        if row.stage is Stage.END
        and row.scope is Scope.MESSAGE
        and hasattr(row.check, "points")
        and not getattr(row.check, "LOOKS_UP", False)
    ]


ROWS = _rows()


def score(raw: bytes, *, trusted: bool = False) -> Score:
    """The score of a message that was kept as it came. trusted says that its first Authentication-Results field is that of the
    server that kept it, and counts as if SPF, DKIM and DMARC had been asked."""
    message, connection = _received(raw)
    hits = list(_told(message)) if trusted else []
    services = _services()
    for row in ROWS:
        own = _SETTINGS[row.check.Settings]
        finding = row.check.collect(connection, message, None, services)
        if finding is not None and not finding.error:
            message.findings.add(finding)
            hits += row.check.points(finding, message.findings, own)  # type: ignore[attr-defined]
    tests = counted(hits, TABLE, {})
    return Score(total(tests), tuple((one.test, one.points) for one in tests))


def _services() -> Services:
    return Services(
        settings=_SETTINGS,
        resolver=ScriptedResolver({}),
        store=None,
        access=EMPTY,
        clock=lambda: NOW,
        deadline=Deadline.after(60),
    )


def _received(raw: bytes) -> tuple[Message, Connection]:
    headers, body = split_message(raw)
    message = Message("untrained", "", NOW, Body(1 << 26))
    message.headers += headers
    message.body.write(body)
    message.recipients.append(Recipient("", (), "<>", Findings(message.findings)))
    message.received_at = next(_times(message), NOW)
    return message, Connection("untrained")


def _times(message: Message) -> Iterator[float]:
    """When it came, by the newest trace field, or else by its own date."""
    for header in (*message.fields(b"received")[:1], *message.fields(b"date")[:1]):
        parsed = email.utils.parsedate_tz(header.text.rpartition(";")[2])
        if parsed is not None:
            try:
                yield float(email.utils.mktime_tz(parsed))
            except (ValueError, OverflowError):
                continue


def _told(message: Message) -> Iterator[Hit]:
    """The tests of SPF, DKIM and DMARC that the results of the receiver stand for; a signature that passed becomes evidence."""
    for header in message.fields(b"authentication-results")[:1]:
        text = header.text
        results = {method.lower(): result.lower() for method, result in _RESULT.findall(text)}
        signer = _SIGNER.search(text)
        if results.get("dkim") == "pass" and signer:
            signature = SignatureResult(result=DkimResult.PASS, domain=signer[1].lower())
            message.findings.add(DkimFinding(signatures=(signature,)))
        if name := _SPF.get(results.get("spf", "")):
            yield Hit(name, "The receiver says so.")
        if results.get("dkim") == "none":
            yield Hit("DKIM_NONE", "The receiver says so.")
        action = _ACTION.search(text)
        if results.get("dmarc") == "fail":
            yield Hit(_DMARC.get(action[1].lower() if action else "", "DMARC_NONE"), "The receiver says so.")
