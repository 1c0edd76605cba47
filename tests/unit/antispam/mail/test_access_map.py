"""The access map: entries, look-ups, files and their renewal."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antispam.mail.access_map import (
    AccessMap,
    AccessMapError,
    AccessSettings,
    Action,
    MapFile,
    Policy,
    from_pairs,
    parse_policy,
    parse_text,
)
from antispam.mail.access_map.lmdb_file import read_lmdb
from antispam.net.addresses import Mailbox
from antispam.settings import SettingsError, load_text


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("OK", Policy(Action.OK)),
        ("ok", Policy(Action.OK)),
        ("RELAY", Policy(Action.OK)),
        ("REJECT", Policy(Action.REJECT)),
        ("CBV", Policy(Action.CBV)),
        ("DSN", Policy(Action.DSN)),
        ("BAN", Policy(Action.BAN)),
        ("WHITELIST", Policy(Action.WHITELIST)),
        ("DISCARD", Policy(Action.DISCARD)),
        ("QUARANTINE:looks odd", Policy(Action.QUARANTINE, text="looks odd")),
        ("REJECT we don't like you", Policy(Action.REJECT, text="we don't like you")),
        ('REJECT "550 5.7.1 No thanks"', Policy(Action.REJECT, 550, "5.7.1", "No thanks")),
        ('REJECT "554 No thanks"', Policy(Action.REJECT, 554, "", "No thanks")),
        ("ERROR:5.7.1:550 No thanks", Policy(Action.REJECT, 550, "5.7.1", "No thanks")),
        ('ERROR:"550 5.7.1 No thanks"', Policy(Action.REJECT, 550, "5.7.1", "No thanks")),
        ("ERROR:4.7.1:451 Later", Policy(Action.TEMPFAIL, 451, "4.7.1", "Later")),
        ("550 No thanks", Policy(Action.REJECT, 550, "", "No thanks")),
        ("450 4.2.0 Later", Policy(Action.TEMPFAIL, 450, "4.2.0", "Later")),
        ("DEFER", Policy(Action.TEMPFAIL)),
    ],
)
def test_the_right_hand_sides_of_sendmail_and_our_own_words_are_understood(value: str, policy: Policy) -> None:
    assert parse_policy(value) == policy


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("REJCT", "did you mean REJECT"),
        ("", "unknown action"),
        ("FROBNICATE", "known are OK"),
        ("ERROR:no code here", "4xx or 5xx"),
        ("250 fine", "4xx or 5xx"),
        ("5", "4xx or 5xx"),
        ("REJECT 451 later", "5xx"),
        ("TEMPFAIL 550 never", "4xx"),
        ("ERROR:4.7.1:550 what now", "contradicts"),
    ],
)
def test_what_makes_no_sense_is_said_so(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_policy(value)


@given(st.text(max_size=200))
def test_no_value_raises_anything_but_a_value_error(value: str) -> None:
    with contextlib.suppress(ValueError):
        parse_policy(value)


TABLE = parse_text(
    """\
# a comment
SPF-Fail:boss@Example.COM\tOK
SPF-Fail:example.com      CBV
SPF-Fail:              REJECT
SPF-Neutral:com        DSN
Helo-None              REJECT
DKIM-Fail!example.net  QUARANTINE
SPF-Softfail:bücher.example  DSN
DKIM-None:strasse.example    REJECT
DKIM-None:straße.example     OK
Connect:192.0.2        REJECT
From:spam@example.com  ERROR:"550 away"
SMTP-Test:             REJECT
"""
)


@pytest.mark.parametrize(
    ("tag", "sender", "key"),
    [
        ("spf-fail", "boss@example.com", "spf-fail:boss@example.com"),
        ("SPF-Fail", "BOSS@EXAMPLE.com", "spf-fail:boss@example.com"),
        ("spf-fail", "joe@example.com", "spf-fail:example.com"),
        ("spf-fail", "joe@a.b.example.com", "spf-fail:example.com"),
        ("spf-fail", "joe@example.org", "spf-fail:"),
        ("spf-fail", "", "spf-fail:"),
        ("spf-neutral", "joe@aol.com", "spf-neutral:com"),
        ("helo-none", "mail.example.org", "helo-none:"),
        ("dkim-fail", "example.net", "dkim-fail:example.net"),
        ("spf-softfail", "joe@xn--bcher-kva.example", "spf-softfail:xn--bcher-kva.example"),
        ("spf-softfail", "joe@BÜCHER.example", "spf-softfail:xn--bcher-kva.example"),
        ("dkim-none", "joe@straße.example", "dkim-none:xn--strae-oqa.example"),
        ("dkim-none", "joe@STRASSE.example", "dkim-none:strasse.example"),
    ],
)
def test_the_most_specific_entry_counts(tag: str, sender: str, key: str) -> None:
    """Full address, domain, parent domains, bare tag, whatever the case and with `!` for `:`."""
    policy = TABLE.policy(tag, sender)
    assert policy is not None
    assert policy.key == key


@pytest.mark.parametrize(("tag", "sender"), [("spf-pass", "joe@example.com"), ("spf-neutral", "joe@example.org")])
def test_where_nothing_is_said_nothing_is_found(tag: str, sender: str) -> None:
    assert TABLE.policy(tag, sender) is None


def test_entries_for_the_mta_are_left_alone() -> None:
    assert len(TABLE) == 9
    assert TABLE.problems == ()


LOGINS = parse_text(
    """\
