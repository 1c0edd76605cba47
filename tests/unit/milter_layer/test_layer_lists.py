"""Lists of addresses in files: Milter.plock, cache, config and policy."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from Milter import policy
from Milter.cache import AddrCache
from Milter.config import MilterConfigParser
from Milter.plock import PLock
from Milter.policy import MTAPolicy

DAY = 24 * 60 * 60


# --- plock ------------------------------------------------------------------------------------------------------


def test_an_update_replaces_the_file_and_keeps_a_backup(tmp_path: Path) -> None:
    """With the mode of the old file; the lock is gone."""
    name = tmp_path / "list"
    name.write_text("old\n")
    name.chmod(0o640)
    lock = PLock(str(name))
    lock.lock().write("new\n")
    assert name.read_text() == "old\n"
    lock.commit(str(tmp_path / "list.bak"))
    assert (name.read_text(), (tmp_path / "list.bak").read_text()) == ("new\n", "old\n")
    assert stat.S_IMODE(name.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["list", "list.bak"]


def test_a_new_file_gets_the_mode_asked_for(tmp_path: Path) -> None:
    """Where there is no old file to take it from; a backup of nothing is nothing."""
    lock = PLock(str(tmp_path / "list"))
    lock.lock(mode=0o600)
    lock.commit(str(tmp_path / "list.bak"))
    assert stat.S_IMODE((tmp_path / "list").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["list"]


def test_a_second_update_has_to_wait(tmp_path: Path) -> None:
    """lock() says so; unlocking the loser does not unlock the winner."""
    winner, loser = PLock(str(tmp_path / "list")), PLock(str(tmp_path / "list"))
    winner.lock()
    with pytest.raises(FileExistsError):
        loser.lock()
    loser.unlock()
    assert (tmp_path / "list.lock").exists()
    winner.unlock()
    assert os.listdir(tmp_path) == []


def test_commit_without_lock_is_an_error(tmp_path: Path) -> None:
    """Nothing was begun."""
    with pytest.raises(OSError, match="not locked"):
        PLock(str(tmp_path / "list")).commit()


# --- cache ------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until it is moved."""
    now = SimpleNamespace(time=1_800_000_000.0)
    monkeypatch.setattr("Milter.cache.time.time", lambda: now.time)
    return now


def test_addresses_are_found_in_any_case(tmp_path: Path) -> None:
    """And give the result that was kept."""
    cache = AddrCache(fname=str(tmp_path / "cache"))
    cache["Foo@Example.com"] = None
    cache["bar@example.com"] = (550, "no")
    assert "foo@example.COM" in cache
    assert cache.has_key("FOO@example.com")
    assert cache["bar@example.com"] == (550, "no")
    assert len(cache) == 2


def test_only_entries_without_a_result_are_written(tmp_path: Path) -> None:
    """With the time, unless they are permanent."""
    cache = AddrCache(fname=str(tmp_path / "cache"))
    cache["foo@bar.com"] = None
    cache.addperm("baz@bar.com")
    cache["temp@bar.com"] = "testing"
    lines = (tmp_path / "cache").read_text().splitlines()
    assert lines[0].startswith("foo@bar.com 20")
    assert lines[1:] == ["baz@bar.com"]


def test_a_domain_answers_for_its_addresses() -> None:
    """But is no precise key for them, and says nothing about subdomains."""
    cache = AddrCache()
    cache.addperm("example.com", "known")
    assert cache["joe@example.com"] == "known"
    assert not cache.has_precise_key("joe@example.com")
    assert "joe@sub.example.com" not in cache
    with pytest.raises(KeyError):
        cache["joe@sub.example.com"]


def test_entries_expire_and_permanent_ones_do_not(clock: SimpleNamespace) -> None:
    """After the days that were asked for."""
    cache = AddrCache(renew=7)
    cache["foo@example.com"] = None
    cache.addperm("bar@example.com")
    clock.time += 7 * DAY
    assert "foo@example.com" in cache
    clock.time += 1
    assert "foo@example.com" not in cache
    assert "bar@example.com" in cache


def test_loading_drops_what_has_expired_and_keeps_what_an_administrator_wrote(
    tmp_path: Path, clock: SimpleNamespace
) -> None:
    """Comments and lines without time stay, in the file and for ever."""
    recent = time.strftime(AddrCache.time_format, time.localtime(clock.time - DAY))
    file = tmp_path / "cache"
    file.write_text(
        f"# by hand\nspammer.com\n\nold@x.com 2001Jan01 00:00:00 UTC\nodd@x.com whenever\nnew@x.com {recent}\n"
    )
    cache = AddrCache()
    cache.load(str(file), 30)
    assert {key for key in cache.cache if key in cache} == {"spammer.com", "new@x.com"}
    assert "old@x.com" not in file.read_text()
    assert file.read_text().splitlines()[:2] == ["# by hand", "spammer.com"]
    clock.time += 300 * DAY
    assert "joe@spammer.com" in cache


def test_loading_a_file_that_does_not_exist_is_loading_an_empty_one(tmp_path: Path) -> None:
    """And nothing is left behind."""
    cache = AddrCache()
    cache.load(str(tmp_path / "cache"))
    assert len(cache) == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("sender", ["evil@x.com\ngood@example.com", "evil@x.com good@example.com", "caf\udce9@x.com"])
