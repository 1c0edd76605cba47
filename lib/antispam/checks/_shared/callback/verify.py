"""Call-back verification: the servers that accept mail for an address, which of them may be called, and their answers.

The sender of a message chooses the domain, and thereby the addresses that we connect to. So only public addresses are
called: not this machine, and not internal networks, however the DNS presents them. A name is looked up once, and we
connect to the very address that was checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterator

from antispam.deadline import Deadline
from antispam.net.addresses import ClientList, IPAddress, ascii_domain, is_hostname
from antispam.net.resolver import DNSTemporaryError, Lookup, Status
from antispam.protocols.callback_dialogue import (
    Connect,
    Listener,
    Outcome,
    Unreachable,
    Verification,
    ask,
    connect_by_tcp,
)
from antispam.text import for_log

MAX_HOSTS = 5
MAX_ADDRESSES = 8  # for all hosts together

_SAYABLE = re.compile(r"[^\x00-\x20<>\x7f]{1,255}")
# Networks whose addresses embed an IPv4 address, which is not checked here.
_TUNNELS = tuple(
    map(ipaddress.ip_network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10"))
)


@functools.cache
def _every_address_binds() -> bool:
    """Whether this machine lets a socket bind to foreign addresses (ip_nonlocal_bind). Then binding proves nothing."""
    return _binds(ipaddress.ip_address("192.0.2.1"))


def _binds(address: IPAddress) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((str(address), 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.EACCES)
    return True


def is_this_machine(address: IPAddress) -> bool:
    """Whether one of our interfaces has the address."""
    return not _every_address_binds() and _binds(address)


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """The servers that may be called.

    ours      our own hosts, from the configuration
    also      networks that may be called although they are not public, or ours
    is_local  whether an address is one of this machine
    """

    ours: ClientList = dataclasses.field(default_factory=ClientList)
    also: ClientList = dataclasses.field(default_factory=ClientList)
    is_local: Callable[[IPAddress], bool] = is_this_machine

    def allows(self, address: IPAddress) -> bool:
        return self.also.match(address) or (_is_public(address) and not self.is_ours(address))

    def is_ours(self, address: IPAddress) -> bool:
        """Whether mail for that address comes to us. An internal address is not a public mail server."""
        return _is_public(address) and (self.ours.match(address) or self.is_local(address))


def _is_public(address: IPAddress) -> bool:
    if address.version == 6 and any(address in network for network in _TUNNELS):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    )


class Caller:
    """Asks the servers of a domain, at most `at_once` of them at the same time in this process.

    helo     the name that we give at EHLO
    timeout  seconds for each address, in total
    """

    def __init__(
        self,
        resolver: Lookup,
        reach: Reach,
        slots: threading.Semaphore,
        *,
        helo: str,
        timeout: float = 20.0,
        port: int = 25,
        connect: Connect = connect_by_tcp,
        listen: Listener = lambda who, line: None,
    ) -> None:
        self._resolver = resolver
        self._reach = reach
        self._slots = slots
        self._helo = helo
        self._timeout = timeout
        self._port = port
        self._connect = connect
        self._listen = listen

    def verify(self, address: str, deadline: Deadline) -> Verification:
        """Whether bounces to `address` would arrive. Returns in time and never raises, whatever the address, the DNS
        and the servers do.
        """
        deadline = deadline.at_most(self._timeout)
        local, _, domain = address.rpartition("@")
        name = ascii_domain(domain)
        if name is None or "." not in name or not is_hostname(name):
            return Verification(Outcome.FAILED, f"{for_log(domain, 100)} is not a domain that accepts mail")
        path = f"{local}@{name}"
        if not _SAYABLE.fullmatch(path) or not _is_unicode(path):
            return Verification(Outcome.UNKNOWN, "the address is too unusual to ask about")
        try:
            hosts = self._hosts(name, deadline)
        except DNSTemporaryError as error:
            return Verification(Outcome.TEMPORARY, f"DNS: {for_log(str(error), 200)}")
        if isinstance(hosts, Verification):
            return hosts
        return self._ask_all(path, hosts, deadline)

    def _hosts(self, domain: str, deadline: Deadline) -> list[str] | Verification:
        """The mail servers of a domain, by preference; the domain itself if it has no MX records (RFC 5321 section
        5.1). Raises DNSTemporaryError.
        """
        answer = self._resolver.lookup(domain, "MX", deadline)
        if answer.status is Status.NXDOMAIN:
            return Verification(Outcome.FAILED, f"there is no domain {domain}")
        if not answer.exchanges:
            return [domain]
        hosts = [host for _, host in answer.exchanges if host]
        if not hosts:
            return Verification(Outcome.FAILED, f"{domain} accepts no mail (null MX)", null_mx=True)
        return hosts[:MAX_HOSTS]

    def _ask_all(self, path: str, hosts: list[str], deadline: Deadline) -> Verification:
        trouble: list[str] = []  # why existing servers could not be asked
        last = Verification(Outcome.FAILED, f"no mail server of {path.rpartition('@')[2]} has an address")
        asked = 0
        for host in hosts:
            for address in self._addresses(host, deadline, trouble):
                if self._reach.is_ours(address) and not self._reach.allows(address):
                    return Verification(Outcome.UNKNOWN, f"{host} is one of our own", host)
                if not self._reach.allows(address):
                    self._listen("*", f"{host} [{address}] is not a public address")
                    last = Verification(Outcome.FAILED, f"{host} has no public address", host)
                    continue
                if asked >= MAX_ADDRESSES or deadline.expired:
                    return Verification(Outcome.TEMPORARY, "; ".join(trouble)[:500] or "no time left", host)
                asked += 1
                found = self._ask_one(path, host, address, deadline, trouble)
                if found is not None:
                    return found
        return Verification(Outcome.TEMPORARY, "; ".join(trouble)[:500]) if trouble else last

    def _ask_one(
        self, path: str, host: str, address: IPAddress, deadline: Deadline, trouble: list[str]
    ) -> Verification | None:
        """Ask one server. None if it cannot be asked; a server that is down must leave time for the next."""
        share = deadline.at_most(max(1.0, deadline.remaining() / 2))
        if not self._slots.acquire(timeout=share.remaining()):
            return Verification(Outcome.TEMPORARY, "too many callbacks are under way at the same time")
        try:
            found = ask(
                path,
                host,
                str(address),
                helo=self._helo,
                deadline=share,
                port=self._port,
                connect=self._connect,
                listen=self._listen,
            )
        except Unreachable as error:
            self._listen("*", str(error))
            trouble.append(f"{host}: {error}")
            return None
        finally:
            self._slots.release()
        return found

    def _addresses(self, host: str, deadline: Deadline, trouble: list[str]) -> Iterator[IPAddress]:
        for kind in ("A", "AAAA"):
            try:
                answer = self._resolver.lookup(host, kind, deadline)
            except DNSTemporaryError as error:
                trouble.append(f"DNS: {for_log(str(error), 200)}")
                continue
            for text in answer.addresses:
                with contextlib.suppress(ValueError):
                    yield _plain(ipaddress.ip_address(text))


def _plain(address: IPAddress) -> IPAddress:
    """The address, with an IPv4-mapped one (::ffff:192.0.2.1) as IPv4."""
    return (address.ipv4_mapped or address) if address.version == 6 else address


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