smtp-auth:good@example.com           OK
smtp-auth:example.com                REJECT
smtp-auth:boss@realm@example.com     OK
"""
)


@pytest.mark.parametrize(
    ("login", "sender", "action"),
    [
        ("good", "anybody@example.com", Action.OK),
        ("good@example.com", "anybody@example.com", Action.OK),
        ("bad", "good@example.com", Action.REJECT),
        ("boss@realm", "x@example.com", Action.OK),
        ("good@other.example", "x@example.com", Action.REJECT),
        ("bad", "x@sub.example.com", Action.REJECT),
    ],
)
def test_a_login_is_judged_with_the_senders_domain(login: str, sender: str, action: Action) -> None:
    policy = LOGINS.login_policy(login, sender)
    assert policy is not None
    assert policy.action is action


def test_a_login_is_free_where_nothing_is_said() -> None:
    assert LOGINS.login_policy("good", Mailbox("x", "example.org")) is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("spf-fail:example.com REJCT", "access:2: unknown action 'REJCT'; did you mean REJECT?"),
        ("spf-fail:example.com", "access:2: unknown action"),
        ("spf-softfial: DSN", "access:2: unknown tag 'spf-softfial'; did you mean spf-softfail:?"),
        ("dkim-frobnicated: DSN", "access:2: unknown tag"),
        ("smpt-auth:joe@example.com OK", "did you mean smtp-auth:?"),
        ("spf-pass: REJECT", "access:2: 'spf-pass:' stands in the map before"),
        ("spf-fail: " + "x" * 20_000, "access:2: longer than"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_left_out(line: str, problem: str) -> None:
    table = parse_text(f"spf-pass: OK\n{line}\n")
    assert len(table) == 1
    assert problem in str(table.problems[0])


def test_a_line_that_begins_with_white_space_goes_on_the_one_before() -> None:
    policy = parse_text('spf-fail:\n  REJECT "550\n\n# and still\n  5.7.1 away"\n').policy("spf-fail", "")
    assert policy == Policy(Action.REJECT, 550, "5.7.1", "away", "spf-fail:")


def test_built_maps_with_nuls_mean_the_same() -> None:
    """Postfix ends keys and values with one."""
    table = from_pairs([(b"spf-fail:example.com\0", b"REJECT\0"), (b"\xff\xfe", b"\xff")])
    assert table.policy("spf-fail", "joe@example.com") == Policy(Action.REJECT, key="spf-fail:example.com")


def test_a_mistake_in_a_built_map_is_reported_with_its_key() -> None:
    assert "'spf-fail:example.com'" in str(
        from_pairs([(b"spf-fail:example.com", b"NO\x1b[2J")], "access.db").problems[0]
    )


@given(st.text(max_size=500))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    parse_text(text).policy("spf-fail", text)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("/etc/mail/access", MapFile("/etc/mail/access", "text")),
        ("/etc/mail/access.db", MapFile("/etc/mail/access.db", "hash")),
        ("/etc/mail/access.lmdb", MapFile("/etc/mail/access.lmdb", "lmdb")),
        ("hash:/etc/postfix/access", MapFile("/etc/postfix/access.db", "hash")),
        ("lmdb:/etc/postfix/access", MapFile("/etc/postfix/access.lmdb", "lmdb")),
        ("text:/etc/access.db", MapFile("/etc/access.db", "text")),
    ],
)
def test_the_form_of_a_map_is_told_by_its_name(name: str, file: MapFile) -> None:
    assert MapFile.named(name) == file


def test_a_type_that_is_not_supported_is_an_error_of_the_configuration() -> None:
    with pytest.raises(SettingsError, match=r"milter.cfg:2: .*cdb"):
        load_text("[spf]\naccess_file = cdb:/etc/postfix/access\n", [AccessSettings])


def write_lmdb(path: Path, pairs: dict[bytes, bytes]) -> None:
    with lmdb.open(str(path), subdir=False, lock=False) as environment, environment.begin(write=True) as transaction:
        for key, value in pairs.items():
            transaction.put(key, value)


def test_an_lmdb_map_is_read(tmp_path: Path) -> None:
    path = tmp_path / "access.lmdb"
    write_lmdb(path, {b"spf-fail:\0": b"REJECT\0", b"connect:192.0.2\0": b"OK\0"})
    assert AccessMap(str(path)).policy("spf-fail", "a@b.example") == Policy(Action.REJECT, key="spf-fail:")


@pytest.mark.parametrize("length", [0, 20, 4096, 8192])
def test_a_truncated_lmdb_map_is_an_error_and_not_the_end_of_the_process(tmp_path: Path, length: int) -> None:
    path = tmp_path / "access.lmdb"
    write_lmdb(path, {b"spf-fail:%d" % i: b"REJECT" for i in range(1000)})
    os.truncate(path, length)
    with pytest.raises(AccessMapError, match=r"access\.lmdb"):
        MapFile.named(str(path)).load()


def test_an_lmdb_map_of_another_kind_of_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "access.lmdb"
    path.write_bytes(struct.pack("<Q", 1) * 4000)
    with pytest.raises(AccessMapError, match="not an lmdb file"):
        MapFile.named(str(path)).load()


@given(
    st.dictionaries(st.binary(min_size=1, max_size=200), st.binary(max_size=20_000), max_size=60),
    st.sets(st.integers(0, 59), max_size=40),
)
@settings(max_examples=50)
def test_an_lmdb_file_is_read_as_the_library_reads_it(pairs: dict[bytes, bytes], deleted: set[int]) -> None:
    """With values on pages of their own, and with what was deleted again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.lmdb"
        write_lmdb(path, pairs)
        gone = {key for number, key in enumerate(pairs) if number in deleted}
        with (
            lmdb.open(str(path), subdir=False, lock=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key in gone:
                transaction.delete(key)
        assert list(read_lmdb(path)) == sorted((key, value) for key, value in pairs.items() if key not in gone)


@pytest.fixture(scope="module")
def sound_lmdb(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("lmdb") / "access.lmdb"
    write_lmdb(path, {b"spf-fail:%d" % i: b"REJECT" * (1 if i % 50 else 2000) for i in range(500)})
    return path.read_bytes()


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_lmdb_map_costs_no_process(sound_lmdb: bytes, data: st.DataObject) -> None:
    """The library mapped it into memory: SIGBUS, SIGABRT or SIGSEGV for each worker, and for the supervisor."""
    raw = bytearray(sound_lmdb)
    used = [place for place in range(0, len(raw), 64) if any(raw[place : place + 64])]
    for place in data.draw(st.lists(st.sampled_from(used), min_size=1, max_size=8)):
        at = place + data.draw(st.integers(0, 63))
        raw[at] = data.draw(st.sampled_from((0x00, 0xFF, raw[at] ^ 0x01, raw[at] ^ 0x80)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.lmdb"
        path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
        with contextlib.suppress(AccessMapError):
            MapFile.named(str(path)).load()


def test_an_lmdb_file_whose_pages_go_in_a_circle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "access.lmdb"
    write_lmdb(path, {b"spf-fail:%d" % i: b"REJECT" for i in range(1000)})
    raw = bytearray(path.read_bytes())
    size = struct.unpack_from("=I", raw, 40)[0]
    branch = next(n for n in range(2, len(raw) // size) if struct.unpack_from("=H", raw, n * size + 10)[0] & 0x01)
    (node,) = struct.unpack_from("=H", raw, branch * size + 16)
    struct.pack_into("=HHH", raw, branch * size + node, branch, 0, 0)
    path.write_bytes(raw)
    with pytest.raises(AccessMapError, match="twice"):
        MapFile.named(str(path)).load()


def test_a_missing_map_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(AccessMapError, match="No such file"):
        AccessMap(str(tmp_path / "access"))


def test_a_map_that_is_being_built_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "access"
    path.write_text("spf-fail: REJECT\n")
    with path.open() as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)
        with pytest.raises(AccessMapError, match="being built"):
            MapFile.named(str(path)).load()


def test_no_map_is_an_empty_map() -> None:
    assert AccessMap().policy("spf-fail", "joe@example.com") is None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "access"
    path.write_text("spf-fail: REJECT\n")
    return path


def action_for_fail(access: AccessMap) -> Action | None:
    policy = access.policy("spf-fail", "joe@example.com")
    return policy and policy.action


def test_a_changed_file_is_noticed_after_the_interval_and_not_before(path: Path, clock: Clock) -> None:
    access = AccessMap(str(path), clock=clock, interval=5)
    path.write_text("spf-fail: QUARANTINE\n")
    clock.now = 4
    assert action_for_fail(access) is Action.REJECT
    clock.now = 5
    assert action_for_fail(access) is Action.QUARANTINE


def test_a_file_renamed_into_place_is_noticed(path: Path, clock: Clock) -> None:
    access = AccessMap(str(path), clock=clock, interval=5)
    fresh = path.with_name("fresh")
    fresh.write_text("spf-fail: OK\n")
    fresh.rename(path)
    clock.now = 5
    assert action_for_fail(access) is Action.OK


def test_a_file_that_vanished_leaves_the_policy_in_force_and_is_said_once(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    access = AccessMap(str(path), clock=clock, interval=5)
    path.unlink()
    for clock.now in (5, 10, 15):
        assert action_for_fail(access) is Action.REJECT
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "stays in force" in errors[0]
    assert "No such file" in errors[0]


def test_a_broken_file_leaves_the_policy_in_force_until_it_is_mended(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "access.lmdb"
    write_lmdb(path, {b"spf-fail:": b"REJECT"})
    access = AccessMap(str(path), clock=clock, interval=5)
    sound = path.read_bytes()
    path.write_bytes(b"half a map")
    clock.now = 5
    assert action_for_fail(access) is Action.REJECT
    path.write_bytes(sound)
    write_lmdb(path, {b"spf-fail:": b"OK"})
    clock.now = 10
    assert action_for_fail(access) is Action.OK


def test_mistakes_are_logged_when_the_map_is_loaded(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("spf-fail: REJCT\n" * 30)
    AccessMap(str(path))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{path}:1: unknown action 'REJCT'; did you mean REJECT?" in warnings[0]
    assert warnings[-1] == "access map: 10 more problems"


SERVERS = Path(__file__).parents[4] / ".cache" / "servers"


@pytest.mark.servers
def test_text_and_the_hashes_that_both_mtas_build_from_it_mean_the_same(tmp_path: Path) -> None:
    makemap = SERVERS / "sendmail/usr/libexec/sendmail/makemap"
    postmap = SERVERS / "postfix/usr/sbin/postmap"
    if not (makemap.exists() and postmap.exists()):
        pytest.skip("run scripts/install-test-servers")
    source = tmp_path / "access"
    source.write_text("SPF-Fail:Boss@Example.COM\tOK\nSPF-Fail:\tREJECT no forgeries\nConnect:192.0.2\tREJECT\n")
    (tmp_path / "empty.cf").touch()
    (tmp_path / "main.cf").write_text("mail_owner = daemon\n")
    built_by_sendmail = tmp_path / "sendmail.db"
    with source.open() as lines:
        subprocess.run([makemap, "-C", tmp_path / "empty.cf", "hash", built_by_sendmail], stdin=lines, check=True)
    libraries = {"LD_LIBRARY_PATH": str(SERVERS / "postfix/usr/lib/postfix")}
    subprocess.run([postmap, "-c", tmp_path, f"hash:{source}"], env=libraries, check=True)
    maps = [AccessMap(name) for name in (str(source), str(built_by_sendmail), f"hash:{source}")]
    for sender in ("boss@example.com", "joe@example.com"):
        assert len({access.policy("spf-fail", sender) for access in maps}) == 1
    assert all(len(access.table) == 2 for access in maps)
