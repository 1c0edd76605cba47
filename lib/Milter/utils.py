"""Addresses of hosts and of people: parsing, and matching against lists."""

from __future__ import annotations

import binascii
import email.utils
import ipaddress
import quopri
import re
import socket
from binascii import a2b_base64
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

import _charsets
from Milter.pyip6 import PAT_IP4

__all__ = [
    "MASK",
    "MASK6",
    "PAT_IP4",
    "a2b_base64",
    "addr2bin",
    "bin2addr",
    "bin2long6",
    "cidr",
    "decode",
    "dnsre",
    "inet_ntop",
    "inet_pton",
    "iniplist",
    "ip4re",
    "ip6re",
    "parse_addr",
    "parse_header",
    "parseaddr",
]

MASK = 0xFFFFFFFF
MASK6 = (1 << 128) - 1


def _ip6_pattern() -> str:
    """Return the IPv6address of RFC 3986 3.2.2: so many groups before the ``::``, so many after it."""
    group = "[0-9a-f]{1,4}"
    last32 = f"(?:{group}:{group}|{PAT_IP4})"
    forms = [rf"(?:{group}:){{6}}{last32}"]
    for after in range(5, -1, -1):
        before = 4 - after  # groups besides the last one, which has no colon of its own
        front = f"(?:(?:{group}:){{0,{before}}}{group})?" if before >= 0 else ""
        forms.append(rf"{front}::(?:{group}:){{{after}}}{last32}")
    forms.append(rf"(?:(?:{group}:){{0,5}}{group})?::{group}")
    forms.append(rf"(?:(?:{group}:){{0,6}}{group})?::")
    return "(?:" + "|".join(forms) + r")\Z"


ip4re = re.compile(PAT_IP4 + r"\Z")
ip6re = re.compile(_ip6_pattern(), re.IGNORECASE)
dnsre = re.compile(r"[a-z][-a-z\d.]+\Z", re.IGNORECASE)


# --- addresses of hosts -----------------------------------------------------------------------------------------


def addr2bin(s: str) -> int:
    """Return an address as an integer: IPv6, or IPv4, where with fewer than four numbers the last fills the rest.

    Raises OSError for anything else.

    >>> addr2bin('192.0.2.1')
    3221225985
    >>> bin2addr(addr2bin('10.1'))
    '10.0.0.1'
    """
    if ":" in s:
        try:
            return bin2long6(inet_pton(s.strip()))
        except (OSError, ValueError):
            raise OSError(f"Invalid IP6 address: {s}") from None
    parts = s.split(".")
    limits = [256] * (len(parts) - 1) + [256 ** (5 - len(parts))]
    if len(parts) > 4 or not all(
        part.isascii() and part.isdigit() and len(part) <= 10 and int(part) < limit
        for part, limit in zip(parts, limits, strict=True)
    ):
        raise OSError(f"Invalid IP4 address: {s}")
    number = 0
    for part, limit in zip(parts, limits, strict=True):
        number = number * limit + int(part)
    return number


def bin2addr(i: int) -> str:
    """Return the dotted IPv4 address of an integer."""
    return str(ipaddress.IPv4Address(i))


def bin2long6(s: bytes) -> int:
    """Return the 16 octets of an IPv6 address as an integer."""
    return int.from_bytes(s, "big")


def inet_pton(s: str) -> bytes:
    """Return an IPv6 address as 16 octets. Raises OSError."""
    return socket.inet_pton(socket.AF_INET6, s)


def inet_ntop(s: bytes) -> str:
    """Return the text of the 16 octets of an IPv6 address."""
    return socket.inet_ntop(socket.AF_INET6, s)


def cidr(i: int, n: int, mask: int = MASK) -> int:
    """Return the network of address ``i``, its first ``n`` bits; ``mask`` is MASK for IPv4 and MASK6 for IPv6.

    >>> bin2addr(cidr(addr2bin('192.0.2.99'), 24))
    '192.0.2.0'
    """
    return ~(mask >> n) & mask & i


def _addresses_of(hostname: str) -> list[str]:
    """Return the addresses of ``hostname``, none where it cannot be resolved. Asks the system's resolver."""
    try:
        found = socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(info[4][0]) for info in found]


