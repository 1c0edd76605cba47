"""What is remembered of identities, in SQL."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from antispam.store import Store
from gossip import HAM, SPAM, Observations, Records
from gossip.observations import replayed
from gossip.records import identity, vote_row
from gossip.schema import reputation_vote

pytestmark = pytest.mark.every_database

NAME = "example.org:SPF"


def voted(store: Store, umis: str, vote: int | None, at: float = 100.0, name: str = NAME, ref: str = "") -> None:
    Records(store).note(vote_row(umis, name, at, ref=ref, vote=vote, asked_at=at - 1))


def counts(store: Store, name: str = NAME) -> tuple[int, int]:
    found = Records(store).get(name) or Observations()
    return found.spam_count, found.ham_count


def test_an_identity_is_a_domain_and_how_it_was_authenticated():
    assert identity("Example.ORG", "SPF") == "example.org:SPF"
    assert len(identity("a" * 1000, "none")) == 320


def test_nothing_is_known_of_a_stranger(store):
    assert Records(store).get(NAME) is None


def test_what_the_log_has_counts_before_it_is_folded_and_after(store):
    for number in range(3):
        voted(store, f"u{number}", SPAM if number else HAM, 100.0 + number)
    before = Records(store).get(NAME)
    assert before is not None
    assert Records(store).fold(200.0) is False
    assert Records(store).get(NAME) == before
    assert (before.spam_count, before.ham_count, before.first_seen, before.last_seen) == (2, 1, 99.0, 102.0)


def test_a_message_counts_once_however_often_its_vote_comes(store):
    voted(store, "u", HAM)
    voted(store, "u", HAM)
    Records(store).fold(200.0)
    assert Records(store).feedback("u", HAM, 300.0)
    Records(store).fold(300.0)
    assert counts(store) == (0, 1)


@pytest.mark.parametrize("folded", [False, True])
def test_the_last_word_on_a_message_counts(store, folded):
    voted(store, "u", HAM)
    voted(store, "other", HAM)
    if folded:
        Records(store).fold(200.0)
    assert Records(store).feedback("u", SPAM, 300.0)
    assert counts(store) == (1, 1)
    assert Records(store).feedback("u", HAM, 301.0)
    Records(store).fold(302.0)
    assert counts(store) == (0, 2)


def test_the_vote_on_an_unknown_message_says_nothing(store):
    assert not Records(store).feedback("nobody", SPAM, 100.0)
    assert counts(store) == (0, 0)


def test_a_message_that_was_only_asked_about_counts_once_its_vote_comes(store):
    voted(store, "u", None)
    assert counts(store) == (0, 0)
    assert Records(store).feedback("u", SPAM, 150.0)
    assert counts(store) == (1, 0)


def test_a_report_corrects_all_identities_of_a_message(store):
    voted(store, "u1", HAM, ref="abc")
    voted(store, "u2", HAM, name="example.org:DKIM", ref="abc")
    voted(store, "u3", HAM, ref="other")
    assert Records(store).report("abc", SPAM, 200.0) == 2
    assert counts(store) == (1, 1)
    assert counts(store, "example.org:DKIM") == (1, 0)
    assert Records(store).report("", SPAM, 200.0) == 0


def test_a_correction_of_what_the_ring_has_forgotten_changes_nothing(store):
    voted(store, "old", HAM)
    Records(store).fold(200.0)
    newer = replayed([HAM] * 1024, 300.0)
    newer.total = 5000
    Records(store).put(NAME, newer)
    voted(store, "late", HAM)
    assert not Records(store).feedback("old", SPAM, 400.0)
    assert counts(store) == (0, 1024)


def test_a_reset_forgets_the_identity_and_its_messages(store):
    voted(store, "u", SPAM)
    Records(store).fold(200.0)
    voted(store, "v", SPAM)
    assert Records(store).reset(NAME)
    assert Records(store).get(NAME) is None
    assert not Records(store).feedback("u", HAM, 300.0)
    assert not Records(store).reset(NAME)


def test_more_than_a_ring_is_folded_in_the_order_in_which_it_happened(store):
    with store.write() as connection:
        rows = [vote_row(f"u{n}", NAME, 100.0 + n, vote=SPAM if n < 1500 else HAM) for n in range(2500)]
        connection.execute(sa.insert(reputation_vote), rows)
    assert counts(store) == (24, 1000)
    while Records(store).fold(9000.0):
        pass
    found = Records(store).get(NAME)
    assert found is not None
    assert (found.spam_count, found.ham_count, found.total, found.last_seen) == (24, 1000, 2500, 2599.0)
    assert list(found.votes()) == [SPAM] * 24 + [HAM] * 1000


def test_many_nodes_that_fold_at_once_count_each_message_once(store, database_url):
    with store.write() as connection:
        rows = [vote_row(f"u{n}", NAME, 100.0 + n, vote=SPAM if n % 3 else HAM) for n in range(300)]
        connection.execute(sa.insert(reputation_vote), rows)
    others = [Store(database_url) for _ in range(4)]
    threads = [threading.Thread(target=Records(one).fold, args=(500.0,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    assert counts(store) == (200, 100)
    found = Records(store).get(NAME)
    assert found is not None
    assert found.total == 300


def test_everything_is_listed_by_name_or_by_domain(store):
    for name in ("a.example:SPF", "a.example:none", "ab.example:SPF", "b_c:HELO"):
        voted(store, f"u {name}", HAM, name=name)
    while Records(store).fold(200.0):
        pass
    assert [name for name, _ in Records(store).everything(page=2)] == [
        "a.example:SPF", "a.example:none", "ab.example:SPF", "b_c:HELO",
    ]  # fmt: skip
    assert [name for name, _ in Records(store).everything(["a.example"])] == ["a.example:SPF", "a.example:none"]
    assert [name for name, _ in Records(store).everything(["b_c:HELO", "%"])] == ["b_c:HELO"]
