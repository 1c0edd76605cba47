"""[dnsbl]: the lists that are asked."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping

from antispam.checks._shared.dnsbl import shipped
from antispam.checks._shared.dnsbl.zone import About, Zone
from antispam.mail.score import Test
from antispam.net.addresses import host_list
from antispam.protocols.dnsbl import Code, parse_code
from antispam.settings import CheckSettings, Contradiction, OnError, option, section, sections
from antispam.settings.load import nearest
from antispam.settings.values import duration, not_negative, positive

_DEFAULT = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class DnsList:
    """A list that is asked: its name, its description, and the meaning of its answers."""

    name: str
    zone: Zone
    codes: tuple[Code, ...]

    @property
    def domain(self) -> str:
        return self.zone.zone


@section("dnsbl")
class DnsblSettings(CheckSettings):
    """[dnsbl]: public DNS lists of clients, domains and mailboxes."""

    zones: tuple[str, ...] = option(
        (_DEFAULT,),
        "the lists to ask, by name: those with a section [dnsbl NAME], and shipped ones (docs/dnsbl.md); default stands "
        "for the shipped ones that need no registration; empty is off",
    )
    timeout: float = option(
        2.0, "how long the answers for one message may take, all together", parse=duration("s"), check=positive
    )
    max_queries: int = option(60, "how many questions one message may cost", check=positive)
    hops: int = option(3, "how many Received fields before the client's own are examined", check=not_negative)
    except_domains: tuple[str, ...] = option(
        ("w3.org", "gmail.com", "google.com", "outlook.com", "microsoft.com", "apple.com", "yahoo.com", "facebook.com"),
        "domains that are never asked about, besides our own ([milter] internal_domains), because everybody links to them",
        check=host_list,
    )
    on_error: OnError = option(
        OnError.ACCEPT, "after a defect of the check: accept (go on without), tempfail or reject"
    )
    known: Mapping[str, Zone] = sections(Zone, "one list", shipped.ZONES)

    def __post_init__(self) -> None:
        for name in self.zones:
            if name != _DEFAULT and name not in self.known:
                near = nearest(name, [_DEFAULT, *self.known])
                advice = f"; did you mean {near}?" if near else f"; describe it in a section [dnsbl {name}]"
                raise Contradiction("zones", f"there is no list {name}{advice}")

    @functools.cached_property
    def lists(self) -> tuple[DnsList, ...]:
        """The lists that are asked."""
        return self.asked(self.zones)

    def asked(self, zones: tuple[str, ...]) -> tuple[DnsList, ...]:
        """The lists of these names."""
        wanted = (one for name in zones for one in (shipped.DEFAULT if name == _DEFAULT else (name,)))
        return tuple(_list(name, self.known[name]) for name in dict.fromkeys(wanted))

    @functools.cached_property
    def by_name(self) -> Mapping[str, DnsList]:
        return {one.name: one for one in self.lists}

    @property
    def doubts(self) -> tuple[str, ...]:
        """Warnings about lists that are described but not asked."""
        own = [
            name for name, zone in self.known.items() if shipped.ZONES.get(name) != zone and name not in self.by_name
        ]
        return tuple(f"[dnsbl {name}] has no effect: [dnsbl] zones does not name it" for name in own)

    @property
    def tests(self) -> tuple[Test, ...]:
        """The score's tests for the answers of these lists."""
        return tuple(
            Test(code.test, code.points, "dnsbl", f"An answer of {one.domain}.")
            for one in self.lists
            for code in one.codes
        )


def _list(name: str, zone: Zone) -> DnsList:
    word = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return DnsList(name, zone, zone.codes or (parse_code(f"127.*.*.* DNSBL_{word} 1.0"),))


__all__ = ["About", "DnsList", "DnsblSettings", "Zone"]
