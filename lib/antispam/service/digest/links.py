"""Signed links: whoever has one may see and deliver one message kept from one user, for a time, without logging in.

Another kind ends the digests of a user.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

import itsdangerous

_SECRET = "digest links"
_SALT = "bms digest 1"
_STOP_SALT = "bms digest stop 1"
STOP_LASTS = 365 * 86400.0  # seconds: who looks for the end of such mail takes any of them
_MAX_TOKEN = 1024


class Problem(enum.Enum):
    """Why a link does not work."""

    DAMAGED = "damaged"  # cut off by a mail program, or made up
    OVER = "over"  # its time is up


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What a link is for: the message `ref` as it was kept from `user`; until when it works, in seconds since the epoch."""

    ref: str
    user: str
    expires_at: float


class Links:
    """Makes and reads the tokens of links.

    secret  which all nodes share
    lasts   how long a link works, in seconds
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
        """The token of a link that begins now."""
        return str(self._serializer.dumps([ref, user]))

    def read(self, token: str) -> Link | Problem:
        """Never raises."""
        return self._read(self._serializer, token, self._lasts)

    def stop_token(self, user: str) -> str:
        """The token of a link that ends the digests of a user."""
        return str(self._stops.dumps(["", user]))

    def read_stop(self, token: str) -> Link | Problem:
        """The same for such a link; its `ref` is empty. Never raises."""
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
