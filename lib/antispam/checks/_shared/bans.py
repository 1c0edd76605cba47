"""Bans of clients and domains, and their duration. Nothing else bans them."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Collection

from antispam.deadline import Deadline
from antispam.mail.authors import is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.evidence import ConnectionFinding, DkimFinding, SpfFinding
from antispam.mail.message import Message
from antispam.mail.verdicts import Verdict, reject
from antispam.net.addresses import NetworkList, host_list, normalize_domain, parents, parse_ip, parse_mailbox
from antispam.protocols.dkim import DkimResult
from antispam.protocols.spf import Result
from antispam.settings import CheckSettings, OnError, Settings, option, section
from antispam.settings.values import duration, not_negative, positive
from antispam.store import Store, history
from antispam.store.hidden import is_hidden
from antispam.store.lists import BadName, Kind, add, find
from antispam.text import for_log

log = logging.getLogger(__name__)

DAY = 86400.0
LONGEST = 8  # times as long as the first ban
PROVIDERS = (
    *("gmail.com", "googlemail.com", "google.com", "yahoo.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "yahoo.it"),
    *("yahoo.es", "yahoo.ca", "yahoo.com.br", "yahoo.co.jp", "yahoo.co.in", "ymail.com", "aol.com", "hotmail.com"),
    *("hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it", "hotmail.es", "outlook.com", "outlook.de"),
    *("outlook.fr", "outlook.es", "live.com", "live.co.uk", "live.fr", "live.nl", "msn.com", "icloud.com"),
    *("me.com", "mac.com", "proton.me", "protonmail.com", "gmx.net", "gmx.de", "gmx.at", "gmx.ch", "gmx.com"),
    *("web.de", "t-online.de", "freenet.de", "mail.ru", "yandex.ru", "yandex.com", "qq.com", "163.com", "126.com"),
    *("orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "libero.it", "comcast.net", "verizon.net", "att.net"),
    "mail.com",
)
# Addresses of proxies, and of own networks missing from internal_connect: many clients, or all, share them.
_SHARED = NetworkList(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)
# Second-level labels of registries, such as co.uk, com.br and ne.jp, below which people register their domains.
_REGISTRY = re.compile(r"(?:[a-z]{1,3}|gouv|mil|info|name|asso|nom)\.[a-z]{2}")
# A name of one of several servers of a domain: the whole domain is banned.
_ONE_OF_MANY = re.compile(r"(?:mail|smtp|mx)\d{1,3}\.(?=.+\.)")


@section("bans")
class BanSettings(CheckSettings):
    """[bans]: banned clients and domains. `bms lists` shows and changes them."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (banned clients get in), tempfail or reject"
    )
    max_demerits: int = option(
        0,
        "offences on one connection (unknown users, our own name or domain) after which the client's address is banned; "
        "0 bans nobody, 3 is a good value",
        section="milter",
        check=not_negative,
    )
    email_providers: tuple[str, ...] = option(
        PROVIDERS,
        "domains in which anybody can have an address: a report to bandom blacklists the mailbox instead of the domain, "
        "and their servers are not banned for offences",
        section="milter",
        check=host_list,
    )
    ban_client: float = option(
        DAY,
        "how long a client is banned the first time; the time doubles with each further ban, up to 8 times the first",
        parse=duration("d"),
        check=positive,
    )
    ban_domain: float = option(
        90 * DAY, "how long a domain reported by users is banned", parse=duration("d"), check=positive
    )
    throwaway: bool = option(
        False,
        "ban a domain proved by SPF that has no reputation yet ([gossip]) for a word in the author's name ([defang] "
        "from_words)",
    )
    learn: bool = option(
        False,
        "read the mail of blacklisted senders before it is refused, and train the screener with it as spam; the same for "
        "senders that do not exist ([callback])",
    )
    blacklist: float = option(
        30 * DAY, "how long a mailbox reported by users is blacklisted", parse=duration("d"), check=positive
    )


def refusal_of_listed(what: str, sender: str, why: str) -> Verdict:
    """The refusal of a listed sender, with a demerit for the client."""
    text = (
        f"{what} {sender} is on our blacklist: {why}.\n"
        "If that is a mistake, please write to our postmaster from another address."
    )
    return reject(text, f"{what.lower()} {sender} is listed: {why}", demerits=1)


