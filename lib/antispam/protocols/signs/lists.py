"""The lists shipped with this module: brands, shorteners, free mailers, domains of tenants, each with its date."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from antispam.net.addresses import HostList, normalize_domain, parents
from antispam.protocols.signs.words import words_of
from dspam import shapes

_HERE = Path(__file__).resolve().parent
_WEAK = "~"
_RESERVED = frozenset({"example", "test", "invalid"})  # RFC 2606


@functools.lru_cache(maxsize=8192)  # the same hosts recur
def owner(host: str) -> str:
    """A guess at the organizational domain of a host, without a public suffix list: two labels, or three for suffixes
    such as co.uk.
    """
    return shapes.owner(host.encode("utf-8", "replace")).decode("utf-8", "replace")


def is_below(host: str, domains: frozenset[str]) -> str:
    """The domain in the list that equals the host or is above it; "" for none."""
    for one in parents(host):
        if one in domains:
            return one
    return ""


def lines(name: str) -> Iterator[str]:
    """The lines of a shipped list, without comments and empty lines."""
    for line in (_HERE / name).read_text().splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            yield text


@functools.cache
def shorteners() -> frozenset[str]:
    return frozenset(word for line in lines("shorteners.txt") for word in line.split())


@functools.cache
def free_mailers() -> frozenset[str]:
    return frozenset(word for line in lines("free_mailers.txt") for word in line.split())


@functools.cache
def picture_hosts() -> frozenset[str]:
    return frozenset(word for line in lines("picture_hosts.txt") for word in line.split())


@functools.cache
def cheap() -> frozenset[str]:
    """Top-level domains, and domains sold like these, in which a name costs nearly nothing."""
    return frozenset(word for line in lines("cheap_domains.txt") for word in line.split())


@functools.cache
def tenants(kind: str) -> frozenset[str]:
    """Domains under which anybody can get a name; kind is "mail", "page" or "gateway"."""
    found = (line.partition(":") for line in lines("tenants.txt"))
    return frozenset(word for name, _, rest in found if name == kind for word in rest.split())


@dataclasses.dataclass(frozen=True, slots=True)
class Brand:
    """A brand: its name for display and as words, whether these are common words, and the domains of its mail."""

    name: str
    words: tuple[str, ...]
    weak: bool
    domains: frozenset[str]
    labels: frozenset[str]
    patterns: HostList

    def owns(self, domain: str) -> bool:
        """Whether a domain belongs to the brand: in its list, below one of those, or the brand's own label under a
        country.
        """
        organization = owner(domain)
        if is_below(domain, self.domains) or organization in self.patterns:
            return True
        label, _, suffix = organization.partition(".")
        if suffix in _RESERVED:  # used in examples and tests
            return label in self.labels or any(one.partition(".")[0] == label for one in self.domains)
        return label in self.labels and _is_national(suffix)


def _is_national(suffix: str) -> bool:
    """Whether it is a country's top-level domain or one that is equally hard for others to get: "de", "co.uk", "com"."""
    last = suffix.rpartition(".")[2]
    return suffix in ("com", "eu") or (
        len(last) == 2 and suffix not in ("tk", "ml", "ga", "cf", "gq", "su", "ws", "cc")
    )


class Brands:
    """Brands by the first word of their names. Raises ValueError for an invalid line."""

    def __init__(self, described: Iterable[str]) -> None:
        self._by_first: dict[str, list[Brand]] = {}
        for text in described:
            names, colon, domains = text.partition(":")
            if not colon or not domains.split():
                raise ValueError(f"{text!r}: expected NAME, NAME: DOMAIN DOMAIN")
            listed = domains.split()
            own = frozenset(normalize_domain(one) for one in listed if "*" not in one)
            patterns = HostList(one for one in listed if "*" in one and not re.fullmatch(r"[^*]+\.\*", one))
            labels = frozenset(one[:-2].lower() for one in listed if re.fullmatch(r"[^*]+\.\*", one))
            for name in names.split(","):
                words = words_of(name.strip().removeprefix(_WEAK))
                if not words:
                    raise ValueError(f"{text!r}: a brand without a name")
                shown = name.strip().removeprefix(_WEAK)
                brand = Brand(shown, words, name.strip().startswith(_WEAK), own, labels, patterns)
                self._by_first.setdefault(words[0], []).append(brand)

    def named_in(self, words: tuple[str, ...]) -> Iterator[Brand]:
        """The brands whose names occur in a text, in the order of the text."""
        for at, word in enumerate(words):
            for brand in self._by_first.get(word, ()):
                if words[at : at + len(brand.words)] == brand.words:
                    yield brand

    def of_domain(self, domain: str) -> Brand | None:
        """The brand that owns a domain, if any."""
        return next((one for some in self._by_first.values() for one in some if one.owns(domain)), None)


@functools.lru_cache(maxsize=8)
def brands(more: tuple[str, ...] = ()) -> Brands:
    """The shipped brands and those of the site, in the same format. Raises ValueError."""
    return Brands([*lines("brands.txt"), *more])
