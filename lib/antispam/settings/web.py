"""[web]: where the console listens, and how people log in."""

from __future__ import annotations

import re

from antispam.settings import option, section
from antispam.settings.values import check_url, duration, positive

_PLACE = re.compile(r"(?:\[(?P<literal>[^][\s]+)\]|(?P<name>[^][:\s]+)):(?P<port>[0-9]{1,5})")


def parse_listen(text: str) -> tuple[str, int]:
    """Address and port of `127.0.0.1:8025` or `[::1]:8025`. Raises ValueError."""
    match = _PLACE.fullmatch(text.strip())
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError("expected address:port, an IPv6 address in brackets: 127.0.0.1:8025, [::1]:8025")
    return match["literal"] or match["name"], int(match["port"])


def _listen(text: str) -> None:
    if text:
        parse_listen(text)


@section("web")
class WebSettings:
    """[web]: the console, where people look into their quarantine."""

    listen: str = option(
        "",
        "where `bms run` and `bms web serve` serve the console: address:port, 127.0.0.1:8025; empty is off. It speaks HTTP: "
        "put your web server with TLS before it",
        check=_listen,
    )
    url: str = option(
        "",
        "how people reach it, https://mail.example.com/; with https the cookie is sent over TLS only",
        check=check_url,
    )
    replica: str = option(
        "",
        "SQLAlchemy URL of a replica of the database, from which the console reads the history; empty reads all from "
        "[store] url",
    )
    session: float = option(12 * 3600.0, "how long a login lasts at most", parse=duration("h"), check=positive)
    idle: float = option(2 * 3600.0, "how long a login lasts while nobody uses it", parse=duration("h"), check=positive)
    attempts: int = option(
        5, "wrong passwords in a row after which a name has to wait, twice as long each time", check=positive
    )

    @property
    def address(self) -> str:
        """The console's address for users, without a final slash: `url`, otherwise HTTP at the listening address; ""
        without either.
        """
        return self.url.rstrip("/") or (f"http://{self.listen}" if self.listen else "")
