"""Greylisting under the name that pymilter first gave it; new programs use :mod:`Milter.greysql`."""

from __future__ import annotations

import csv
import time
from typing import IO
from urllib.parse import quote

from Milter import greysql
from Milter.greysql import log

__all__ = ["Greylist", "Record", "log", "quoteAddress"]


def quoteAddress(s: str) -> str:
    """Return an address, domain or local part with only characters that are safe in a file name.

    >>> quoteAddress('a/b c@example.com')
    'a%2Fb%20c@example.com'
    """
    return quote(s, safe="@_-+~!.%", errors="surrogateescape")


class Record:
    """What is known of one triplet: seen first and last (seconds since 1970), how often allowed, an identifier."""

    __slots__ = ("cnt", "firstseen", "lastseen", "umis")

    def __init__(self, timeinc: float = 0) -> None:
        self.firstseen = self.lastseen = time.time() + timeinc
        self.cnt = 0
        self.umis: str | None = None

    def __str__(self) -> str:
        return f"Grey[{time.ctime(self.firstseen)}:{time.ctime(self.lastseen)}:{self.umis}:{self.cnt}]"


class Greylist(greysql.Greylist):
    """A greylist that can be written out. pymilter kept it in a dbm file of pickles; here it is SQLite as well."""

    def export_csv(self, fp: IO[str], timeinc: float = 0) -> None:
        """Write the triplets that are still known as CSV, in the columns that import_csv() reads."""
        oldest = time.time() + timeinc - self.greylist_retain
        query = (
            "SELECT ip, sender, recipient, firstseen, lastseen, cnt, umis FROM greylist"
            " WHERE lastseen >= ? ORDER BY ip, sender, recipient"
        )
        with self._transaction() as conn:
            csv.writer(fp).writerows(conn.execute(query, (oldest,)))
