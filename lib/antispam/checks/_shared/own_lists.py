"""The settings of users' own lists, and whether one of them lets a message through."""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.mail.evidence import OwnListFinding
from antispam.mail.message import Recipient
from antispam.settings import CheckSettings, Mode, OnError, option, section


@section("own_lists")
class OwnListSettings(CheckSettings):
    """[own_lists]: senders whom users allow or block for themselves, in the console."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (the lists do not count), tempfail or reject"
    )


def allowed_by(recipient: Recipient, services: Services) -> str:
    """The entry by which this recipient allows the proved sender of the message; "" for none."""
    found = recipient.findings.get(OwnListFinding)
    if found is None or not found.allowed or services.settings[OwnListSettings].mode is not Mode.ENFORCE:
        return ""
    return found.allowed
