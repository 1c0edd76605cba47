"""The destinations to which reports about a domain may be sent (RFC 9990 section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from antispam.deadline import Deadline
from antispam.net.addresses import MAX_DOMAIN, is_hostname, normalize_domain
from antispam.net.resolver import Lookup
from antispam.protocols.dmarc import parse_record, walk


def destinations(domain: str, resolver: Lookup, deadline: Deadline) -> tuple[str, ...]:
    """The addresses for reports about `domain`, which publishes a DMARC record itself. Addresses in other organizations
    are included only if their owners agree. Empty if the domain no longer publishes a record. Raises DNSTemporaryError.
    """
    records = [
        record for record in map(parse_record, _texts(f"_dmarc.{domain}", resolver, deadline)) if record is not None
    ]
    if len(records) != 1:
        return ()
    found: dict[str, None] = {}
    for address in records[0].rua:
        found |= dict.fromkeys(_agreed(address, domain, resolver, deadline))
    return tuple(found)


def _agreed(address: str, domain: str, resolver: Lookup, deadline: Deadline) -> Iterable[str]:
    """The address, or those that its host names instead; none if the host has not agreed. Otherwise a domain could have
    anybody flooded with reports.
    """
    host = _host(address)
    if not is_hostname(host):
        return ()
    if host == domain or _organization(host, resolver, deadline) == _organization(domain, resolver, deadline):
        return (address,)
    name = f"{domain}._report._dmarc.{host}"
    if len(name) > MAX_DOMAIN:
        return ()
    records = [record for record in map(parse_record, _texts(name, resolver, deadline)) if record is not None]
    if not records:
        return ()
    instead = [one for record in records for one in record.rua]
    if any(_host(one) != host for one in instead):
        return ()
    return instead or (address,)


def _host(address: str) -> str:
    return normalize_domain(address.rpartition("@")[2])


def _organization(domain: str, resolver: Lookup, deadline: Deadline) -> str:
    return walk(domain, resolver, deadline).organizational


def _texts(name: str, resolver: Lookup, deadline: Deadline) -> tuple[bytes, ...]:
    return resolver.lookup(name, "TXT", deadline).texts
