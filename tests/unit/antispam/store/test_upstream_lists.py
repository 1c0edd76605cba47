"""What upstream remembered: its lists and its greylist, read and written."""

from __future__ import annotations

import csv
import datetime
import io
import pickle
import shutil
import sqlite3
import struct
import subprocess
import time
from contextlib import closing

import click.testing
import pytest
from bms import main
from hypothesis import given
from hypothesis import strategies as st

from antispam.store import greylist, lists, upstream_lists
from antispam.store.greylist import Limits, State, Triplet, attempt
from antispam.store.lists import Kind, Known
from antispam.store.upstream_lists import Grey, Listed, NotReadable, Unread, line_for, read_greylist, read_names
from Milter import greysql
from Milter.cache import AddrCache
from Milter.greylist import Greylist

pytestmark = pytest.mark.every_database

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC).timestamp()
DAY = 86400.0


@pytest.fixture
def bms(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    runner = click.testing.CliRunner(env={"COLUMNS": "300"})
    return lambda *arguments, **more: runner.invoke(main, ["--config", str(config), "lists", *arguments], **more)


def names(text):
    return list(read_names(io.StringIO(text)))


@pytest.mark.parametrize(
    ("line", "name", "entered"),
    [
        ("ann@example.com 2026Nov24 12:00:00 UTC", "ann@example.com", NOW),
        ("ann@example.com 2026Nov24 12:00:00 GMT", "ann@example.com", NOW),
        ("example.com", "example.com", None),
        ("ann@example.com 2026Foo24 12:00:00 UTC", "ann@example.com", None),
        ("ann@example.com 2026Feb30 12:00:00 UTC", "ann@example.com", None),
        ("192.0.2.7", "192.0.2.7", None),
        ("*.spam.example   # by hand", "*.spam.example", None),
        ("a#b@example.com", "a#b@example.com", None),
    ],
)
def test_a_line_has_a_name_and_perhaps_a_time(line, name, entered):
    assert names(line + "\n") == [Listed(1, name, entered)]


def test_the_time_zone_of_this_host_is_understood(monkeypatch):
    """Upstream writes local time with the zone's name, which may be any country's."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert names("a@b.example 2026Nov24 07:00:00 EST\n")[0].entered == NOW
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_upstreams_cache_wrote_is_read(tmp_path, monkeypatch):
    """Milter.cache is the same format, call for call."""
    monkeypatch.setattr("Milter.cache.time.time", lambda: NOW)
    cache = AddrCache(60, str(tmp_path / "auto_whitelist.log"))
    cache["Ann@Example.com"] = None
    cache.addperm("example.net")
    with open(tmp_path / "auto_whitelist.log", encoding="utf-8") as file:
        ann, net = read_names(file)
    assert (ann, net) == (Listed(1, "Ann@Example.com", NOW), Listed(2, "example.net", None))


def test_what_is_exported_is_read_by_upstreams_cache(tmp_path):
    file = tmp_path / "auto_whitelist.log"
    file.write_text(line_for("ann@example.com", time.time() - 3600) + "\nexample.net\n")
    cache = AddrCache(60)
    cache.load(str(file))
    assert "ann@example.com" in cache
    assert "x@example.net" in cache


def test_a_line_without_end_is_told_and_costs_no_other():
    found = names("x" * 1_000_000 + "\nann@example.com\n")
    assert isinstance(found[0], Unread)
    assert found[1] == Listed(2, "ann@example.com", None)


@given(st.text())
def test_any_text_is_read(text):
    for one in names(text):
        assert isinstance(one, Unread) or one.name


def test_names_keep_their_age_and_the_old_are_left_out(bms, sqlite_store, tmp_path):
    file = tmp_path / "auto_whitelist.log"
    now = time.time()
    file.write_text(
        f"{line_for('new@example.com', now - 10 * DAY)}\n{line_for('old@example.com', now - 61 * DAY)}\nexample.net\n"
    )
    result = bms("import", "whitelist", str(file))
    assert result.output == "2 on the whitelist, 1 too old, 0 lines not understood.\n"
    found = {entry.name: entry for entry in lists.everything(sqlite_store)}
    assert found["example.net"].expires_at is None
    assert abs(found["new@example.com"].expires_at - (now + 50 * DAY)) < 2
    assert abs(found["new@example.com"].added_at - (now - 10 * DAY)) < 2


def test_for_counts_from_the_time_in_the_line(bms, sqlite_store):
    entered = int(time.time() - DAY)  # a line has whole seconds
    line = line_for("x@spam.example", entered)
    assert bms("import", "blacklist", "-", "--for", "2d", input=line + "\n").exit_code == 0
    (entry,) = lists.everything(sqlite_store)
    assert entry.expires_at == entered + 2 * DAY


def test_lists_go_out_as_they_came_in(bms, sqlite_store):
    text = line_for("ann@example.com", time.time() - DAY) + "\nexample.net\n"
    assert bms("import", "whitelist", "-", input=text).exit_code == 0
    assert bms("export", "whitelist").output == text


def test_taking_over_changes_nothing_but_a_later_end(store):
    def put(name, until):
        lists.add(store, Kind.BANNED_IP, name, reason="first", by="test", now=NOW, expires_at=until)

    put("192.0.2.1", None)
    put("192.0.2.2", NOW + 10)
    put("192.0.2.3", NOW + 10)
    put("192.0.2.4", NOW + 10)
    ends = {"192.0.2.1": NOW + 5, "192.0.2.2": NOW + 5, "192.0.2.3": NOW + 20, "192.0.2.4": None, "192.0.2.5": NOW + 7}
    known = [Known(name, NOW - 1, until) for name, until in ends.items()]
    assert lists.take_over(
        store, Kind.BANNED_IP, [*known, Known("nonsense", NOW, None)], reason="x", by="y", now=NOW
    ) == ["nonsense is no IP address"]
    found = {entry.name: (entry.expires_at, entry.offences, entry.reason) for entry in lists.everything(store)}
    assert found == {
        "192.0.2.1": (None, 1, "first"),
        "192.0.2.2": (NOW + 10, 1, "first"),
        "192.0.2.3": (NOW + 20, 1, "first"),
        "192.0.2.4": (None, 1, "first"),
        "192.0.2.5": (NOW + 7, 1, "x"),
    }


def test_of_a_name_that_comes_twice_the_later_end_counts(store):
    known = [
        Known("a@b.example", NOW, NOW + 9),
        Known("A@b.example", NOW, NOW + 99),
        Known("a@b.example", NOW, NOW + 5),
    ]
    lists.take_over(store, Kind.BLACKLIST, known, reason="x", by="y", now=NOW)
    assert [entry.expires_at for entry in lists.everything(store)] == [NOW + 99]


def pickled(first, last, count, umis=None):
    """A record as Python 2 pickled it (protocol 2, slots): written out by hand, since no Python 2 is here."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    return (
        b"\x80\x02cMilter.greylist\nRecord\nq\x01)\x81q\x02N}q\x03("
        + (text(b"firstseen") + b"q\x04G" + struct.pack(">d", first))
        + (text(b"cnt") + b"q\x05" + (b"K" + bytes([count]) if count < 256 else b"M" + struct.pack("<H", count)))
        + (text(b"umis") + b"q\x06" + (b"N" if umis is None else text(umis)))
        + (text(b"lastseen") + b"q\x07G" + struct.pack(">d", last))
        + b"u\x86q\x08b."
    )


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_records_of_every_protocol_are_read(protocol):
    values = {"firstseen": 1.5, "lastseen": 2.5, "cnt": 7, "umis": None}
    assert upstream_lists._in_pickle(pickle.dumps((None, values), protocol)) == values


