"""[digest]: mail to users that lists their quarantined messages."""

from __future__ import annotations

import enum

from antispam.net.addresses import check_address
from antispam.settings import option, section
from antispam.settings.values import duration, listed, positive


class Often(enum.StrEnum):
    """How often a user gets a digest, if there is something new."""

    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"  # on Mondays


def _hour(number: int) -> None:
    if not 0 <= number <= 23:
        raise ValueError("expected an hour from 0 to 23")


@section("digest")
class DigestSettings:
    """[digest]: what is kept from users, by mail, with links that deliver it (docs/digest.md)."""

    send: bool = option(False, "tell users by mail what is kept from them. Its links need [web] url, and the console")
    often: Often = option(
        Often.DAILY, "never, daily or weekly (on Mondays), for users who chose nothing else (preference `digest`)"
    )
    hour: int = option(6, "the hour of the day from which on they are sent, by this machine's clock", check=_hour)
    sender: str = option(
        "", "who sends them: postmaster@example.com. It is signed where [dkim_sign] has a key", check=check_address
    )
    to: tuple[str, ...] = option(
        (),
        "addresses and domains (@example.com) whose mailboxes exist, or file:PATH. Others get a digest if they are users of "
        "the filter, have an account of the console, or chose how often: nobody is written to because strangers guessed a name",
        parse=listed,
    )
    entries: int = option(30, "messages listed in one digest; of more it says how many there are", check=positive)
    links: float = option(7 * 86400.0, "how long its links work", parse=duration("d"), check=positive)

    def __post_init__(self) -> None:
        if self.send and not self.sender:
            raise ValueError("[digest] send needs [digest] sender: who sends the digests?")
