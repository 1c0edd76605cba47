"""The text of notices, their form, and the Message-IDs by which they are known again."""

from __future__ import annotations

import dataclasses
import email
import email.policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antispam.checks._shared.callback.notice import NAMES, SAMPLE, Templates, compose, sendable, template_for
from antispam.protocols import notice_id

SECRET = b"s" * 32
NOW = 1_700_000_000.0
DAY = 86400.0
OURS = Templates()


def composed(name="softfail", templates=OURS, **more):
    facts = dataclasses.replace(SAMPLE, **more)
    return compose(name, facts, templates, sender="postmaster@mx.example.com", message_id="<dsn.x@mx.example.com>")


def parsed(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_delivery_status_notification(name):
    raw = composed(name)
    mail = parsed(raw)
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    text, status, quoted = mail.iter_parts()
    assert [text.get_content_type(), status.get_content_type(), quoted.get_content_type()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert "bob@example.com" in text.get_content()
    assert "%" not in text.get_content()
    assert b"\nFinal-Recipient: rfc822; bob@example.com\r\n" in raw
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(map(len, text.get_content().splitlines())) <= 76


def test_it_says_that_a_program_wrote_it():
    mail = parsed(composed())
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["To"] == "ann@example.net"


def test_the_action_is_what_became_of_the_message():
    assert b"Action: relayed\r\nStatus: 2.0.0" in composed("softfail")
    assert b"Action: delayed\r\nStatus: 4.7.1" in composed("quarantine")


def test_many_recipients_are_not_all_listed():
    raw = composed(recipients=[f"u{number}@example.com" for number in range(500)])
    assert raw.count(b"Final-Recipient") == 20
    assert b"and 480 more" in raw


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300), st.lists(st.text(max_size=400), max_size=3))
@example("x\r\nBcc: all@example.com\r\n\r\nbuy", "--=_", "%(sender)s %s %", ["a\r\n\r\nb"])
def test_nothing_from_a_message_adds_a_field_or_a_part(subject, helo, problem, values):
    fields = [("Subject", value) for value in values] + [(value, "x") for value in values]
    raw = composed(subject=subject, helo=helo, problem=problem, fields=fields, recipients=[helo, subject])
    mail = parsed(raw)
    assert len(list(mail.iter_parts())) == 3
    assert sorted(mail.keys()) == sorted(parsed(composed()).keys())
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert raw.isascii()


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("spf-softfail", "softfail"),
        ("spf-none", "none"),
        ("helo-fail", "helo"),
        ("dkim-none", "dkim"),
        ("dkim", "dkim"),
        ("spf-pass", "neutral"),
        ("", "neutral"),
    ],
)
def test_what_was_found_chooses_the_text(tag, name):
    assert template_for(tag) == name


def test_a_folder_has_texts_of_its_own(tmp_path):
    (tmp_path / "softfail.txt").write_text(
        "To: %(sender)s\nFrom: x@y.z\nSubject: For %(sender)s\n\n100%% of %(rcpt)s\n"
    )
    (tmp_path / "strike3.txt").write_text("Subject: strike\n\nNo name\n")
    mine = Templates(tmp_path)
    mail = parsed(composed("softfail", mine))
    assert (mail["Subject"], mail["From"]) == (
        "For ann@example.net",
        "Mail Delivery System <postmaster@mx.example.com>",
    )
    assert "100% of bob@example.com" in next(mail.iter_parts()).get_content()
    assert parsed(composed("none", mine))["Subject"] == "strike"
    assert composed("fail", mine) == composed("fail")


@pytest.mark.parametrize("text", ["Subject: x\n\n%(nobody)s\n", "no header\n\nat all\n", ""])
def test_a_text_that_can_not_be_used_is_an_error_at_once(tmp_path, text):
    (tmp_path / "fail.txt").write_text(text)
    with pytest.raises(ValueError, match=r"fail\.txt"):
        Templates(tmp_path)


def test_a_folder_that_is_none_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        Templates(tmp_path / "missing")


@pytest.mark.parametrize(
    "address", ["", "ann", "a b@example.org", "a\n@example.org", "änn@example.org", "a@b@c", "a" * 300 + "@b.c"]
)
def test_some_addresses_can_not_stand_in_a_field(address):
    assert not sendable(address)


# --- Message-IDs ---


@given(st.text(min_size=1, max_size=80))  # RFC 5321, 4.5.3.1: 320 octets at most; a letter has up to four
@example("a" * 64 + "@" + "b" * 255)
@example("\U0001f600" * 80)
@example("\udcff@example.org")
@example("Ann@Example.org")
def test_a_message_id_names_its_address(address):
    name = notice_id.signed(address, "mx.example.com", SECRET, NOW)
    assert name.isascii()
    found = notice_id.find(b"x\r\nMessage-ID:\r\n " + name.encode() + b"\r\n", SECRET, NOW)
    assert (found or "").encode("utf-8", "replace") == address.encode("utf-8", "replace")


def test_whatever_becomes_of_its_case_it_is_known():
    name = notice_id.signed("ann@example.org", "mx.example.com", SECRET, NOW)
    assert notice_id.find(name.upper().encode(), SECRET, NOW) == "ann@example.org"


def test_nobody_else_can_make_one():
    name = notice_id.signed("ann@example.org", "mx.example.com", SECRET, NOW).encode()
    other = notice_id.signed("bob@example.org", "mx.example.com", SECRET, NOW).encode()
    assert notice_id.find(name, b"t" * 32, NOW) is None
    assert notice_id.find(other[:20] + name[20:], SECRET, NOW) is None


def test_an_old_one_is_worth_nothing():
    name = notice_id.signed("ann@example.org", "mx.example.com", SECRET, NOW).encode()
    assert notice_id.find(name, SECRET, NOW + 30 * DAY)
    assert notice_id.find(name, SECRET, NOW + 32 * DAY) is None
    assert notice_id.find(name, SECRET, NOW - 3 * DAY) is None


@given(st.binary(max_size=2000))
@example(b"<dsn." * 100_000)
@example(b"<dsn." + b"a" * 600 + b".20000." + b"a" * 32 + b"@")
@example((b"<dsn.a.1." + b"a" * 32 + b"@") * 10_000)
def test_whatever_the_content_none_is_found(content):
    assert notice_id.find(content, SECRET, NOW) is None
