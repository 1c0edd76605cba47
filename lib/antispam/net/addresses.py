"""Mailboxes, domains, and the lists of addresses and host names that the configuration holds.

Lists are compiled once; a look-up costs the same however long the list is, except for patterns with wildcards in odd
places, which share one regular expression without backtracking. Look-ups take text from the wire and never raise.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import ipaddress
import re
from collections.abc import Iterable, Iterator

import idna

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)

MAX_DOMAIN = 253  # RFC 1035 section 2.3.4, as text without the final dot
MAX_PATH = 1000  # RFC 5321 section 4.5.3.1.3 asks for 256; clumsy but honest mail must still be understood
_USUAL_PATH = 320  # characters of the longest path that is cached
MAX_PARENTS = 127  # labels in the longest name

_LABELS = re.compile(r"[ -\-/-~]{1,63}+(?:\.[ -\-/-~]{1,63}+)*+")  # printable, of 1 to 63 octets each
_HOSTNAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}+(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}+(?<!-))*+")
_IPV4_GLOB = re.compile(r"((?:\d{1,3}\.){1,3})\*(?:\.\*){0,2}")
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9.*]+")


class AddressListError(ValueError):
    """A pattern in a configured list is invalid."""


def normalize_domain(domain: str) -> str:
    """`domain` in the form for comparison: the result of ascii_domain(). Anything that is not a domain is only
    converted to lower case. Never raises.
    """
    if domain.isascii():
        return domain.removesuffix(".").lower()
    return ascii_domain(domain) or domain.removesuffix(".").lower()


def ascii_domain(name: str) -> str | None:
    """`name` in lower case with U-labels turned into A-labels, without a final dot; None if it can't be a domain name:
    empty or over-long labels, more than 253 octets, control octets, undecodable characters.

    This is the only conversion, so that DNS, lists, access map and results mean the same domain. It uses the
    non-transitional mapping of UTS 46, as browsers and IDNA2008 (RFC 5891) do: "straße" and "strasse" are two domains,
    "Bücher。example" is "bücher.example". The further rules of RFC 5892 are for registries: a registered name with a
    forbidden symbol is a domain like any other.
    """
    if not name.isascii():
        if len(name) > MAX_DOMAIN:
            return None
        try:
            name = ".".join(map(_a_label, idna.uts46_remap(name, std3_rules=False).split(".")))
        except UnicodeError:
            return None
    name = name.removesuffix(".").lower()
    return name if len(name) <= MAX_DOMAIN and _LABELS.fullmatch(name) else None


def _a_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def is_hostname(name: str) -> bool:
    """Whether `name` (normalised) has the syntax of a host name: letters, digits, hyphens, and underscores, which many
    hosts have although RFC 1123 section 2.1 has none; at most 253 characters, labels of at most 63."""
    return len(name) <= MAX_DOMAIN and _HOSTNAME.fullmatch(name) is not None


def check_address(text: str) -> None:
    """Raises ValueError for an invalid address in a configuration. "" stands for none and is valid."""
    if text and not (parse_mailbox(text).local and is_hostname(parse_mailbox(text).domain)):
        raise ValueError("expected an address such as postmaster@example.com")


def parents(domain: str) -> Iterator[str]:
    """`domain` itself, then each domain above it: "a.example.org", "example.org", "org"."""
    for _ in range(MAX_PARENTS):
        yield domain
        _, dot, domain = domain.partition(".")
        if not dot or not domain:
            return


@functools.lru_cache(maxsize=4096)
def parse_ip(text: str) -> IPAddress | None:
    """An address as MTAs write it: plain, bracketed, with `IPv6:` before it, or with a zone after it; None if it is
    invalid. The mapped address of an IPv4 client on an IPv6 socket (::ffff:192.0.2.1) is returned as IPv4.
    """
    if len(text) > 100:
        return None
    text = text.strip().removeprefix("[").removesuffix("]")
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


@dataclasses.dataclass(frozen=True, slots=True)
class Mailbox:
    """An envelope address. `local` is unquoted; `domain` is normalised, "" if there is none, as in the null reverse
    path `<>` and a bare `postmaster`."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    def __bool__(self) -> bool:
        return bool(self.local or self.domain)


