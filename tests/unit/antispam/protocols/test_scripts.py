"""In which scripts a text is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.scripts import SCRIPTS, letters_by_script, mixed_word, script_of


@pytest.mark.parametrize(
    ("letter", "script"),
    [("a", "latin"), ("é", "latin"), ("я", "cyrillic"), ("我", "han"), ("한", "hangul"), ("あ", "hiragana"), ("ア", "katakana"),
     ("α", "greek"), ("ع", "arabic"), ("א", "hebrew"), ("ก", "thai"), ("अ", "devanagari"), ("ㄅ", "bopomofo"), ("々", "han"),
     ("\ud800", "")],
)  # fmt: skip
def test_letters_have_scripts(letter, script):
    assert script_of(letter) == script
    assert script in SCRIPTS | {""}


def test_letters_are_counted_and_nothing_else():
    assert letters_by_script("Привет, world! 123 我") == {"cyrillic": 6, "latin": 5, "han": 1}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("p\u0430ypal now", "p\u0430ypal"),
        ("Привет world", ""),
        ("3D-модель", ""),
        ("", ""),
        ("ok \u0391pple", "\u0391pple"),
    ],
)
def test_words_of_letters_that_look_alike(text, word):
    assert mixed_word(text) == word


@given(st.text())
def test_nothing_raises(text):
    letters_by_script(text)
    mixed_word(text)
