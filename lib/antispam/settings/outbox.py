"""The settings of the outbox."""

from __future__ import annotations

import re

from antispam.settings import option, section
from antispam.settings.values import duration, positive, size

SMTP_PORT = 25

_HOST = re.compile(r"(?:\[(?P<literal>[^][\s]+)\]|(?P<name>[^][:\s]+))(?::(?P<port>[0-9]{1,5}))?")


def parse_host(text: str) -> tuple[str, int]:
    """Host and port of `mx.example.com:25`, `192.0.2.1` or `[2001:db8::1]:25`. Raises ValueError."""
    match = _HOST.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected host:port, an IPv6 address in brackets: localhost:25, [::1]:25")
    port = int(match["port"]) if match["port"] else SMTP_PORT
    if not 0 < port < 65536:
        raise ValueError(f"there is no port {port}")
    return match["literal"] or match["name"], port


def _host(text: str) -> None:
    parse_host(text)


def _name(text: str) -> None:
    if not re.fullmatch(r"[!-~]{0,255}", text):
        raise ValueError("expected a host name or an address in brackets")


@section("outbox")
class OutboxSettings:
    """[outbox]: the mail that the filter sends itself."""

    host: str = option(
        "localhost:25",
        "the MTA that accepts mail for our users from this machine: host:port, an IPv6 address in brackets",
        check=_host,
    )
    helo: str = option("", "our HELO name for it; empty uses this machine's", check=_name)
    timeout: float = option(
        60.0,
        "how long to wait for each of its answers; the last one may take five times as long",
        parse=duration("s"),
        check=positive,
    )
    retry_first: float = option(
        60.0,
        "how long to wait after the first failed try; the time doubles with each further try",
        parse=duration("s"),
        check=positive,
    )
    retry_longest: float = option(3600.0, "upper limit of that time", parse=duration("s"), check=positive)
    give_up: float = option(
        5 * 86400.0,
        "how long to keep trying; a message that is given up stays for you to examine",
        parse=duration("d"),
        check=positive,
    )
    keep_failed: float = option(30 * 86400.0, "how long it stays; 0 means for ever", parse=duration("d"))
    failed_size: int = option(
        100 << 20,
        "total size of the messages that were given up; beyond it the oldest are deleted; 0 means no limit",
        parse=size,
    )

    @property
    def address(self) -> tuple[str, int]:
        return parse_host(self.host)

    @property
    def patience(self) -> float:
        """The total time limit of an attempt, in seconds."""
        return 8 * self.timeout

    @property
    def lease(self) -> float:
        """The duration of a claim on a message, in seconds."""
        return 10 * self.timeout

    @property
    def farthest(self) -> float:
        """The longest time until a next attempt, in seconds, with some minutes for clocks that differ between nodes."""
        return max(self.lease, 1.25 * self.retry_longest) + 600.0

    def pause(self, tries: int, chance: float) -> float:
        """Seconds until the try after the `tries`-th; `chance` (0 to 1) adds up to a quarter, so that messages which failed
        together are not retried together."""
        doubled = self.retry_first * 2.0 ** min(max(tries, 1) - 1, 60)
        return min(self.retry_longest, doubled) * (1 + chance / 4)