def test_a_value_that_looks_like_a_name_is_a_value():
    assert upstream_lists._in_pickle(pickled(1.0, 2.0, 3, b"lastseen")) == {
        "firstseen": 1.0,
        "cnt": 3,
        "umis": "lastseen",
        "lastseen": 2.0,
    }


def test_a_pickle_is_never_executed(tmp_path):
    class Bad:
        def __reduce__(self):
            return open, (str(tmp_path / "made"), "w")

    upstream_lists._in_pickle(pickle.dumps(Bad()))
    assert not (tmp_path / "made").exists()


@given(st.binary(max_size=300) | st.binary(max_size=50).map(lambda tail: pickled(1.0, 2.0, 3)[: 20 + len(tail)] + tail))
def test_any_octets_are_read_or_refused(octets):
    upstream_lists._in_pickle(octets)


def loaded(path, pairs):
    """A Berkeley DB hash, as bsddb made it."""
    loader = shutil.which("db5.3_load") or shutil.which("db_load")
    if loader is None:
        pytest.skip("apt install db5.3-util")

    def escaped(octets):
        return b"".join(b"\\%02x" % octet for octet in octets)

    lines = b"".join(escaped(key) + b"\n" + escaped(value) + b"\n" for key, value in pairs)
    subprocess.run([loader, "-T", "-t", "hash", path], input=lines, check=True)


