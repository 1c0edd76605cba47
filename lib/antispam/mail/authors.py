"""The authors of a message: every mailbox that a reader could take for its author, and whether our users sent it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from antispam.mail.evidence import (
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    OwnEnvelopeFinding,
    SenderListFinding,
    SpfFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.message import Header, Message
from antispam.net.addresses import Mailbox, parents, parse_mailbox
from antispam.protocols import encoded_words
from antispam.protocols.address_fields import mailboxes
from antispam.protocols.dkim import DkimResult
from antispam.protocols.spf import Result

_ANGLES = re.compile(r"<[^<>]*>")
MAX_AUTHORS = 50
MAX_READ = 2_400  # octets of the longest From that people write; a longer one hides something
_MAX_NAME = 20_000
_MEMO = "authors"
_SHOWN_NAME = "author's name"
_INTERNAL = ClientClass.INTERNAL  # each check asks: to find a member of an enumeration takes longer than to compare it


def authors(message: Message) -> tuple[Mailbox, ...]:
    """The mailboxes of all From fields (RFC 5322 section 3.6.2), each once, at most MAX_AUTHORS. Includes everything
    that a reader could take for an author, whatever its syntax (antispam.protocols.address_fields). Never raises.
    """
    return every_author(message)[:MAX_AUTHORS]


def authors_in(fields: Iterable[Header]) -> tuple[Mailbox, ...]:
    """The authors in these From fields, for example those of a draft. See authors()."""
    return tuple(itertools.islice(_all_in(fields), MAX_AUTHORS))


def every_author(message: Message) -> tuple[Mailbox, ...]:
    """The authors without the limit of MAX_AUTHORS. Many checks ask for them, so they are parsed once a message."""
    fields = message.by_name().get(b"from", ())
    known = message.memo.get(_MEMO)
    if known is None or known[0] != fields:
        known = message.memo[_MEMO] = fields, tuple(_all_in(fields))
    found: tuple[Mailbox, ...] = known[1]
    return found


def _all_in(fields: Iterable[Header]) -> Iterable[Mailbox]:
    return dict.fromkeys(mailbox for header in fields for mailbox in mailboxes(header.value))


def is_overlong(message: Message) -> bool:
    """Whether a From is longer than any that people write. Such a field counts as unreadable: mail programs stop
    reading it at different places.
    """
    return any(len(field.value) > MAX_READ for field in message.fields(b"from"))


def from_our_users(message: Message) -> bool:
    """Whether an internal client or an authenticated sender sent the message. Such mail is signed, not verified."""
    if message.auth.login:
        return True
    client = message.findings.get(ConnectionFinding)
    if client is not None and client.client is _INTERNAL:
        return True
    auth = message.findings.get(AuthFinding)
    return auth is not None and bool(auth.login)


def from_our_outbox(message: Message) -> bool:
    """Whether the envelope proves that the message comes from our own outbox."""
    envelope = message.findings.get(OwnEnvelopeFinding)
    return envelope is not None and envelope.outbox_id != 0


def proved_domains(message: Message) -> set[str]:
    """The domains that SPF and DKIM vouch for, as far as those checks have run."""
    return domains_proved_by(message.findings)


def domains_proved_by(findings: Findings) -> set[str]:
    """The domains that SPF and DKIM vouch for, from a message's evidence."""
    dkim, spf = findings.get(DkimFinding), findings.get(SpfFinding)
    domains = {one.domain for one in dkim.signatures if one.result is DkimResult.PASS} if dkim is not None else set()
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        domains.add(spf.mailfrom.domain)
    return domains


def is_proved(message: Message, domain: str) -> bool:
    """Whether SPF or DKIM vouch for the domain, or for a parent domain other than a top-level domain."""
    return _covers(proved_domains(message), domain)


def is_proved_by(findings: Findings, domain: str) -> bool:
    """The same as is_proved(), from a message's evidence."""
    return _covers(domains_proved_by(findings), domain)


def author_signed(findings: Findings) -> bool:
    """Whether the author's domain, or a parent of it, signed the message. Anybody may have forwarded such a message."""
    dkim = findings.get(DkimFinding)
    if dkim is None or not dkim.author:
        return False
    signed = {one.domain for one in dkim.signatures if one.result is DkimResult.PASS}
    return _covers(signed, parse_mailbox(dkim.author).domain)


def _covers(domains: set[str], domain: str) -> bool:
    return not domains.isdisjoint(name for name in parents(domain) if "." in name)


def author_is_proved(message: Message) -> bool:
    """Whether SPF or DKIM vouch for the domain of the only author. Without that, From proves nothing: anybody can write
    any address there.
    """
    found = authors(message)
    return len(found) == 1 and is_proved(message, found[0].domain)


def is_whitelisted(message: Message) -> bool:
    """Whether the envelope sender is on the site's whitelist (checks/sender_lists.py), and SPF or DKIM proves it."""
    listed = message.findings.get(SenderListFinding)
    if listed is None or not listed.whitelisted:
        return False
    return is_proved(message, parse_mailbox(message.mail_from).domain)


def shown_name(message: Message) -> str:
    """The text of the first From outside the addresses, with encoded words decoded; "" without a From. Decoded once."""
    fields = message.fields(b"from")
    if not fields:
        return ""
    known = message.memo.get(_SHOWN_NAME)
    if known is None or known[0] is not fields[0]:
        known = message.memo[_SHOWN_NAME] = fields[0], encoded_words.decoded(name_in(fields[0].text)).text
    name: str = known[1]
    return name


def name_in(text: str) -> str:
    """The text of an address field outside the addresses, with encoded words unchanged. Never raises."""
    text = text[:_MAX_NAME]
    if "<" in text:
        return _ANGLES.sub(" ", text)
    return " ".join(part for part in text.split() if "@" not in part)
