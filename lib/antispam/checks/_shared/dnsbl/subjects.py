"""The parts of a message that lists are asked about: addresses, domains and mailboxes, in the form of the question."""

from __future__ import annotations

import dataclasses
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
_MAX_RECEIVED = 2000  # octets read of a Received field
_MAX_TEXT = 20_000
# "from HELO (name [192.0.2.1])": the address that the server saw is in brackets in the comment (sendmail, Postfix), or
# in the first brackets (Exim). A HELO name may also be an address in brackets.
_FROM = re.compile(r"from\s", re.IGNORECASE)
_FROM_END = re.compile(r"\sby\s|;", re.IGNORECASE)
_FROM_LENGTH = 5
_MAX_FROM = 600  # characters of its description of the client
_IN_COMMENT = re.compile(r"\((?:[^()\[\]\s]{0,300}\s)?\[(?:IPv6:)?([0-9a-f:.]{3,45})\]", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9a-f:.]{3,45})\]", re.IGNORECASE)
_MAILBOX = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}(?![\w-])", re.ASCII
)


# Networks that thousands of sites use (RFC 6890): no list has them.
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
    """A subject that lists may be asked about.

    about  its kind
    label  the label before the list's domain; for mailboxes, one for each hash
    shown  in readable form
    """

    about: About
    label: str
    shown: str


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@functools.lru_cache(maxsize=4096)
def owned(domain: str) -> str:
    """The registered domain that this one belongs to, which is what lists contain. "" for a public suffix."""
    label = domain_label(domain)
    if not is_hostname(label) or label.rpartition(".")[2].isdigit():
        return ""
    return _suffixes().privatesuffix(label) or ""


def client_subjects(address: IPAddress | None) -> list[Subject]:
    """The subjects of the client, unless its address is one that many sites use."""
    return _addresses(About.CLIENT, [address])


@dataclasses.dataclass(frozen=True, eq=False)
class Wanted:
    """The subjects to ask about.

    about    the kinds of subjects
    hashes   the hash forms wanted for mailboxes
    hops     the number of hops before the client
    ours     tells whether a relay is ours, so that its Received fields can be trusted
    skipped  domains that are never asked about
    own      our own domains, whose mailboxes are never asked about
    """

    about: frozenset[About]
    hashes: frozenset[Hash]
    hops: int
    ours: Callable[[IPAddress], bool]
    skipped: HostList
    own: HostList

    @functools.cached_property
    def kinds(self) -> tuple[About, ...]:
        """The kinds of subjects in their order."""
        return tuple(one for one in About if one in self.about)

    @functools.cached_property
    def of_domain(self) -> Callable[[About, str], Subject | None]:
        """A cached function that returns the subject for a domain, None if there is none; the same domains recur."""

        def subject(about: About, domain: str) -> Subject | None:
            name = owned(domain)
            return Subject(about, name, name) if name and name not in self.skipped else None

        return functools.lru_cache(maxsize=4096)(subject)


class _Seen:
    """The parts of a message that several kinds of subjects use."""

    def __init__(self, connection: Connection, message: Message, wanted: Wanted) -> None:
        self.connection = connection
        self.message = message
        self.wanted = wanted
        self.client, self.hops = _path(connection, message, wanted)

    @functools.cached_property
    def hosts(self) -> list[str | IPAddress]:
        return list(_hosts(self.message))


_MAKERS: Mapping[About, Callable[[_Seen], list[Subject]]] = {
    About.CLIENT: lambda seen: client_subjects(seen.client),
    About.SENDER: lambda seen: _domains(About.SENDER, [parse_mailbox(seen.message.mail_from).domain], seen.wanted),
    About.AUTHOR: lambda seen: _domains(About.AUTHOR, [one.domain for one in authors(seen.message)], seen.wanted),
    About.REPLY_TO: lambda seen: _domains(About.REPLY_TO, [one.domain for one in _replies(seen.message)], seen.wanted),
    About.SIGNERS: lambda seen: _domains(About.SIGNERS, _signers(seen.message), seen.wanted),
    About.HELO: lambda seen: _domains(About.HELO, [seen.connection.helo], seen.wanted),
    About.LINKS: lambda seen: _domains(About.LINKS, [one for one in seen.hosts if isinstance(one, str)], seen.wanted),
    About.LINK_ADDRESSES: lambda seen: _addresses(
        About.LINK_ADDRESSES, [one for one in seen.hosts if not isinstance(one, str)]
    ),
    About.EMAILS: lambda seen: list(_mailboxes(seen.message, seen.wanted)),
    About.HOPS: lambda seen: _addresses(About.HOPS, seen.hops),
}


def subjects_of(connection: Connection, message: Message, wanted: Wanted) -> list[Subject]:
    """The subjects of a message, the most significant first, at most MOST of each kind."""
    seen = _Seen(connection, message, wanted)
    found: list[Subject] = []
    for about in wanted.kinds:
        some = _MAKERS[about](seen)
        found += some if len(some) < 2 else itertools.islice(dict.fromkeys(some), MOST)
    return found


def _path(connection: Connection, message: Message, wanted: Wanted) -> tuple[IPAddress | None, list[IPAddress]]:
    """The client, and the addresses that passed the mail to it. A trusted relay's Received field is believed: the
    address in it is then the client. Fields below can be forged.
    """
    finding = message.findings.get(ConnectionFinding)
    seen = _received(message, wanted.hops + 5)
    client = parse_ip(connection.ip)
    if finding is not None and finding.client is ClientClass.TRUSTED_RELAY:
        client = next((address for address in seen if not wanted.ours(address)), None)
    hops = (address for address in seen if address != client and not wanted.ours(address))
    return client, list(itertools.islice(hops, wanted.hops))


def _received(message: Message, most: int) -> Iterator[IPAddress]:
    """The wanted addresses in Received fields, last hop first."""
    for _, value in message.by_name().get(b"received", ())[:most]:
        address = seen_by_server(b" ".join(value[:_MAX_RECEIVED].split()).decode("ascii", "replace"))
        if address is not None:
            yield address


def seen_by_server(received: str) -> IPAddress | None:
    """The address of the client in the value of a Received field, as the server saw it; None without one."""
    text = received.strip()
    if _FROM.match(text) is None:
        return None
    client = text[_FROM_LENGTH : _end_of_from(text)]
    if len(client) > _MAX_FROM or "[" not in client:
        return None
    found = _IN_COMMENT.findall(client)[-1:] or _IN_BRACKETS.findall(client)[:1]
    return parse_ip(found[0]) if found else None


def _end_of_from(text: str) -> int:
    if text.isascii() and text.isprintable():  # a plain search is ten times as fast, and knows one kind of blank
        by, semicolon = text.lower().find(" by ", _FROM_LENGTH), text.find(";", _FROM_LENGTH)
        return min(by if by >= 0 else len(text), semicolon if semicolon >= 0 else len(text))
    end = _FROM_END.search(text, _FROM_LENGTH)
    return end.start() if end else len(text)


def _domains(about: About, domains: Iterable[str], wanted: Wanted) -> list[Subject]:
    of_domain = wanted.of_domain
    return [one for domain in domains if (one := of_domain(about, domain)) is not None]


def _addresses(about: About, addresses: Iterable[IPAddress | None]) -> list[Subject]:
    return [one for address in addresses if (one := _of_address(about, address)) is not None]


@functools.lru_cache(maxsize=4096)
def _of_address(about: About, address: IPAddress | None) -> Subject | None:
    """The subject of an address; None for one that many sites use."""
    if address is None or address in _NOBODYS:
        return None
    return Subject(about, address_label(address), str(address))


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
