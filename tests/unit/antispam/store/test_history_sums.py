"""The sums of the history say what its rows say, and stay when those have gone."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from antispam.learning.erasure import forget
from antispam.learning.personal_data import Person
from antispam.net.addresses import parse_mailbox
from antispam.store import history as histories
from antispam.store import history_sums
from antispam.store.history import HistoryWriter
from antispam.store.history_sums import MOST_NAMES, Names, Stopped, sums_of
from antispam.store.reports import report
from antispam.store.schema import history, history_sum
from antispam.store.tally import Day, Disposition, Report

pytestmark = pytest.mark.every_database

NOW = datetime.datetime(2026, 11, 24, 12, 0).timestamp()
DAY = 86_400.0
ANN = Person(parse_mailbox("ann@example.org"), frozenset({"ann@example.org"}))


def row(number, at=NOW, **more):
    """Of a message that was refused."""
    return {
        "ref": f"ref{number:09}",
        "received_at": at,
        "node": "node",
        "queue_id": "",
        "client_ip": "192.0.2.66",
        "client_name": "bad.example",
        "helo": "friend",
        "mail_from": "x@spam.example",
        "message_id": "",
        "author": "",
        "subject": "",
        "size": 1000,
        "action": "reject",
        "code": 550,
        "reason": "fail",
        "recipients": '[{"address": "bob@example.com"}]',
        "findings": "{}",
        "decisions": '[{"check": "spf", "action": "reject", "reason": "fail"}]',
    } | more


def write(store, *rows, counted=True):
    with store.write() as connection:
        connection.execute(sa.insert(history), list(rows))
        if counted:
            connection.execute(sa.insert(history_sum), sums_of(rows))
        else:  # as the migration does
            newest = connection.scalar(sa.select(sa.func.max(history.c.id)))
            values = {"kind": "older", "begins": 0.0, "folded": 1, "content": f"[0,{newest}]"}
            connection.execute(sa.insert(history_sum).values(values))


def fold(store):
    while history_sums.fold(store):
        pass


def told(store, days=3):
    """All that a report says."""
    made = report(store, NOW, days)
    whose = [
        [(one.name, one.stopped, one.last_at, one.reason, one.called) for one in kind.top(99)]
        for kind in (made.clients, made.domains, made.helos)
    ]
    days_ = [(day.dispositions, day.recipients, day.tagged, day.parted) for day in made.days]
    return days_, made.why, made.recipients, made.would, made.scores, whose


MAIL = [
    row(1),
    row(2, NOW - 3600),
    row(3, NOW - DAY, client_ip="192.0.2.7", client_name="", helo=""),
    row(4, NOW - DAY, action="continue", decisions="[]", reason=""),
    row(5, NOW - 2 * DAY, action="tempfail", decisions='[{"check": "greylist", "action": "tempfail"}]'),
    row(6, NOW, recipients='[{"findings": {"score": {"total": 3.7}}}, {"findings": {"score": {"total": -1.2}}}]'),
    row(7, NOW, action="continue", decisions='[{"check": "spf", "action": "reject", "mode": "log"}]'),
]


def test_sums_say_what_the_rows_say(store):
    write(store, *MAIL, counted=False)
    of_rows = told(store)
    while history_sums.count_older(store):
        pass
    assert history_sums.older(store) is None
    assert told(store) == of_rows
    assert of_rows[1] == {(Disposition.REJECTED, "spf"): 4, (Disposition.DEFERRED, "greylist"): 1}


def test_a_report_is_right_while_older_rows_are_being_counted(store, monkeypatch):
    monkeypatch.setattr(history_sums, "_COUNTED", 2)
    write(store, *MAIL, counted=False)
    before = told(store)
    assert history_sums.count_older(store)
    assert history_sums.older(store) is not None
    assert told(store) == before


def test_folding_changes_no_report(store):
    for one in MAIL:
        write(store, one)
    before = told(store)
    fold(store)
    assert told(store) == before
    with store.read() as connection:
        # Two names a day of those that were stopped, and the numbers of five quarters of an hour.
        assert connection.scalar(sa.select(sa.func.count()).select_from(history_sum)) == 2 + 4


def test_two_who_fold_the_same_pieces_count_nothing_twice(store, monkeypatch):
    for one in MAIL:
        write(store, one)
    before, real = told(store), history_sums._replace

    def late(connection, numbers, rows):
        monkeypatch.setattr(history_sums, "_replace", real)
        connection.execute(sa.delete(history_sum).where(history_sum.c.id == numbers[0]))  # the other's
        real(connection, numbers, rows)

    monkeypatch.setattr(history_sums, "_replace", late)
    history_sums.fold(store)
    assert told(store) == before


def test_numbers_stay_and_names_go_with_the_history(store):
    write(store, *MAIL)
    fold(store)
    before = told(store)
    while histories.purge(store, NOW + 1):
        pass
    assert history_sums.purge(store, NOW + 2 * DAY, NOW - 2 * DAY - 1000)
    assert not history_sums.purge(store, NOW + 2 * DAY, NOW - 2 * DAY - 1000)
    after = told(store)
    assert after[:5] == before[:5]
    assert after[5] == [[], [], []]
    assert history_sums.purge(store, NOW, NOW + 1)
    assert not told(store)[1]


def test_who_is_forgotten_is_no_offender_and_the_numbers_stay(store):
    write(store, row(1), row(2, NOW + 1, mail_from="ann@example.org", client_ip="192.0.2.9", helo="anns-laptop"))
    write(store, row(3, NOW + 2, mail_from="ann@example.org", reason="no mail from ann@example.org"))
    fold(store)
    before = report(store, NOW, 1)
    assert [one.name for one in before.helos.top(9)] == ["friend", "anns-laptop"]
    assert forget(store, ANN, NOW).rows["history"] == 2
    after = report(store, NOW, 1)
    assert after.days[0].dispositions == before.days[0].dispositions == {Disposition.REJECTED: 3}
    assert [(one.name, one.stopped) for one in after.helos.top(9)] == [("friend", 1)]
    assert [one.name for one in after.clients.top(9)] == ["192.0.2.66"]
    assert [one.name for one in after.domains.top(9)] == ["spam.example"]
    assert after.helos.top(1)[0].reason == ""
    with store.read() as connection:
        assert not any("ann" in content for content in connection.scalars(sa.select(history_sum.c.content)))


def test_who_is_forgotten_before_being_counted_is_counted_once(store, monkeypatch):
    monkeypatch.setattr(history_sums, "_COUNTED", 1)
    write(store, row(1), row(2), row(3, mail_from="ann@example.org"), counted=False)
    history_sums.count_older(store)
    forget(store, ANN, NOW)
    while history_sums.count_older(store):
        pass
    made = report(store, NOW, 1)
    assert made.days[0].dispositions == {Disposition.REJECTED: 3}
    assert [(one.name, one.stopped) for one in made.domains.top(9)] == [("spam.example", 2)]


def test_forgetting_begins_again_where_sums_were_folded_meanwhile(store, monkeypatch):
    write(store, row(1), row(2, mail_from="ann@example.org"))
    real, tries = history_sums._replace, []

    def late(connection, numbers, rows):
        tries.append(numbers)
        if len(tries) == 1:
            raise history_sums.Changed
        real(connection, numbers, rows)

    monkeypatch.setattr(history_sums, "_replace", late)
    assert forget(store, ANN, NOW).rows["history"] == 1
    assert len(tries) == 2
    assert [(one.name, one.stopped) for one in report(store, NOW, 1).domains.top(9)] == [("spam.example", 1)]


def test_the_writer_of_the_history_writes_the_sums(store):
    writer = HistoryWriter(store, node="mx1")
    writer.record(lambda node: row(1, node=node))
    writer.record(lambda node: row(2, node=node))
    writer.close()
    assert told(store)[0][-1][0] == {Disposition.REJECTED: 2}


def test_a_row_that_the_database_refuses_is_not_counted(store):
    writer = HistoryWriter(store, node="mx1")
    for number in (1, 1, 2):
        writer.record(lambda node, number=number: row(number, node=node))
    writer.close()
    assert told(store)[0][-1][0] == {Disposition.REJECTED: 2}


@pytest.mark.parametrize(
    "content", ["", "[", "null", '{"became": 1}', '{"became": {"eaten": 3}, "why": {"": 1, "x": 2}}']
)
def test_damaged_sums_harm_nothing(store, content):
    with store.write() as connection:
        for kind in ("numbers", "names"):
            values = {"kind": kind, "begins": NOW, "folded": 0, "content": content}
            connection.execute(sa.insert(history_sum).values(values))
    assert told(store)[0][-1][0] == {}
    fold(store)
    assert told(store)[1] == {}


def test_of_more_names_than_are_kept_the_rarest_are_left_out(monkeypatch):
    monkeypatch.setattr(history_sums, "MOST_NAMES", 3)
    rows = [row(number, helo=f"host{min(number, 9)}") for number in range(20)]
    (content,) = (one["content"] for one in sums_of(rows) if one["kind"] == "names")
    names = history_sums._decoded(history_sums._names, content)
    assert (len(names.helos), names.complete) == (3, False)
    assert names.helos["host9"].number == 11
    made = Report([Day(NOW)])
    history_sums._add_names(made, names)
    assert not made.helos.complete
    assert MOST_NAMES > 3


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(1, 5), st.floats(0, 9)), max_size=20))
def test_folding_names_in_any_order_is_the_same(pieces):
    texts = [
        history_sums._row("names", 0.0, Names(helos={name: Stopped(number, at, f"{at}")}))["content"]
        for name, number, at in pieces
    ]
    one, other = (history_sums._whole_names(order).helos for order in (texts, texts[::-1]))
    assert {name: (of.number, of.last_at) for name, of in one.items()} == {
        name: (of.number, of.last_at) for name, of in other.items()
    }
