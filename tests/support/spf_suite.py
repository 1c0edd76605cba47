"""The test suite of RFC 7208 (openspf.org, as pyspf's source archive carries it): its scenarios, and its zones as real DNS."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
import yaml

from antispam.deadline import Deadline
from antispam.net.resolver import Answer, DNSTemporaryError, RdType, Status
from support.dns import ScriptedResolver
from support.sources import unpacked_sdist


class SuiteResolver(ScriptedResolver):
    """Zones in the suite's notation: SPF records stand for TXT where a name has no TXT; the word TIMEOUT makes every type
    without a record time out."""

    def __init__(self, zonedata: Mapping[str, list[Any]]) -> None:
        super().__init__({name: _zone(records) for name, records in zonedata.items()})
        self.silent = {name.lower() for name, records in zonedata.items() if "TIMEOUT" in records}

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        answer = super().lookup(name, rdtype, deadline)
        if not answer.found and (name.lower() in self.silent or name.startswith("error.")):
            raise DNSTemporaryError("time-out")
        return answer


def _zone(records: list[Any]) -> dict[str, Any]:
    zone: dict[str, Any] = {}
    explicit = any("TXT" in record for record in records if isinstance(record, dict))
    for record in records:
        for rdtype, value in record.items() if isinstance(record, dict) else ():
            if rdtype == "SPF" and explicit:
                continue
            rdtype = "TXT" if rdtype == "SPF" else rdtype
            if value == "TIMEOUT":
                zone[rdtype] = value
            elif value != "NONE":
                zone.setdefault(rdtype, []).append(_record(rdtype, value))
    return zone


def _record(rdtype: str, value: Any) -> Any:
    if rdtype == "TXT":
        return "".join([value] if isinstance(value, str) else value)
    return (value[0], value[1]) if rdtype == "MX" else value


class SuiteResponder:
    """Answers real packets from a scenario's zones; a `Responder` for support.dns.loopback_nameserver. Nothing may be kept.

    Where the suite has TIMEOUT it answers SERVFAIL at once, which means the same (RFC 7208 section 2.6.6): a resolver that had
    to notice silence quickly would take a busy machine's late answers for silence, too.
    """

    def __init__(self, zonedata: Mapping[str, list[Any]]) -> None:
        self._resolver = SuiteResolver(zonedata)

    def __call__(self, query: dns.message.Message, by_tcp: bool) -> dns.message.Message:
        question = query.question[0]
        name = b".".join(question.name.labels[:-1]).decode("ascii", "replace")  # unescaped: some have blanks
        kind: Any = dns.rdatatype.to_text(question.rdtype)
        response = dns.message.make_response(query)
        try:
            answer = self._resolver.lookup(name, kind, Deadline.after(60))
        except DNSTemporaryError:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        if answer.status is Status.NXDOMAIN:
            response.set_rcode(dns.rcode.NXDOMAIN)
        records = [_rdata(kind, value) for value in _values(answer)]
        if records:
            response.answer.append(dns.rrset.from_rdata_list(question.name, 0, records))
        return response


def _values(answer: Answer) -> tuple[Any, ...]:
    return answer.texts or answer.addresses or answer.exchanges or answer.names


def _rdata(kind: str, value: Any) -> dns.rdata.Rdata:
    if isinstance(value, bytes):
        pieces = [value[start : start + 255] for start in range(0, len(value), 255)] or [b""]
        wire = b"".join(bytes([len(piece)]) + piece for piece in pieces)
        return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, wire, 0, len(wire))
    text = f"{value[0]} {value[1].rstrip('.')}." if kind == "MX" else value
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text if kind in ("A", "AAAA", "MX") else f"{text.rstrip('.')}.")


def scenarios() -> list[dict[str, Any]]:
    """All of them; skips the test where the archive can't be fetched."""
    try:
        folder = unpacked_sdist("pyspf", "2.0.14")
    except subprocess.CalledProcessError:
        pytest.skip("needs a package registry, to fetch pyspf's source archive")
    with open(folder / "test" / "rfc7208-tests.yml", "rb") as stream:
        return list(yaml.load_all(stream, Loader=yaml.CSafeLoader))
