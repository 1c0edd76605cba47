"""The lists and phrases of signs: their form, their order, and what the matching promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.mail.score_table import TABLE
from antispam.net.addresses import parse_mailbox
from antispam.protocols import signs
from antispam.protocols.signs import content, headers, people, phrases
from antispam.protocols.signs.lists import Brands, brands, lines
from antispam.protocols.signs.people import Identity
from antispam.protocols.signs.phrases import Phrases
from antispam.protocols.signs.words import words_of
from dspam.reading import read
from support.effort import in_proportion

FOLDER = Path(signs.__file__).parent


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.name)
def test_a_shipped_list_has_a_date(file):
    assert re.search(r"as of 20\d\d-\d\d", file.read_text()[:400])


def test_every_sign_has_points():
    named = {name for file in FOLDER.glob("*.py") for name in re.findall(r'Sign\(\s*"([A-Z_]+)"', file.read_text())}
    named |= {f"FRAUD_{family}" for family in phrases.shipped().families}
    assert named <= set(TABLE)


def test_every_test_of_a_sign_can_be_met():
    checks = {"link_signs", "author_signs", "header_signs", "content_signs"}
    sources = "".join(
        file.read_text() for file in [*FOLDER.glob("*.py"), *(FOLDER.parents[1] / "checks").glob("*_signs.py")]
    )
    families = {f"FRAUD_{family}" for family in phrases.shipped().families}
    missing = {name for name, one in TABLE.items() if one.check in checks and f'"{name}"' not in sources}
    assert missing <= families


def test_brands_own_their_domains_under_every_country_only():
    (brand,) = Brands(["Shop: shop.*"]).named_in(("shop",))
    assert brand.owns("shop.de")
    assert brand.owns("mail.shop.co.uk")
    assert not brand.owns("shop.xyz")
    assert not brand.owns("shop.evil.example")


@pytest.mark.parametrize("line", ["", "Shop", "Shop:", ": shop.example"])
def test_a_brand_that_is_none(line):
    with pytest.raises(ValueError, match=r"brand|expected"):
        Brands([line])


@pytest.mark.parametrize(
    ("pattern", "text", "met"),
    [
        ("verify your account", "please VERIFY your Account!", True),
        ("verify your account", "verify your bank account", False),
        ("verify ... account", "verify your own bank account", True),
        ("verify ... account", "verify that you own this bank account", False),
        ("your/the parcel", "the parcel", True),
        ("not/- paid", "paid", True),
        ("# hours", "24 hours", True),
        ("# hours", "many hours", False),
        ("verif* now", "verification now", True),
        ("dont delete", "don\u2019t delete", True),
        ("konto bestatigen", "Konto best\u00e4tigen", True),
        ("free money", "\U0001d41f\U0001d42b\U0001d41e\U0001d41e money", True),
        ("your account", "y\u043eur acc\u043eunt", True),
    ],
)
def test_a_phrase(pattern, text, met):
    found = Phrases(["[KIND]", pattern]).found_in(words_of(text))
    assert bool(found) is met


def test_each_line_counts_once():
    (found,) = Phrases(["[KIND]", "free money"]).found_in(words_of("free money, free money, free money"))
    assert found.number == 1


@given(st.text(max_size=300))
def test_no_text_raises(text):
    words = words_of(text)
    phrases.shipped().found_in(words)
    list(brands().named_in(words))


FORMS = {
    "free money/cash": r"free (?:money|cash)",
    "free gift* #": r"free gift\S* \d+",
    "gift* of money": r"gift\S* of money",
    "# money": r"\d+ money",
    "of": "of",
}


@given(st.lists(st.sampled_from(["free", "money", "cash", "gift", "gifts", "of", "7", "12"]), max_size=12))
def test_no_phrase_is_passed_over(words):
    """However the first and the second word of several phrases meet."""
    families = Phrases([line for number, form in enumerate(FORMS) for line in (f"[KIND{number}]", form)])
    text = " ".join(words)
    expected = [f"KIND{number}" for number, form in enumerate(FORMS.values()) if re.search(rf"\b{form}\b", text)]
    assert [one.family for one in families.found_in(words_of(text))] == expected


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_words_in_ascii_are_read_as_all_others(text):
    """A letter beyond ASCII, as a word of its own, makes no difference to the others."""
    assert words_of(f"{text} \N{CYRILLIC SMALL LETTER ZHE}")[:-1] == words_of(text)


def test_lists_have_no_line_twice():
    for name in ("brands.txt", "phrases.txt"):
        found = [line for line in lines(name) if not line.startswith("[")]
        assert len(found) == len(set(found))


TEXTS = st.one_of(st.text(max_size=200), st.sampled_from(["=?utf-8?q?=00?=", "a@b@c", "<>", "x" * 9000, "\u200b" * 99]))


@given(TEXTS, TEXTS, TEXTS)
def test_no_author_raises(name, subject, address):
    author = parse_mailbox(address)
    who = Identity(author, name, subject, (author,), frozenset({"example.org"}), frozenset({address.lower()}))
    assert all(one.evidence.isprintable() for one in people.signs(who, brands()))


@given(st.binary(max_size=500), TEXTS, TEXTS)
def test_no_message_raises(raw, subject, name):
    document = read(b"Content-Type: text/html\r\n\r\n" + raw)
    assert all(one.evidence.isprintable() for one in content.signs(document, subject, name))


@pytest.mark.parametrize("text", ["a.", "a@", "< ", " \t", "$9", "V I ", "www.a.", "paypal ", "\u0430a", "recipients:"])
def test_long_fields_take_no_time(text):
    names = (b"from", b"to", b"subject", b"received", b"message-id", b"x-mailer")

    def look(long):
        list(
            headers.signs({name: [long.encode()] * 40 for name in names}, long[:10_000], frozenset({"mx.example.com"}))
        )
        list(people.signs(Identity(parse_mailbox("a@b.example"), long[:10_000], long[:10_000]), brands()))

    assert in_proportion(look, lambda count: text * count, 5_000)
