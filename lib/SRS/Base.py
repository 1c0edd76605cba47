"""What the variants of SRS share: secrets, hashes, time stamps, and the way from an address to its two parts."""

from __future__ import annotations

import base64
import hmac
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
DAY = 86400
SLOTS = 1024  # two characters of base 32, one slot a day
MAX_ADDRESS = 1000  # characters; what is longer is nobody's address

_TAGGED = re.compile(r"(SRS[01])[-+=](?=.)", re.IGNORECASE | re.DOTALL)


class SrsError(ValueError):
    """The address can't be rewritten or led back; the message says why."""


class NotRewritten(SrsError):
    """It is no SRS address, or one that is cut off."""


class Forged(SrsError):
    """Its hash was not made with any of our secrets."""


class Expired(SrsError):
    """It is ours, and too old."""


class Unavailable(Exception):
    """The database of the addresses can't be used; the message says why."""


class Base(ABC):
    """A rewriter.

    secret         one secret or several, bytes or text: the first signs, all verify, so that secrets can be changed
    maxage         days for which an address leads back
    hashlength     characters of base 64 that are written, six bits each; at most 27
    hashmin        how many must be there when it comes back, by default as many
    separator      behind SRS0 and SRS1: "=", "+" or "-"
    alwaysrewrite  also rewrite senders that are in the forwarder's domain already
    ignoretimestamp  lead expired addresses back, too
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
        """Raises ValueError for values that no address could be made with."""
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
        """Use these from now on. Raises ValueError where there is none, or an empty one."""
        self._secrets = tuple(one.encode() if isinstance(one, str) else one for one in secrets)
        if not self._secrets or not all(self._secrets):
            raise ValueError("SRS needs a secret")

    # From an address to another.

    def forward(self, sender: str, alias: str) -> str:
        """The sender as a forwarder in the domain of `alias` (an address or a domain) passes it on. Raises SrsError."""
        quote, user, host = self._parts(sender)
        domain = alias.rpartition("@")[2]
        if domain.lower() == host.lower() and not self.alwaysrewrite:
            return sender
        return f"{quote}{self.compile(host, user)}{quote}@{domain}"

    def sign(self, sender: str) -> str:
        """The sender with a hash and a date, in the same domain: to that address only bounces to our own mail come. Raises
        SrsError."""
        quote, user, host = self._parts(sender)
        return f"{quote}{self.compile(host, user, host)}{quote}@{host}"

    def reverse(self, address: str) -> str:
        """The sender that forward() or sign() was given. Raises NotRewritten, Forged or Expired."""
        quote, user, host = self._parts(address)
        sender_host, sender_user = self.parse(user, host)
        return f"{quote}{sender_user}{quote}@{sender_host}"

    @abstractmethod
    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        """The local part that stands for a sender; `srshost` is the domain of the address that is made, where that may stand
        for the sender's."""

    @abstractmethod
    def parse(self, user: str, srshost: str = "") -> tuple[str, str]:
        """The sender's host and user in a local part. Raises NotRewritten, Forged or Expired."""

    # What addresses are made of.

    def hash_create(self, *data: str) -> str:
        """Some characters of base 64 that only who knows the secret can find. Case does not matter: mail servers fold it."""
        return self._hash(self._secrets[0], data)[: self.hashlength]

    def hash_verify(self, hash: str, *data: str) -> bool:
        """Whether any of the secrets made it, some mail server having folded its case."""
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
        """Today, in two characters."""
        day = int(self._clock() // DAY)
        return BASE32[day >> 5 & 31] + BASE32[day & 31]

    def timestamp_check(self, timestamp: str) -> bool:
        """Whether that is at most `maxage` days ago. Raises NotRewritten for what is no time stamp."""
        places = [BASE32.find(char) for char in timestamp.upper()]
        if len(places) != 2 or -1 in places:
            raise NotRewritten(f"no time stamp of SRS: {timestamp[:10]!r}")
        age = (int(self._clock() // DAY) - (places[0] << 5 | places[1])) % SLOTS
        return self.ignoretimestamp or age <= self.maxage

    @staticmethod
    def _parts(address: str) -> tuple[str, str, str]:
        """The quotation mark around the local part, if any, the local part, the domain."""
        user, at, host = address.rpartition("@")
        if not at or not user or not host or len(address) > MAX_ADDRESS:
            raise NotRewritten(f"no address: {address[:60]!r}")
        if len(user) >= 2 and user[0] == user[-1] == '"':
            return '"', user[1:-1], host
        return "", user, host

    @staticmethod
    def tag_of(user: str) -> str:
        """ "SRS0" or "SRS1", "" for a local part that is neither."""
        found = _TAGGED.match(user)
        return found[1].upper() if found else ""
