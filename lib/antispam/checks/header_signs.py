"""Signs of a forged header: one not written by the mail program that it names, or a path that the message did not take."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.signs import SignsFinding, hits
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import normalize_domain
from antispam.protocols.signs import headers
from antispam.protocols.signs.sign import Sign
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import positive

NAME = "header_signs"


@section("header_signs")
class Settings(CheckSettings):
    """[header_signs]: signs in the header. They only give points (docs/score.md)."""

    unknown_users: int = option(
        3, "from how many recipients of one message on that no user has, it looks like guessing", check=positive
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(SignsFinding):
    """The signs in a message's header and envelope."""

    check: ClassVar[str] = NAME


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there are none, and for mail of our own users."""
    assert message is not None
    if from_our_users(message):
        return None
    written = message.by_name()
    fields = {key: [value for _, value in written[key]] for key in headers.READ & written.keys()}
    if connection.ip:
        fields[b"received"] = [_received(connection), *fields.get(b"received", ())]
    ours = frozenset(filter(None, [normalize_domain(connection.receiver)]))
    found = [
        *headers.signs(fields, message.first_decoded(b"subject"), ours),
        *_of_envelope(message, services.settings[Settings]),
    ]
    return Finding(signs=tuple(found)) if found else None


def _received(connection: Connection) -> bytes:
    """The part of our MTA's future trace field that identifies the client."""
    helo, name = (" ".join(text.split()) or "unknown" for text in (connection.helo, connection.name))
    return f"from {helo} ({name} [{connection.ip}]) by {connection.receiver}".encode("utf-8", "surrogateescape")


def _of_envelope(message: Message, settings: Settings) -> list[Sign]:
    unknown = sum(one.refused is not None and one.refused.check == "known_user" for one in message.recipients)
    if unknown < settings.unknown_users:
        return []
    return [Sign("UNKNOWN_USERS", f"it was also for {unknown} users that do not exist")]


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The signs only give points."""
    return Verdict(Action.CONTINUE, reason=finding.told)


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Every sign is a test."""
    return hits(finding.signs)
