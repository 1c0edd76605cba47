"""Our own domains in MAIL FROM: outsiders may not use them, and our own machines may use no others.

Found at MAIL, refused at RCPT: an authenticated client is one of us, and SMTP-Auth entries of the access map decide
what a login may use.
"""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SenderDomainFinding, SpfFinding
from antispam.mail.evidence import SenderFault as Fault
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.net.addresses import client_list, host_list, parse_ip, parse_mailbox
from antispam.protocols.spf import Result
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire

NAME = "sender_domain"
OTHERWISE = (
    "`[milter] internal_domains` lists your domains, and `internal_mta` the internal servers that may use others; a "
    "domain's own SPF record allows a server outside to use it."
)
Finding = SenderDomainFinding


@section("sender_domain")
class Settings(CheckSettings):
    """[sender_domain]: the clients that may use our domains in MAIL FROM. The two lists are in [milter], as upstream."""

    internal_domains: tuple[str, ...] = option(
        (),
        "our own domains: example.com, *.example.com. Mail from outside with one of them in MAIL FROM is refused unless "
        "SPF permits the client; mail of internal clients with any other domain is refused, too. Empty is off",
        section="milter",
        check=host_list,
    )
    internal_mta: tuple[str, ...] = option(
        (),
        "internal clients that are mail servers: only they may send bounces (MAIL FROM:<>) and pass on other people's "
        "mail. Empty: every internal client may send bounces",
        section="milter",
        check=client_list,
    )


def applies(settings: Settings) -> bool:
    return bool(settings.internal_domains or settings.internal_mta)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SenderDomainFinding | None:
    """None if the configuration has neither list."""
    settings = services.settings[Settings]
    assert message is not None
    if not applies(settings):
        return None
    return SenderDomainFinding(
        fault=_fault(connection, message, settings, services),
        sender=from_wire(message.mail_from, 320),
        ip=from_wire(connection.ip, 100),
        login=from_wire(message.auth.login, 500),
    )


def _fault(connection: Connection, message: Message, settings: Settings, services: Services) -> Fault | None:
    client = message.findings.get(ConnectionFinding)
    where = client.client if client is not None else ClientClass.EXTERNAL
    sender = parse_mailbox(message.mail_from)
    ours = sender.domain in host_list(settings.internal_domains)
    auth = message.findings.get(AuthFinding)
    if auth is not None and auth.login:
        named = ours or not message.mail_from or services.access.login_policy(auth.login, sender) is not None
        return Fault.LOGIN if settings.internal_domains and not named else None
    if where is ClientClass.EXTERNAL:
        return Fault.FORGED if ours and not _permitted(message) else None
    address = parse_ip(connection.ip)
    # Mail from this machine may have any sender: a released message, a forward. So may mail from a relay.
    passes_on = address is None or address.is_loopback
    if (
        where is ClientClass.TRUSTED_RELAY
        or passes_on
        or client_list(settings.internal_mta).match(address, connection.name)
    ):
        return None
    if not message.mail_from:
        return Fault.BOUNCE if settings.internal_mta else None
    return Fault.FOREIGN if settings.internal_domains and not ours else None


def _permitted(message: Message) -> bool:
    """Whether our own SPF record permits this client, or it belongs to a trusted forwarder."""
    spf = message.findings.get(SpfFinding)
    if spf is None:
        return False
    return bool(spf.forwarder) or (spf.mailfrom is not None and spf.mailfrom.result is Result.PASS)


def decide(
    finding: SenderDomainFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable
) -> Verdict:
    match finding.fault:
        case Fault.FORGED:
            text = (
                f"The sender {finding.sender} is one of ours, but your server ({finding.ip}) is not.\n"
                "If this is your address, send through our own mail server, with your user name and password (SMTP AUTH)."
            )
            return reject(text, f"MAIL FROM <{finding.sender}> from outside", demerits=1)
        case Fault.FOREIGN:
            text = (
                f"This computer ({finding.ip}) may not send as {finding.sender}, which is not one of our addresses.\n"
                "Please use your own address as the sender. If you did not send this message, the computer may be "
                "infected: tell your administrator."
            )
            return reject(text, f"MAIL FROM <{finding.sender}> by an internal client")
        case Fault.BOUNCE:
            text = (
                f"This computer ({finding.ip}) is not a mail server, but sends a bounce (MAIL FROM:<>).\n"
                "If your mail program sends read receipts this way, turn that off, or ask your administrator."
            )
            return reject(text, "a bounce by an internal client that is not in internal_mta")
    return CONTINUE
