"""Does this recipient allow or block the sender?

Users do not see the envelope, so the sender is anyone in the envelope or From. Allowing counts only if SPF or DKIM
proves the sender, because anybody can use any address; blocking always counts. The site's refusals still apply: an
allowed sender is only exempt from the score and from greylisting by suspicion.
"""

from __future__ import annotations

from collections.abc import Iterator

from antispam.checks._shared.own_lists import OwnListFinding, OwnListSettings
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import author_is_proved, authors, from_our_users, is_proved
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, reject
from antispam.net.addresses import parse_mailbox
from antispam.store import StoreError
from antispam.store.own_lists import Entry, Kind, anybody, find, forms
from antispam.text import from_wire

NAME = "own_lists"
OTHERWISE = "The recipient's own list of blocked senders, in the console."
Finding = OwnListFinding
Settings = OwnListSettings

_REFUSAL = (
    "The recipient has blocked this sender.\n"
    "If that is a mistake, please tell the recipient in another way and quote the reference."
)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> OwnListFinding | None:
    """None for our own users' mail, and if the recipient lists none of the senders."""
    assert message is not None
    assert recipient is not None
    if services.store is None or services.people is None or from_our_users(message):
        return None
    try:
        if NAME not in message.memo:  # one query for all recipients
            message.memo[NAME] = _entries(message, services)
    except StoreError as error:
        return Finding(error=f"own lists: {error}")
    user = from_wire(services.people.mailbox_of(recipient.address), 320)
    entries: dict[str, Kind] = message.memo[NAME].get(user, {})
    return _judged(user, message, entries) if entries else None


def _entries(message: Message, services: Services) -> dict[str, dict[str, Kind]]:
    """The entries for the senders in each recipient's lists, by user and name. Raises StoreError."""
    assert services.store is not None
    assert services.people is not None
    if not anybody(services.store, services.clock(), services.deadline):  # nobody has a list, as on most sites
        return {}
    users = dict.fromkeys(services.people.mailbox_of(one.address) for one in message.accepted_recipients)
    names = dict.fromkeys(form for address, _ in _senders(message) for form in forms(address))
    found: dict[str, dict[str, Kind]] = {}
    entries: list[Entry] = find(services.store, users, names, services.clock(), services.deadline)
    for one in entries:
        found.setdefault(one.user, {})[one.name] = one.kind
    return found


def _senders(message: Message) -> Iterator[tuple[str, bool]]:
    """Everybody whom a reader may take for the sender, and whether they are proved."""
    if message.mail_from:
        yield message.mail_from, is_proved(message, parse_mailbox(message.mail_from).domain)
    proved = author_is_proved(message)
    for author in authors(message):
        yield str(author), proved


def _judged(user: str, message: Message, entries: dict[str, Kind]) -> OwnListFinding:
    """The finding for one user. The more specific entry wins: an allowed address in a blocked domain, and the reverse."""
    best = {"allowed": (0, ""), "blocked": (0, ""), "unproved": (0, "")}
    for address, proved in _senders(message):
        for name in forms(address):
            kind = entries.get(name)
            if kind is not None:
                word = "blocked" if kind is Kind.BLOCK else "allowed" if proved else "unproved"
                best[word] = max(best[word], (1 + ("@" in name), name))
    allowed, blocked = best["allowed"], best["blocked"]
    if blocked[0] and blocked[0] >= allowed[0]:
        return Finding(user=user, blocked=from_wire(blocked[1], 320))
    return Finding(user=user, allowed=from_wire(allowed[1], 320), unproved=from_wire(best["unproved"][1], 320))


def decide(
    finding: OwnListFinding, findings: Findings, settings: OwnListSettings, policy: AccessMap | AccessTable
) -> Verdict:
    if finding.blocked:
        return reject(_REFUSAL, f"{finding.user} blocks {finding.blocked}")
    if finding.allowed:
        return Verdict(Action.CONTINUE, reason=f"{finding.user} allows {finding.allowed}")
    return Verdict(Action.CONTINUE, reason=f"{finding.user} allows {finding.unproved}, but nothing proves the sender")
