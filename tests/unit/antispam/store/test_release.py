"""A release posts the original, once, to those from whom it was kept."""

from __future__ import annotations

import functools
import json
import multiprocessing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.store import Store, outbox
from antispam.store.quarantine import BadName, NoEntry, State, of_ref, remove
from antispam.store.release import Outcome, Released, checked_address, for_delivery
from antispam.store.release import release as release_to
from support.patience import PATIENCE
from support.quarantined import NOW, entries, keep, mark_failed, mark_sent, queued_messages

pytestmark = pytest.mark.every_database
release = functools.partial(release_to, protect=lambda raw, ref: raw)


def entry(store, ref="abc", user=""):
    (found,) = of_ref(store, ref, user)
    return found


def test_the_original_goes_to_the_recipients_with_its_sender(store):
    keep(store, "abc", "bob", body=b"caf\xe9 \x00\r\n.\r\nend\r\n")
    released = release(store, entry(store), NOW)
    (queued,) = queued_messages(store)
    assert released == Released(Outcome.POSTED, queued.id, ("bob@example.com",))
    assert (queued.kind, queued.ref, queued.mail_from) == ("release", "abc", "ann@example.org")
    assert json.loads(queued.recipients) == ["bob@example.com"]
    assert queued.content == b"Subject: lunch\r\n\r\ncaf\xe9 \x00\r\n.\r\nend\r\n"
    assert (queued.created_at, queued.next_at, queued.sent_at) == (NOW, NOW, None)
    assert entry(store).outbox_id == queued.id


def test_only_the_entry_s_own_recipients_get_it(store):
    keep(store, "abc", "bob", "eve")
    release(store, entry(store, user="eve"), NOW)
    (queued,) = queued_messages(store)
    assert json.loads(queued.recipients) == ["eve@example.com"]
    assert entry(store, user="bob").outbox_id is None


def test_other_recipients_may_be_named(store):
    keep(store, "abc")
    release(store, entry(store), NOW, to=["carl@example.net"])
    assert json.loads(queued_messages(store)[0].recipients) == ["carl@example.net"]


def test_a_null_sender_stays_the_null_sender(store):
    keep(store, "abc", mail_from="")
    release(store, entry(store), NOW)
    assert queued_messages(store)[0].mail_from == ""


def test_a_second_release_does_nothing(store):
    keep(store, "abc")
    seen = entry(store)
    queued = release(store, seen, NOW).outbox_id
    again = release(store, seen, NOW + 1)
    assert (again.outcome, again.outbox_id) == (Outcome.UNDER_WAY, queued)
    mark_sent(store, queued, NOW + 2)
    again = release(store, seen, NOW + 3)
    assert (again.outcome, again.outbox_id) == (Outcome.RELEASED, queued)
    assert queued_messages(store) == []


def test_force_sends_it_once_more(store):
    keep(store, "abc")
    release(store, entry(store), NOW)
    assert release(store, entry(store), NOW, force=True).outcome is Outcome.POSTED
    assert len(queued_messages(store)) == 2
    assert entry(store).outbox_id == queued_messages(store)[1].id


def test_a_message_that_was_given_up_is_tried_again(store):
    keep(store, "abc")
    queued = release(store, entry(store), NOW).outbox_id
    mark_failed(store, queued, NOW)
    again = release(store, entry(store), NOW + 1)
    assert (again.outcome, again.outbox_id) == (Outcome.POSTED, queued)
    (row,) = queued_messages(store)
    assert (row.next_at, row.failed_at) == (NOW + 1, None)


def test_others_may_get_what_was_given_up(store):
    keep(store, "abc")
    mark_failed(store, release(store, entry(store), NOW).outbox_id, NOW)
    assert release(store, entry(store), NOW, to=["carl@example.net"]).outcome is Outcome.POSTED
    assert [json.loads(row.recipients) for row in queued_messages(store)] == [["bob@example.com"], ["carl@example.net"]]


def test_what_an_administrator_deleted_from_the_outbox_can_be_released(store):
    keep(store, "abc")
    first = release(store, entry(store), NOW).outbox_id
    assert outbox.delete(store, first, NOW)
    assert entry(store).state is State.KEPT
    assert release(store, entry(store), NOW).outcome is Outcome.POSTED


def test_what_is_gone_is_not_released(store):
    keep(store, "abc")
    keep(store, "abd", "bob", "eve")
    gone, shared = entry(store), entry(store, "abd", "eve")
    remove(store, [gone, shared])
    for seen in (gone, shared):
        with pytest.raises(NoEntry):
            release(store, seen, NOW)
    assert queued_messages(store) == []


