"""What DMARC found, until it is reported."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.store import dmarc_results, outbox
from antispam.store.outbox import Kind, QueuedMessage
from antispam.store.schema import dmarc_result

pytestmark = pytest.mark.every_database

REPORT = QueuedMessage(Kind.REPORT, "ref", "", ("rua@bank.example",), b"Subject: x\r\n\r\nx\r\n", once="report 1")


def note(store, *rows):
    with store.write() as connection:
        for day, domain, published, record in rows:
            connection.execute(
                sa.insert(dmarc_result).values(day=day, domain=domain, published=published, record=record)
            )


def test_equal_messages_are_counted_under_the_policy_that_was_published(store):
    note(store, (1, "a.example", "p1", "r1"), (1, "a.example", "p1", "r1"), (1, "a.example", "p2", "r1"))
    note(store, (1, "b.example", "p", "r"), (2, "a.example", "p1", "r"))
    assert dmarc_results.unreported(store, 2) == [(1, "a.example"), (1, "b.example")]
    found, last = dmarc_results.counted(store, 1, "a.example")
    assert found == {"p1": {"r1": 2}, "p2": {"r1": 1}}
    assert last > 0


def test_what_is_posted_is_forgotten_with_it_and_once(store):
    note(store, (1, "a.example", "p1", "r1"))
    _, last = dmarc_results.counted(store, 1, "a.example")
    note(store, (1, "a.example", "p1", "late"))
    assert dmarc_results.reported(store, 1, "a.example", last, [REPORT], 100.0)
    assert not dmarc_results.reported(store, 1, "a.example", last, [REPORT], 100.0)
    assert dmarc_results.counted(store, 1, "a.example")[0] == {"p1": {"late": 1}}
    (entry,) = outbox.entries(store, 100.0, 10)
    assert (entry.kind, entry.recipients) == ("report", ("rua@bank.example",))


def test_what_nobody_reported_is_forgotten(store):
    note(store, (1, "a.example", "p", "r"), (9, "a.example", "p", "r"))
    assert dmarc_results.purge(store, 5) == 1
    assert dmarc_results.unreported(store, 100) == [(9, "a.example")]