def ban_client(
    store: Store,
    settings: BanSettings,
    ip: str,
    reason: str,
    by: str,
    now: float,
    deadline: Deadline | None = None,
    once: bool = False,
) -> bool:
    """Ban a client's address for a time that doubles with each ban; with `once`, not if it is banned already. False for
    anything but a public address: a private one may stand for everybody. Raises StoreError.
    """
    if parse_ip(ip) in _SHARED:
        log.warning("not banned, because it is not a public address: %s: %s", for_log(ip), for_log(reason))
        return False
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
            once=once,
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
    reason: str = "reported to bandom",
) -> str:
    """Ban the domain that SPF or DKIM proved or, for a provider, the author's mailbox. Returns what was banned, "" if
    nothing can be. Raises StoreError.
    """
    mailbox = parse_mailbox(author)
    providers = host_list(settings.email_providers)
    provider = proved in providers
    kind = Kind.BLACKLIST if provider else Kind.BANNED_DOMAIN
    name = str(mailbox) if provider else widened(proved)
    if name.removeprefix("*.") in providers and not provider:
        name = proved  # the provider's own server, whose bounces belong to nobody
    if provider and (mailbox.domain != proved or not mailbox.local):  # otherwise it would hit the whole provider
        return ""
    if provider and is_hidden(author):  # the real address is unknown
        return ""
    if any(
        entry.expires_at is None for entry in find(store, [(Kind.WHITELIST, author), (Kind.WHITELIST, proved)], now)
    ):
        return ""  # an administrator's entry, which a user cannot override
    until = now + (settings.blacklist if provider else settings.ban_domain)
    try:
        add(store, kind, name, reason=reason, by=by, now=now, expires_at=until, deadline=deadline)
    except BadName:
        return ""
    log.warning("BANNED %s: %s, by %s", for_log(name), for_log(reason), for_log(by))
    return name


def is_shared(connection: Connection, message: Message, settings: BanSettings) -> bool:
    """Whether many people share the client, so that one of them must not get it banned: a server of a public provider,
    of a trusted forwarder, or of a correspondent of our users.
    """
    providers = host_list(settings.email_providers)
    client = connection.findings.get(ConnectionFinding)
    # The customers' lines have names below the provider's domain, too.
    one_of_pool = client is None or client.dynamic
    if not one_of_pool and any(name in providers for name in parents(connection.name)):
        return True
    spf = message.findings.get(SpfFinding)
    if spf is None:
        return False
    of_provider = spf.mailfrom is not None and spf.mailfrom.domain in providers
    passed = spf.mailfrom is not None and spf.mailfrom.result is Result.PASS
    return bool(spf.forwarder) or (passed and of_provider) or is_whitelisted(message)


def our_domains(settings: Settings) -> tuple[str, ...]:
    """[milter] internal_domains, with `*.example.com` as its parent domain."""
    return tuple(normalize_domain(name).removeprefix("*.") for name in settings.listed("milter", "internal_domains"))


def ban_reported(store: Store, settings: BanSettings, ref: str, by: str, now: float, ours: Collection[str] = ()) -> str:
    """Ban the sender of a message that a user reported to bandom, if SPF or DKIM proved the sender. Domains in `ours`
    must not be banned. Returns what was banned, "" for nothing. Raises StoreError.
    """
    found = history.findings(store, ref, SpfFinding, DkimFinding)
    spf, dkim = found.get(SpfFinding), found.get(DkimFinding)
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        proved, author = spf.mailfrom.domain, spf.mailfrom.mailfrom
    elif dkim is not None and parse_mailbox(dkim.author).domain in _signed(dkim):
        proved, author = parse_mailbox(dkim.author).domain, dkim.author
    else:
        return ""
    if any(name in ours for name in parents(proved)):
        return ""
    return ban_sender(store, settings, proved, author, by, now)


def _signed(dkim: DkimFinding) -> set[str]:
    return {one.domain for one in dkim.signatures if one.result is DkimResult.PASS}


def widened(domain: str) -> str:
    """The entry that bans a domain: `mx3.spam.example` is one of many servers, so it becomes `*.spam.example`; every
    other domain stays as it is. `mx1.co.uk` stays, too: it belongs to somebody, and its registry must not be banned.
    """
    bare = _ONE_OF_MANY.sub("", domain, count=1)
    return domain if bare == domain or _REGISTRY.fullmatch(bare) else f"*.{bare}"
