"""Greylisting (RFC 6647) in an SQLite file that several processes may share."""

from __future__ import annotations

import csv
import ipaddress
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

log = logging.getLogger("milter.greylist")

_COLUMNS = "ip, sender, recipient, firstseen, lastseen, cnt, umis"
_WAIT_FOR_WRITERS = 30.0  # seconds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS greylist (
    ip TEXT, sender TEXT, recipient TEXT,
    firstseen TIMESTAMP, lastseen TIMESTAMP, cnt INTEGER, umis TEXT,
    PRIMARY KEY (ip, sender, recipient))
"""

# A triplet starts anew when it was not retried in time, or once known was not seen for long; otherwise it is counted
# from the moment on that the waiting time is over. One statement, so that it is atomic among processes.
_CHECK = """
INSERT INTO greylist (ip, sender, recipient, firstseen, lastseen, cnt) VALUES (:ip, :sender, :recipient, :now, :now, 0)
ON CONFLICT (ip, sender, recipient) DO UPDATE SET
    firstseen = CASE WHEN {stale} THEN :now ELSE firstseen END,
    cnt = CASE WHEN {stale} THEN 0 WHEN cnt = 0 AND :now < firstseen + :wait THEN 0 ELSE cnt + 1 END,
    lastseen = :now
RETURNING cnt
""".format(stale="(cnt = 0 AND :now > firstseen + :expire OR cnt > 0 AND :now > lastseen + :retain)")


class Greylist:
    """The triplets (client address, envelope sender, recipient) that were seen, and when.

    With ``ignoreLastByte`` set the network (/24, /64) counts instead of the address, for senders with many outgoing
    hosts. Several threads may use one object.
    """

    def __init__(self, dbname: str, grey_time: float = 10, grey_expire: float = 4, grey_retain: float = 36) -> None:
        """A new triplet waits ``grey_time`` minutes, must come back within ``grey_expire`` hours, and then stays
        known for ``grey_retain`` days after it was last seen. ``dbname`` is the file. Raises sqlite3.Error.
        """
        self.ignoreLastByte = False
        self.greylist_time = grey_time * 60
        self.greylist_expire = grey_expire * 3600
        self.greylist_retain = grey_retain * 24 * 3600
        self.conn = sqlite3.connect(dbname, timeout=_WAIT_FOR_WRITERS, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self.conn.execute("PRAGMA journal_mode = WAL")
        self.conn.execute("PRAGMA synchronous = NORMAL")
        self.conn.execute(_SCHEMA)

    def check(self, ip: str, sender: str, recipient: str, timeinc: float = 0) -> int:
        """Count one delivery attempt; returns 0 while the client has to wait, then 1, 2, 3, ...

        ``timeinc`` shifts the clock by so many seconds, for tests. Raises sqlite3.Error.
        """
        values = {
            "ip": self._network(ip) if self.ignoreLastByte else ip,
            "sender": _storable(sender),
            "recipient": _storable(recipient),
            "now": time.time() + timeinc,
            "wait": self.greylist_time,
            "expire": self.greylist_expire,
            "retain": self.greylist_retain,
        }
        with self._transaction() as conn:
            (count,) = conn.execute(_CHECK, values).fetchone()
        log.debug("greylist %s:%s:%s %d", ip, sender, recipient, count)
        return int(count)

    def clean(self, timeinc: float = 0) -> int:
        """Remove the triplets that were not seen for the time they are retained; returns how many. See check()."""
        oldest = time.time() + timeinc - self.greylist_retain
        with self._transaction() as conn:
            return conn.execute("DELETE FROM greylist WHERE lastseen < ?", (oldest,)).rowcount

    def import_csv(self, fp: IO[str]) -> None:
        """Add the triplets of a CSV file: address, sender, recipient, first seen, last seen, count, identifier.

        Times are seconds since 1970. A triplet that is there already is replaced. All or nothing: raises ValueError
        for a row that does not fit.
        """
        with self._transaction() as conn:
            conn.executemany(f"INSERT OR REPLACE INTO greylist ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", _rows(fp))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.conn.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self.conn.execute("BEGIN IMMEDIATE")
            try:
                yield self.conn
            except BaseException:
                self.conn.execute("ROLLBACK")
                raise
            self.conn.execute("COMMIT")

    @staticmethod
    def _network(ip: str) -> str:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return ip
        length = 24 if address.version == 4 else 64
        return str(ipaddress.ip_network(f"{address}/{length}", strict=False).network_address)


def _storable(text: str) -> str:
    """SQLite stores text as UTF-8, which cannot carry the octets that surrogates stand for."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _rows(fp: IO[str]) -> Iterator[tuple[str, str, str, float, float, int, str | None]]:
    for number, row in enumerate(csv.reader(fp), 1):
        try:
            ip, sender, recipient, firstseen, lastseen, count, umis = row
            yield ip, sender, recipient, float(firstseen), float(lastseen), int(count), umis or None
        except ValueError as problem:
            raise ValueError(f"row {number} of the greylist: {problem}") from None