@pytest.mark.servers
def test_a_shelf_is_read(tmp_path):
    path = tmp_path / "greylist.db"
    pairs = [
        (b"192.0.2.1:a%2Bb@example.org:bob@example.com", pickled(NOW - 9, NOW - 1, 300)),
        (b"2001:db8::1:ann@example.org:bob@example.com", pickled(NOW - 5, NOW - 5, 0)),
        (b"nonsense", b"x"),
    ]
    loaded(path, pairs)
    found = sorted(read_greylist(path), key=lambda one: isinstance(one, Grey) and one.count)
    assert isinstance(found[0], Unread) or isinstance(found[1], Unread)
    rows = {(one.client, one.mail_from, one.recipient, one.count) for one in found if isinstance(one, Grey)}
    assert rows == {
        ("192.0.2.1", "a+b@example.org", "bob@example.com", 300),
        ("2001:db8::1", "ann@example.org", "bob@example.com", 0),
    }


@pytest.fixture
def theirs(tmp_path):
    """A greylist of Milter.greysql with one triplet that passed and one that waits."""
    path = tmp_path / "theirs.db"
    made = greysql.Greylist(str(path))
    made.check("192.0.2.1", "ann@example.org", "bob@example.com", timeinc=-DAY)
    made.check("192.0.2.1", "ann@example.org", "bob@example.com", timeinc=-DAY + 3600)
    made.check("192.0.2.2", "ann@example.org", "bob@example.com", timeinc=-3600)
    made.close()
    return path


def test_who_passed_there_passes_here(bms, sqlite_store, theirs):
    result = bms("import", "greylist", str(theirs))
    assert result.output == "2 on the greylist, 0 lines not understood.\n"
    limits, now = Limits(300, 4 * 3600, 36 * DAY), time.time()

    def state(client, sender="ann@example.org"):
        return attempt(sqlite_store, Triplet(client, sender, "bob@example.com"), now, limits).state

    # One network: the one that passed stands for the other, too.
    assert state("192.0.2.0/24") is State.KNOWN
    assert state("spf:example.org") is State.KNOWN
    assert state("198.51.100.0/24") is State.NEW


def test_who_waits_there_has_waited_here(bms, sqlite_store, theirs):
    with closing(sqlite3.connect(theirs)) as database, database:
        database.execute("DELETE FROM greylist WHERE cnt > 0")
    database.close()
    assert bms("import", "greylist", str(theirs)).exit_code == 0
    limits = Limits(300, 4 * 3600, 36 * DAY)
    triplet = Triplet("192.0.2.0/24", "ann@example.org", "bob@example.com")
    assert attempt(sqlite_store, triplet, time.time(), limits).state is State.PASSED
    assert attempt(
        sqlite_store, Triplet("spf:example.org", *("ann@example.org", "bob@example.com")), time.time(), limits
    ).state is (State.NEW)


