"""What users' own lists say about a message, their settings, and whether one of them lets it through."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail.findings import Finding
from antispam.mail.message import Recipient
from antispam.settings import CheckSettings, Mode, OnError, option, section


@section("own_lists")
class OwnListSettings(CheckSettings):
    """[own_lists]: senders whom users allow or block for themselves, in the console."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (the lists do not count), tempfail or reject"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnListFinding(Finding):
    """What the recipient's own lists say about the sender or the author, found at the end.

    user      whose lists
    allowed   the entry that allows the sender, who is proved by SPF or DKIM
    blocked   the entry that blocks the sender
    unproved  an entry that would allow the sender, if anything proved who that is
    """

    check: ClassVar[str] = "own_lists"
    user: str = ""
    allowed: str = ""
    blocked: str = ""
    unproved: str = ""


def allowed_by(recipient: Recipient, services: Services) -> str:
    """The entry by which this recipient allows the proved sender of the message; "" for none."""
    found = recipient.findings.get(OwnListFinding)
    if found is None or not found.allowed or services.settings[OwnListSettings].mode is not Mode.ENFORCE:
        return ""
    return found.allowed