def parse_mailbox(path: str) -> Mailbox:
    """The mailbox in a path of RFC 5321 section 4.1.2, angle brackets or not; a source route is skipped (section 4.1.1.3).

    The last `@` outside quotes separates the parts. Never raises: a path that breaks the grammar is split all the same,
    so that it can be looked up and refused. One longer than MAX_PATH is cut.
    """
    return _remembered_mailbox(path) if len(path) <= _USUAL_PATH else _mailbox(path)


def _mailbox(path: str) -> Mailbox:
    text = path.strip()[:MAX_PATH]
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    at = _dividing_at(text)
    if at < 0:
        return Mailbox(_unquote(text), "")
    return Mailbox(_unquote(text[:at]), normalize_domain(text[at + 1 :]))


_remembered_mailbox = functools.lru_cache(maxsize=4096)(_mailbox)  # the checks of a message ask for the same few


def ascii_address(path: str) -> str:
    """The address for our header fields, with its domain in A-labels. If the local part is not US-ASCII, which old
    servers cannot read in a header (RFC 6532), only the domain. Anything but an address is returned unchanged.
    """
    if path.isascii():
        return path
    local, _, domain = path.rpartition("@")
    domain = normalize_domain(domain)
    return f"{local}@{domain}" if local and local.isascii() else domain or path


def as_compared(address: str, fold_case: bool) -> str:
    """The address in the form for comparison: equal for two spellings of one mailbox. With fold_case, Ann@example.com
    equals ann@example.com.
    """
    if len(address) > MAX_PATH:  # parse_mailbox() would read only a part
        return address
    mailbox = parse_mailbox(address)
    local = mailbox.local.lower() if fold_case else mailbox.local
    return f"{local}@{mailbox.domain}" if mailbox.domain else local


def _dividing_at(text: str) -> int:
    """The index of the last `@` outside quoted strings; if a quote is never closed, of the last `@`."""
    if '"' not in text:
        return text.rfind("@")
    quoted, at, position = False, -1, 0
    while position < len(text):
        char = text[position]
        if quoted and char == "\\":
            position += 1
        elif char == '"':
            quoted = not quoted
        elif char == "@" and not quoted:
            at = position
        position += 1
    return text.rfind("@") if quoted else at


def _unquote(local: str) -> str:
    if len(local) >= 2 and local[0] == local[-1] == '"':
        return re.sub(r"\\(.)", r"\1", local[1:-1])
    return local


class HostList:
    """A list of host names: exact ones, `*.example.com` or `.example.com` (all below it, at any depth) and other globs
    (`mx*.example.com`).

    Case and a final dot are ignored. Raises AddressListError for an empty pattern.
    """

    __slots__ = ("_below", "_exact", "_globs")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        exact, below, globs = set(), set(), []
        for pattern in map(str.strip, patterns):
            if not pattern.strip("."):
                raise AddressListError("an empty name in a list of hosts")
            # `.example.com`, as sendmail and Postfix write it, is read before the conversion, which rejects empty
            # labels.
            name = normalize_domain(f"*{pattern}" if pattern.startswith(".") else pattern)
            suffix = name.removeprefix("*.")
            if not _is_glob(name):
                exact.add(name)
            elif suffix != name and not _is_glob(suffix):
                below.add(suffix)
            else:
                globs.append(fnmatch.translate(name))
        self._exact = frozenset(exact)
        self._below = frozenset(below)
        self._globs = re.compile("|".join(globs)) if globs else None

    def __bool__(self) -> bool:
        return bool(self._exact or self._below or self._globs)

    def __contains__(self, host: object) -> bool:
        if not isinstance(host, str) or not host or len(host) > MAX_PATH:
            return False
        if not (self._exact or self._below or self._globs):  # most lists are empty
            return False
        name = normalize_domain(host)
        if name in self._exact:
            return True
        if self._below and any(parent in self._below for parent in list(parents(name))[1:]):
            return True
        return self._globs is not None and self._globs.match(name) is not None


