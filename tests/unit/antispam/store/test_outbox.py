"""The outbox in the store: one courier a message, none lost, none sent again once it is noted; on every database."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading

import pytest
import sqlalchemy as sa

from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import quarantine
from antispam.store import outbox
from antispam.store.outbox import Kind, QueuedMessage, State
from antispam.store.quarantine import NewEntry, insert
from antispam.store.schema import outbox as table
from antispam.store.schema import quarantine_entry

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.125
LEASE = 600.0
QUEUED = QueuedMessage(
    Kind.RELEASE, "abcdefghijkl", "a@example.org", ("b@example.com", "c@example.com"), b"Subject: \xff\0\r\n\r\nhi\r\n"
)


def post(store, now=NOW, **changes):
    """The number of a new message."""
    with store.write() as connection:
        outbox.post(store, connection, dataclasses.replace(QUEUED, **changes), now)
        return connection.scalar(sa.select(sa.func.max(table.c.id)))


def claim(store, now=NOW, outbox_id=None):
    return outbox.claim(store, now, LEASE, outbox_id)


def entry(store, number, now=NOW):
    return outbox.entry(store, number, now)


def quarantined(store, number):
    """An entry of the quarantine that this message releases."""
    message = Message("abcdefghijkl", "a@example.org", NOW, Body(1 << 20))
    with store.write() as connection:
        insert(connection, message, [NewEntry("bob", ("b@example.com",), Decision("dspam", quarantine("spam")))])
        connection.execute(sa.update(quarantine_entry).values(outbox_id=number))


def release(store):
    with store.read() as connection:
        return connection.execute(sa.select(quarantine_entry.c.outbox_id, quarantine_entry.c.released_at)).one()


def test_a_message_comes_out_as_it_was_put_in(store):
    number = post(store)
    queued = claim(store)
    assert (queued.id, queued.kind, queued.ref) == (number, "release", "abcdefghijkl")
    assert (queued.mail_from, queued.recipients) == ("a@example.org", QUEUED.recipients)
    assert (queued.content, queued.created_at, queued.tries, queued.ends) == (QUEUED.content, NOW, 1, NOW + LEASE)


@pytest.mark.parametrize(
    "odd", ["\udcff@example.org", "ü@example.org", "nul\0@example.org", "x" * 5000 + "@example.org"]
)
def test_a_recipient_of_whatever_octets_comes_out_as_it_was_put_in(store, odd):
    post(store, recipients=(odd,))
    assert claim(store).recipients == (odd,)


@pytest.mark.parametrize(
    ("sender", "kept"),
    [
        ("ü@example.org", "ü@example.org"),
        ("\udcff@example.org", ""),
        ("x" * 320 + "@example.org", ""),
        ("a\0@example.org", ""),
        ("", ""),
    ],
)
def test_a_sender_that_can_not_be_kept_as_it_is_gets_no_bounces(store, sender, kept):
    post(store, mail_from=sender)
    assert claim(store).mail_from == kept


def test_a_copy_that_an_older_version_wrote_is_a_copy(store):
    number = post(store, kind=Kind.COPY)
    with store.write() as connection:
        connection.execute(sa.update(table).values(kind="rest"))
    claimed = claim(store)
    known = outbox.known_pass(store, number, claimed.secret, NOW)
    assert {claimed.kind, known.kind, entry(store, number).kind} == {Kind.COPY}


def test_a_message_to_nobody_is_a_mistake(store):
    with pytest.raises(ValueError, match="recipient"):
        post(store, recipients=())


def test_a_message_that_is_claimed_is_nobody_else_s_until_the_lease_ends(store):
    number = post(store)
    assert claim(store).id == number
    assert claim(store) is None
    assert claim(store, outbox_id=number) is None
    assert entry(store, number).state is State.UNDER_WAY
    assert claim(store, NOW + LEASE - 1) is None
    again = claim(store, NOW + LEASE)
    assert (again.id, again.tries) == (number, 2)


def test_of_many_couriers_each_message_has_one(store):
    numbers = {post(store) for _ in range(12)}
    together = threading.Barrier(4)

    def many():
        together.wait()
        claimed = []
        while (queued := claim(store)) is not None:
            claimed.append(queued.id)
        return claimed

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        claimed = [number for future in [pool.submit(many) for _ in range(4)] for number in future.result()]
    assert sorted(claimed) == sorted(numbers)


def test_what_is_due_longest_goes_first(store):
    later, sooner = post(store, NOW + 2), post(store, NOW + 1)
    assert claim(store, NOW) is None
    assert [claim(store, NOW + 3).id, claim(store, NOW + 3).id] == [sooner, later]


def test_each_claim_has_a_pass_of_its_own_of_which_only_a_digest_is_stored(store):
    number = post(store)
    first = claim(store)
    second = claim(store, NOW + LEASE)
    assert first.secret != second.secret
    with store.read() as connection:
        stored = connection.scalar(sa.select(table.c.pass_digest))
    assert stored == outbox.pass_digest(second.secret)
    assert not outbox.use_pass(store, number, first.secret, NOW + LEASE)
    assert outbox.known_pass(store, number, second.secret, NOW + LEASE) == outbox.Passed("release", "abcdefghijkl")
    assert outbox.use_pass(store, number, second.secret, NOW + LEASE)


def test_a_message_that_all_have_got_is_gone_and_has_released_what_it_released(store):
    number = post(store)
    quarantined(store, number)
    assert outbox.delivered(store, claim(store), QUEUED.recipients, NOW + 5) == ()
    assert entry(store, number) is None
    assert release(store) == (number, NOW + 5)


def test_what_some_have_not_got_waits_for_them_alone_and_releases_nothing_yet(store):
    number = post(store)
    quarantined(store, number)
    queued = claim(store)
    assert outbox.delivered(store, queued, ("b@example.com",), NOW) == ("c@example.com",)
    assert outbox.deferred(store, queued, "450 later", NOW + 60)
    assert entry(store, number).recipients == ("c@example.com",)
    assert release(store).released_at is None
    assert outbox.delivered(store, claim(store, NOW + 60), ("c@example.com",), NOW + 61) == ()
    assert release(store).released_at == NOW + 61


def test_a_pass_is_worth_nothing_once_the_message_was_sent_or_given_up(store):
    number = post(store, once="a")
    queued = claim(store)
    outbox.delivered(store, queued, QUEUED.recipients, NOW)
    assert not outbox.use_pass(store, number, queued.secret, NOW)
    number = post(store)
    queued = claim(store)
    outbox.given_up(store, queued, "550 no", NOW)
    assert not outbox.use_pass(store, number, queued.secret, NOW)


def test_a_pass_outlives_a_try_without_an_answer_until_the_next_try(store):
    """An MTA that did not answer in time may be about to show us the message."""
    number = post(store)
    queued = claim(store)
    outbox.deferred(store, queued, "timed out", NOW + 60)
    assert not outbox.use_pass(store, number, queued.secret, NOW + 60)
    assert outbox.use_pass(store, number, queued.secret, NOW + 59)


def test_a_message_that_failed_is_due_again_at_its_time(store):
    number = post(store)
    assert outbox.deferred(store, claim(store), "450 later", NOW + 60)
    found = entry(store, number)
    assert (found.state, found.tries, found.next_at, found.last_error) == (State.WAITING, 1, NOW + 60, "450 later")
    assert claim(store, NOW + 59) is None
    assert claim(store, NOW + 60).tries == 2


def test_a_message_that_is_given_up_is_kept_and_not_tried_again(store):
    number = post(store)
    assert outbox.given_up(store, claim(store), "550 no\0such user", NOW + 1)
    found = entry(store, number)
    assert (found.state, found.failed_at, found.content) == (State.FAILED, NOW + 1, QUEUED.content)
    assert found.last_error == "550 no\\x00such user"
    assert claim(store, NOW + 1e9) is None


def test_a_failure_without_a_reason_is_a_failure(store):
    number = post(store)
    outbox.deferred(store, claim(store), "  ", NOW + 60)
    assert entry(store, number).state is State.WAITING
    assert claim(store, outbox_id=number).tries == 2


def test_who_lost_his_claim_can_not_say_that_the_message_failed(store):
    number = post(store)
    slow = claim(store)
    quick = claim(store, NOW + LEASE)
    assert not outbox.given_up(store, slow, "timed out", NOW + LEASE)
    assert not outbox.deferred(store, slow, "timed out", NOW)
    assert entry(store, number, NOW + LEASE).state is State.UNDER_WAY
    assert outbox.deferred(store, quick, "450", NOW + LEASE + 60)


def test_who_lost_his_claim_can_say_that_the_message_was_sent(store):
    number = post(store)
    slow = claim(store)
    quick = claim(store, NOW + LEASE)
    assert outbox.delivered(store, slow, QUEUED.recipients, NOW + LEASE) == ()
    assert entry(store, number) is None
    assert outbox.delivered(store, quick, QUEUED.recipients, NOW + LEASE) == ()
    assert not outbox.deferred(store, quick, "450", NOW)


def test_two_who_delivered_to_different_recipients_have_delivered_to_both(store):
    number = post(store)
    slow = claim(store)
    quick = claim(store, NOW + LEASE)
    assert outbox.delivered(store, slow, ("b@example.com",), NOW) == ("c@example.com",)
    assert outbox.delivered(store, quick, ("c@example.com",), NOW) == ()
    assert entry(store, number) is None


def test_a_name_outlives_its_message_without_the_content(store):
    number = post(store, once="answer")
    outbox.delivered(store, claim(store), QUEUED.recipients, NOW + 1)
    found = entry(store, number)
    assert (found.state, found.size, found.recipients, found.sent_at) == (State.SENT, 0, (), NOW + 1)
    post(store, NOW + 2, once="answer")
    assert claim(store, NOW + 3) is None
    assert claim(store, NOW + 3, number) is None


def test_the_purge_forgets_names_in_slices_and_nothing_that_was_not_sent(store):
    for name in "abcde":
        post(store, once=name)
        outbox.delivered(store, claim(store), QUEUED.recipients, NOW)
    waiting, failed = post(store), post(store)
    outbox.given_up(store, claim(store, outbox_id=failed), "550", NOW)
    assert [outbox.purge(store, NOW + 1, slice_size=3) for _ in range(3)] == [3, 2, 0]
    assert {one.id for one in outbox.entries(store, NOW)} == {waiting, failed}
    assert outbox.counts(store, NOW) == {"waiting": 1, "failed": 1}


def test_a_list_shows_failed_messages_first_and_no_content(store):
    waiting, failed = post(store), post(store)
    outbox.given_up(store, claim(store, outbox_id=failed), "550", NOW)
    found = outbox.entries(store, NOW)
    assert [(one.id, one.state) for one in found] == [(failed, State.FAILED), (waiting, State.WAITING)]
    assert {(one.size, one.content) for one in found} == {(len(QUEUED.content), b"")}
    assert len(outbox.entries(store, NOW, limit=1)) == 1


def test_a_message_that_was_given_up_can_be_tried_again_as_if_it_were_new(store):
    number = post(store)
    outbox.given_up(store, claim(store), "550 no", NOW)
    assert outbox.retry(store, number, NOW + 1e6)
    queued = claim(store, NOW + 1e6)
    assert (queued.id, queued.tries, queued.created_at) == (number, 1, NOW + 1e6)


def test_one_message_can_be_claimed_before_its_time_and_after_it_was_given_up(store):
    number = post(store)
    outbox.deferred(store, claim(store), "450", NOW + 60)
    assert claim(store, outbox_id=number).tries == 2
    number = post(store)
    outbox.given_up(store, claim(store, outbox_id=number), "550", NOW)
    assert claim(store, outbox_id=number).id == number
    assert entry(store, number).state is State.UNDER_WAY


def test_what_is_under_way_is_neither_retried_nor_deleted(store):
    number = post(store)
    claim(store)
    assert not outbox.retry(store, number, NOW)
    assert not outbox.delete(store, number, NOW)
    assert outbox.delete(store, number, NOW + LEASE)


@pytest.mark.parametrize("change", [outbox.retry, outbox.delete])
def test_a_message_that_is_not_there_is_neither_retried_nor_deleted(store, change):
    assert not change(store, 7, NOW)


def test_a_sent_message_is_not_retried(store):
    number = post(store, once="x")
    outbox.delivered(store, claim(store), QUEUED.recipients, NOW)
    assert not outbox.retry(store, number, NOW)


def test_a_message_that_is_deleted_leaves_what_it_would_have_released_in_the_quarantine(store):
    number = post(store)
    quarantined(store, number)
    assert outbox.delete(store, number, NOW)
    assert release(store) == (None, None)


def test_the_number_of_a_message_is_never_given_to_another(store):
    number = post(store)
    outbox.delete(store, number, NOW)
    assert post(store) > number


def test_a_clock_that_was_ahead_for_a_while_delays_no_message(store):
    """The next try of what was posted and tried then would come in years."""
    number = post(store, NOW + 1e8)
    assert outbox.claim(store, NOW, LEASE) is None
    assert outbox.claim(store, NOW, LEASE, farthest=3600.0).id == number
    assert outbox.claim(store, NOW, LEASE, farthest=3600.0) is None
