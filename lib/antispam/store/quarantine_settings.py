"""The settings of the quarantine."""

from __future__ import annotations

from antispam.net.addresses import check_address
from antispam.settings import option, section
from antispam.settings.values import duration, not_negative, size
from antispam.store.retention import Limits

DANGEROUS = ("antivirus", "attachments")  # checks


@section("quarantine")
class QuarantineSettings:
    """[quarantine]: how much is kept for a user, and for how long."""

    keep: float = option(30 * 86400.0, "how long a message waits for a decision; 0 means for ever", parse=duration("d"))
    keep_released: float = option(
        7 * 86400.0, "how long a message stays after its release; 0 means for ever", parse=duration("d")
    )
    user_size: int = option(
        200 << 20, "total size of the messages kept for one user; the newest stay; 0 means no limit", parse=size
    )
    user_messages: int = option(
        10_000, "number of messages kept for one user; the newest stay; 0 means no limit", check=not_negative
    )
    users_may_not_release: tuple[str, ...] = option(
        DANGEROUS,
        "checks whose messages users may not deliver themselves: they ask for them in the console, and somebody of the "
        "helpdesk decides",
    )
    postmaster: str = option(
        "",
        "who is told by mail of open requests, once a day at most: postmaster@example.com; empty is nobody",
        check=check_address,
    )

    @property
    def limits(self) -> Limits:
        """The limits for users without their own."""
        return Limits(self.keep, self.user_size, self.user_messages, self.keep_released)
