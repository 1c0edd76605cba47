"""Name servers for tests: a scripted `Lookup` that needs no network, and real packets answered on loopback."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dns.message

from antispam.deadline import Deadline
from antispam.net.addresses import ascii_domain
from antispam.net.resolver import Answer, DNSTemporaryError, RdType, Status
from support.network import Network

TIMEOUT = "TIMEOUT"
"""In a zone instead of records: the question is never answered."""

Zones = Mapping[str, Mapping[str, Any] | str]
"""Name -> type -> records, or TIMEOUT. Records: text or bytes for TXT, (preference, host) for MX, else text; a CNAME is
followed."""


class ScriptedResolver:
    """Answers from `zones`; a name that is not there does not exist. Every question is kept in `asked`."""

    def __init__(self, zones: Zones | None = None) -> None:
        self.zones = {name.lower(): records for name, records in (zones or {}).items()}
        self.asked: list[tuple[str, str]] = []

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        self.asked.append((name, rdtype))
        if deadline.expired:
            raise DNSTemporaryError("no time left")
        wire_name = ascii_domain(name)
        if wire_name is None:
            return Answer(name, rdtype, Status.INVALID_NAME)
        return self._follow(wire_name, rdtype)

    def _follow(self, name: str, rdtype: RdType) -> Answer:
        target = name
        for _ in range(12):
            zone = self.zones.get(target)
            if zone is None:
                return Answer(name, rdtype, Status.NXDOMAIN)
            if isinstance(zone, str) or zone.get(rdtype) == TIMEOUT:
                raise DNSTemporaryError(f"time-out for {rdtype} {target}")
            if "CNAME" not in zone or rdtype == "CNAME":
                return _answer(name, rdtype, zone.get(rdtype, ()))
            target = zone["CNAME"][0].lower().rstrip(".")
        raise DNSTemporaryError(f"endless CNAME chain at {name}")


def _answer(name: str, rdtype: RdType, records: Sequence[Any]) -> Answer:
    if not records:
        return Answer(name, rdtype, Status.NODATA)
    match rdtype:
        case "TXT":
            texts = tuple(text if isinstance(text, bytes) else text.encode() for text in records)
            return Answer(name, rdtype, Status.FOUND, texts=texts)
        case "MX":
            return Answer(name, rdtype, Status.FOUND, exchanges=tuple(sorted(records)))
        case "A" | "AAAA":
            return Answer(name, rdtype, Status.FOUND, addresses=tuple(records))
        case _:
            return Answer(name, rdtype, Status.FOUND, names=tuple(records))


Responder = Callable[[dns.message.Message, bool], dns.message.Message | bytes | None]
"""What to send back for a query (and whether it came by TCP); None: silence."""


@contextlib.contextmanager
def loopback_nameserver(respond: Responder, tcp: bool = True, network: Network | None = None) -> Iterator[int]:
    """Answers real packets on 127.0.0.1, of a network of its own where one is named, while the context lasts; gives the port,
    the same for UDP and TCP."""
    place = network or Network()
    with contextlib.ExitStack() as stack:
        port = place.free_port()
        stream = stack.enter_context(place.listen(port=port))
        datagrams = stack.enter_context(place.new_socket("127.0.0.1", socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", port))
        if not tcp:
            stream.close()
        threads = [threading.Thread(target=_serve_datagrams, args=(datagrams, respond))]
        if tcp:
            threads.append(threading.Thread(target=_serve_streams, args=(stream, respond)))
        for thread in threads:
            thread.start()
        try:
            yield port
        finally:
            with place.new_socket("127.0.0.1", socket.SOCK_DGRAM) as bell:
                bell.sendto(b"", ("127.0.0.1", port))
            if tcp:
                place.connect("127.0.0.1", port).close()
            for thread in threads:
                thread.join()


def _serve_datagrams(sock: socket.socket, respond: Responder) -> None:
    while True:
        raw, client = sock.recvfrom(65535)
        if not raw:
            return
        response = respond(dns.message.from_wire(raw), False)
        if response is not None:
            sock.sendto(response if isinstance(response, bytes) else response.to_wire(), client)


def _serve_streams(sock: socket.socket, respond: Responder) -> None:
    while True:
        connection, _ = sock.accept()
        with connection, connection.makefile("rb") as stream:
            length = stream.read(2)
            if len(length) < 2:
                return
            response = respond(dns.message.from_wire(stream.read(struct.unpack("!H", length)[0])), True)
            if response is not None:
                raw = response if isinstance(response, bytes) else response.to_wire()
                connection.sendall(struct.pack("!H", len(raw)) + raw)