def test_the_greylist_goes_out_for_upstream_and_comes_back(bms, sqlite_store, theirs, tmp_path):
    bms("import", "greylist", str(theirs))
    text = bms("export", "greylist").output
    again = Greylist(str(tmp_path / "again.db"))
    again.import_csv(io.StringIO(text))
    assert again.check("192.0.2.0", "ann@example.org", "bob@example.com") > 1
    again.close()
    before = sorted(greylist.everything(sqlite_store), key=str)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("DELETE FROM greylist")
    (tmp_path / "out.csv").write_text(text)
    assert bms("import", "greylist", str(tmp_path / "out.csv")).exit_code == 0
    assert sorted(greylist.everything(sqlite_store), key=str) == before


def test_what_is_known_here_already_stays(store):
    limits = Limits(300, 4 * 3600, 36 * DAY)
    waits, passed = (Triplet(f"192.0.{n}.0/24", "a@b.example", "c@d.example") for n in (2, 3))
    for triplet, times in ((waits, (NOW,)), (passed, (NOW - 600, NOW))):
        for at in times:
            attempt(store, triplet, at, limits)
    old = greylist.Record(NOW - 5 * DAY, NOW - 4 * DAY, NOW - 4 * DAY, 2)
    assert greylist.take_over(store, [(waits, old), (passed, old)]) == 2
    found = dict(greylist.everything(store))
    assert found[passed] == greylist.Record(NOW - 600, NOW, NOW, 2)
    assert found[waits] == greylist.Record(NOW, NOW, NOW - 4 * DAY, 1)


@pytest.mark.parametrize(
    "row",
    [
        ("x", "a@b.example", "c@d.example", 1, 2, 3),
        ("192.0.2.1", None, "c@d.example", 1, 2, 3),
        ("192.0.2.1", "a@b.example", "c@d.example", "soon", 2, 3),
        ("192.0.2.1", "a@b.example", "c@d.example", 1, float("inf"), 3),
        ("192.0.2.1", "a@b.example", "c@d.example", 5, 2, 3),
        ("192.0.2.1", "a@b.example", "c@d.example", 1, 2, -3),
        ("192.0.2.1", "a@b.example", b"\xff", 1, 2, 3),
    ],
)
def test_a_bad_row_costs_no_other(bms, sqlite_store, tmp_path, row):
    path = tmp_path / "bad.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE greylist (ip, sender, recipient, firstseen, lastseen, cnt, umis)")
        good = ("192.0.2.9", "a@b.example", "c@d.example", time.time() - 9, time.time(), 3)
        database.executemany("INSERT INTO greylist VALUES (?, ?, ?, ?, ?, ?, NULL)", [row, good])
    database.close()
    result = bms("import", "greylist", str(path))
    assert result.exit_code == 1
    assert "1 on the greylist, 1 lines not understood" in result.output.replace(", 1 too old", "")


def test_an_endless_view_is_not_asked(bms, tmp_path):
    path = tmp_path / "view.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE VIEW greylist AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n"
        )
    database.close()
    result = bms("import", "greylist", str(path))
    assert result.exit_code == 1
    assert "has no table greylist" in result.output


@given(st.binary(max_size=2000), st.sampled_from([b"", b"SQLite format 3\0", b"\0" * 12 + struct.pack("<I", 0x061561)]))
def test_any_file_is_read_or_refused(tmp_path_factory, octets, head):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(head + octets)
    try:
        for one in read_greylist(path):
            assert isinstance(one, Unread | Grey)
    except NotReadable:
        pass


def test_csv_of_any_text_goes_out_and_comes_back(tmp_path):
    path = tmp_path / "out.csv"
    sender = 'a"b,c\nd'
    with path.open("w", newline="") as file:
        csv.writer(file).writerow(("192.0.2.1", sender, "c@d.example", 1, 2, 3, ""))
    (found,) = read_greylist(path)
    assert (found.mail_from, found.count) == (sender, 3)
