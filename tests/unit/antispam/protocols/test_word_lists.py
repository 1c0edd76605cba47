"""Lists of words: what is found, what is not, and that it takes no time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.word_lists import WordList, as_shown, phrases
from support.effort import in_proportion


def found(text, *words, **how):
    return WordList(words, **how).find(as_shown(text))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a specialist", "cialis"),
        ("save $$$ now", "$$$"),
        ("cia\u200blis", "cialis"),  # a character that is not shown
        ("ｃｉａｌｉｓ", "cialis"),
        ("𝐜𝐢𝐚𝐥𝐢𝐬", "cialis"),
        ("diet \t pill", "diet pill"),
        ("fre\u0308e", "frëe"),
        ("buy vi*gra", "vi*gra"),
    ],
)
def test_words_are_found_as_they_are_shown(text, word):
    assert found(text, word) == word


def test_a_star_is_a_star_as_it_is_upstream():
    assert found("viagra", "vi*gra") == ""


def test_capitals_matter_unless_they_don_t():
    assert found("Viagra", "viagra") == ""
    assert found("ViAGRA STRASSE", "straße", fold=True) == "straße"


def test_whole_words_only():
    assert found("a specialist", "cialis", whole=True) == ""
    assert found("buy cialis!", "cialis", whole=True) == "cialis"
    assert found("specialist, cialis", "cialis", whole=True) == "cialis"
    assert found("now!!!really", "!!!", whole=True) == "!!!"


def test_a_single_letter_is_no_word_as_it_is_none_upstream():
    assert not WordList(["a", " ", "x"])


def test_a_list_can_stand_in_a_file(tmp_path):
    file = tmp_path / "words"
    file.write_bytes("# a comment\ndiet pill, viag\n\nfrëe\n".encode("latin-1"))
    assert phrases(f"$$$, file:{file}") == ("$$$", "diet pill", "viag", "frëe")
    with pytest.raises(ValueError, match="cannot be read"):
        phrases(f"file:{tmp_path}/none")
    with pytest.raises(ValueError, match="at most 200"):
        phrases("x" * 201)


@given(st.text(max_size=60), st.text(min_size=2, max_size=5))
def test_what_is_there_is_found(text, word):
    shown = as_shown(text)
    form = as_shown(word)
    assert bool(WordList([word]).find(shown)) == (len(form) > 1 and form in shown)


@pytest.mark.parametrize("unit", ["a", "\u0315\u0300", "\ufdfa", "ca"])
def test_hostile_subjects_take_no_time(unit):
    words = WordList(["a" * length + "b" for length in range(1, 200)] + [f"word{n}" for n in range(20_000)], fold=True)

    def find(text):
        assert words.find(as_shown(text)) == ""

    assert in_proportion(find, lambda count: unit * count, 10_000 // len(unit))
