"""Viruses: mail in which clamd finds a virus is refused. Off until [antivirus] clamd names its socket."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient, as_octets
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.net.sockets import SocketSpec
from antispam.protocols import clamd
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import duration, positive, size

NAME = "antivirus"
OTHERWISE = (
    "Add the wrong signature to clamd's local allow list (an .ign2 file); `[antivirus] remedy` says what a "
    "virus leads to."
)
LOOKS_UP = True
_LEAST_TIME = 5.0  # seconds


def _check_socket(text: str) -> None:
    spec = SocketSpec.parse(text) if text else None
    if spec is not None and spec.path and not text.partition(":")[2].startswith("/") and not text.startswith("/"):
        raise ValueError("expected local:/path or inet:port@host")


@section("antivirus")
class Settings(CheckSettings):
    """[antivirus]: viruses found by clamd."""

    clamd: str = option(
        "",
        "where clamd listens: local:/run/clamav/clamd.ctl, or inet:3310@127.0.0.1; empty is off",
        check=_check_socket,
    )
    timeout: float = option(20.0, "how long one message may take", parse=duration("s"), check=positive)
    max_size: int = option(
        25 << 20,
        "messages with more octets are not sent to clamd; at most its StreamMaxLength",
        parse=size,
        check=positive,
    )
    remedy: Remedy = remedy_option(
        Remedy.REJECT, "what happens to a message with a virus: reject, quarantine, tempfail, or ignore (only log it)"
    )
    too_large: Remedy = remedy_option(
        Remedy.REJECT,
        "what happens to a message that is too large to be scanned: reject, quarantine, tempfail or ignore",
    )

    @functools.cached_property
    def socket(self) -> SocketSpec:
        return SocketSpec.parse(self.clamd)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The answer of clamd about the message.

    signature  the name of the virus, "" for none
    too_large  the message's size and the limit, if it was too large to scan; "" if clamd scanned it
    """

    check: ClassVar[str] = NAME
    signature: str = ""
    too_large: str = ""


def applies(settings: Settings) -> bool:
    return bool(settings.clamd)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for our own messages that must leave unchanged."""
    assert message is not None
    settings = services.settings[Settings]
    own = message.findings.get(OwnMailFinding)
    if not settings.clamd or (own is not None and own.unmodified):
        return None
    octets = message.body.size + sum(len(header.name) + len(header.value) + 3 for header in message.headers)
    if not message.body.complete:
        return Finding(too_large=f"{octets} octets, of which [milter] max_message keeps {message.body.limit}")
    if octets > settings.max_size:
        return Finding(too_large=f"{octets} octets, [antivirus] max_size is {settings.max_size}")
    # Other look-ups may have used up the message's time; clamd gets a minimum all the same.
    deadline = services.deadline.at_least(_LEAST_TIME).at_most(settings.timeout)
    try:
        found = clamd.scan(settings.socket, _pieces(message), deadline)
    except clamd.NotScanned as error:
        return Finding(error=str(error))
    if found.too_large:
        return Finding(too_large=f"{octets} octets, which is more than StreamMaxLength of clamd.conf")
    return Finding(signature=found.signature)


def _pieces(message: Message) -> Iterator[bytes]:
    """The message as it came, without a second copy of its body in memory."""
    yield as_octets(message.headers, b"")
    yield message.body.content()


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.signature:
        reason = f"virus: {finding.signature}"
        text = (
            f"Our virus scanner found {finding.signature} in the message.\n"
            "Please check the computer that sent it. If this is a false alarm, send the file in another way."
        )
        return _answered(settings.remedy, text, reason, findings)
    if not finding.too_large:
        return CONTINUE
    reason = f"not scanned for viruses: {finding.too_large}"
    text = (
        "The message is too large to be scanned for viruses.\n"
        "Please send a smaller one, or share the file in another way."
    )
    if settings.too_large is Remedy.REJECT:
        return reject(text, reason, code=552, enhanced="5.3.4")
    return _answered(settings.too_large, text, reason, findings)


def _answered(answer: Remedy, text: str, reason: str, findings: Findings) -> Verdict:
    """The verdict on clamd's answer. A message released from the quarantine is not quarantined again: that would be a
    loop. An administrator can release it unchanged.
    """
    own = findings.get(OwnMailFinding)
    if answer is Remedy.QUARANTINE and own is not None and own.outbox_id:
        answer = Remedy.REJECT
    return verdict_for(answer, text, reason)
