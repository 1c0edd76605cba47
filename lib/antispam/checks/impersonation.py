"""Does an outsider imitate one of us: our address, a domain that looks like ours, the name of one of our users?

Such mail is technically clean: the sender proves its own domain. Only what people read in From gives it away. So a
header field warns the reader, and the score gets points. Only names that the administrator protects lead to a refusal.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Iterator
from typing import ClassVar

from antispam.checks._shared.dnsbl.subjects import owned
from antispam.journey.services import Services
from antispam.learning.people import address_list
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors, from_our_users, is_proved, is_whitelisted, name_in, proved_domains
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthorFinding, OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Action, Verdict
from antispam.net.addresses import Mailbox, host_list, is_hostname, parse_mailbox
from antispam.protocols.likeness import Likeness, is_relayed_name, likeness, name_key
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings import Settings as AllSettings
from antispam.settings.values import duration, listed
from antispam.store import StoreError, own_names
from antispam.text import from_wire

NAME = "impersonation"
FIELD = "X-BMS-Impersonation"
MAX_DOMAINS = 20  # of our domains, beyond those in the configuration, that an author's domain is compared with
_NAMES_HEADER = (b"list-id", b"list-post", b"list-unsubscribe", b"mailing-list")
_ODD = re.compile(r"[^\x20-\x7e]")


def _full_names(names: tuple[str, ...]) -> None:
    for name in names:
        if not name_key(name):
            raise ValueError(f"{name!r} is no full name: at least two words, as in Ann Smith")


@section("impersonation")
class Settings(CheckSettings):
    """[impersonation]: people who pretend to be one of us."""

    on_error: OnError = option(
        OnError.ACCEPT,
        "when the names of our users can't be looked up: accept (go on without them), tempfail or reject",
    )
    domains: tuple[str, ...] = option(
        (),
        "our domains, beside [milter] internal_domains and those of the recipients: example.com, *.example.com",
        check=host_list,
    )
    learn_names: bool = option(
        True, "learn the full names of our users from what they send after SMTP AUTH, or from an address in `domains`"
    )
    keep: float = option(365 * 86400.0, "how long a name is remembered after its user last wrote", parse=duration("d"))
    protected_names: tuple[str, ...] = option(
        (), "full names that count double, a line or comma each: directors, treasurers. They need not be learned",
        parse=listed, check=_full_names,
    )  # fmt: skip
    own_addresses: tuple[str, ...] = option(
        (),
        "where our users write from elsewhere, as addresses, domains (@example.net) or file:PATH: private mailboxes, the "
        "provider of our newsletter. What SPF or DKIM prove to come from there is not looked at",
        parse=listed,
    )
    protected: Remedy = remedy_option(
        Remedy.IGNORE,
        "what becomes of a message with a protected name and a foreign address: ignore, quarantine, tempfail, reject",
    )
    subject: str = option("", "a word that is put before the subject of such a message: [OUTSIDE]; empty puts none")
    mark: bool = option(True, "tell readers in the field X-BMS-Impersonation")


class Kind(enum.StrEnum):
    """The kinds of imitation."""

    ADDRESS = "address"
    DOMAIN = "domain"
    NEAR_DOMAIN = "near_domain"
    NAME = "name"
    PROTECTED = "protected"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The imitated person or domain and the sender, or the name that is learned.

    kind     None if nobody is imitated
    author   the address in From
    meant    the imitated domain of ours, or the name as written in From
    of       our address with that name, "" if the name comes from the configuration
    relayed  sent by a proved list, or with a "via" name: our own users write to lists
    learned  the name of our user who sends this
    """

    check: ClassVar[str] = NAME
    kind: Kind | None = None
    author: str = ""
    meant: str = ""
    of: str = ""
    relayed: bool = False
    learned: str = ""


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for messages from our outbox, for several authors (DMARC judges these), and if nothing is found."""
    if message is None or message.findings.get(OwnMailFinding, OwnMailFinding()).outbox_id:
        return None
    found = authors(message)
    if len(found) != 1 or not is_hostname(found[0].domain):
        return None
    if from_our_users(message):
        return _to_learn(message, found[0], services)
    settings = services.settings[Settings]
    if str(found[0]) in address_list(settings.own_addresses) and is_proved(message, found[0].domain):
        return None
    try:
        return _imitated(message, found[0], settings, services)
    except StoreError as error:
        return Finding(error=f"impersonation: {error}")


def _to_learn(message: Message, author: Mailbox, services: Services) -> Finding | None:
    """The name to learn, if any. Our machines also forward strangers' mail, so this needs a login or a domain known to
    be ours, and the sender must be the author.
    """
    settings = services.settings[Settings]
    sender = parse_mailbox(message.mail_from)
    if not settings.learn_names or str(sender).lower() != str(author).lower():
        return None
    if not message.auth and author.domain not in host_list(_configured(services.settings)):
        return None
    key = next((one for one in map(name_key, _names(message)) if one), "")
    return Finding(learned=key, author=from_wire(str(author), 320)) if key else None


def _names(message: Message) -> Iterator[str]:
    """The display names in From, as mail programs show them."""
    return (name_in(header.decoded) for header in message.fields(b"from")[:2])


def _imitated(message: Message, author: Mailbox, settings: Settings, services: Services) -> Finding | None:
    """The most serious imitation, None without one."""
    domains = _our_domains(message, services)
    if author.domain in host_list(tuple(domains)) or author.domain in host_list(_configured(services.settings)):
        if is_proved(message, author.domain):
            return None
        return _found(message, author, Kind.ADDRESS, author.domain)
    like = _alike(author.domain, domains)
    if Likeness.SIGHT in like:
        return _found(message, author, Kind.DOMAIN, like[Likeness.SIGHT])
    named = _named(message, author, settings, services)
    if named is not None:
        return named
    return _found(message, author, Kind.NEAR_DOMAIN, like[Likeness.EDIT]) if Likeness.EDIT in like else None


def _found(message: Message, author: Mailbox, kind: Kind, meant: str, of: str = "") -> Finding:
    relayed = bool(proved_domains(message)) and (
        is_relayed_name(_name(message)) or any(message.fields(field) for field in _NAMES_HEADER)
    )
    return Finding(kind=kind, author=from_wire(str(author), 320), meant=meant, of=of, relayed=relayed)


def _name(message: Message) -> str:
    """The first of _names(); "" without a From."""
    return name_in(message.first_decoded(b"from"))


def _alike(domain: str, ours: list[str]) -> dict[Likeness, str]:
    """Our domains that look like this one, by the kind of likeness. Two departments of one organization may be called
    sales1 and sales2.
    """
    return {kind: one for one in ours if (kind := likeness(domain, one)) is not None and owned(domain) != owned(one)}


@functools.lru_cache(maxsize=4)
def _configured(settings: AllSettings) -> tuple[str, ...]:
    return (*settings[Settings].domains, *settings.listed("milter", "internal_domains"))


def _our_domains(message: Message, services: Services) -> list[str]:
    """Our domains. Strangers can write only to our own users, so the recipients' domains are ours."""
    recipients = (parse_mailbox(one.address).domain for one in message.recipients[: MAX_DOMAINS * 5])
    plain = (one.lower() for one in _configured(services.settings) if is_hostname(one.lower()))
    return list(dict.fromkeys(one for one in (*plain, *recipients) if is_hostname(one)))[:MAX_DOMAINS]


