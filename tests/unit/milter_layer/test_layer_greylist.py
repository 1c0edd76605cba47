"""Greylisting in SQLite: Milter.greysql and Milter.greylist."""

from __future__ import annotations

import io
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from Milter.greylist import Greylist, Record, quoteAddress

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
TRIPLET = ("192.0.2.1", "foo@example.org", "baz@example.com")


@pytest.fixture
def grey(tmp_path: Path) -> Iterator[Greylist]:
    greylist = Greylist(str(tmp_path / "grey.db"))
    yield greylist
    greylist.close()


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        ([0, 5 * MINUTE, 15 * MINUTE, 5 * HOUR], [0, 0, 1, 2]),
        ([0, 10 * MINUTE], [0, 1]),
        ([0, 5 * HOUR, 5 * HOUR + 11 * MINUTE], [0, 0, 1]),
        ([0, HOUR, 35 * DAY, 70 * DAY], [0, 1, 2, 3]),
        ([0, HOUR, 38 * DAY, 38 * DAY + HOUR], [0, 1, 0, 1]),
    ],
    ids=["waits", "exactly", "retried too late", "stays known", "forgotten"],
)
def test_a_triplet_waits_is_known_and_is_forgotten(grey: Greylist, times: list[float], counts: list[int]) -> None:
    """10 minutes, 4 hours, 36 days."""
    assert [grey.check(*TRIPLET, timeinc=at) for at in times] == counts


def test_each_part_of_the_triplet_counts(grey: Greylist) -> None:
    """Another client, sender or recipient waits for itself."""
    grey.check(*TRIPLET)
    others = [("192.0.2.2", *TRIPLET[1:]), (TRIPLET[0], "", TRIPLET[2]), (*TRIPLET[:2], "x@example.com")]
    assert [grey.check(*other, timeinc=HOUR) for other in [TRIPLET, *others]] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("first", "second", "third"),
    [("192.0.2.1", "192.0.2.77", "192.0.3.1"), ("2001:db8::1", "2001:db8::2:1", "2001:db9::1")],
)
def test_networks_can_count_instead_of_addresses(grey: Greylist, first: str, second: str, third: str) -> None:
    """/24 and /64."""
    grey.ignoreLastByte = True
    grey.check(first, "", "")
    assert grey.check(second, "", "", timeinc=HOUR) == 1
    assert grey.check(third, "", "", timeinc=HOUR) == 0


def test_cleaning_removes_what_was_not_seen_for_long(grey: Greylist) -> None:
    """And says how many."""
    grey.check(*TRIPLET)
    grey.check("192.0.2.2", "", "", timeinc=20 * DAY)
    assert [grey.clean(timeinc=at) for at in (35 * DAY, 37 * DAY, 37 * DAY)] == [0, 1, 0]


def test_undecodable_addresses_are_kept_apart(grey: Greylist) -> None:
    """SQLite cannot store surrogates, so they are spelled out."""
    grey.check("192.0.2.1", "caf\udce9@x", "")
    assert grey.check("192.0.2.1", "caf\udce9@x", "", timeinc=HOUR) == 1
    assert grey.check("192.0.2.1", "caf\udce8@x", "", timeinc=HOUR) == 0


def test_attempts_at_the_same_moment_are_all_counted(tmp_path: Path) -> None:
    """Several connections to one file, as several processes have."""
    name = str(tmp_path / "grey.db")
    first = Greylist(name)
    first.check(*TRIPLET)
    counts: list[int] = []

    def attempt() -> None:
        mine = Greylist(name)
        counts.extend(mine.check(*TRIPLET, timeinc=HOUR) for _ in range(10))
        mine.close()

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.close()
    assert sorted(counts) == list(range(1, 41))


def test_a_greylist_travels_as_csv(grey: Greylist, tmp_path: Path) -> None:
    """What one exports, another imports."""
    grey.check(*TRIPLET)
    grey.check(*TRIPLET, timeinc=HOUR)
    text = io.StringIO()
    grey.export_csv(text)
    text.seek(0)
    other = Greylist(str(tmp_path / "other.db"))
    other.import_csv(text)
    assert other.check(*TRIPLET, timeinc=HOUR) == 2
    other.close()


def test_a_csv_with_a_bad_row_imports_nothing(grey: Greylist) -> None:
    """The message names the row."""
    rows = "192.0.2.1,a@b,c@d,1.0,2.0,3,\n192.0.2.2,a@b,c@d,yesterday,2.0,3,\n"
    with pytest.raises(ValueError, match="row 2 "):
        grey.import_csv(io.StringIO(rows))
    assert grey.conn.execute("SELECT count(*) FROM greylist").fetchone() == (0,)


def test_a_file_of_pymilters_is_taken_over(tmp_path: Path) -> None:
    """The table has the same columns."""
    name = tmp_path / "grey.db"
    with closing(sqlite3.connect(name)) as conn, conn:
        conn.execute(
            "CREATE TABLE greylist(ip text, sender text, recipient text, firstseen timestamp, lastseen timestamp,"
            " cnt integer, umis text, primary key (ip,sender,recipient))"
        )
        conn.execute(
            "INSERT INTO greylist VALUES (?, ?, ?, strftime('%s','now'), strftime('%s','now'), 3, NULL)", TRIPLET
        )
    grey = Greylist(str(name))
    assert grey.check(*TRIPLET) == 4
    grey.close()


def test_small_things_of_the_old_module() -> None:
    """Quoted addresses and records."""
    assert quoteAddress("a/b:c\udce9@x") == "a%2Fb%3Ac%E9@x"
    record = Record(timeinc=5)
    assert (record.cnt, record.umis) == (0, None)
    assert str(record).startswith("Grey[")
