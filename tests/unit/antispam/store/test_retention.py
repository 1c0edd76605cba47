"""What the limits don't keep goes, in slices; killed at any moment, nothing is lost or stays for good."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import shutil

import pytest
import sqlalchemy as sa

from antispam.store import Store, StoreError, retention
from antispam.store.quarantine import of_ref
from antispam.store.release import release as release_to
from antispam.store.retention import Cleaned, Limits, Why, clean, cleaning, surplus
from antispam.store.schema import quarantine_entry, stored_message
from support.patience import PATIENCE
from support.quarantined import DAY, NOW, contents, entries, keep, mark_failed, mark_sent, queued_messages
from support.stores import make_store

pytestmark = pytest.mark.every_database

release = functools.partial(release_to, protect=lambda raw, ref: raw)

UNLIMITED = Limits(keep=0, size=0, messages=0, released=0)
MONTH = dataclasses.replace(UNLIMITED, keep=30 * DAY)


def limits(**values):
    chosen = dataclasses.replace(UNLIMITED, **values)
    return lambda user: chosen


def went(cleaned):
    return {why: removed.entries for why, removed in cleaned.by_reason.items()}


def let_go(store, ref, now=NOW, user=""):
    (entry,) = of_ref(store, ref, user)
    return release(store, entry, now).outbox_id


def test_what_is_too_old_goes_with_its_message(store):
    keep(store, "old", "bob", "ann", at=NOW - 30 * DAY - 1)
    keep(store, "young", "bob", at=NOW - 30 * DAY)
    cleaned = clean(store, NOW, limits(keep=30 * DAY))
    assert (went(cleaned), cleaned.messages, cleaned.orphans) == ({Why.AGE: 2}, 1, 0)
    assert (entries(store), contents(store)) == ([("young", "bob")], ["young"])


def test_a_piece_looks_at_some_users_only(store, monkeypatch):
    """Nothing has to go from anybody, and still nobody waits until all were looked at."""
    monkeypatch.setattr(retention, "_USERS", 2)
    for number in range(5):
        keep(store, f"ref{number}", f"user{number}")
    asked = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    pieces = cleaning(store, NOW, limits(keep=30 * DAY), Cleaned())
    for number in (1, 2):
        next(pieces)
        assert len([statement for statement in asked if "GROUP BY" in statement]) == number


def test_each_user_has_limits_of_his_own(store):
    keep(store, "abc", "bob", "ann", at=NOW - 10 * DAY)
    clean(store, NOW, {"bob": dataclasses.replace(UNLIMITED, keep=5 * DAY), "ann": MONTH}.__getitem__)
    assert (entries(store), contents(store)) == ([("abc", "ann")], ["abc"])


def test_without_limits_everything_stays(store):
    keep(store, "abc", "bob", at=0.0)
    mark_sent(store, let_go(store, "abc"), 1.0)
    assert clean(store, NOW, limits()) == Cleaned()
    assert entries(store) == [("abc", "bob")]


def test_the_oldest_go_where_there_are_too_many(store):
    for number in range(5):
        keep(store, f"ref{number}", "bob", at=NOW - number)
        keep(store, f"ann{number}", "ann", at=NOW - number)
    keep(store, "ref5", "bob", at=NOW - 4)  # as old as another one, and written later
    assert went(clean(store, NOW, limits(messages=5))) == {Why.MESSAGES: 1}
    assert [ref for ref, user in entries(store) if user == "bob"] == ["ref0", "ref1", "ref2", "ref3", "ref5"]


def test_the_oldest_go_where_they_are_too_large_together(store):
    for number in range(4):
        keep(store, f"ref{number}", at=NOW - number, body=b"x" * 1000)
    size = of_ref(store, "ref0")[0].size
    cleaned = clean(store, NOW, limits(size=2 * size))
    assert went(cleaned) == {Why.SIZE: 2}
    assert cleaned.by_reason[Why.SIZE].octets == 2 * size
    assert entries(store) == [("ref0", "bob"), ("ref1", "bob")]


def test_one_that_is_larger_than_the_limit_goes(store):
    keep(store, "abc", body=b"x" * 1000)
    clean(store, NOW, limits(size=100))
    assert entries(store) == []


def test_what_goes_by_age_does_not_count_for_the_other_limits(store):
    keep(store, "old", at=NOW - 40 * DAY)
    keep(store, "young", at=NOW)
    for dry_run in (True, False):
        cleaned = clean(store, NOW, limits(keep=30 * DAY, messages=1), dry_run=dry_run)
        assert went(cleaned) == {Why.AGE: 1}
    assert entries(store) == [("young", "bob")]


def test_released_ones_go_a_while_after_their_release(store):
    for ref, days in (("a", 8), ("b", 6)):
        keep(store, ref, at=NOW - 40 * DAY)
        mark_sent(store, let_go(store, ref), NOW - days * DAY)
    assert went(clean(store, NOW, limits(keep=30 * DAY, released=7 * DAY))) == {Why.RELEASED: 1}
    assert entries(store) == [("b", "bob")]


def test_what_is_being_released_stays_whatever_the_limits(store):
    keep(store, "abc", at=NOW - 90 * DAY)
    keep(store, "abd", at=NOW - 80 * DAY)
    queued = let_go(store, "abc")
    everything = limits(keep=DAY, size=1, messages=1, released=DAY)
    clean(store, NOW, everything)
    assert entries(store) == [("abc", "bob")]
    mark_failed(store, queued, NOW)
    clean(store, NOW, everything)
    assert entries(store) == []


def test_a_second_release_under_way_keeps_it_though_the_first_is_long_done(store):
    keep(store, "abc", at=NOW - 90 * DAY)
    mark_sent(store, let_go(store, "abc"), NOW - 80 * DAY)
    release(store, of_ref(store, "abc")[0], NOW, force=True)
    clean(store, NOW, limits(released=DAY, keep=DAY))
    assert entries(store) == [("abc", "bob")]


def test_a_release_between_the_look_and_the_deletion_is_respected(store):
    keep(store, "abc", at=NOW - 90 * DAY)
    ((why, found),) = surplus(store, NOW, limits(keep=DAY))
    let_go(store, "abc")
    assert (why, retention.remove(store, found).entries) == (Why.AGE, 0)
    assert entries(store) == [("abc", "bob")]


def test_a_dry_run_says_the_same_and_deletes_nothing(store):
    for number in range(6):
        keep(store, f"ref{number}", "bob", "ann", at=NOW - 8 * number * DAY)
    mark_sent(store, let_go(store, "ref0", user="bob"), NOW - 8 * DAY)
    chosen = limits(keep=30 * DAY, messages=2, released=7 * DAY)
    before = entries(store)
    planned = clean(store, NOW, chosen, dry_run=True)
    assert entries(store) == before
    done = clean(store, NOW, chosen)
    assert went(planned) == went(done) == {Why.RELEASED: 1, Why.AGE: 4, Why.MESSAGES: 3}
    assert clean(store, NOW, chosen).entries == 0


def test_messages_that_nobody_waits_for_go(store, monkeypatch):
    monkeypatch.setattr(retention, "_ORPHANS", 2)
    keep(store, "kept")
    with store.write() as connection:
        for number in range(5):
            connection.execute(sa.insert(stored_message).values(ref=f"o{number}", stored_at=0.0, content=b""))
    assert clean(store, NOW, limits(), dry_run=True).orphans == 5
    assert clean(store, NOW, limits()).orphans == 5
    assert contents(store) == ["kept"]


def test_a_slice_has_few_rows_and_few_octets(store, monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 3)
    monkeypatch.setattr(retention, "SLICE_OCTETS", 3000)
    for number, size in enumerate((10, 10, 10, 10, 2000, 2000, 9000, 10)):
        keep(store, f"ref{number}", at=number, body=b"x" * size)
    found = [[entry.ref for entry in page] for _, page in surplus(store, NOW, limits(keep=DAY))]
    assert found == [["ref0", "ref1", "ref2"], ["ref3", "ref4"], ["ref5"], ["ref6"], ["ref7"]]
    rests = []
    clean(store, NOW, limits(keep=DAY), rest=lambda: rests.append(len(entries(store))))
    assert rests == [5, 3, 2, 1, 0]


def test_users_are_looked_at_page_by_page(store, monkeypatch):
    monkeypatch.setattr(retention, "_USERS", 2)
    for number in range(5):
        keep(store, f"ref{number}", f"user{number}", at=0.0)
    asked = []

    def limits_of(user):
        asked.append(user)
        return MONTH

    assert clean(store, NOW, limits_of).entries == 5
    assert asked == [f"user{number}" for number in range(5)]


# Killed half-way


class Killed(BaseException):
    pass


def _site(store):
    """Something of every kind: shared, old, released, being released, too many, nobody's."""
    for number in range(6):
        keep(store, f"old{number}", "bob", "ann", at=NOW - 40 * DAY)
    for number in range(4):
        keep(store, f"new{number}", "bob", at=NOW - number)
    mark_sent(store, let_go(store, "new3"), NOW - 10 * DAY)
    let_go(store, "old0", user="ann")
    with store.write() as connection:
        connection.execute(sa.insert(stored_message).values(ref="nobodys", stored_at=0.0, content=b"x"))