def iniplist(ipaddr: str, iplist: Iterable[str], *, resolve: Callable[[str], Iterable[str]] | None = None) -> bool:
    """Return whether the address ``ipaddr`` is in a list of addresses, networks, wildcards and host names.

    A host name counts with its addresses, or with a prefix length with their networks. ``resolve`` returns the
    addresses of a name; by default the system is asked, only when the list comes to a name. IPv4 addresses equal
    their IPv4-mapped form. Raises ValueError if ``ipaddr`` is no address or a prefix length cannot be.

    >>> iniplist('192.0.2.99', ['127.0.0.1', '192.0.2.64/26'])
    True
    >>> iniplist('192.168.0.45', ['192.168.0.*'])
    True
    >>> iniplist('2001:db8::1', ['127.0.0.1', '2001:db8:1::/48'])
    False
    >>> iniplist('2001:db8::1', ['host.example/64'], resolve=lambda name: ['2001:db8::99'])
    True
    >>> iniplist('2G01::1', ['127.0.0.1'])
    Traceback (most recent call last):
      ...
    ValueError: Invalid ip syntax:2G01::1
    """
    address = _number(ipaddr)
    if address is None:
        raise ValueError("Invalid ip syntax:" + ipaddr)
    for item in iplist:
        if fnmatchcase(ipaddr, item):
            return True
        host, slash, length = item.partition("/")
        number = _number(host)
        if number is not None:
            candidates = [host]
        elif dnsre.match(host):
            candidates = list((resolve or _addresses_of)(host))
        else:
            continue
        if any(_same_network(address, candidate, length if slash else None) for candidate in candidates):
            return True
    return False


