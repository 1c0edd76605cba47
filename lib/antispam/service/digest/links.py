"""Signed links. Whoever has one may view and deliver one message quarantined for one user, for a time, without logging
in.

Another kind unsubscribes a user from digests.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

import itsdangerous

_SECRET = "digest links"
_SALT = "bms digest 1"
_STOP_SALT = "bms digest stop 1"
STOP_LASTS = 365 * 86400.0  # seconds: people unsubscribe through any old digest
_MAX_TOKEN = 1024


class Problem(enum.Enum):
    """Why a link does not work."""

    DAMAGED = "damaged"  # truncated by a mail program, or forged
    OVER = "over"  # its time is up


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """The content of a link: the message `ref` as quarantined for `user`, and the expiry time in seconds since the
    epoch.
    """

    ref: str
    user: str
    expires_at: float


class Links:
    """Makes and reads the tokens of links.

    secret  the secret that all nodes share
    lasts   the lifetime of a link in seconds
    """

    def __init__(self, secret: bytes, lasts: float, clock: Callable[[], float]) -> None:
        self._lasts = lasts
        self._clock = clock

        class Signer(itsdangerous.TimestampSigner):
            def get_timestamp(self) -> int:
                return int(clock())

        self._serializer = itsdangerous.URLSafeTimedSerializer(secret, salt=_SALT, signer=Signer)
        self._stops = itsdangerous.URLSafeTimedSerializer(secret, salt=_STOP_SALT, signer=Signer)

    def token(self, ref: str, user: str) -> str:
        """The token of a link that is valid from now on."""
        return str(self._serializer.dumps([ref, user]))

    def read(self, token: str) -> Link | Problem:
        """Never raises."""
        return self._read(self._serializer, token, self._lasts)

    def stop_token(self, user: str) -> str:
        """The token of a link that unsubscribes a user from digests."""
        return str(self._stops.dumps(["", user]))

    def read_stop(self, token: str) -> Link | Problem:
        """Read the token of an unsubscribe link; its `ref` is empty. Never raises."""
        return self._read(self._stops, token, STOP_LASTS)

    def _read(self, serializer: itsdangerous.URLSafeTimedSerializer, token: str, lasts: float) -> Link | Problem:
        if len(token) > _MAX_TOKEN or not token.isascii():
            return Problem.DAMAGED
        try:
            said, signed_at = serializer.loads(token, return_timestamp=True)
            ref, user = said
        except (itsdangerous.BadData, ValueError, TypeError):
            return Problem.DAMAGED
        expires_at = signed_at.timestamp() + lasts
        return Problem.OVER if expires_at <= self._clock() else Link(str(ref), str(user), expires_at)


def secret_name() -> str:
    """The name of the secret in the store."""
    return _SECRET