LIMITS = limits(keep=30 * DAY, messages=2, released=7 * DAY)
LEFT = [("new0", "bob"), ("new1", "bob"), ("old0", "ann")]


def _every_entry_has_its_message(store):
    missing = sa.select(quarantine_entry.c.ref).where(quarantine_entry.c.ref.not_in(sa.select(stored_message.c.ref)))
    with store.read() as connection:
        return connection.scalars(missing).all() == []


def _statements(store, monkeypatch, at=None, how=None):
    """Runs clean(), counts its statements, and calls `how` before statement `at` and each commit that follows none."""
    count = 0

    def watch(*_):
        nonlocal count
        if count == at:
            how()
        count += 1

    sa.event.listen(store._engine, "before_cursor_execute", watch)
    sa.event.listen(store._engine, "commit", watch)
    try:
        clean(store, NOW, LIMITS)
    finally:
        sa.event.remove(store._engine, "before_cursor_execute", watch)
        sa.event.remove(store._engine, "commit", watch)
    return count


def _die():
    raise Killed


def test_a_fault_at_any_statement_or_commit_leaves_the_rest_of_the_work_and_nothing_else(store, monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 3)
    at = 0
    while True:
        _site(store)
        before = entries(store)
        try:
            _statements(store, monkeypatch, at, _die)
            break
        except Killed:
            pass
        assert _every_entry_has_its_message(store)
        assert set(LEFT) <= set(entries(store)) <= set(before)
        clean(store, NOW, LIMITS)
        assert (entries(store), contents(store)) == (LEFT, ["new0", "new1", "old0"])
        _wipe(store)
        at += 1
    assert at > 20, "it has many moments"
    assert entries(store) == LEFT


