"""Users' own lists: their settings, their entries for a message, and whether one lets it through."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail.findings import Finding
from antispam.mail.message import Recipient
from antispam.settings import CheckSettings, Mode, OnError, option, section


@section("own_lists")
class OwnListSettings(CheckSettings):
    """[own_lists]: senders that users allow or block for themselves, in the console."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (the lists do not count), tempfail or reject"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnListFinding(Finding):
    """The entries for the sender or the author in the recipient's own lists, found at the end of the message.

    user      the owner of the lists
    allowed   the entry that allows the sender, proved by SPF or DKIM
    blocked   the entry that blocks the sender
    unproved  an entry that would allow the sender if SPF or DKIM proved it
    """

    check: ClassVar[str] = "own_lists"
    user: str = ""
    allowed: str = ""
    blocked: str = ""
    unproved: str = ""


def allowed_by(recipient: Recipient, services: Services) -> str:
    """The entry with which this recipient allows the proved sender of the message; "" for none."""
    found = recipient.findings.get(OwnListFinding)
    if found is None or not found.allowed or services.settings[OwnListSettings].mode is not Mode.ENFORCE:
        return ""
    return found.allowed