def _number(address: str) -> int | None:
    """Return an address as 128 bits, IPv4 as IPv4-mapped; None if it is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    return int(ip) | (0xFFFF << 32) if ip.version == 4 else int(ip)


def _same_network(address: int, host: str, length: str | None) -> bool:
    network = _number(host)
    if network is None:
        return False
    size = 128 if ":" in host else 32
    prefix = size if length is None else int(length)
    if not 0 <= prefix <= size:
        raise ValueError(f"Invalid prefix length: {host}/{length}")
    return not (address ^ network) >> (size - prefix)


# --- addresses of people ----------------------------------------------------------------------------------------


def parse_addr(t: str) -> list[str]:
    """Split an envelope address into [local part, domain], or [local part] if there is no domain.

    Angle brackets, a source route and the quotes of a local part are removed. Nothing is verified: the domain may be
    anything that the client wrote.

    >>> parse_addr('<joe@example.com>')
    ['joe', 'example.com']
    >>> parse_addr('"joe@home"@example.com')
    ['joe@home', 'example.com']
    >>> parse_addr('@relay.example:joe@example.com')
    ['joe', 'example.com']
    >>> parse_addr('postmaster')
    ['postmaster']
    """
    if t.startswith("<") and t.endswith(">"):
        t = t[1:-1]
    if t.startswith("@"):
        _route, colon, path = t.partition(":")
        if colon and "@" in path:
            t = path
    if t.startswith('"') and t.endswith('"') and len(t) > 1:
        return [t[1:-1]]
    local, at, domain = t.rpartition("@")
    if not at:
        return [t]
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        local = local[1:-1]
    return [local, domain]


def parseaddr(t: str) -> tuple[str, str]:
    """Split a header address into (display name, address); both are empty if nothing can be found.

    Unlike ``email.utils.parseaddr`` it finds the address in angle brackets behind a name with unquoted special
    characters, and after a source route. Of several addresses it returns the first.

    >>> parseaddr('joe@example.com')
    ('', 'joe@example.com')
    >>> parseaddr('"Doe, Joe" <joe@example.com>')
    ('Doe, Joe', 'joe@example.com')
    >>> parseaddr('joe@home <@relay.example,@hop.example:joe@example.com>')
    ('joe@home', 'joe@example.com')
    >>> parseaddr('Acme, Inc. <news@example.com>')
    ('Acme, Inc.', 'news@example.com')
    """
    text = t.strip()
    bracketed = text.endswith(">") and text.count("<") == text.count(">") == 1
    name, _, path = text[:-1].partition("<") if bracketed else ("", "", "")
    if bracketed and not _SPECIALS.search(name) and _PLAIN_PATH.fullmatch(path):
        return " ".join(name.split()), _without_route(path)
    found = _parsed(text)
    if bracketed and name.strip() and not found[0] and "@" not in name:
        # A name that should have been quoted. One with an "@" is a list of addresses.
        return " ".join(name.split()), _without_route(path)
    return found


def _parsed(text: str) -> tuple[str, str]:
    try:
        return email.utils.parseaddr(text, **_LENIENT)
    except RecursionError:  # its comments nest as deep as the sender likes
        return "", ""


# Since CVE-2023-27043 parseaddr, where it knows the word, returns nothing for several addresses unless it is asked not to.
_LENIENT: dict[str, bool] = {"strict": False} if hasattr(email.utils, "supports_strict_parsing") else {}
_SPECIALS = re.compile(r'["(),;:\\]')
# A source route at most, then an address whose local part may be quoted.
_PLAIN_PATH = re.compile(r'(?:[^"();:\\]*:)?(?:[^"(),;:\\]*|"(?:[^"\\]|\\.)*"@[^"(),;:\\]*)')


def _without_route(path: str) -> str:
    if path.startswith("@") and ":" in path:
        path = path.partition(":")[2]
    return path.strip()


# --- encoded headers --------------------------------------------------------------------------------------------

# Careless senders leave a "?" in the text as it is. A word ends where another begins, so no text is read twice.
_ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bq])\?((?:[^?=]|\?(?!=)|=(?!\?[^=]))*+)\?=", re.IGNORECASE)


def parse_header(val: str | bytes) -> str:
    """Decode the encoded words (RFC 2047) of a header value, wherever they stand, to see what a reader would see.

    Never raises: an encoded word beyond repair stays as it is, octets that the charset does not have become U+FFFD. A word
    of an unknown charset is read as UTF-8, or else as windows-1252.

    >>> parse_header('=?iso-8859-1?Q?Caf=E9?= <joe@example.com>')
    'Café <joe@example.com>'
    """
    if isinstance(val, bytes):
        val = val.decode("utf-8", "surrogateescape")
    parts: list[str] = []
    pending: tuple[str, bytes] | None = None  # charset and octets of adjacent encoded words
    end = 0
    for word in _ENCODED_WORD.finditer(val):
        gap = val[end : word.start()]
        end = word.end()
        charset = word[1].partition("*")[0].lower()  # RFC 2231 5 adds a language
        octets = _octets(word[2], word[3])
        if pending and not gap.strip() and octets is not None:
            if pending[0] == charset:  # a character may be cut in two by a careless sender
                pending = charset, pending[1] + octets
                continue
            gap = ""
        parts += [_text(pending), gap]
        pending = (charset, octets) if octets is not None else None
        if octets is None:
            parts.append(word[0])
    return "".join([*parts, _text(pending), val[end:]])


def _octets(encoding: str, text: str) -> bytes | None:
    """Undo the transfer encoding of one encoded word; None if that fails."""
    raw = text.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return quopri.decodestring(raw, header=True)
    return _lenient_base64(raw)


def _lenient_base64(raw: bytes) -> bytes | None:
    """Decode base64 as mail programs do, with foreign characters skipped and missing padding supplied."""
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
    if len(digits) % 4 == 1:
        return None
    try:
        return a2b_base64(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:
        return None


def _text(pending: tuple[str, bytes] | None) -> str:
    return _charsets.decode(pending[1], pending[0]) if pending is not None else ""


def decode(s: str | bytes, convert_eols: str | None = None) -> bytes:
    """Decode base64 of mail, forgiving foreign characters and missing padding; ``convert_eols`` replaces CRLF.

    Raises ``binascii.Error`` if a digit is left over.

    >>> decode('aGVsbG8')
    b'hello'
    """
    raw = s.encode("ascii", "replace") if isinstance(s, str) else s
    decoded = _lenient_base64(raw)
    if decoded is None:
        raise binascii.Error("base64 with a digit too many")
    return decoded.replace(b"\r\n", convert_eols.encode()) if convert_eols else decoded
