"""Names and domains that a person takes for others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.net.addresses import normalize_domain
from antispam.protocols.likeness import Likeness, is_relayed_name, likeness, name_key


@pytest.mark.parametrize(
    "text",
    [
        "Ann Smith",
        "ANN SMITH",
        '"Smith, Ann"',
        "Dr. Ann Smith",
        "Ann Smith (Director)",
        "Ann Smith via Hikers",
        "Аnn Smіth",  # with Cyrillic letters
        "Ann\u200b Smith",
        "Ann  Smith [EXT]",
    ],
)
def test_spellings_of_a_full_name_are_one(text: str) -> None:
    assert name_key(text) == "ann smith"


@pytest.mark.parametrize("text", ["", "Ann", "A S", "Dr. Ann", "24 7", "info@example.com", "via Hikers"])
def test_less_than_two_words_are_no_full_name(text: str) -> None:
    assert name_key(text) != "ann smith"
    assert len(name_key(text).split()) != 2 or "@" in text


def test_names_of_other_scripts_are_names() -> None:
    assert name_key("Анна Петрова") == name_key("Петрова Анна") != ""


def test_a_name_says_that_it_is_passed_on() -> None:
    assert is_relayed_name("Ann Smith via Hikers")
    assert not is_relayed_name("Olivia Smith")


@pytest.mark.parametrize(
    ("domain", "ours", "expected"),
    [
        ("examp1e.com", "example.com", Likeness.SIGHT),
        ("exarnple.com", "example.com", Likeness.SIGHT),
        ("exаmple.com", "example.com", Likeness.SIGHT),  # a Cyrillic a
        ("mail.examp1e.com", "example.com", Likeness.SIGHT),
        ("ex-ample.com", "example.com", Likeness.SIGHT),
        ("exampel.com", "example.com", Likeness.EDIT),
        ("exmple.com", "example.com", Likeness.EDIT),
        ("exampple.com", "example.com", Likeness.EDIT),
        ("exumple.com", "example.com", Likeness.EDIT),
        ("example.com", "example.com", None),
        ("mail.example.com", "example.com", None),
        ("example.net", "example.com", None),
        ("example.co", "example.com", None),
        ("exumpel.com", "example.com", None),
        ("cat.com", "bat.com", None),
        ("com", "example.com", None),
        ("simple.com", "example.com", None),
        ("xn--!!!.com", "example.com", None),
    ],
)
def test_domains_that_look_like_ours_or_are_one_letter_away(domain: str, ours: str, expected: Likeness | None) -> None:
    assert likeness(normalize_domain(domain), ours) is expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_that_mail_contains_makes_it_raise(one: str, other: str) -> None:
    name_key(one)
    likeness(normalize_domain(one), normalize_domain(other) or "example.com")
