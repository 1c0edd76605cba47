"""Contexts over the SQL store, on each database: counts, totals and signatures of names that nobody has yet, too."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import dspam
from antispam.learning.teacher import Teacher
from antispam.store import Store
from dspam.algorithms import Hits, Totals
from dspam.sqlstorage import SqlStorage
from support.patience import PATIENCE

pytestmark = pytest.mark.every_database

LOWEST, HIGHEST = 1, (1 << 63) - 1


@pytest.fixture
def storage(database_url):
    store = Store(database_url)
    yield SqlStorage(store)
    store.close()


def test_what_is_trained_is_counted_and_what_is_negative_taken_back(storage) -> None:
    storage.train("bob", {LOWEST: Hits(2, 1), HIGHEST: Hits(0, 5)}, Totals(spam_learned=3, innocent_corpusfed=4))
    storage.train("bob", {HIGHEST: Hits(1, -5), 7: Hits(0, 0)}, Totals(spam_learned=-1))
    assert storage.counts("bob", [LOWEST, HIGHEST, 7, 8]) == {LOWEST: Hits(2, 1), HIGHEST: Hits(1, 0)}
    assert storage.totals("bob") == Totals(spam_learned=2, innocent_corpusfed=4)


def test_a_message_that_is_only_counted_has_no_deltas(storage) -> None:
    storage.train("bob", {}, Totals(innocent_classified=1))
    assert storage.totals("bob") == Totals(innocent_classified=1)


def test_what_is_taken_back_beyond_zero_is_not_owed(storage) -> None:
    storage.train("bob", {7: Hits(1, 0), 8: Hits(0, 2)}, Totals(spam_learned=1))
    storage.train("bob", {7: Hits(-3, 1), 8: Hits(0, -1)}, Totals(spam_learned=-2, innocent_learned=1))
    assert storage.counts("bob", [7, 8]) == {7: Hits(0, 1), 8: Hits(0, 1)}
    assert storage.totals("bob") == Totals(innocent_learned=1)
    storage.train("bob", {7: Hits(1, 0)}, Totals(spam_learned=1))
    assert storage.counts("bob", [7]) == {7: Hits(1, 1)}
    assert storage.totals("bob") == Totals(spam_learned=1, innocent_learned=1)


def test_a_training_with_a_name_is_done_once_and_its_opposite_replaces_it(storage) -> None:
    assert storage.train("bob", {7: Hits(1, 0)}, Totals(spam_learned=1), "signature 1")
    assert not storage.train("bob", {7: Hits(1, 0)}, Totals(spam_learned=1), "signature 1")
    assert storage.train("eve", {7: Hits(1, 0)}, Totals(spam_learned=1), "signature 1")
    assert storage.totals("bob") == Totals(spam_learned=1)
    assert storage.train("bob", {7: Hits(0, 1)}, Totals(innocent_learned=1), "signature 1")
    assert storage.counts("bob", [7]) == {7: Hits(0, 1)}
    assert storage.totals("bob") == Totals(innocent_learned=1)


def test_of_two_reports_at_once_one_teaches(storage) -> None:
    """Both read the signature before either wrote it."""
    message = b"From: Shop <shop@example.com>\nSubject: pills\n\nbuy cheap pills\n"
    ds = dspam.ctx("bob", dspam.DSM_PROCESS, dspam.DSF_SIGNATURE)
    ds.attach(storage)
    ds.process(message)
    start = threading.Barrier(2)

    def report() -> bool:
        told = dspam.ctx("bob", dspam.DSM_PROCESS, dspam.DSF_SIGNATURE)
        told.attach(storage)
        told.classification, told.source = dspam.DSR_ISSPAM, dspam.DSS_ERROR
        start.wait(PATIENCE)
        told.process(None, sig=ds.signature)
        return told.learned

    with ThreadPoolExecutor(2) as pool:
        learned = [one.result() for one in [pool.submit(report) for _ in range(2)]]
    assert sorted(learned) == [False, True]
    assert storage.totals("bob") == Totals(spam_learned=1, spam_misclassified=1)
    keys = list(ds.tokenize(message, None))
    assert set(storage.counts("bob", keys).values()) == {Hits(1, 0)}


def test_a_user_who_never_taught_has_nothing(storage) -> None:
    assert storage.counts("nobody", [1, 2]) == {}
    assert storage.totals("nobody") == Totals()
    assert storage.get_signature("nobody", "id1") is None
    assert not storage.delete_signature("nobody", "id1")


def test_signatures_are_kept_replaced_and_forgotten_for_each_user(storage) -> None:
    storage.set_signature("bob", "id1", b"\0one")
    storage.set_signature("bob", "id1", b"\xfftwo")
    assert storage.get_signature("bob", "id1") == b"\xfftwo"
    assert storage.get_signature("eve", "id1") is None
    assert storage.delete_signature("bob", "id1")
    assert storage.get_signature("bob", "id1") is None


def test_a_context_learns_through_it_and_takes_back_exactly(storage) -> None:
    message = b"From: Shop <shop@example.com>\nSubject: pills\n\nbuy cheap pills\n"
    keys = list(dspam.ctx("bob", dspam.DSM_TOOLS).tokenize(message, None))
    ds = dspam.ctx("bob", dspam.DSM_PROCESS, dspam.DSF_SIGNATURE)
    ds.attach(storage)
    ds.process(message)
    assert set(storage.counts("bob", keys).values()) == {Hits(0, 1)}
    ds.classification, ds.source = dspam.DSR_ISSPAM, dspam.DSS_ERROR
    ds.process(None, sig=ds.signature)
    assert set(storage.counts("bob", keys).values()) == {Hits(1, 0)}
    assert storage.totals("bob") == Totals(spam_learned=1, spam_misclassified=1)


def test_dictionaries_of_the_default_classifier_are_others_of_the_same_name(database_url) -> None:
    store = Store(database_url)
    storage, teacher = SqlStorage(store), Teacher(store, "bob")
    storage.train("bob", {7: Hits(1, 0)}, Totals(spam_learned=1))
    teacher.teach(b"From: ann@example.org\n\nhello\n", False)
    assert storage.totals("bob") == Totals(spam_learned=1)
    assert teacher.totals() == (0, 1)
    with pytest.raises(ValueError, match="DSPAM's algorithms"):
        Teacher(store, "libdspam:bob")
    store.close()
