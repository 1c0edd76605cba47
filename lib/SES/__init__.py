"""Signed Envelope Senders: MAIL FROM of our own mail carries a number, a date and a hash, and stays readable.

    ses = SES.new(secret="...")
    ses.sign("ann@example.org")         # SES=<signature>=ann@example.org
    ses.verify("SES=...=ann@example.org")   # Signed("ann@example.org", timecode, message_id)

A bounce to an address without a valid signature answers mail that we never sent. The encoding is pysrs's: message number,
quarter of a day and 80 bits of HMAC-SHA1 as one number to the base 38.

Different from pysrs: a quoted local part is quoted as a whole, since a quotation within one is no address. A fixed signature
(of a message number of one's own) is verified like any other. How often one is verified is not counted: several processes
would each count for themselves.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
DAY = 86400
MAX_SIGNATURE = 60  # characters


class SesError(ValueError):
    """The address is not signed, or not as it should be; the message says why."""


class NotSigned(SesError):
    """It has no signature, or one that can't be read."""


class Forged(SesError):
    """Its signature was not made with any of our secrets."""


class Expired(SesError):
    """It is ours, and too old."""


class Signed(NamedTuple):
    """What a signature says: the plain address, quarters of a day since the epoch (0 for a fixed one), the message number."""

    address: str
    timecode: int
    message_id: int


class Signer:
    """Signs and verifies.

    secret      one secret or several: the first signs, all verify
    expiration  days for which a signature is good
    hashbits    of the HMAC that are written
    fbits       2**fbits timecodes a day
    clock       seconds since the epoch
    """

    def __init__(
        self,
        secret: str | bytes | Iterable[str | bytes],
        expiration: int = 10,
        hashbits: int = 80,
        fbits: int = 2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for values that no signature could be made with."""
        given = [secret] if isinstance(secret, str | bytes) else secret
        self._secrets = tuple(one.encode() if isinstance(one, str) else one for one in given)
        if not self._secrets or not all(self._secrets):
            raise ValueError("SES needs a secret")
        if not 1 <= expiration < 1000 or not 40 <= hashbits <= 160:
            raise ValueError("expiration must be 1 to 999 days, and hashbits 40 to 160")
        self._clock = clock
        self._seconds = DAY >> fbits
        self._lasts = expiration << fbits
        self._hash_bits = hashbits
        self._time_bits = (expiration + 1).bit_length() + fbits
        self._fixed = (1 << self._time_bits) - 1  # this timecode says that the signature never ends
        # Each process begins at a number of its own, so that two of them sign alike hardly ever.
        self._numbers: Iterator[int] = itertools.count(1 + secrets.randbelow(1 << 16))

    def sign(self, address: str, message_id: int | None = None) -> str:
        """The signed address; with a message number of one's own (at least 1) the signature never ends. Raises SesError for
        what is no address."""
        quote, local, domain = _parts(address)
        now = 0 if message_id else int(self._clock() // self._seconds)
        number = message_id or next(self._numbers)
        content = self._content(now, number, local, domain)
        code = now % self._fixed if now else self._fixed
        bits = (number << self._time_bits | code) << self._hash_bits | self._hash(self._secrets[0], content)
        return f"{quote}SES={_encode(bits)}={local}{quote}@{domain}"

    def verify(self, address: str) -> Signed:
        """What the signature stands for. Raises NotSigned, Forged or Expired."""
        quote, tagged, domain = _parts(address)
        fields = tagged.split("=", 2)
        if len(fields) < 3 or fields[0].upper() != "SES" or not fields[2] or len(fields[1]) > MAX_SIGNATURE:
            raise NotSigned(f"no SES address: {address[:60]!r}")
        bits = _decode(fields[1])
        hash, bits = bits & (1 << self._hash_bits) - 1, bits >> self._hash_bits
        code, number = bits & self._fixed, bits >> self._time_bits
        now = int(self._clock() // self._seconds)
        then = 0 if code == self._fixed else now - (now - code) % self._fixed
        if number >= 1 << 64 or then < 0:
            raise NotSigned("a signature that nobody could have made")
        content = self._content(then, number, fields[2], domain)
        expected = [self._hash(secret, content) for secret in self._secrets]
        if not any([hmac.compare_digest(_octets(hash), _octets(one)) for one in expected]):  # noqa: C419 - all, in the same time
            raise Forged("the signature of the address is not ours")
        if then and now - then >= self._lasts:
            raise Expired("the signature of the address is too old")
        return Signed(f"{quote}{fields[2]}{quote}@{domain}", then, number)

    @staticmethod
    def _content(timecode: int, number: int, local: str, domain: str) -> bytes:
        address = f"{local}@{domain.lower()}".encode("utf-8", "surrogateescape")
        return struct.pack(">QQ", timecode, number) + address

    def _hash(self, secret: bytes, content: bytes) -> int:
        digest = hmac.digest(secret, content, "sha1")
        return int.from_bytes(digest, "big") >> 8 * len(digest) - self._hash_bits


def new(secret: str | bytes | Iterable[str | bytes], expiration: int = 10) -> Signer:
    """A signer with the usual sizes."""
    return Signer(secret, expiration)


def _parts(address: str) -> tuple[str, str, str]:
    """The quotation mark around the local part, if any, the local part, the domain."""
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or len(address) > 1000:
        raise NotSigned(f"no address: {address[:60]!r}")
    if len(local) > 2 and local[0] == local[-1] == '"':
        return '"', local[1:-1], domain
    return "", local, domain


def _octets(number: int) -> bytes:
    return number.to_bytes(20, "big")


def _encode(number: int) -> str:
    digits = []
    while number:
        number, digit = divmod(number, len(CHARACTERS))
        digits.append(CHARACTERS[digit])
    return "".join(reversed(digits))


def _decode(text: str) -> int:
    number = 0
    for char in text.upper():
        digit = CHARACTERS.find(char)
        if digit < 0:
            raise NotSigned(f"no signature: {text[:60]!r}")
        number = number * len(CHARACTERS) + digit
    return number
