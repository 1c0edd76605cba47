"""What checks said in English is read in the language of who asks; what is not known stays as it was said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.web.said import _Pattern, said_in, unknown_in
from antispam.web.sentences import SENTENCES


@pytest.mark.parametrize(
    ("said", "german"),
    [
        ("no HELO", "kein HELO"),
        ("11 recipients within one hour", "11 Empfänger innerhalb von einer Stunde"),
        ("The message is not signed.", "Die Nachricht ist nicht signiert."),
        (
            "The address 192.0.2.1 has no host name that resolves back to it.",
            "Die Adresse 192.0.2.1 hat keinen Hostnamen, der zu ihr zurückführt.",
        ),
        ("HELO x: the name has no domain", "HELO x: der Name hat keine Domain"),
        ("SPF fail for a.example, access map SPF:a.example OK", "SPF fail für a.example, Access-Map SPF:a.example OK"),
        (
            "DKIM fail of a.example (2 more signatures ignored, odd)",
            "DKIM fail von a.example (2 weitere Signaturen nicht beachtet, odd)",
        ),
        (
            "dangerous: a.zip (in the archive: b.exe: .exe is not accepted); noticed: c (HTML with a script); 3 more",
            "gefährlich: a.zip (im Archiv: b.exe: .exe wird nicht angenommen); aufgefallen: c (HTML mit einem Skript); "
            "3 weitere",
        ),
        (
            "spam, probability 0.9991, score 7.3 (SPF_FAIL=1.5, BAYES_SPAM=5.8)",
            "Spam, Wahrscheinlichkeit 0.9991, Punkte 7.3 (SPF_FAIL=1.5, BAYES_SPAM=5.8)",
        ),
    ],
)
def test_a_stored_sentence_is_read_in_german(said, german):
    assert said_in("de", said) == german
    assert said_in("en", said) == said


@pytest.mark.parametrize(
    "said", ["", "Something of an old version.", "an old one; and another", "SPF_FAIL", "no HELO of"]
)
def test_an_unknown_sentence_is_shown_as_it_is(said):
    assert said_in("de", said) == said


def test_what_is_known_of_several_sentences_is_translated():
    assert said_in("de", "no HELO; an old one") == "kein HELO; an old one"


@pytest.mark.parametrize("name", ["no HELO", "%(x)s {y} {0.__class__} %s", "delivered", "a: b", "{", "}"])
def test_what_mail_wrote_is_no_sentence_of_ours(name):
    said = f"the domain of {name} looks like {name}"
    assert said_in("de", said) == f"die Domain von {name} sieht aus wie {name}"


def test_every_pattern_finds_its_own_sentence():
    """None hides behind another one: filled with odd names, each gives its values back."""
    for pattern in SENTENCES:
        assert unknown_in(re.sub(r"\{(what|why|how)\}", "no HELO", pattern)) == []


@given(st.text(max_size=5000), st.sampled_from(["de", "en", "xx"]))
def test_nothing_makes_it_fail(text, language):
    assert isinstance(said_in(language, text), str)


@pytest.mark.parametrize(
    "text",
    [
        "; " * 2000,
        "SPF fail for x, access map " * 140,
        "a (" * 1300,
        "HELO : " * 500,
        "to " * 1300,
        "x: no HELO; " * 300,
    ],
)
def test_hostile_text_costs_no_more_than_a_few_sentences(text, monkeypatch):
    asked = []
    ask = _Pattern.values
    monkeypatch.setattr(_Pattern, "values", lambda self, text: asked.append(len(text)) or ask(self, text))
    said_in("de", text)
    assert len(asked) < 200 * len(SENTENCES)
