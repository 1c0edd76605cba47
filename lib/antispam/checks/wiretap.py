"""Copies of some users' mail to another address, and mail of some users that is delivered only there."""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.learning.people import address_list
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import WiretapFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, discard
from antispam.net.addresses import parse_mailbox
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import listed

NAME = "wiretap"
OTHERWISE = "`[wiretap] discard` lists whose mail goes nowhere else."
Finding = WiretapFinding

# A bounce of the copy (for example a full mailbox) would go to the sender and reveal the copy.
UNNOTICED = "NOTIFY=NEVER"


def _addresses(addresses: tuple[str, ...]) -> None:
    for address in addresses:
        if not address.isprintable() or not address.isascii() or any(char in address for char in ' <>,"'):
            raise ValueError(f"{address!r} is not an address")


@section("wiretap")
class Settings(CheckSettings):
    """[wiretap]: the users whose mail is copied. Ask a lawyer first."""

    users: tuple[str, ...] = option(
        (), "senders and logins whose mail is copied to dest: addresses, @domains, or file:PATH", parse=listed
    )
    dest: tuple[str, ...] = option((), "address that receives the copies", check=_addresses)
    blind: bool = option(True, "do not add a Cc field, which would tell all recipients about the copy")
    discard: tuple[str, ...] = option(
        (),
        "senders and logins whose mail is delivered to dest only, without telling them (also: discard_users)",
        parse=listed,
    )


def applies(settings: Settings) -> bool:
    return bool(settings.dest or settings.discard)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for senders in no list. Mail of the copies' recipient is not copied."""
    assert message is not None
    settings = services.settings[Settings]
    tapped = bool(settings.dest) and _is_in(settings.users, message) and not _is_one_of(settings.dest, message)
    dropped = _is_in(settings.discard, message)
    if not tapped and not dropped:
        return None
    copies = tuple(dict.fromkeys(settings.dest)) if tapped else ()
    return Finding(copies=copies, discard=dropped, blind=settings.blind)


def _is_in(items: tuple[str, ...], message: Message) -> bool:
    senders = address_list(items)
    login = message.auth.login
    return bool(message.mail_from and message.mail_from in senders) or bool(login and login in senders)


def _is_one_of(addresses: tuple[str, ...], message: Message) -> bool:
    sender = str(parse_mailbox(message.mail_from)).lower()
    return sender in {str(parse_mailbox(address)).lower() for address in addresses}


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.discard and not finding.copies:
        return discard("mail of a sender in [wiretap] discard")
    reason = f"copied to {', '.join(finding.copies)}"
    return Verdict(Action.CONTINUE, reason=f"{reason}, and to nobody else" if finding.discard else reason)


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    if finding.discard:
        draft.take_out_all()
    for address in finding.copies:
        draft.add_recipient(address, UNNOTICED)
    if finding.copies and not finding.blind:
        draft.append_header("Cc", ", ".join(finding.copies))