def _is_glob(text: str) -> bool:
    return any(char in text for char in "*?[")


class NetworkList:
    """A list of addresses and networks: a look-up takes one hash access for each prefix length in the list."""

    __slots__ = ("_by_length",)

    def __init__(self, networks: Iterable[IPNetwork] = ()) -> None:
        sets: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            host_bits = network.max_prefixlen - network.prefixlen
            sets[network.version].setdefault(host_bits, set()).add(int(network.network_address) >> host_bits)
        self._by_length = {
            version: tuple((bits, frozenset(prefixes)) for bits, prefixes in sorted(by_bits.items()))
            for version, by_bits in sets.items()
        }

    def __bool__(self) -> bool:
        return any(self._by_length.values())

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, _ADDRESSES):
            return False
        number = int(address)
        for bits, prefixes in self._by_length[address.version]:  # noqa: SIM110 - a generator takes longer than the look-ups
            if number >> bits in prefixes:
                return True
        return False


class ClientList:
    """A list such as internal_connect: addresses, networks (`192.168.0.0/16`, `2001:db8::/32`), address globs (`127.*`)
    and host globs (`*.example.com`), recognised by their form.

    Raises AddressListError for an invalid address (`10.0.0.0/33`, `300.1.*`) and for an exception (`!192.0.2.1`), which
    is not supported.
    """

    __slots__ = ("hosts", "networks")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        networks, hosts = [], []
        for pattern in map(str.strip, patterns):
            if pattern.startswith("!"):
                raise AddressListError(f"{pattern}: exceptions are not understood; write the networks without it")
            network = parse_network(pattern)
            if network is None:
                hosts.append(pattern)
            else:
                networks.append(network)
        self.networks = NetworkList(networks)
        self.hosts = HostList(hosts)

    def __bool__(self) -> bool:
        return bool(self.networks) or bool(self.hosts)

    def match(self, address: IPAddress | None, verified_host: str = "") -> bool:
        """Whether the list has `address`, or `verified_host`. The caller passes a host name only if a forward look-up
        confirmed it: the owner of an address's reverse zone can write any name there.
        """
        return address in self.networks or (bool(verified_host) and verified_host in self.hosts)


def parse_network(pattern: str) -> IPNetwork | None:
    """The network of `pattern`, with a single address as one of full length; None for a host pattern.

    Host bits below the mask are ignored: upstream's lists have them (`192.168.1.5/16`). Raises AddressListError.
    """
    glob = _IPV4_GLOB.fullmatch(pattern)
    text = pattern
    if glob:
        octets = glob[1].rstrip(".").split(".")
        text = ".".join(octets + ["0"] * (4 - len(octets))) + f"/{8 * len(octets)}"
    elif pattern == "*" or not (":" in pattern or "/" in pattern or _LOOKS_LIKE_IPV4.fullmatch(pattern)):
        return None
    text = text.removeprefix("[").replace("]", "", 1)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise AddressListError(f"{pattern!r} is neither an address nor a network nor a host name: {error}") from None
    return _unmapped(network)


def _unmapped(network: IPNetwork) -> IPNetwork:
    """The network, with an IPv4-mapped one (::ffff:192.0.2.0/120) as IPv4, as clients are compared."""
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return ipaddress.ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


@functools.lru_cache(maxsize=256)
def host_list(names: tuple[str, ...]) -> HostList:
    """The list of a setting, compiled once. Raises AddressListError."""
    return HostList(names)


@functools.lru_cache(maxsize=256)
def client_list(patterns: tuple[str, ...]) -> ClientList:
    """The list of a setting, compiled once. Raises AddressListError."""
    return ClientList(patterns)
