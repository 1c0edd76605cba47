"""Does the header alone look like spam? For sites that refuse obvious spam; it has its own dictionary."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.learning.delivered import as_delivered
from antispam.learning.people import address_list, is_listed
from antispam.learning.settings import DspamSettings
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users, is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, reject
from antispam.store import StoreError
from dspam.features import extract

NAME = "header_screen"
OTHERWISE = "Train the dictionary named by `[dspam] dspam_dict` (`bms train --user NAME ham`)."
Settings = DspamSettings

_REFUSAL = (
    "The message header looks like that of spam to our learning filter.\n"
    "If your message is honest, please tell the recipient in another way and quote the reference."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The probability of spam, from the header alone.

    spam, ham  messages of each kind that the dictionary has learned; it needs `least` of each
    """

    check: ClassVar[str] = NAME
    probability: float = 0.5
    is_spam: bool = False
    spam: int = 0
    ham: int = 0
    least: int = 0


def applies(settings: Settings) -> bool:
    return bool(settings.dspam_dict)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None without dspam_dict, for our own users' mail, and for senders in dspam_whitelist."""
    settings = services.settings[Settings]
    if message is None or not applies(settings) or services.dictionaries is None or from_our_users(message):
        return None
    if is_listed(message, address_list(settings.dspam_whitelist)) or is_whitelisted(message):
        return None
    try:
        teacher = services.dictionaries.get(settings.dspam_dict)
        if teacher is None:
            return None
        score = teacher.judge(extract(as_delivered(connection, message, body=False)), services.deadline)
    except StoreError as error:
        return Finding(error=f"dictionary: {error}")
    return Finding(
        probability=round(score.probability, 6),
        is_spam=score.is_spam,
        spam=score.spam,
        ham=score.ham,
        least=settings.least,
    )


def decide(finding: Finding, findings: Findings, settings: DspamSettings, policy: AccessMap | AccessTable) -> Verdict:
    """A dictionary that has learned too little refuses nobody."""
    reason = f"{'spam' if finding.is_spam else 'not spam'} by its header, probability {finding.probability:.4f}"
    if not finding.is_spam or min(finding.spam, finding.ham) < finding.least:
        return Verdict(Action.CONTINUE, reason=reason)
    return reject(_REFUSAL, reason)
