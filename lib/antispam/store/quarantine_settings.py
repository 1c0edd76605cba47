"""How long the quarantine keeps what."""

from __future__ import annotations

from antispam.settings import option, section
from antispam.settings.values import duration, not_negative, size
from antispam.store.retention import Limits


@section("quarantine")
class QuarantineSettings:
    """[quarantine]: what is kept from people, and for how long."""

    keep: float = option(
        30 * 86400.0, "how long a message waits for somebody to look at it; 0 for ever", parse=duration("d")
    )
    keep_released: float = option(
        7 * 86400.0, "how long one stays after it was released; 0 for ever", parse=duration("d")
    )
    user_size: int = option(200 << 20, "octets that are kept from one user, the newest; 0 without limit", parse=size)
    user_messages: int = option(
        10_000, "messages that are kept from one user, the newest; 0 without limit", check=not_negative
    )

    @property
    def limits(self) -> Limits:
        """Those of a user who has none of his own."""
        return Limits(self.keep, self.user_size, self.user_messages, self.keep_released)
