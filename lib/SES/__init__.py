"""Signed Envelope Senders: the MAIL FROM of our own mail carries a number, a date and a hash, and stays readable.

    ses = SES.new(secret="...")
    ses.sign("ann@example.org")         # SES=<signature>=ann@example.org
    ses.verify("SES=...=ann@example.org")   # Signed("ann@example.org", timecode, message_id)

A bounce to an address without a valid signature answers mail that we never sent. The encoding is that of pysrs: message number,
quarter of a day and 80 bits of HMAC-SHA1 as one number in base 38.

Differences from pysrs: a quoted local part is quoted as a whole, because quotes inside a local part are invalid. A fixed
signature (with a message number chosen by the caller) is verified like any other. Verifications are not counted: each process
would have its own count.
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
    """The address has no signature, or an invalid one. The message says why."""


class NotSigned(SesError):
    """The address has no readable signature."""


class Forged(SesError):
    """The signature was not made with any of our secrets."""


class Expired(SesError):
    """The signature is ours, but too old."""


class Signed(NamedTuple):
    """The content of a signature: the plain address, quarters of a day since the epoch (0 for a fixed one), and the message
    number."""

    address: str
    timecode: int
    message_id: int


class Signer:
    """Signs and verifies.

    secret      one or several secrets: the first signs, all verify
    expiration  days for which a signature is valid
    hashbits    bits of the HMAC to write
    fbits       2**fbits timecodes per day
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
        """Raises ValueError for values with which no signature could be made."""
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
        self._fixed = (1 << self._time_bits) - 1  # this timecode marks a signature that never expires
        # Each process starts at a random number, so two processes hardly ever produce the same signature.
        self._numbers: Iterator[int] = itertools.count(1 + secrets.randbelow(1 << 16))

    def sign(self, address: str, message_id: int | None = None) -> str:
        """The signed address. With a given message number (at least 1) the signature never expires. Raises SesError if
        `address` is not an address."""
        quote, local, domain = _parts(address)
        now = 0 if message_id else int(self._clock() // self._seconds)
        number = message_id or next(self._numbers)
        content = self._content(now, number, local, domain)
        code = now % self._fixed if now else self._fixed
        bits = (number << self._time_bits | code) << self._hash_bits | self._hash(self._secrets[0], content)
        return f"{quote}SES={_encode(bits)}={local}{quote}@{domain}"

    def verify(self, address: str) -> Signed:
        """The content of the signature. Raises NotSigned, Forged or Expired."""
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
    """A signer with the usual parameters."""
    return Signer(secret, expiration)


def _parts(address: str) -> tuple[str, str, str]:
    """The quotation mark around the local part (or ""), the local part, and the domain."""
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
