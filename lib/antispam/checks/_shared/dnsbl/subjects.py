"""The parts of a message that lists are asked about: addresses, domains and mailboxes, in the form of the question."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from publicsuffixlist import PublicSuffixList

from antispam.checks._shared.dnsbl.zone import About
from antispam.mail.authors import authors
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding, DkimFinding
from antispam.mail.message import Message
from antispam.mail.shown import shown
from antispam.net.addresses import HostList, IPAddress, Mailbox, NetworkList, is_hostname, parse_ip, parse_mailbox
from antispam.protocols.address_fields import mailboxes
from antispam.protocols.dkim import DkimResult
from antispam.protocols.dnsbl import Hash, address_label, domain_label, mailbox_label
from antispam.protocols.link_hosts import host_of, mailbox_of
from antispam.text import from_wire

MOST = 20  # subjects of one kind
_MAX_RECEIVED = 2000  # octets of a Received field that are read
_MAX_TEXT = 20_000
# "from HELO (name [192.0.2.1])": what the server saw stands in brackets in the comment (sendmail, Postfix), or in the first
# brackets of all (Exim). A HELO name may be an address in brackets, too.
_FROM = re.compile(r"from\s(.{0,600}?)(?:\sby\s|;|$)", re.IGNORECASE | re.DOTALL)
_IN_COMMENT = re.compile(r"\((?:[^()\[\]\s]{0,300}\s)?\[(?:IPv6:)?([0-9a-f:.]{3,45})\]", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9a-f:.]{3,45})\]", re.IGNORECASE)
_MAILBOX = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}(?![\w-])", re.ASCII
)


# Addresses that thousands of networks have (RFC 6890): a list knows nothing of them.
_NOBODYS = NetworkList(
    ipaddress.ip_network(text)
    for text in (
        *(
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
        ),
        *("224.0.0.0/3", "::/127", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)


class Subject(NamedTuple):
    """One thing that lists may be asked about.

    about  what it is
    label  what stands in front of the domain of a list; of mailboxes, for each hash
    shown  as people read it
    """

    about: About
    label: str
    shown: str


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@functools.lru_cache(maxsize=4096)
def owned(domain: str) -> str:
    """The domain that somebody registered, under which this one is: that is what lists have. "" for a public suffix."""
    label = domain_label(domain)
    if not is_hostname(label) or label.rpartition(".")[2].isdigit():
        return ""
    return _suffixes().privatesuffix(label) or ""


def client_subjects(address: IPAddress | None) -> Iterator[Subject]:
    """Of the client, unless it is an address that many have."""
    if address is not None and address not in _NOBODYS:
        yield Subject(About.CLIENT, address_label(address), str(address))


class Wanted(NamedTuple):
    """Which subjects are wanted.

    about    the kinds of subjects
    hashes   in which forms mailboxes are wanted
    hops     how many hops before the client
    ours     whether a relay is one of ours, so that what it saw can be believed
    skipped  domains that nobody is asked about
    own      our own domains: nobody is asked about their mailboxes
    """

    about: frozenset[About]
    hashes: frozenset[Hash]
    hops: int
    ours: Callable[[IPAddress], bool]
    skipped: HostList
    own: HostList


def subjects_of(connection: Connection, message: Message, wanted: Wanted) -> list[Subject]:
    """What is to be asked about a message, the most telling first, at most MOST of each kind."""
    client, hops = _path(connection, message, wanted)
    hosts = list(_hosts(message)) if wanted.about & {About.LINKS, About.LINK_ADDRESSES} else []
    makers: Mapping[About, Callable[[], Iterable[Subject]]] = {
        About.CLIENT: lambda: client_subjects(client),
        About.SENDER: lambda: _domains(About.SENDER, [parse_mailbox(message.mail_from).domain], wanted),
        About.AUTHOR: lambda: _domains(About.AUTHOR, [one.domain for one in authors(message)], wanted),
        About.REPLY_TO: lambda: _domains(About.REPLY_TO, [one.domain for one in _replies(message)], wanted),
        About.SIGNERS: lambda: _domains(About.SIGNERS, _signers(message), wanted),
        About.HELO: lambda: _domains(About.HELO, [connection.helo], wanted),
        About.LINKS: lambda: _domains(About.LINKS, [one for one in hosts if isinstance(one, str)], wanted),
        About.LINK_ADDRESSES: lambda: _addresses(
            About.LINK_ADDRESSES, (one for one in hosts if not isinstance(one, str))
        ),
        About.EMAILS: lambda: _mailboxes(message, wanted),
        About.HOPS: lambda: _addresses(About.HOPS, hops),
    }
    found: list[Subject] = []
    for about in About:
        if about in wanted.about:
            found += itertools.islice(dict.fromkeys(makers[about]()), MOST)
    return found


def _path(connection: Connection, message: Message, wanted: Wanted) -> tuple[IPAddress | None, list[IPAddress]]:
    """The client, and the addresses from which the mail came to it. What a trusted relay writes into Received is true: the
    address that it saw is the client then. What stands below can be forged."""
    finding = message.findings.get(ConnectionFinding)
    seen = _received(message, wanted.hops + 5)
    client = parse_ip(connection.ip)
    if finding is not None and finding.client is ClientClass.TRUSTED_RELAY:
        client = next((address for address in seen if not wanted.ours(address)), None)
    hops = (address for address in seen if address != client and not wanted.ours(address))
    return client, list(itertools.islice(hops, wanted.hops))


def _received(message: Message, most: int) -> Iterator[IPAddress]:
    """The addresses in Received, the last hop first, as far as they are wanted."""
    fields = itertools.islice(message.fields(b"received"), most)
    texts = (b" ".join(field.value[:_MAX_RECEIVED].split()).decode("ascii", "replace") for field in fields)
    return (address for text in texts if (address := seen_by_server(text)) is not None)


def seen_by_server(received: str) -> IPAddress | None:
    """The address of the client in the value of a Received field, as the server saw it; None where it says none."""
    match = _FROM.match(received.strip())
    if match is None:
        return None
    found = _IN_COMMENT.findall(match[1])[-1:] or _IN_BRACKETS.findall(match[1])[:1]
    return parse_ip(found[0]) if found else None


def _domains(about: About, domains: Iterable[str], wanted: Wanted) -> Iterator[Subject]:
    for domain in domains:
        name = owned(domain)
        if name and name not in wanted.skipped:
            yield Subject(about, name, name)


def _addresses(about: About, addresses: Iterable[IPAddress | None]) -> Iterator[Subject]:
    for address in addresses:
        if address is not None and address not in _NOBODYS:
            yield Subject(about, address_label(address), str(address))


def _replies(message: Message) -> tuple[Mailbox, ...]:
    return tuple(one for field in message.fields(b"reply-to")[:3] for one in mailboxes(field.value))


def _signers(message: Message) -> list[str]:
    dkim = message.findings.get(DkimFinding)
    return [one.domain for one in dkim.signatures if one.result is DkimResult.PASS] if dkim is not None else []


def _hosts(message: Message) -> Iterator[str | IPAddress]:
    for link in shown(message).links():
        host = host_of(link)
        if host is not None:
            yield host


def _mailboxes(message: Message, wanted: Wanted) -> Iterator[Subject]:
    text = next(iter(shown(message).text()), "")[:_MAX_TEXT]
    found = itertools.chain(
        authors(message),
        _replies(message),
        (mailbox for link in shown(message).links() if (mailbox := mailbox_of(link)) is not None),
        (parse_mailbox(match[0]) for match in _MAILBOX.finditer(text)),
    )
    for mailbox in itertools.islice(dict.fromkeys(found), MOST):
        if mailbox.domain in wanted.own:
            continue
        for form in sorted(wanted.hashes):
            if label := mailbox_label(mailbox, form):
                yield Subject(About.EMAILS, f"{form}:{label}", from_wire(str(mailbox), 300))
