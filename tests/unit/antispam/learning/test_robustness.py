"""The conditions of `bms evaluate`: wrong labels, late lessons, mail in the order of its dates, reports of errors alone."""

from __future__ import annotations

import math

import pytest

from antispam.learning import robustness
from antispam.learning.robustness import Condition, Known, arrival, judge
from dspam.features import extract


def known(number: int, is_spam: bool, arrived: float = math.nan) -> Known:
    word = "pills" if is_spam else "lunch"
    raw = f"From: {word}{number}@{word}.example\nSubject: {word} {number}\n\n{word} for you today, {word} number {number}\n"
    return Known(f"{word}{number}", is_spam, extract(raw.encode()), arrived)


@pytest.fixture
def messages() -> list[Known]:
    return [known(number, is_spam) for number in range(50) for is_spam in (True, False)]


@pytest.fixture
def lessons(monkeypatch) -> list[bool]:
    """The labels that were taught."""
    taught: list[bool] = []
    learn = robustness._Dictionary.learn

    def noted(self, keys, is_spam):
        taught.append(is_spam)
        learn(self, keys, is_spam)

    monkeypatch.setattr(robustness._Dictionary, "learn", noted)
    return taught


def test_each_message_is_judged_before_it_is_taught(messages, lessons):
    judged = judge(Condition("plain"), messages)
    assert [one.is_spam for one in judged] == lessons == [one.is_spam for one in messages]
    assert judged[0].score == 0.5
    assert judged[-2].called_spam
    assert not judged[-1].called_spam


def test_noise_turns_that_part_of_the_labels_round_and_the_same_ones_every_time(messages, lessons):
    judge(Condition("noise", noise=20), messages)
    wrong = [label != one.is_spam for label, one in zip(lessons, messages, strict=True)]
    assert 10 <= sum(wrong) <= 30
    first = lessons[:]
    lessons.clear()
    judge(Condition("noise", noise=20), messages)
    assert lessons == first


def test_with_a_delay_the_last_messages_are_never_taught(messages, lessons):
    judged = judge(Condition("late", delay=30), messages)
    assert len(lessons) == len(messages) - 30
    assert {one.score for one in judged[:31]} == {0.5}
    assert judged[31].score != 0.5


def test_by_date_the_oldest_come_first_and_those_without_a_date_last():
    shuffled = [known(1, True, 30.0), known(2, False), known(3, True, 10.0), known(4, False, 20.0)]
    assert [one.path for one in judge(Condition("drift", by_date=True), shuffled)] == [
        "pills3",
        "lunch4",
        "pills1",
        "lunch2",
    ]


def test_only_errors_are_taught_where_only_they_are_reported(messages, lessons):
    judged = judge(Condition("errors", errors=True), messages)
    assert lessons == [one.is_spam for one in judged if one.called_spam != one.is_spam]
    assert 0 < len(lessons) < 40


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"Received: from a by b;\n\tThu, 01 Jan 1970 00:01:00 +0000\nDate: Thu, 01 Jan 1970 00:00:01 +0000\n\n", 60.0),
        (b"Received: from a by b\r\nDate: Thu, 01 Jan 1970 00:00:01 +0000\r\n\r\n", 1.0),
        (b"Subject: x\n\nDate: Thu, 01 Jan 1970 00:00:01 +0000\n", None),
        (b"Date: Thu, 99 Foo 1970\n\n", None),
        (b"", None),
    ],
)
def test_the_newest_hop_says_when_a_message_arrived(raw, seconds):
    found = arrival(raw)
    assert math.isnan(found) if seconds is None else found == seconds
