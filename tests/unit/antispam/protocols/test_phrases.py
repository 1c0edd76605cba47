"""Phrases among the words of a text: _matching.c against its reference in Python, and what it does with wrong arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.signs import phrases, words
from dspam import _cutting

_CHOICES = ("pay", "paid", "pa*", "paym*", "#", "you", "your*", "fund", "€", "ü*", "x*", "-")
_WORDS = ("pay", "paid", "payment", "payments", "you", "yours", "fund", "12", "٣", "€", "über", "x", "xy", "no", "")

_lines = st.lists(
    st.lists(
        st.lists(st.sampled_from(_CHOICES), min_size=1, max_size=3).map("/".join) | st.just("..."), max_size=5
    ).map(lambda rest: " ".join(["pay/#/pa*/x*", *rest])),
    min_size=1,
    max_size=6,
)


@given(_lines, st.lists(st.sampled_from(_WORDS), max_size=30))
def test_the_compiled_form_finds_what_the_reference_finds(described: Sequence[str], text: Sequence[str]) -> None:
    known = phrases.Phrases(["[ONE]", *described, "[OTHER]", *described[:2]])
    assert known._compiled_matches(text) == list(known._matches(text))


@given(
    _lines,
    st.lists(st.sampled_from([*_WORDS, "don't", "you%", "#", "Pa"]), max_size=30),
    st.sampled_from([" ", ". ", "_"]),
)
def test_a_text_in_ascii_says_what_its_words_say(described: Sequence[str], said: Sequence[str], gap: str) -> None:
    text = gap.join(word for word in said if word.isascii())
    known = phrases.Phrases(["[ONE]", *described, "[OTHER]", *described[:2]])
    cut = words.words_of(text)
    expected = [(pattern, " ".join(cut[at:end])) for pattern, at, end in known._matches(cut)]
    assert known._compiled_matches_in(text) == expected


@given(st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("ünext of kin ")))
def test_any_text_is_read_as_its_words_are(text: str) -> None:
    families = phrases.shipped()
    assert families.found_in_text(f"next of {text} kin") == families.found_in(words.words_of(f"next of {text} kin"))


@given(st.text(st.characters(max_codepoint=127)), st.integers(0, 12))
def test_a_text_is_cut_into_the_same_words(text: str, limit: int) -> None:
    assert words._cut_compiled(text, limit) == words._cut(text)[:limit]


def test_a_thread_that_comes_while_the_filter_is_made_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    known = phrases.Phrases(["[ONE]", "pay you"])
    make, others = _cutting.word_filter, []

    def make_late(*described: Any) -> bytes:
        if not others:
            others.append("comes")
            others[0] = known.found_in_text("Pay you!")[0].family
        return make(*described)

    monkeypatch.setattr(phrases._cutting, "word_filter", make_late)
    assert known.found_in_text("Pay you!")[0].family == "ONE"
    assert others == ["ONE"]


def test_words_that_begin_the_same_way_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "_REMEMBERED", 50)
    known = phrases.Phrases(["[ONE]", "pay you", "pa* #"])
    for number in range(300):
        known.found_in([f"pa{number}", str(number)])
    assert len(known._known) < 100


def test_without_a_compiler_all_is_done_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Dear friend, your next of kin left $5 million; don't tell"
    expected = phrases.shipped().found_in(words.words_of(text))
    for module in (phrases, words):
        monkeypatch.setattr(module, "_cutting", None)
    assert phrases.shipped().found_in(words.words_of(text)) == expected
    assert phrases.shipped().found_in_text(text) == expected
    assert expected


_PLACE = (frozenset({"b"}), (), False, False)


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"words": 1}, TypeError),
        ({"words": ["a", b"b"]}, TypeError),
        ({"starts": []}, TypeError),
        ({"starts": {"a": 1}}, TypeError),
        ({"starts": {"a": ({}, [])}}, TypeError),
        ({"starts": {"a": ({"b": 1}, ())}}, TypeError),
        ({"starts": {"a": ({}, ((),))}}, TypeError),
        ({"starts": {"a": ({}, (("F", 1, 2),))}}, TypeError),
        ({"starts": {"a": ({}, (("F", 1, ((),)),))}}, TypeError),
        ({"starts": {"a": ({}, (("F", 1, (({"b"}, (), False, False),)),))}}, TypeError),
        ({"starts": {"a": ({}, (("F", 1, ((frozenset(), (1,), False, False),)),))}}, TypeError),
        ({"starts": {"a": ({}, (("F", [], (_PLACE,)),))}}, TypeError),
        ({"starts": {}, "words": ["1"], "begin": lambda word: 1 // 0}, ZeroDivisionError),
        ({"starts": {}, "words": ["1"], "begin": lambda word: word}, TypeError),
        ({"stems": ()}, TypeError),
        ({"gap": -1}, ValueError),
        ({"gap": 101}, ValueError),
    ],
)
def test_wrong_arguments_raise_and_overrun_nothing(changed: dict[str, Any], failure: type[Exception]) -> None:
    pattern = ("F", 1, (_PLACE,))
    right = {
        "words": ["a", "b"],
        "starts": {"a": ({"b": (pattern,)}, ())},
        "begin": lambda word: None,
        "stems": {},
        "gap": 3,
    }
    assert _cutting.match(*right.values()) == [(pattern, 0, 2)]  # type: ignore[arg-type]
    with pytest.raises(failure):
        _cutting.match(*{**right, **changed}.values())


def test_only_ascii_is_cut_in_c() -> None:
    with pytest.raises(ValueError, match="ASCII"):
        _cutting.words("ü", "", "", 10)
    with pytest.raises(ValueError, match="ASCII"):
        _cutting.match_text("ü", "", "", 10, {}, str, {}, _cutting.word_filter([], [], []), 3)


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"text": b"a b"}, TypeError),
        ({"starts": {"a": 1}}, TypeError),
        ({"starts": {"a": ({"b": 1}, ())}}, TypeError),
        ({"text": "1", "begin": lambda word: 1 // 0}, ZeroDivisionError),
        ({"filter": b""}, ValueError),
        ({"filter": "a"}, TypeError),
        ({"gap": 101}, ValueError),
    ],
)
def test_wrong_arguments_with_a_text_raise(changed: dict[str, Any], failure: type[Exception]) -> None:
    pattern = ("F", 1, (_PLACE,))
    right = {
        "text": "a-b",
        "marks": "",
        "dropped": "",
        "limit": 10,
        "starts": {"a": ({"b": (pattern,)}, ())},
        "begin": lambda word: None,
        "stems": {},
        "filter": _cutting.word_filter(["#"], [("a", "b")], []),
        "gap": 3,
    }
    assert _cutting.match_text(*right.values()) == [(pattern, "a b")]  # type: ignore[arg-type]
    with pytest.raises(failure):
        _cutting.match_text(*{**right, **changed}.values())


@pytest.mark.parametrize("wrong", [([1], [], []), ([], [1], []), ([], [("a",)], []), ([], [], [b"a"]), ({}, [], [])])
def test_a_filter_is_made_of_words_only(wrong: tuple[Any, Any, Any]) -> None:
    with pytest.raises(TypeError):
        _cutting.word_filter(*wrong)
