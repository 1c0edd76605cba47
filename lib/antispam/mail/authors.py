"""Who a message is from: every mailbox that a reader could take for its author, and whether it is one of our users."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from antispam.mail.evidence import (
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    SenderListFinding,
    SpfFinding,
)
from antispam.mail.message import Header, Message
from antispam.net.addresses import Mailbox, parents, parse_mailbox
from antispam.protocols.dkim import DkimResult
from antispam.protocols.spf import Result

_SPECIAL = re.compile(r'["()\\]')
_SEPARATOR = re.compile(r"[,;:<>) \t]")
_ANGLES = re.compile(r"<[^<>]*>")
MAX_AUTHORS = 50
MAX_FROM = 20_000


def authors(message: Message) -> tuple[Mailbox, ...]:
    """All mailboxes of all From fields (RFC 5322 section 3.6.2), each once, at most MAX_AUTHORS. A broken field gives
    every address that stands in it, never silently one of them (CVE-2023-27043). Never raises."""
    return authors_in(message.fields(b"from"))


def authors_in(fields: Iterable[Header]) -> tuple[Mailbox, ...]:
    """The same of these From fields, those of a draft, say."""
    found = itertools.chain.from_iterable(mailboxes(header.text) for header in fields)
    return tuple(itertools.islice(dict.fromkeys(found), MAX_AUTHORS))


def of_our_users(message: Message) -> bool:
    """Whether an internal client or an authenticated sender sent it: such mail is signed, and not verified."""
    client = message.findings.get(ConnectionFinding)
    auth = message.findings.get(AuthFinding)
    internal = client is not None and client.client is ClientClass.INTERNAL
    return internal or bool(message.auth) or (auth is not None and bool(auth.login))


def proved_domains(message: Message) -> set[str]:
    """The domains that SPF and DKIM vouch for, as far as they were asked."""
    dkim, spf = message.findings.get(DkimFinding), message.findings.get(SpfFinding)
    domains = {one.domain for one in dkim.signatures if one.result is DkimResult.PASS} if dkim is not None else set()
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        domains.add(spf.mailfrom.domain)
    return domains


def is_proved(message: Message, domain: str) -> bool:
    """Whether SPF or DKIM vouch for the domain, or for one above it that is no top-level domain."""
    return not proved_domains(message).isdisjoint(name for name in parents(domain) if "." in name)


def author_is_proved(message: Message) -> bool:
    """Whether SPF or DKIM vouch for the domain of the one author: anybody can write anybody into From."""
    found = authors(message)
    return len(found) == 1 and is_proved(message, found[0].domain)


def is_whitelisted(message: Message) -> bool:
    """Whether the envelope sender is on the site's whitelist (checks/sender_lists.py), and SPF or DKIM prove him."""
    listed = message.findings.get(SenderListFinding)
    if listed is None or not listed.whitelisted:
        return False
    return is_proved(message, parse_mailbox(message.mail_from).domain)


def mailboxes(text: str) -> Iterator[Mailbox]:
    """The addresses of an address list, whatever surrounds them: names, comments, groups, routes."""
    for part in _parts(text[:MAX_FROM]):
        # What starts with @ is the host of a route (RFC 5322 section 4.4), which no reader takes for an author.
        if "@" not in part or part.startswith("@"):
            continue
        mailbox = parse_mailbox(part)
        if mailbox.domain:
            yield mailbox
        if '"' not in part and part.count("@") > 1:
            yield parse_mailbox(part[: part.rindex("@")])


def name_in(text: str) -> str:
    """What an address field has besides addresses, its encoded words as they are. Never raises."""
    text = text[:MAX_FROM]
    if "<" in text:
        return _ANGLES.sub(" ", text)
    return " ".join(part for part in text.split() if "@" not in part)


def _parts(text: str) -> Iterable[str]:
    """`text` cut at separators and at angle brackets, outside of quoted strings; comments are left out. Where a
    quotation or a comment never ends, quotes and parentheses are mere separators: an address must not hide behind
    them."""
    if not _SPECIAL.search(text):
        return _SEPARATOR.split(text)
    part: list[str] = []
    parts = []
    quoted, depth, escaped = False, 0, False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif depth:
            depth += {"(": 1, ")": -1}.get(char, 0)
            continue
        elif char == '"':
            quoted = not quoted
        elif not quoted and char == "(":
            depth = 1
            continue
        elif not quoted and char in ",;:<>) \t":
            parts.append("".join(part))
            part = []
            continue
        if not depth:
            part.append(char)
    parts.append("".join(part))
    return re.split(r'[,;:<>()"\s]', text) if quoted or depth else parts