@pytest.mark.parametrize(
    "address", ["", "a b@example.com", "a@example.com,b@example.com", "a@x\r\nRCPT TO:<b@y>", "<a@x>", "a\0@x"]
)
def test_an_address_that_can_not_be_sent_to_is_refused(address):
    with pytest.raises(BadName, match="is no address"):
        checked_address(address)


def test_nothing_is_sent_where_one_of_the_addresses_can_not_be(store):
    keep(store, "abc")
    with pytest.raises(BadName, match="is no address"):
        release(store, entry(store), NOW, to=["carl@example.net", "a@x\r\nDATA"])
    assert queued_messages(store) == []


def test_an_entry_without_usable_recipients_says_so(store):
    keep(store, "abc", "eve\r\nRCPT TO:<carl@example.net>@example.com")
    with pytest.raises(BadName, match="has no recipient that mail could be sent to"):
        release(store, entry(store), NOW)
    assert release(store, entry(store), NOW, to=["carl@example.net"]).outcome is Outcome.POSTED


@pytest.mark.parametrize("sender", ["a@x> SIZE=1\r\nRSET", "a\udcff@x", "a" * 400 + "@x"])
def test_a_sender_that_can_not_be_said_again_as_it_was_becomes_the_null_sender(store, sender):
    keep(store, "abc", mail_from=sender)
    release(store, entry(store), NOW)
    assert queued_messages(store)[0].mail_from == ""


def _release_together(url, barrier, outcomes):
    store = Store(url)
    seen = of_ref(store, "abc")[0]
    barrier.wait()
    outcomes.put(str(release(store, seen, NOW).outcome))
    store.close()


def test_two_processes_at_once_post_one_message(database_url):
    store = Store(database_url)
    keep(store, "abc")
    store.close()  # nothing of it may live on in a child
    context = multiprocessing.get_context("fork")
    barrier, outcomes = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_release_together, args=(database_url, barrier, outcomes)) for _ in range(4)]
    for process in processes:
        process.start()
    found = sorted(outcomes.get(timeout=PATIENCE) for _ in processes)
    for process in processes:
        process.join(PATIENCE)
    assert found == ["posted", "under way", "under way", "under way"]
    store = Store(database_url)
    assert len(queued_messages(store)) == 1
    assert entry(store).outbox_id == queued_messages(store)[0].id
    store.close()


def test_a_release_that_can_not_be_committed_leaves_nothing(store, monkeypatch):
    keep(store, "abc")
    seen = entry(store)

    class Gone(Exception):
        pass

    def fail(*args):
        raise Gone

    monkeypatch.setattr("antispam.store.release.sa.update", fail)
    with pytest.raises(Gone):
        release(store, seen, NOW)
    monkeypatch.undo()
    assert (queued_messages(store), entry(store).outbox_id, entries(store)) == ([], None, [("abc", "bob")])


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (b"A: b\r\n\r\nx\r\n", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\r\nX-Spam-Flag: NO\r\n\tfolded\r\nC: d\r\n\r\nx", b"A: b\r\nC: d\r\n\r\nx"),
        (b"x-dspam-result : Innocent\r\nX-BMS-Pass: 1\r\nX-Spammer: yes\r\n\r\n", b"X-Spammer: yes\r\n\r\n"),
        (b"A: b\rX-Spam-Flag: NO\r\n\r\n", b"A: b X-Spam-Flag: NO\r\n\r\n"),
        (b"A: b\n\nx\n.\ny\r\r\nz\rend", b"A: b\r\n\r\nx\r\n.\r\ny\r\nz\r\nend"),
        (b"A: b\r\n\r\nX-Spam-Flag: in the body\r\n", b"A: b\r\n\r\nX-Spam-Flag: in the body\r\n"),
        (b"A: b", b"A: b\r\n\r\n"),
        (b"\r\nbody", b"\r\nbody"),
        (b"", b"\r\n"),
    ],
)
def test_what_is_sent_has_crlf_and_no_fields_that_only_a_filter_writes(stored, sent):
    assert for_delivery(stored) == sent


_PIECES = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b"\t", b"X-Spam-Flag: YES", b"x-bms-a:", b"A: b", b".", b"\0", b"\xff"]
)


@given(st.lists(_PIECES, max_size=30).map(b"".join))
def test_no_bare_line_end_and_no_forged_field_is_ever_sent(stored):
    sent = for_delivery(stored)
    rest = sent.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest
    head = sent.partition(b"\r\n\r\n")[0] if not sent.startswith(b"\r\n") else b""
    assert not any(line.lower().startswith((b"x-spam-flag:", b"x-bms-a:")) for line in head.split(b"\r\n"))
    assert for_delivery(sent) == sent
