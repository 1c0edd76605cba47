"""SRS with a database: the address is only a hash, and the sender is stored. For senders with long addresses."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from SRS.Base import DAY, Base, Expired, Forged, NotRewritten, Unavailable


class DB(Base):
    """SRS0=hash. `database` is the path of an SQLite file, which is created if needed. Several processes may share it.

    Every call may also raise Unavailable if the file cannot be used. Addresses are stored for twice their lifetime, so that an
    expired address can be told from a forged one.
    """

    def __init__(self, secret: Any, database: str | Path, hashlength: int = 24, **options: Any) -> None:
        """Raises ValueError like Base."""
        super().__init__(secret, hashlength=hashlength, **options)
        self._file = str(database)
        with self._opened() as connection:
            connection.execute(
                "create table if not exists srs (hash text primary key, made_at real, host text, user text)"
            )
            connection.execute("create index if not exists srs_made_at on srs (made_at)")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self._file, timeout=5)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise Unavailable(f"{self._file}: {error}") from error

    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        if not _can_be_kept(sendhost + senduser):
            raise NotRewritten("an address with octets that are no UTF-8")
        hash = self.hash_create(sendhost, senduser)
        # Keys are lower-cased: mail servers fold case.
        row = (hash.lower(), self._clock(), sendhost, senduser)
        with self._opened() as connection:
            connection.execute("delete from srs where made_at < ?", (self._clock() - 2 * self.maxage * DAY,))
            connection.execute("insert or replace into srs values (?, ?, ?, ?)", row)
        return f"SRS0{self.separator}{hash}"

    def parse(self, user: str, srshost: str = "") -> tuple[str, str]:
        if self.tag_of(user) != "SRS0":
            raise NotRewritten(f"no SRS0 address: {user[:60]!r}")
        hash = user[5:]
        if not hash.isascii():
            raise NotRewritten(f"no SRS0 address: {user[:60]!r}")
        with self._opened() as connection:
            found = connection.execute("select made_at, host, user from srs where hash = ?", (hash.lower(),)).fetchone()
        if found is None:
            raise NotRewritten("an SRS address that nobody remembers")
        made_at, host, sender = found
        if not self.hash_verify(hash, host, sender):
            raise Forged("the hash of the SRS address is not ours")
        if not self.ignoretimestamp and self._clock() > made_at + self.maxage * DAY:
            raise Expired("the SRS address is too old")
        return host, sender


def _can_be_kept(text: str) -> bool:
    """Whether SQLite can store it: lone surrogates, which stand for undecodable octets, cannot be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
