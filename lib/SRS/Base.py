"""What the variants of SRS share: secrets, hashes, time stamps, and the parsing of addresses."""

from __future__ import annotations

import base64
import hmac
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
DAY = 86400
SLOTS = 1024  # two characters of base 32, one value per day
MAX_ADDRESS = 1000  # characters; longer addresses do not exist

_TAGGED = re.compile(r"(SRS[01])[-+=](?=.)", re.IGNORECASE | re.DOTALL)


class SrsError(ValueError):
    """The address cannot be rewritten or reversed. The message says why."""


class NotRewritten(SrsError):
    """Not an SRS address, or a truncated one."""


class Forged(SrsError):
    """The hash was not made with any of our secrets."""


class Expired(SrsError):
    """The address is ours, but too old."""


class Unavailable(Exception):
    """The database of addresses cannot be used. The message says why."""


class Base(ABC):
    """A rewriter.

    secret         one or several secrets, bytes or text: the first signs, all verify, so secrets can be rotated
    maxage         days for which an address can be reversed
    hashlength     base 64 characters of the hash to write, six bits each; at most 27
    hashmin        how many are required to verify; by default hashlength
    separator      behind SRS0 and SRS1: "=", "+" or "-"
    alwaysrewrite  also rewrite senders that are already in the forwarder's domain
    ignoretimestamp  also reverse expired addresses
    clock          seconds since the epoch
    """

    def __init__(
        self,
        secret: str | bytes | Iterable[str | bytes],
        maxage: int = 21,
        hashlength: int = 4,
        hashmin: int | None = None,
        separator: str = "=",
        alwaysrewrite: bool = False,
        ignoretimestamp: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for values with which no address could be made."""
        if separator not in ("=", "+", "-") or len(separator) != 1:
            raise ValueError(f"separator must be =, + or -, not {separator!r}")
        if not 1 <= hashlength <= 27 or not 1 <= (hashmin or hashlength) <= 27:
            raise ValueError("hashlength must be between 1 and 27")
        if not 1 <= maxage < SLOTS:
            raise ValueError(f"maxage must be between 1 and {SLOTS - 1} days")
        self.maxage = maxage
        self.hashlength = hashlength
        self.hashmin = hashlength if hashmin is None else hashmin
        self.separator = separator
        self.alwaysrewrite = alwaysrewrite
        self.ignoretimestamp = ignoretimestamp
        self._clock = clock
        self.set_secret(*([secret] if isinstance(secret, str | bytes) else secret))

    def set_secret(self, *secrets: str | bytes) -> None:
        """Replace the secrets. Raises ValueError if there is none, or an empty one."""
        self._secrets = tuple(one.encode() if isinstance(one, str) else one for one in secrets)
        if not self._secrets or not all(self._secrets):
            raise ValueError("SRS needs a secret")

    # From an address to another.

    def forward(self, sender: str, alias: str) -> str:
        """The sender as rewritten by a forwarder in the domain of `alias` (an address or a domain). Raises SrsError."""
        quote, user, host = self._parts(sender)
        domain = alias.rpartition("@")[2]
        if domain.lower() == host.lower() and not self.alwaysrewrite:
            return sender
        return f"{quote}{self.compile(host, user)}{quote}@{domain}"

    def sign(self, sender: str) -> str:
        """The sender with a hash and a date, in the same domain. Only bounces of our own mail are sent to that address. Raises
        SrsError."""
        quote, user, host = self._parts(sender)
        return f"{quote}{self.compile(host, user, host)}{quote}@{host}"

    def reverse(self, address: str) -> str:
        """The original sender, as given to forward() or sign(). Raises NotRewritten, Forged or Expired."""
        quote, user, host = self._parts(address)
        sender_host, sender_user = self.parse(user, host)
        return f"{quote}{sender_user}{quote}@{sender_host}"

    @abstractmethod
    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        """The local part that encodes a sender. `srshost` is the domain of the new address, if it may stand for the sender's
        domain."""

    @abstractmethod
    def parse(self, user: str, srshost: str = "") -> tuple[str, str]:
        """The host and user of the sender encoded in a local part. Raises NotRewritten, Forged or Expired."""

    # What addresses are made of.

    def hash_create(self, *data: str) -> str:
        """The hash in base 64, which cannot be made without the secret. It is made from lower-cased parts: mail servers fold
        case."""
        return self._hash(self._secrets[0], data)[: self.hashlength]

    def hash_verify(self, hash: str, *data: str) -> bool:
        """Whether the hash was made with any of the secrets. Case is ignored: mail servers fold it."""
        if not hash.isascii() or not self.hashmin <= len(hash) <= 27:
            return False
        valid = [
            hmac.compare_digest(self._hash(secret, data)[: len(hash)].lower(), hash.lower()) for secret in self._secrets
        ]
        return any(valid)

    @staticmethod
    def _hash(secret: bytes, data: tuple[str, ...]) -> str:
        content = "".join(data).lower().encode("utf-8", "surrogateescape")
        return base64.b64encode(hmac.digest(secret, content, "sha1")).decode("ascii")

    def timestamp_create(self) -> str:
        """The current day in two characters."""
        day = int(self._clock() // DAY)
        return BASE32[day >> 5 & 31] + BASE32[day & 31]

    def timestamp_check(self, timestamp: str) -> bool:
        """Whether the time stamp is at most `maxage` days old. Raises NotRewritten if it is not a time stamp."""
        places = [BASE32.find(char) for char in timestamp.upper()]
        if len(places) != 2 or -1 in places:
            raise NotRewritten(f"no time stamp of SRS: {timestamp[:10]!r}")
        age = (int(self._clock() // DAY) - (places[0] << 5 | places[1])) % SLOTS
        return self.ignoretimestamp or age <= self.maxage

    @staticmethod
    def _parts(address: str) -> tuple[str, str, str]:
        """The quotation mark around the local part (or ""), the local part, and the domain."""
        user, at, host = address.rpartition("@")
        if not at or not user or not host or len(address) > MAX_ADDRESS:
            raise NotRewritten(f"no address: {address[:60]!r}")
        if len(user) >= 2 and user[0] == user[-1] == '"':
            return '"', user[1:-1], host
        return "", user, host

    @staticmethod
    def tag_of(user: str) -> str:
        """ "SRS0" or "SRS1"; "" for any other local part."""
        found = _TAGGED.match(user)
        return found[1].upper() if found else ""