def _named(message: Message, author: Mailbox, settings: Settings, services: Services) -> Finding | None:
    """A name of our users, used by a sender whose address none of us ever wrote to."""
    name = _name(message)
    key = name_key(name)
    if not key:
        return None
    if key in {name_key(one) for one in settings.protected_names}:
        return _found(message, author, Kind.PROTECTED, _as_shown(name))
    if services.store is None or is_whitelisted(message):
        return None
    address = own_names.of_us(services.store, key, services.deadline)
    if not address or address.lower() == from_wire(str(author), 320).lower():
        return None
    return _found(message, author, Kind.NAME, _as_shown(name), address)


def _as_shown(name: str) -> str:
    return from_wire(name.strip(' "\t'), 100)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.kind is None:
        return CONTINUE
    reason = _told(finding)
    if finding.kind is not Kind.PROTECTED:
        return Verdict(Action.CONTINUE, reason=reason)
    text = (
        f"{finding.meant} is one of us, and does not write to us from {finding.author}.\n"
        "If this is you, write from your address here, or ask the administrator to list the other one."
    )
    return verdict_for(settings.protected, text, reason)


def _told(finding: Finding) -> str:
    match finding.kind:
        case Kind.ADDRESS:
            return f"{finding.author} is an address of ours, and nothing proves that we sent this"
        case Kind.DOMAIN:
            return f"the domain of {finding.author} looks like {finding.meant}"
        case Kind.NEAR_DOMAIN:
            return f"the domain of {finding.author} is one letter from {finding.meant}"
    of = f" ({finding.of})" if finding.of else ""
    return f"{finding.meant} is one of us{of}, and {finding.author} is not"


_TESTS = {
    Kind.ADDRESS: "OUR_ADDRESS_UNPROVED",
    Kind.DOMAIN: "DOMAIN_LOOKALIKE",
    Kind.NEAR_DOMAIN: "DOMAIN_ONE_LETTER",
    Kind.NAME: "OUR_NAME_OUTSIDE",
    Kind.PROTECTED: "PROTECTED_NAME",
}


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """An address of ours counts once: [author_domain] gives points for it if it knows our domains. List mail counts
    little, except for protected names: anybody can write "via".
    """
    if finding.kind is None:
        return ()
    author = findings.get(AuthorFinding)
    if finding.kind is Kind.ADDRESS and author is not None and author.foreign:
        return ()
    evidence = f"{_told(finding)[:1].upper()}{_told(finding)[1:]}."
    if finding.relayed and finding.kind in (Kind.ADDRESS, Kind.NAME):
        return (Hit("OUR_NAME_VIA_LIST", evidence),)
    return (Hit(_TESTS[finding.kind], evidence),)


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Warn the reader, unless it is list mail that one of us wrote."""
    settings = services.settings[Settings]
    if finding.kind is None or (finding.relayed and finding.kind in (Kind.ADDRESS, Kind.NAME)):
        return
    if settings.mark:
        draft.append_header(FIELD, f"{finding.kind}; {_ODD.sub('?', _told(finding))}")
    if settings.subject:
        draft.tag_subject(settings.subject)


def afterwards(finding: Finding, message: Message, services: Services) -> None:
    """After our user's message was accepted: store the name. Raises StoreError."""
    if finding.learned and services.store is not None:
        own_names.learn(services.store, finding.learned, finding.author, services.clock(), services.deadline)


def tidy(services: Services) -> bool:
    """Delete a slice of the names not used for a long time. True if more may be left."""
    if services.store is None:
        return False
    return own_names.purge(services.store, services.clock() - services.settings[Settings].keep) > 0
