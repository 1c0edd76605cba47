"""Features of the learning filter, as people are told of them."""

from __future__ import annotations

import re

import pytest

from antispam.learning.reasons import in_words
from dspam.features import names


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("text: pills", "the word 'pills'"),
        ("text: cheap pills", "the words 'cheap pills'"),
        ("structure: links to author 0", "no link leads to the author's domain"),
        ("structure: link evil.example", "a link leads to evil.example"),
        ("structure: link of a https", "a link by https in a"),
        ("header: from win@spam.example", "the address win@spam.example in from"),
        ("header: from @spam.example", "an address at spam.example in from"),
        ("header: no to", "there is no field to"),
        ("header: then ^ from", "the field ^ is followed by from"),
        ("header: x-mailer: the bat {0}", "x-mailer: the bat {0}"),
        ("header: something new", "header: something new"),
    ],
)
def test_a_feature_in_words(feature, words):
    assert in_words(feature) == words


def test_most_features_of_a_message_have_words():
    """So a change of their names is noticed here."""
    raw = (
        b"Received: from mx.spam.example (mx.spam.example [192.0.2.1]) by mx.example.com with ESMTP\n"
        b"From: Win <win@spam.example>\nTo: ann@example.com\nSubject: CHEAP\nMIME-Version: 1.0\nContent-Type: text/html\n\n"
        b'<p>Buy cheap pills <a href="http://192.0.2.7/x">here</a> <a href="https://user@evil.example/y">now</a></p>\n'
    )
    found = set(names(raw).values())
    plain = {feature for feature in found if re.match(r"(?:text|link): ", feature)}
    assert plain
    assert all(in_words(feature) != feature for feature in plain)
    assert sum(in_words(feature) != feature for feature in found) > len(found) / 2