def _wipe(store):
    with store.write() as connection:
        for name in ("quarantine_entry", "stored_message", "outbox"):
            connection.execute(sa.text(f"DELETE FROM {name}"))


def _clean_and_die(url, at):
    store = Store(url)
    _statements(store, None, at, lambda: os._exit(9))
    os._exit(0)


def test_a_process_that_is_killed_at_any_moment_leaves_nothing_for_good(tmp_path):
    template, url = tmp_path / "template.db", f"sqlite:///{tmp_path}/test.db"
    make_store(f"sqlite:///{template}")
    store = Store(f"sqlite:///{template}")
    _site(store)
    store.close()
    context = multiprocessing.get_context("fork")
    at, code = 0, 9
    while code == 9:
        for left in tmp_path.glob("test.db*"):
            left.unlink()
        shutil.copy(template, tmp_path / "test.db")
        process = context.Process(target=_clean_and_die, args=(url, at))
        process.start()
        process.join(PATIENCE)
        code = process.exitcode
        store = Store(url)
        assert _every_entry_has_its_message(store)
        assert set(LEFT) <= set(entries(store))
        clean(store, NOW, LIMITS)
        assert (entries(store), contents(store)) == (LEFT, ["new0", "new1", "old0"])
        assert len(queued_messages(store)) == 1
        store.close()
        at += 1
    assert (at > 20, code) == (True, 0)


def test_a_database_that_fails_in_the_middle_is_said_and_what_was_done_is_told(store, monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 1)
    for number in range(3):
        keep(store, f"ref{number}", at=0.0)
    real, calls = retention.remove, []

    def remove(*args):
        calls.append(args)
        if len(calls) == 3:
            raise StoreError("disk full")
        return real(*args)

    monkeypatch.setattr(retention, "remove", remove)
    cleaned = Cleaned()
    with pytest.raises(StoreError, match="disk full"):
        clean(store, NOW, limits(keep=DAY), cleaned=cleaned)
    assert (cleaned.entries, entries(store)) == (2, [("ref2", "bob")])


def _clean_together(url, barrier, counts):
    store = Store(url, busy_timeout=PATIENCE)
    barrier.wait()
    counts.put(clean(store, NOW, limits(keep=DAY)).entries)
    store.close()


def test_two_at_once_delete_everything_once(database_url, monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 7)
    store = Store(database_url)
    for number in range(60):
        keep(store, f"ref{number}", "bob", "ann", "eve", at=0.0)
    store.close()
    context = multiprocessing.get_context("fork")
    barrier, counts = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_clean_together, args=(database_url, barrier, counts)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sum(counts.get(timeout=PATIENCE) for _ in processes) == 180
    for process in processes:
        process.join(PATIENCE)
    store = Store(database_url)
    assert (entries(store), contents(store)) == ([], [])
    store.close()
