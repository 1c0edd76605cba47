"""[imap]: Junk folders that the filter reads itself, of servers that can't call `bms learn`."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path

from antispam.settings import Contradiction, option, section
from antispam.settings.declare import sections
from antispam.settings.values import duration, not_negative

LONGEST_IDLE = 25 * 60.0  # seconds; a server may hang up after 30 minutes (RFC 2177)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Tls(enum.StrEnum):
    """How a connection is encrypted; the server's certificate is always verified."""

    IMPLICIT = "implicit"  # from the first octet, port 993 (RFC 8314)
    STARTTLS = "starttls"
    OFF = "off"  # on this machine only


def _refresh(seconds: float) -> None:
    if not 1 <= seconds <= LONGEST_IDLE:
        raise ValueError("expected 1s to 25m")


@section("imap")
class Account:
    """[imap NAME]: one mailbox."""

    login: str = option("", "the name to log in with; empty uses NAME")
    password_file: Path | None = option(
        None, "a file whose first line is the password; only the filter's user and group may read it"
    )
    user: str = option("", "in whose name it teaches: a user of the filter, or an address; empty uses login")
    host: str = option("", "the server, if not [imap] host")
    junk: str = option("", "the Junk folder, if not [imap] junk")
    not_junk: str = option("", "the folder for honest mail, if not [imap] not_junk")

    def __post_init__(self) -> None:
        if self.password_file is None:
            raise Contradiction("password_file", "it is missing: the file whose first line is the password")


@section("imap")
class ImapSettings:
    """[imap]: the poller of Junk folders."""

    serve: bool = option(
        True, "whether `bms run` polls the accounts [imap NAME], in a process of its own; no leaves that to `bms imap`"
    )
    host: str = option("localhost", "the IMAP server")
    port: int = option(0, "its port; 0 is 993, or 143 with starttls and off", check=not_negative)
    tls: Tls = option(
        Tls.IMPLICIT, "implicit, starttls, or off, which is for this machine only. Certificates are always verified"
    )
    ca_file: Path | None = option(None, "the authority of the server's certificate, if not one that the system trusts")
    junk: str = option("Junk", "the folder with spam")
    not_junk: str = option("", "a folder into which users put mail wrongly called spam; empty: there is none")
    refresh: float = option(
        300.0,
        "how often the folders are looked at, if the server does not tell us (IDLE)",
        parse=duration("s"),
        check=_refresh,
    )
    accounts: Mapping[str, Account] = sections(Account, "one account", {})

    def __post_init__(self) -> None:
        if self.tls is Tls.OFF and any(one.host not in _LOOPBACK for one in self.mailboxes):
            raise Contradiction("tls", "without TLS, passwords go to servers on this machine only")

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """All accounts, completed from [imap]."""
        return tuple(self._mailbox(name, one) for name, one in self.accounts.items())

    def _mailbox(self, name: str, one: Account) -> Mailbox:
        assert one.password_file is not None
        login = one.login or name
        folders = {one.junk or self.junk: True}
        if other := one.not_junk or self.not_junk:
            folders[other] = False
        port = self.port or (993 if self.tls is Tls.IMPLICIT else 143)
        return Mailbox(
            name,
            login,
            one.password_file,
            one.user or login,
            one.host or self.host,
            port,
            self.tls,
            self.ca_file,
            folders,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Mailbox:
    """One account to poll; `folders` tells for each folder whether its messages are spam."""

    name: str
    login: str
    password_file: Path
    user: str
    host: str
    port: int
    tls: Tls
    ca_file: Path | None
    folders: Mapping[str, bool]
