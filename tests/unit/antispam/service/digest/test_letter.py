"""What a digest says, and what hostile mail can't make it say."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.service.digest.letter import MAX_SUBJECT, Facts, compose, harmless, sender_of
from antispam.store.quarantine import Entry, State

NOW = 1_700_000_000.0
LINK_LOOKING = re.compile(r"\w://|www\.\w|\w\.[a-z]{2}", re.IGNORECASE)


def entry(ref="aaa", subject="Win", sender="eve@example.org", check="spam_action"):
    return Entry(
        number=1, ref=ref, user="bob", received_at=NOW, mail_from=sender, recipients=("bob@example.com",), subject=subject,
        size=100, check=check, action="quarantine", reason="score 7.1 reaches 6.0", score=None, outbox_id=None,
        released_at=None, state=State.KEPT, error="",
    )  # fmt: skip


def facts(*entries, count=0):
    return Facts(
        recipient="bob@example.com", sender="postmaster@example.com", entries=entries, count=count or len(entries),
        link=lambda one: f"https://mail.example.com/kept/{one.ref}", console="https://mail.example.com/", days=7,
        stop="https://mail.example.com/digest/stop/x",
        name="abc", now=NOW,
    )  # fmt: skip


def read(*entries, count=0):
    raw = compose(facts(*entries, count=count))
    message = email.message_from_bytes(raw, policy=email.policy.SMTP)
    return message, [part.get_content() for part in message.iter_parts()]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]


def test_it_lists_each_message_with_sender_reason_and_link_as_text_and_html():
    message, (text, html) = read(entry("aaa", "one"), entry("bbb", "two"))
    assert message["Subject"] == "2 messages are kept from you"
    for part in (text, html):
        assert "from eve@example.org" in part
        assert "The mail filter takes it for spam." in part
        assert "https://mail.example.com/kept/aaa" in part
        assert "https://mail.example.com/kept/bbb" in part
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_one_message_is_one():
    assert read(entry())[0]["Subject"] == "1 message is kept from you"


def test_it_says_how_many_more_there_are():
    _, parts = read(entry(), count=41)
    assert all("And 40 more." in part for part in parts)


def test_programs_know_that_a_program_sent_it():
    message, _ = read(entry())
    assert (message["Auto-Submitted"], message["Precedence"]) == ("auto-generated", "bulk")
    assert message["List-Id"] == "<quarantine-digest.example.com>"
    assert (message["From"], message["To"]) == ("postmaster@example.com", "bob@example.com")
    assert message["Message-ID"] == "<digest.abc@example.com>"
    assert message["List-Unsubscribe"] == "<https://mail.example.com/digest/stop/x>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_without_tls_no_mail_program_ends_it_by_itself():
    """RFC 8058 section 3.1 wants HTTPS."""
    raw = compose(dataclasses.replace(facts(entry()), stop="http://127.0.0.1:8025/digest/stop/x"))
    assert b"List-Unsubscribe-Post" not in raw


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("Click https://evil.example/x now", "Click https[:]//evil[.]example/x now"),
        ("www.evil.example", "www[.]evil[.]example"),
        ("evil\u3002example", "evil\u3002example"),  # no program makes a link of that
        ("price 3.50, v1.2, e.g. this", "price 3.50, v1.2, e.g. this"),
        ("safe\u202egnp.exe", "safegnp[.]exe"),
        ("a\r\nBcc: all@example.com", "a Bcc: all@example[.]com"),
        ("\x1b[31mred\x00\u2028next", "[31mred next"),
        ("  ", ""),
    ],
)
def test_a_subject_is_text(subject, shown):
    assert harmless(subject, MAX_SUBJECT) == shown


def test_a_long_subject_is_cut():
    assert harmless("x" * 10_000, 100) == "x" * 99 + "…"


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("eve@example.org", "eve@example.org"),
        ('"https://evil.example"@example.org', '"https[:]//evil[.]example"@example[.]org'),
        ("www.evil.example/@x", "www[.]evil[.]example/@x"),
        ("", ""),
    ],
)
def test_a_sender_is_an_address_or_text(sender, shown):
    assert sender_of(entry(sender=sender)) == shown


HOSTILE = st.text(max_size=300) | st.sampled_from(
    [
        '<a href="https://evil.example">x</a>',
        "<img src=x onerror=alert(1)>",
        "{{ 7 * 7 }}{% set x = 1 %}",
        "\r\n\r\n<html>",
        "\udcff\ud800",
    ]
)


@given(HOSTILE, HOSTILE)
def test_nothing_that_mail_wrote_becomes_a_link_a_tag_or_a_field(subject, sender):
    message, (_, html) = read(entry(subject=subject, sender=sender))
    page = Page(html)
    assert page.links == [
        "https://mail.example.com/kept/aaa",
        "https://mail.example.com/",
        "https://mail.example.com/digest/stop/x",
    ]
    assert page.tags <= {"html", "head", "meta", "body", "p", "div", "strong", "a"}
    assert len(message.keys()) == len(set(message.keys())) == 13


@given(HOSTILE)
def test_harmless_text_has_no_link_and_no_odd_character(text):
    shown = harmless(text, 100)
    assert len(shown) <= 100
    assert shown.isprintable()
    assert not LINK_LOOKING.search(shown)


def test_lines_are_short_enough_for_every_mail_server():
    raw = compose(facts(*(entry(subject="ü" * 500) for _ in range(30))))
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
