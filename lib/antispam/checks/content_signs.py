"""Signs of fraud in visible or hidden content: phrases of known campaigns, hidden text, pages and archives."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.signs import SignsFinding, hits
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users, shown_name
from antispam.mail.connection import Connection
from antispam.mail.evidence import ReputationFinding, SenderListFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.shown import shown
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.signs.content import signs as signs_in
from antispam.protocols.signs.sign import Sign
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import positive

NAME = "content_signs"
_PRESSING = frozenset({"FRAUD_URGENCY", "FRAUD_ACCOUNT", "FRAUD_INVOICE", "FRAUD_PARCEL"})


@section("content_signs")
class Settings(CheckSettings):
    """[content_signs]: signs in text, pages and files. They only give points (docs/score.md)."""

    acquainted: int = option(
        100,
        "messages that a dictionary must have learned as honest before an author who wrote none of them counts as a stranger",
        check=positive,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(SignsFinding):
    """The signs in the content of a message.

    invitation  it has a calendar object
    """

    check: ClassVar[str] = NAME
    invitation: bool = False


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there are none, and for mail of our own users."""
    assert message is not None
    if from_our_users(message):
        return None
    document = shown(message).document
    signs = tuple(signs_in(document, message.first_decoded(b"subject"), shown_name(message)))
    invitation = document.sight.invitation
    return Finding(signs=signs, invitation=invitation) if signs or invitation else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The signs only give points."""
    return Verdict(Action.CONTINUE, reason=finding.told)


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Every sign is a test; urgency or an invitation from a stranger is another."""
    return hits([*finding.signs, *_of_strangers(finding, findings, settings)])


def _of_strangers(finding: Finding, findings: Findings, settings: Settings) -> list[Sign]:
    if not _is_stranger(findings, settings):
        return []
    found = []
    if pressing := next((one for one in finding.signs if one.test in _PRESSING), None):
        found.append(Sign("STRANGER_URGENT", f"nobody here knows the author, and {pressing.evidence}"))
    if finding.invitation:
        found.append(Sign("STRANGER_INVITES", "nobody here knows the author, who sends an invitation to a calendar"))
    return found


def _is_stranger(findings: Findings, settings: Settings) -> bool:
    """Whether the author is a stranger: dictionaries know enough authors but not this one, and nobody here wrote to
    them.
    """
    opinion, listed = findings.get(OpinionFinding), findings.get(SenderListFinding)
    reputation = findings.get(ReputationFinding)
    taught = [] if opinion is None else [one for one in opinion.opinions if one.ham >= settings.acquainted]
    known = (
        any(one.author_ham or one.author_spam for one in taught)
        or (listed is not None and bool(listed.whitelisted))
        or (reputation is not None and reputation.ham > 0)
    )
    return bool(taught) and not known
