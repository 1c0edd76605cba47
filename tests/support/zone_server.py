"""A name server for tests without root: the same zones as nsd would serve, answered in this process."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

from support.zones import Zone


class ZoneResponder:
    """Answers queries from zones; a `Responder` for support.dns.loopback_nameserver."""

    def __init__(self, zones: list[Zone]) -> None:
        self._zones: dict[dns.name.Name, dns.zone.Zone | None] = {}
        for zone in zones:
            origin = dns.name.from_text(f"{zone.name}.")
            served = None if zone.records is None else dns.zone.from_text(zone.text, origin, relativize=False)
            self._zones[origin] = served

    def __call__(self, query: dns.message.Message, by_tcp: bool) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        question = query.question[0]
        response.set_rcode(self._fill(response, question.name, question.rdtype))
        return response

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.rcode.Rcode:
        for _ in range(16):
            zone, found = self._zone_of(name)
            if not found:
                return dns.rcode.REFUSED
            if zone is None:
                return dns.rcode.SERVFAIL
            node = _node(zone, name)
            if node is None:
                response.authority.append(_start_of_authority(zone))
                return dns.rcode.NOERROR if _is_empty_non_terminal(zone, name) else dns.rcode.NXDOMAIN
            records = node.get_rdataset(zone.rdclass, kind)
            alias = node.get_rdataset(zone.rdclass, dns.rdatatype.CNAME)
            if records is None and alias is None:
                response.authority.append(_start_of_authority(zone))
                return dns.rcode.NOERROR
            chosen = records if records is not None else alias
            response.answer.append(dns.rrset.from_rdata_list(name, chosen.ttl, list(chosen)))
            if records is not None:
                return dns.rcode.NOERROR
            name = alias[0].target
        return dns.rcode.SERVFAIL

    def _zone_of(self, name: dns.name.Name) -> tuple[dns.zone.Zone | None, bool]:
        while True:
            if name in self._zones:
                return self._zones[name], True
            if name == dns.name.root:
                return None, False
            name = name.parent()


def _node(zone: dns.zone.Zone, name: dns.name.Name):  # type: ignore[no-untyped-def]
    node = zone.get_node(name)
    while node is None and name != zone.origin and not _is_empty_non_terminal(zone, name):
        name = name.parent()
        node = zone.get_node(dns.name.Name([b"*", *name.labels]))
        if zone.get_node(name) is not None:
            break
    return node


def _is_empty_non_terminal(zone: dns.zone.Zone, name: dns.name.Name) -> bool:
    return any(other != name and other.is_subdomain(name) for other in zone.nodes)


def _start_of_authority(zone: dns.zone.Zone) -> dns.rrset.RRset:
    origin = zone.origin or dns.name.root
    (record,) = zone.find_rdataset(origin, dns.rdatatype.SOA)
    return dns.rrset.from_rdata(origin, record.minimum, record)
