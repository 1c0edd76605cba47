"""The site's own rules: what a file may say, what is told of its mistakes, and what a message meets."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antispam.deadline import Deadline
from antispam.protocols import site_rules
from antispam.protocols.site_rules import OutOfTime
from antispam.protocols.site_rules.conditions import Condition
from antispam.protocols.site_rules.patterns import MAX_PROGRAM, pattern
from support.effort import in_proportion

FILE = r"""
# a comment
[LOTTERY]
text     = /you have won/i
points   = 2.5
describe = promises a prize

[PARTNER]
header From = /@partner\.example/

[ODD_PRIZE]
when = LOTTERY and not PARTNER
points = 1
"""


class Mail:
    """What of a message is tested."""

    def __init__(self, text="", link="", attachment="", **fields):
        self._text, self._link, self._attachment, self._fields = text, link, attachment, fields

    def header(self, name):
        return (self._fields[name],) if name in self._fields else ()

    def text(self):
        return (self._text,)

    def links(self):
        return (self._link,)

    def attachments(self):
        return (self._attachment,)


def rules_of(text):
    rules, mistakes = site_rules.parse(text, "rules")
    assert mistakes == ()
    return rules


def met(text, mail, **more):
    return {one.name: one.seen for one in rules_of(text).met(mail, Deadline.after(60), **more)}


def test_rules_with_points_are_told_with_what_they_found():
    assert met(FILE, Mail("Dear, You  have won!".replace("  ", " "))) == {
        "LOTTERY": "You have won",
        "ODD_PRIZE": "LOTTERY and not PARTNER",
    }


def test_a_condition_asks_for_rules_without_points():
    assert met(FILE, Mail("you have won", From="a@partner.example")) == {"LOTTERY": "you have won"}
    assert "PARTNER" in met(FILE, Mail(From="a@partner.example"), helpers=True)


@pytest.mark.parametrize(
    ("line", "mail", "found"),
    [
        ("text = /won/", Mail("I won"), "won"),
        ("text = /won/", Mail("I WON"), None),
        ("text = /won/i", Mail("I WON"), "WON"),
        ("text = /^I/", Mail("It is I"), "I"),
        ("text = /a/b/", Mail("a/b"), "a/b"),
        ("text = /;#/", Mail("x;#"), ";#"),
        ("text = /пере?вод/i", Mail("ПЕРЕВОД"), "ПЕРЕВОД"),
        ("header List-Id = /x/", Mail(**{"List-Id": "<x.example>"}), "x"),
        ("header Subject = /x/", Mail("x"), None),
        (r"link = /\.example\/login/", Mail(link="http://bank.example/login"), ".example/login"),
        (r"attachment = /\.iso$/i", Mail(attachment="A.ISO"), ".ISO"),
    ],
)
def test_a_pattern_is_looked_for_where_the_rule_says(line, mail, found):
    assert met(f"[RULE]\npoints = 1\n{line}", mail) == ({} if found is None else {"RULE": found})


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("[RULE]\ntext = won", 2, "between slashes"),
        ("[RULE]\ntext = /won/x", 2, "no flag x"),
        ("[RULE]\ntext = //", 2, "empty"),
        ("[RULE]\ntext = /(/", 2, "missing )"),
        (r"[RULE]" "\n" r"text = /(a)\1/", 2, r"\1 is not known here"),
        ("[RULE]\ntext = /a(?!b)/", 2, "linear time"),
        ("[RULE]\ntext = /(.{1000}){10}/", 2, ""),
        (r"[RULE]" "\n" r"text = /[\p{L}]{200}/", 2, "too large"),
        ("[RULE]\ntexd = /a/", 2, "did you mean text?"),
        ("[RULE]\nheader = /a/", 2, "needs the name of a field"),
        ("[RULE]\nheader Sub:ject = /a/", 2, "no name of a header field"),
        ("[RULE]\ntext Subject = /a/", 2, "what is 'Subject'?"),
        ("[RULE]\ntext = /a/\nlink = /b/", 3, "already tests its text"),
        ("[RULE]\ntext = /a/\npoints = 1\npoints = 2", 4, "already given on line 3"),
        ("[RULE]\ntext = /a/\npoints = many", 3, "a number"),
        ("[RULE]\ntext = /a/\npoints = nan", 3, "a number"),
        ("[RULE]\ntext = /a/\npoints = 1000", 3, "between -100 and 100"),
        ("[RULE]\npoints = 1", 1, "tests nothing"),
        ("[rule]\ntext = /a/", 1, "has capitals"),
        ("[RULE]\ntext = /a/\n\n[RULE]\ntext = /b/", 4, "already on line 1"),
        ("[RULE]\nwhen = OTHER", 1, "OTHER, which is no rule"),
        ("[RULE]\ntext = /a/\n[OTHER]\nwhen = RULES", 3, "did you mean RULE?"),
        ("[RULE]\nwhen = RULE", 1, "asks for itself"),
        ("[ONE]\nwhen = TWO\n[TWO]\nwhen = not ONE", 1, "asks for itself"),
        ("[RULE]\nwhen = A and", 2, "is missing"),
        ("[RULE]\nwhen = (A", 2, "not closed"),
        ("[RULE]\nwhen = A B", 2, "`and` or `or` is missing before B"),
        ("[RULE]\nwhen = A, B", 2, "no name of a rule"),
        ("text = /a/", 1, "before the first"),
        ("[RULE]\nhello", 2, "neither a [NAME]"),
    ],
)
def test_a_mistake_is_told_with_its_line(text, line, told):
    _, mistakes = site_rules.parse(text, "rules")
    assert any(one.line == line and told in one.text for one in mistakes), mistakes


def test_all_mistakes_are_told_in_the_order_of_their_lines():
    _, mistakes = site_rules.parse("[A]\n[ONE]\ntext = (\n[TWO]\ntexd = /a/\nlink = /a/\n", "rules")
    assert [one.line for one in mistakes] == [1, 1, 3, 5]


def test_a_file_that_is_not_there_is_a_mistake(tmp_path):
    rules, mistakes = site_rules.read(tmp_path / "none")
    assert not rules
    assert "cannot be read" in mistakes[0].text


def test_octets_that_are_no_utf8_are_a_mistake_on_their_line(tmp_path):
    (tmp_path / "rules").write_bytes(b"[RULE]\ntext = /caf\xe9/\n")
    assert [(one.line, one.text) for one in site_rules.read(tmp_path / "rules")[1]] == [(2, "is not UTF-8")]


def test_a_thousand_rules_in_a_row_are_told_and_not_followed():
    chain = "".join(f"[R{n:03}]\nwhen = R{n + 1:03}\n" for n in range(999)) + "[R999]\ntext = /a/\n"
    _, mistakes = site_rules.parse(chain, "rules")
    assert any("asks for itself, or over more than" in one.text for one in mistakes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", True),
        ("not A", False),
        ("A and B", False),
        ("A or B", True),
        ("not A or not B", True),
        ("A and not (B or C)", True),
        ("A && !B || C", True),
        ("B and B or A", True),
        ("B and (B or A)", False),
        ("NOT B AND A", True),
    ],
)
def test_conditions_mean_what_they_say(text, expected):
    assert Condition(text).holds(lambda name: name == "A") is expected


@given(st.text(max_size=300))
def test_no_condition_raises_anything_but_a_sentence(text):
    with contextlib.suppress(ValueError):
        Condition(text)


@given(st.text(max_size=400))
def test_no_file_raises_and_what_is_wrong_has_a_line(text):
    _, mistakes = site_rules.parse(text, "rules")
    assert all(0 <= one.line <= text.count("\n") + text.count("\r") + 400 and one.text for one in mistakes)


@settings(max_examples=50)
@given(st.text(max_size=80))
def test_no_pattern_raises_anything_but_a_sentence(source):
    with contextlib.suppress(ValueError):
        pattern(f"/{source}/i").search("some text \U0001f600 \x00")


# What makes a backtracking engine try for hours.
@pytest.mark.parametrize(
    "source", ["(x+x+)+y", "(a|a)*b", "(x*)*y", "(.*)*z", "x(?:.{0,30}a){30}q", "(?:a?){500}a{500}b"]
)
def test_no_pattern_makes_a_long_text_take_long(source):
    one = pattern(f"/{source}/")

    def search(text):
        assert one.search(text) is None

    assert in_proportion(search, lambda count: "xa" * count, 20_000)


def test_an_automaton_that_would_take_too_long_is_refused():
    """[a letter]{n}: some 1,200 instructions a letter."""
    assert MAX_PROGRAM == 10_000
    with pytest.raises(ValueError, match="too large"):
        pattern(r"/[\p{L}]{100}/")


def test_rules_stop_at_the_deadline():
    with pytest.raises(OutOfTime):
        list(rules_of(FILE).met(Mail("x"), Deadline(0.0, lambda: 1.0)))
