"""[learn]: where the running filter is taught by `bms learn`, and who may teach it."""

from __future__ import annotations

from antispam.settings import option, section
from antispam.settings.values import duration, listed, mode_bits, positive


def _path(text: str) -> None:
    if text and not text.startswith("/"):
        raise ValueError("expected a socket with its whole path, such as /run/milter/learn.sock")
    if len(text.encode()) > 100 or not text.isprintable():
        raise ValueError("the path of a socket has at most 100 printable characters")


@section("learn")
class LearnSettings:
    """[learn]: Junk folders teach the filter."""

    socket: str = option(
        "",
        "where `bms run` listens for `bms learn`: the path of a unix socket, /run/milter/learn.sock; empty is off",
        check=_path,
    )
    socket_mode: int = option(0o660, "permissions of the socket", parse=mode_bits)
    socket_group: str = option(
        "", "group of the socket, of which the filter's user must be a member; empty keeps our own group"
    )
    teachers: tuple[str, ...] = option(
        (),
        "system users who may teach in the name of every user, besides root and the filter's own: names or numbers, "
        "for example vmail. All others teach only in their own name",
        parse=listed,
    )
    everybody: bool = option(
        True,
        "whether users who are not in [dspam] dspam_users teach the first dspam_screener; no refuses what they teach",
    )
    timeout: float = option(
        20.0,
        "how long one lesson may take, with the time until the message is here",
        parse=duration("s"),
        check=positive,
    )