def test_no_sender_can_enter_another_one(tmp_path: Path, sender: str) -> None:
    """White space inside an address is not written; undecodable octets are."""
    cache = AddrCache(fname=str(tmp_path / "cache"))
    cache[sender] = None
    again = AddrCache()
    again.load(str(tmp_path / "cache"))
    assert "good@example.com" not in again
    assert (sender in again) == ("\udce9" in sender)


# --- config -----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> MilterConfigParser:
    (tmp_path / "Bulk.example").write_text("news\n# comment\nsales joe\n")
    parser = MilterConfigParser()
    parser.read_string("""
[milter]
hosts = a, b ,c
number = 5
flag = false
addresses = joe@Example.com, ann@example.com, file:Bulk.example
wrong = joe
users = joe,ann,none
joe = joe@example.com, j@example.org
ann = file:Bulk.example
""")
    return parser


def test_what_is_missing_is_none_or_the_default(config: MilterConfigParser) -> None:
    """Option or section."""
    assert config.get("milter", "nothing") is None
    assert config.getdefault("nowhere", "nothing", "x") == "x"
    assert config.getintdefault("milter", "nothing", 3) == 3
    assert config.getlist("milter", "nothing") == []
    assert config.getaddrset("milter", "nothing") == config.getaddrdict("milter", "nothing") == {}


def test_what_is_there_is_converted(config: MilterConfigParser) -> None:
    """Lists, numbers, booleans."""
    assert config.getlist("milter", "hosts") == ["a", "b", "c"]
    assert config.getintdefault("milter", "number") == 5
    assert config.getboolean("milter", "flag") is False


def test_getaddrset_groups_by_domain(config: MilterConfigParser, tmp_path: Path) -> None:
    """Domains in lower case; a file stands for a domain of its name."""
    assert config.getaddrset("milter", "addresses", str(tmp_path)) == {
        "example.com": ["joe", "ann"],
        "bulk.example": ["news", "sales", "joe"],
    }
    with pytest.raises(ValueError, match=r"\[milter\] wrong: not an address: joe"):
        config.getaddrset("milter", "wrong")


def test_getaddrdict_maps_addresses_to_names(config: MilterConfigParser, tmp_path: Path) -> None:
    """Through the option of each name."""
    assert config.getaddrdict("milter", "users", str(tmp_path)) == {
        "joe@example.com": "joe",
        "j@example.org": "joe",
        "news": "ann",
        "sales": "ann",
        "joe": "ann",
    }


def test_parsers_share_nothing() -> None:
    """Defaults given to one are not seen by another."""
    assert MilterConfigParser({"datadir": "/var/lib"}).defaults() == {"datadir": "/var/lib"}
    assert MilterConfigParser().defaults() == {}


# --- policy -----------------------------------------------------------------------------------------------------

MAP = {
    b"smtp-auth!good@example.com": b"OK",
    b"smtp-auth!example.com": b"REJECT",
    b"smtp-auth!bad@localhost.localdomain": b"REJECT",
    b"smtp-test!": b"REJECT",
    b"smtp-test!.baz.com": b"WILDCARD",
    b"spf-fail:example.com": b"CBV",
}


@pytest.fixture
def access_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A configuration with a map, whose file format is tested elsewhere."""
    (tmp_path / "access.db").touch()
    monkeypatch.setattr(policy, "_read", lambda fname: dict(MAP))
    return SimpleNamespace(access_file=str(tmp_path / "access.db"), access_file_nulls=True)


@pytest.mark.parametrize(
    ("sender", "prefix", "expected"),
    [
        ("good@example.com", "smtp-auth", "OK"),
        ("Good@Example.COM", "SMTP-Auth:", "OK"),
        ("bad@example.com", "smtp-auth", "REJECT"),
        ("bad@bad.example.com", "smtp-auth", None),
        ("any@random.com", "smtp-test", "REJECT"),
        ("foo@bar.baz.com", "smtp-test", "WILDCARD"),
        ("foo@baz.com", "smtp-test", "REJECT"),
        ("joe@example.com", "spf-fail", "CBV"),
        ("joe@example.com", "spf-none", None),
        ("", "smtp-auth", None),
        ("caf\udce9@" + "a." * 5000, "smtp-test", "REJECT"),
    ],
)
def test_the_most_particular_policy_counts(
    access_map: SimpleNamespace, sender: str, prefix: str, expected: str | None
) -> None:
    """Address, domain, wildcard of a parent domain, default; keys with "!" or ":"."""
    with MTAPolicy(sender, conf=access_map) as p:
        assert p.getPolicy(prefix) == expected


def test_without_a_map_there_is_no_policy() -> None:
    """access_file is None."""
    with MTAPolicy("joe@example.com", conf=SimpleNamespace(access_file=None)) as p:
        assert p.getPolicy("spf-fail") is None


def test_a_map_is_read_again_when_it_has_changed(access_map: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only then."""
    reads = []
    monkeypatch.setattr(policy, "_read", lambda fname: reads.append(fname) or {})
    for _ in range(3):
        with MTAPolicy("joe@example.com", conf=access_map):
            pass
    assert len(reads) == 1
    os.utime(access_map.access_file, (1, 1))
    with MTAPolicy("joe@example.com", conf=access_map):
        pass
    assert len(reads) == 2


def test_a_map_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A policy that silently does not apply would be worse."""
    with (
        pytest.raises(FileNotFoundError),
        MTAPolicy("joe@example.com", SimpleNamespace(access_file=str(tmp_path / "none.db"))),
    ):
        pass
