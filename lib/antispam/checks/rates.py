"""Does a login, an outside network or a sender send too much, or does one recipient get too much?

A login beyond its limit is blocked until somebody releases it: usually a spammer has its password. Others only wait
until the window has room again.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import ClassVar

from antispam.checks._shared.callback.notice import sendable
from antispam.checks._shared.rates import (
    Of,
    RatesSettings,
    counted_as,
    login_key,
    network_of,
    period_in_words,
)
from antispam.checks._shared.rates_notices import Facts, to_owner, to_postmaster
from antispam.journey.services import Services
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.languages import texts
from antispam.learning.people import Addresses
from antispam.learning.preferences import language_of
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, OwnMailFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, tempfail
from antispam.net.host_name import own_host_name
from antispam.settings.web import WebSettings
from antispam.store import Store, StoreError, outbox, windows
from antispam.store.outbox import Kind, QueuedMessage
from antispam.text import for_log, from_wire

NAME = "rates"
Settings = RatesSettings
ALSO_READS = (LanguageSettings, WebSettings)

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """The amount counted in the window, including this message.

    of      the kind of counter
    name    the login, network, sender or recipient
    amount  the amount of this message
    used    the total in the window
    """

    of: Of
    name: str
    amount: int
    used: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The counters of this message.

    stopped   why its login was blocked earlier, "" if it was not
    receiver  our MTA's name
    """

    check: ClassVar[str] = NAME
    counts: tuple[Count, ...] = ()
    login: str = ""
    stopped: str = ""
    receiver: str = ""


def applies(settings: Settings) -> bool:
    return bool(settings.login or settings.client or settings.sender or settings.recipient)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if nothing is counted."""
    assert message is not None
    settings, store = services.settings[Settings], services.store
    own = message.findings.get(OwnMailFinding)
    if store is None or (own is not None and own.outbox_id):
        return None
    auth = message.findings.get(AuthFinding)
    login = login_key(auth.login) if auth is not None and settings.login else ""
    if login in {login_key(one) for one in settings.except_logins}:
        return None
    amounts = dict(_amounts(connection, message, login, settings))
    if not amounts:
        return None
    receiver = from_wire(own_host_name(connection.receiver), 255)
    try:
        before = windows.find_stopped(store, login, services.deadline) if login else None
        if before is not None:
            return Finding(login=login, stopped=before.reason, receiver=receiver)
        counts = _counted(amounts, store, settings, services)
    except StoreError as error:
        return Finding(error=f"the rates: {error}")
    return Finding(counts=counts, login=login, receiver=receiver)


def _amounts(
    connection: Connection, message: Message, login: str, settings: Settings
) -> Iterator[tuple[tuple[Of, str], int]]:
    """What this message adds to each counter."""
    client, auth = message.findings.get(ConnectionFinding), message.findings.get(AuthFinding)
    recipients = message.accepted_recipients
    if auth is not None and auth.login:
        if login:
            yield (Of.LOGIN, login), len(recipients)
        return
    if client is None or client.client is not ClientClass.EXTERNAL:
        return
    network = network_of(connection.ip)
    if settings.client and network:
        yield (Of.CLIENT, network), 1
    if settings.sender and message.mail_from:
        yield (Of.SENDER, from_wire(message.mail_from, 230)), 1
    if settings.recipient:
        yield from (((Of.RECIPIENT, from_wire(one.address, 230)), 1) for one in recipients)


def _counted(
    amounts: dict[tuple[Of, str], int], store: Store, settings: Settings, services: Services
) -> tuple[Count, ...]:
    now, period = services.clock(), settings.period
    names = {counted_as(of, name): amount for (of, name), amount in amounts.items()}
    if services.read_only:
        before = windows.used(store, names, now, period, services.deadline)
        used = {name: before[name] + amount for name, amount in names.items()}
    else:
        used = windows.use(store, names, now, period, services.deadline)
    return tuple(Count(of, name, amount, used[counted_as(of, name)]) for (of, name), amount in amounts.items())


def _over(finding: Finding, settings: Settings) -> Count | None:
    """The first count beyond its limit."""
    limits = {
        Of.LOGIN: settings.login,
        Of.CLIENT: settings.client,
        Of.SENDER: settings.sender,
        Of.RECIPIENT: settings.recipient,
    }
    return next((one for one in finding.counts if 0 < limits[one.of] < one.used), None)


def perform(finding: Finding, message: Message | None, recipient: Recipient | None, services: Services) -> Finding:
    """Block a login beyond its limit. For others, uncount the message: it will be retried."""
    settings, store = services.settings[Settings], services.store
    over = _over(finding, settings)
    if over is None or store is None or message is None:
        return finding
    try:
        if over.of is Of.LOGIN:
            _stop(over, finding, message, store, services)
        else:
            back = {counted_as(one.of, one.name): -one.amount for one in finding.counts}
            windows.use(store, back, services.clock(), settings.period, services.deadline)
    except StoreError as error:
        log.error("[%s] ERROR rates: %s", message.ref, for_log(str(error)))
    return finding


def _stop(over: Count, finding: Finding, message: Message, store: Store, services: Services) -> None:
    """Block the login, and tell its owner and the postmaster, in one transaction and once only."""
    settings, now = services.settings[Settings], services.clock()
    reason = _reason(over, settings)
    told = _notices(over, settings.postmaster or f"postmaster@{finding.receiver}", store, services)
    with store.write(services.deadline) as connection:
        since = windows.stop(store, connection, over.name, reason, now)
        for recipient, content in told.items():
            once = f"rates {over.name} {since!r} {recipient}"
            queued = QueuedMessage(Kind.ANSWER, message.ref, "", (recipient,), content, once=once)
            outbox.post(store, connection, queued, now)
    log.warning("[%s] STOPPED login %s: %s", message.ref, for_log(over.name), reason)


def _notices(over: Count, postmaster: str, store: Store, services: Services) -> dict[str, bytes]:
    """The mail to each: to who has both roles the postmaster's. Raises StoreError."""
    if not sendable(postmaster):
        return {}
    settings, site = services.settings, services.settings[LanguageSettings]
    facts = Facts(
        login=over.name, used=round(over.used), period=settings[Settings].period, sender=postmaster,
        console=f"{address}/rates" if (address := settings[WebSettings].address) else "", now=services.clock(),
    )  # fmt: skip
    addresses = services.people.addresses if services.people is not None else None
    user = addresses.user_of_login(over.name) if addresses is not None else None
    other = addresses.user_of(postmaster) if addresses is not None else None
    told = {}
    if sendable(owner := _owner(over.name, user, addresses)):
        told[owner] = to_owner(facts, owner, texts(language_of(site, store, user, services.deadline)))
    told[postmaster] = to_postmaster(facts, postmaster, texts(language_of(site, store, other, services.deadline)))
    return {recipient: services.sign(content, services) for recipient, content in told.items()}


