"""Removal of fields that only we may write (X-Spam-Flag, X-DSPAM-Signature, Received-SPF ...) from outside mail.

This is the only place that removes them, and it depends on nothing else: they are also removed if there is no opinion,
if a recipient is not filtered, and if the store is down.
"""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.message import Header, Message, Recipient
from antispam.mail.own_fields import FIELDS, matcher
from antispam.mail.verdicts import Action, Verdict
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import listed
from antispam.text import from_wire

NAME = "forged_marks"

_SHOWN = 5
_PASSES = matcher(("X-BMS-*",))


_PATTERN = re.compile(r"[!-)+-9;-~]+\*?")  # RFC 5322 section 3.6.8


def _names(patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(
                f"{pattern!r} is neither the name of a header field nor the beginning of one followed by *"
            )


@section("forged_marks")
class Settings(CheckSettings):
    """[forged_marks]: fields that only this filter may write."""

    fields: tuple[str, ...] = option(
        FIELDS,
        "header fields that are removed from mail from outside: names, or beginnings of names followed by *. Remove "
        "those from this list that another filter of yours writes before this one",
        parse=listed,
        check=_names,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The number of such fields, and the names of the first few."""

    check: ClassVar[str] = NAME
    count: int
    names: tuple[str, ...] = ()


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there are none, as in most mail."""
    assert message is not None
    found = _forged(message, services.settings[Settings])
    names = dict.fromkeys(from_wire(header.name.strip(), 60) for header in found)
    return Finding(count=len(found), names=tuple(names)[:_SHOWN]) if found else None


def _forged(message: Message, settings: Settings) -> list[Header]:
    own = message.findings.get(OwnMailFinding)
    if own is not None and own.unmodified:
        wanted = _PASSES  # the marks are ours; only passes are removed
    elif (own is None or not own.outbox_id) and from_our_users(message):
        # Another filter of ours may have marked the message on its way. If we judge it, the marks must be ours.
        judged = message.findings.get(OpinionFinding) is not None
        wanted = matcher(settings.fields) if judged else _PASSES if own is not None else matcher(())
    else:
        wanted = matcher(("X-BMS-*", *settings.fields))
    return [header for header in message.headers if wanted(header.name)]


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """Removed, not refused: people resend mail that was marked before."""
    return Verdict(Action.CONTINUE, reason=f"{finding.count} forged fields removed: {', '.join(finding.names)}")


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    for header in _forged(draft.message, services.settings[Settings]):
        draft.change_header(header, None)
