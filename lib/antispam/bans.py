"""Bans: which clients and domains are shut out, and for how long; the one place that puts them on the list."""

from __future__ import annotations

import logging
import re

from antispam.addresses import HostList, parse_mailbox
from antispam.deadline import Deadline
from antispam.dkim_protocol import DkimResult
from antispam.evidence import DkimFinding, SpfFinding
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration
from antispam.spf_protocol import Result
from antispam.store import Store, history
from antispam.store.lists import BadName, Kind, add
from antispam.text import for_log
from antispam.verdicts import Verdict, reject

log = logging.getLogger(__name__)

DAY = 86400.0
LONGEST = 8  # times as long as the first ban
# One of several servers of a domain: its whole domain is meant.
_ONE_OF_MANY = re.compile(r"(?:mail|smtp|mx)\d{1,3}\.(?=.+\.)")


def _domains(names: tuple[str, ...]) -> None:
    HostList(names)


def _positive(value: float) -> None:
    if value <= 0:
        raise ValueError("must be greater than 0")


def _not_negative(value: int) -> None:
    if value < 0:
        raise ValueError("must not be negative")


@section("bans")
class BanSettings(CheckSettings):
    """[bans]: clients and domains that are shut out. `bms lists` shows and changes them."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store can't answer: accept (banned ones get in), tempfail or reject"
    )
    max_demerits: int = option(
        0,
        "offences on one connection (unknown users, our own name or domain) after which its address is banned; 0 bans nobody. "
        "3 is a good value",
        section="milter",
        check=_not_negative,
    )
    email_providers: tuple[str, ...] = option(
        ("gmail.com", "yahoo.com", "aol.com", "hotmail.com", "outlook.com", "icloud.com", "gmx.net", "web.de"),
        "domains where everybody can have an address: a report to bandom blacklists the mailbox, not the domain",
        section="milter",
        check=_domains,
    )
    ban_client: float = option(
        DAY,
        "how long a client is banned the first time; twice as long each time again, up to 8 times",
        parse=duration("d"),
        check=_positive,
    )
    ban_domain: float = option(
        90 * DAY, "how long a domain that users reported is banned", parse=duration("d"), check=_positive
    )
    learn: bool = option(
        False,
        "read what blacklisted senders write before they are refused, and teach the screener that it is spam; so with senders "
        "whom their server does not know ([callback])",
    )
    blacklist: float = option(
        30 * DAY, "how long a mailbox that users reported is blacklisted", parse=duration("d"), check=_positive
    )


def refusal_of_listed(what: str, sender: str, why: str) -> Verdict:
    """The refusal of a sender who is on a list; a demerit for his client, too."""
    text = (
        f"{what} {sender} is on our blacklist: {why}.\n"
        "If that is a mistake, please write to our postmaster from another address."
    )
    return reject(text, f"{what.lower()} {sender} is listed: {why}", demerits=1)


def ban_client(
    store: Store, settings: BanSettings, ip: str, reason: str, by: str, now: float, deadline: Deadline | None = None
) -> bool:
    """Ban a client's address for a time that doubles with each ban. False for what is no address. Raises StoreError."""
    try:
        add(
            store,
            Kind.BANNED_IP,
            ip,
            reason=reason,
            by=by,
            now=now,
            expires_at=now + settings.ban_client,
            longest=LONGEST,
            deadline=deadline,
        )
    except BadName:
        return False
    log.warning("BANNED %s: %s", for_log(ip), for_log(reason))
    return True


def ban_sender(
    store: Store,
    settings: BanSettings,
    proved: str,
    author: str,
    by: str,
    now: float,
    deadline: Deadline | None = None,
) -> str:
    """What a user's report to bandom shuts out: the domain that SPF or DKIM proved, or, of a provider, the author's mailbox.
    Returns what it is, "" where nothing can be banned. Raises StoreError."""
    mailbox = parse_mailbox(author)
    provider = proved in HostList(settings.email_providers)
    kind = Kind.BLACKLIST if provider else Kind.BANNED_DOMAIN
    name = str(mailbox) if provider else widened(proved)
    if provider and mailbox.domain != proved:
        return ""
    until = now + (settings.blacklist if provider else settings.ban_domain)
    try:
        add(store, kind, name, reason="reported to bandom", by=by, now=now, expires_at=until, deadline=deadline)
    except BadName:
        return ""
    log.warning("BANNED %s: reported by %s", for_log(name), for_log(by))
    return name


def ban_reported(store: Store, settings: BanSettings, ref: str, by: str, now: float) -> str:
    """Shut out the sender of a message that a user reported to bandom, as far as SPF or DKIM proved who that was. Returns what
    was banned, "" for nothing. Raises StoreError."""
    found = history.findings(store, ref, SpfFinding, DkimFinding)
    spf, dkim = found.get(SpfFinding), found.get(DkimFinding)
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        return ban_sender(store, settings, spf.mailfrom.domain, spf.mailfrom.mailfrom, by, now)
    signed = {one.domain for one in dkim.signatures if one.result is DkimResult.PASS} if dkim is not None else set()
    if dkim is None or parse_mailbox(dkim.author).domain not in signed:
        return ""
    return ban_sender(store, settings, parse_mailbox(dkim.author).domain, dkim.author, by, now)


def widened(domain: str) -> str:
    """`mx3.spam.example` is one of many servers of `*.spam.example`; every other domain is meant as it stands."""
    bare = _ONE_OF_MANY.sub("", domain, count=1)
    return domain if bare == domain else f"*.{bare}"