def _owner(login: str, user: str | None, addresses: Addresses | None) -> str:
    """The mailbox of the login's owner, "" if unknown."""
    if "@" in login:
        return login
    known = addresses.users.get(user, ()) if addresses is not None and user else ()
    return next((one for one in known if "@" in one and not one.startswith("@")), "")


def _reason(over: Count, settings: Settings) -> str:
    what = "recipients" if over.of is Of.LOGIN else "messages"
    return f"{over.used:.0f} {what} within {_within(settings)}"


def _within(settings: Settings) -> str:
    words = period_in_words(settings.period)
    return words if words[0].isdigit() else f"one {words}"


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    over = _over(finding, settings)
    stopped = finding.stopped or (_reason(over, settings) if over is not None and over.of is Of.LOGIN else "")
    if stopped:
        text = (
            f"The login {finding.login} sends unusually much mail ({stopped}) and has been stopped.\n"
            "Your postmaster can let it go on. If you did not send so much, change your password now."
        )
        return tempfail(text, f"login {finding.login} is stopped: {stopped}")
    if over is None:
        return CONTINUE
    whose = {
        Of.CLIENT: f"from the network {over.name}",
        Of.SENDER: f"from {over.name}",
        Of.RECIPIENT: f"to {over.name}",
    }[over.of]
    reason = f"{whose}: {_reason(over, settings)}"
    return tempfail(f"There is unusually much mail {whose}.\nPlease try again later.", reason)


def tidy(services: Services) -> bool:
    """Delete a slice of the counts older than any window. True if more may be left."""
    if services.store is None:
        return False
    before = services.clock() - 2 * services.settings[Settings].period
    return windows.purge(services.store, before) > 0
