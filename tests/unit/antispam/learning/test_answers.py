"""What a reporter reads, and who gets no answer."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.learning.answers import HOW_TO_FORWARD, MAX_SUBJECT, Facts, compose, headline, should_answer, shown, text
from antispam.learning.languages import texts

FACTS = Facts(is_spam=True, user="ann", seen=37, needed=200, reference="abcdefghijkl", learned=1)
NOW = 1_700_000_000.0


def composed(facts: Facts = FACTS, **changes: bytes | str | float) -> bytes:
    arguments = {"training_address": "spam@example.org", "reporter": "ann@example.org", "now": NOW, **changes}
    return compose(facts, **arguments)


def parsed(facts: Facts = FACTS, **changes: bytes | str | float) -> email.message.EmailMessage:
    return email.message_from_bytes(composed(facts, **changes), policy=email.policy.default)


# --- what it says ---


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({}, "learned as spam; 37 of 200 messages seen"),
        ({"is_spam": False}, "learned as ham; 37 of 200 messages seen"),
        ({"learned": 0, "corrected": 1}, "learned as spam; 37 of 200 messages seen"),
        ({"learned": 0, "known": 1}, "already learned as spam; 37 of 200 messages seen"),
        ({"seen": 200}, "learned as spam; 200 messages seen"),
        ({"seen": 1, "needed": 0}, "learned as spam; 1 message seen"),
        ({"learned": 0, "missing": 1}, "not found: how to forward a message so that we recognise it"),
        ({"learned": 0}, "not found: how to forward a message so that we recognise it"),
        ({"learned": 0, "released": ["a@example.org"]}, "released; 37 of 200 messages seen"),
    ],
)
def test_the_subject_says_what_became_of_the_report(changes, subject):
    assert headline(replace(FACTS, **changes)) == subject
    assert parsed(replace(FACTS, **changes))["Subject"] == subject


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"learned": 2}, "Learned as spam: 2 messages."),
        ({"corrected": 1}, "Corrected from ham to spam: 1 message."),
        ({"is_spam": False, "corrected": 1}, "Corrected from spam to ham: 1 message."),
        ({"known": 1}, "Already learned as spam: 1 message, not counted again."),
        ({"released": ["a@example.org", "b@example.org"]}, "Released to a@example.org, b@example.org."),
        ({"missing": 3}, "Not found: 3 messages."),
        ({"learned": 0}, "We could not find a forwarded message in your mail."),
        ({}, "Dictionary of ann: 37 of 200 messages seen."),
        ({}, "Reference: abcdefghijkl"),
        ({"subjects": ["hello"]}, '  "hello"'),
    ],
)
def test_the_text_says_it_line_by_line(changes, line):
    assert line in text(replace(FACTS, **changes)).splitlines()


def test_how_to_forward_is_said_only_where_something_was_not_found():
    assert HOW_TO_FORWARD[0] not in text(FACTS)
    assert HOW_TO_FORWARD[0] in text(replace(FACTS, missing=1))


def test_a_report_that_was_too_long_is_told_so():
    assert "please send the rest" in " ".join(text(replace(FACTS, more=True)).split())


def test_long_lists_are_cut():
    told = text(
        replace(FACTS, subjects=[f"s{n}" for n in range(50)], released=[f"r{n}@example.org" for n in range(50)])
    )
    assert "s19" in told
    assert "s20" not in told
    assert " ".join(told.split()).count("and 30 more") == 2


def test_it_speaks_the_language_of_its_reader():
    facts = replace(FACTS, learned=0, corrected=1, missing=1, released=["a@example.org"], banned=["eve.example"])
    told = " ".join(text(facts, texts("de")).split())
    assert headline(facts, texts("de")) == "als Spam gelernt; 37 von 200 Nachrichten gesehen"
    assert "Von erwünscht zu Spam korrigiert: 1 Nachricht." in told
    assert "Freigegeben an a@example.org." in told
    assert "Bitte schicken Sie sie noch einmal" in told
    assert not {"messages", "again", "Reference"} & set(told.replace(":", " ").split())


# --- foreign text in it ---


@pytest.mark.parametrize(
    ("foreign", "line"),
    [
        ("hello\r\nBcc: x@example.org", "hello Bcc: x@example.org"),
        ("a\x00b\x1b[31mc\u2028d\u202ee", "a b [31mc d e"),
        ("a<!DSPAM:abcdefghijkl>b", "ab"),
        ('say "hello"', "say 'hello'"),
        ("  ", ""),
        ("x" * 500, "x" * (MAX_SUBJECT - 3) + "..."),
        ("grüße", "grüße"),
        ("\udcff", "\\xff"),
    ],
)
def test_foreign_text_is_shown_on_one_line_and_cannot_pretend(foreign, line):
    assert shown(foreign) == line


@given(st.text(max_size=300), st.text(max_size=30), st.text(max_size=30))
def test_no_foreign_text_adds_a_line_or_a_field(subject, user, reference):
    facts = replace(FACTS, subjects=[subject] if subject.strip() else [], user=user, reference=reference)
    told = text(facts)
    lines = [line for line in told.split("\n") if line and not line.startswith("  ")]
    assert all(
        line.startswith(("Learned as", "Reported:", "Dictionary of", "Reference:", "messages", "seen"))
        for line in lines[:4]
    )
    assert parsed(facts).keys() == parsed().keys()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_identifier_of_a_report_adds_a_field(message_id, references):
    mail = composed(message_id=message_id, references=references)
    header = mail.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in header.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert set(names) - {b"In-Reply-To", b"References"} == {name.encode() for name in parsed()}
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "address", ["", "ann", "a@b\r\nBcc: c@d", "a b@example.org", "<a@example.org>", "a@b,c@d", "ä@example.org"]
)
@pytest.mark.parametrize("place", ["training_address", "reporter"])
def test_an_address_that_no_header_can_hold_is_refused(address, place):
    with pytest.raises(ValueError, match="not an address"):
        composed(**{place: address})


# --- its form ---


def test_it_is_marked_as_an_automatic_answer_and_not_as_bulk():
    mail = parsed()
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["Precedence"] is None


def test_it_goes_from_the_training_address_to_the_reporter_at_the_given_time():
    mail = parsed()
    assert (mail["From"], mail["To"]) == ("spam@example.org", "ann@example.org")
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert mail["Message-ID"] == "<answer.abcdefghijkl@example.org>"


def test_it_stands_in_the_thread_of_the_report():
    mail = parsed(message_id=b" <r@example.org>", references=b" <a@example.org>\r\n <b@example.org>")
    assert mail["In-Reply-To"] == "<r@example.org>"
    assert mail["References"] == "<a@example.org> <b@example.org> <r@example.org>"


def test_a_long_identifier_stays_whole():
    identifier = b"<" + b"a" * 110 + b"@" + b"b" * 110 + b">"
    assert b"\r\nIn-Reply-To: " + identifier + b"\r\n" in composed(message_id=identifier)


@pytest.mark.parametrize("message_id", [b"", b"none", b"<no at>", b"<a@b\r\n", b"<" + b"a" * 999 + b"@b>"])
def test_what_is_no_identifier_is_left_out(message_id):
    mail = parsed(message_id=message_id, references=b"<a@example.org>")
    assert mail["In-Reply-To"] is None
    assert mail["References"] is None


@pytest.mark.parametrize("subject", ["hello", "grüße 日本語", "x" * 500])
def test_every_line_ends_in_crlf_and_is_short_seven_bit_text(subject):
    mail = composed(replace(FACTS, subjects=[subject], missing=1))
    assert mail.isascii()
    assert mail.count(b"\n") == mail.count(b"\r\n") == mail.count(b"\r")
    assert all(len(line) <= 78 for line in mail.partition(b"\r\n\r\n")[2].split(b"\r\n"))


def test_the_subject_of_a_reported_message_can_be_read_in_the_answer():
    assert '"grüße 日本語"' in parsed(replace(FACTS, subjects=["grüße 日本語"])).get_content()


# --- who gets none ---


@pytest.mark.parametrize(
    ("name", "value", "answered"),
    [
        (b"Subject", b" Fwd: hello", True),
        (b"Auto-Submitted", b" no", True),
        (b"Auto-Submitted", b" no (by hand)", True),
        (b"Auto-Submitted", b" auto-replied", False),
        (b"auto-submitted", b" auto-generated; x=y", False),
        (b"Precedence", b" bulk", False),
        (b"Precedence", b" List", False),
        (b"Precedence", b" junk", False),
        (b"Precedence", b" first-class", True),
        (b"List-Id", b" <x.example.org>", False),
        (b"List-Unsubscribe", b" <mailto:x@example.org>", False),
        (b"X-Auto-Response-Suppress", b" DR, AutoReply", False),
        (b"X-Auto-Response-Suppress", b" DR, OOF", True),
        (b"X-Loop", b" spam@example.org", False),
    ],
)
def test_a_header_says_whether_an_answer_is_welcome(name, value, answered):
    assert should_answer("ann@example.org", [(b"From", b" ann@example.org"), (name, value)]) is answered


@pytest.mark.parametrize(
    ("sender", "answered"),
    [
        ("ann@example.org", True),
        ("postmaster@example.org", True),
        ("", False),
        ("MAILER-DAEMON@example.org", False),
        ("mailer-daemon", False),
        ("noreply@example.org", False),
        ("owner-list@example.org", False),
        ("list-request@example.org", False),
        ("list-bounces@example.org", False),
        ("a" * 10_000 + "@example.org", True),
    ],
)
def test_a_sender_says_whether_anybody_would_read_it(sender, answered):
    assert should_answer(sender, []) is answered


def test_our_own_answer_is_not_answered():
    fields = [(name.encode(), value.encode()) for name, value in parsed().items()]
    assert not should_answer("ann@example.org", fields)


def test_of_a_resent_message_only_the_resenders_fields_count():
    fields = [(b"Received", b" x"), (b"Resent-From", b" ann@example.org"), (b"List-Id", b" <x>"), (b"From", b" y")]
    assert should_answer("ann@example.org", fields)
    assert not should_answer("ann@example.org", [(b"Auto-Submitted", b" auto-replied"), *fields])


@given(st.text(max_size=50), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=50)), max_size=5))
def test_no_header_makes_it_raise(sender, headers):
    assert should_answer(sender, headers) in {True, False}
