"""DNS zones of a test: master-file text, completed so that a name server can load it."""

from __future__ import annotations

import dataclasses
import ipaddress

_HEAD = "$ORIGIN {origin}\n$TTL 60\n@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60\n@ NS ns.invalid.\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Zone:
    """name without final dot ("" is the root); records as master-file lines, or None: the server answers SERVFAIL."""

    name: str
    records: str | None

    @property
    def text(self) -> str:
        return _HEAD.format(origin=f"{self.name}.") + (self.records or "") + "\n"


def quoted_text(text: str) -> str:
    """The right-hand side of a TXT record for a text of any length (RFC 7208 section 3.3)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return " ".join(f'"{escaped[at : at + 200]}"' for at in range(0, len(escaped), 200))


def address_record(name: str, address: str) -> str:
    kind = "AAAA" if ":" in address else "A"
    return f"{name} {kind} {address}"


def complete(zones: list[Zone], hosts: dict[str, str]) -> list[Zone]:
    """What one name server serves: the zones, plus forward and reverse records of hosts (address to name).

    A host whose name lies in one of the zones gets no address record of ours when the zone mentions the name itself.
    An empty root zone makes every other name NXDOMAIN instead of REFUSED, which would look like a broken resolver.
    """
    records = {zone.name: zone.records for zone in zones}
    given = dict(records)
    for address, name in hosts.items():
        pointer = ipaddress.ip_address(address).reverse_pointer
        tree = "ip6.arpa" if pointer.endswith("ip6.arpa") else "in-addr.arpa"
        _add(records, tree, f"{pointer}. PTR {name}.")
        home = _zone_of(name, records)
        if not _mentions(given.get(home), name, home):
            _add(records, home, address_record(f"{name}.", address))
    for tree in ("", "in-addr.arpa", "ip6.arpa"):
        records.setdefault(tree, "")
    return [Zone(name, text) for name, text in records.items()]


def _add(records: dict[str, str | None], zone: str, line: str) -> None:
    before = records.setdefault(zone, "")
    if before is not None:
        records[zone] = f"{before}\n{line}"


def _zone_of(name: str, records: dict[str, str | None]) -> str:
    inside = (zone for zone in records if zone and (name == zone or name.endswith(f".{zone}")))
    return max(inside, key=len, default=name)


def _mentions(text: str | None, name: str, zone: str) -> bool:
    short = "@" if name == zone else name.removesuffix(f".{zone}")
    owners = {line.split()[0].lower() for line in (text or "").splitlines() if line.strip() and not line[0].isspace()}
    return bool(owners & {short.lower(), f"{name.lower()}."})
