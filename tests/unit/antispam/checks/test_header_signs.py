"""Headers that no mail program writes, or not the one that they name; and honest ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import header_signs
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.verdicts import reject
from antispam.protocols.signs import headers
from support.checking import message, services
from support.signs import hits

LATER = "Received: from mail.example.org (mail.example.org [192.0.2.1]) by mx.example.com"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (["To:"], "MISSING_TO"),
        (["To: undisclosed-recipients:;"], "UNDISCLOSED_RECIPIENTS"),
        (["To: customers"], "TO_NO_ADDRESS"),
        (["From: bob@example.com"], "TO_IS_FROM"),
        (["To: abby@x.example, abe@x.example, abel@y.example, abner@x.example, adam@x.example"], "SORTED_RECIPS"),
        (["Subject: "], "SUBJECT_EMPTY"),
        (["Subject:"], "MISSING_SUBJECT"),
        (["Subject: URGENT BUSINESS PROPOSAL"], "SUBJ_ALL_CAPS"),
        (["Subject: V I A G R A now"], "SUBJECT_GAPPY"),
        (["Subject: You have $5,000 waiting"], "SUBJECT_MONEY"),
        (["Subject: Free gift inside"], "SUBJECT_FREE"),
        (["Subject: Open this! Now!"], "SUBJECT_SHOUTS"),
        (["Subject: special offer          xkwqz"], "SUBJECT_TAIL"),
        (["Subject: \U0001f381\U0001f389 win"], "SUBJECT_PICTURES"),
        (["Subject: Hello {{first_name}}"], "SUBJECT_PLACEHOLDER"),
        (["Date: Thu, 24 Sep 2026 12:09:54 -1900"], "INVALID_TZ"),
        (["Date: Thu, 24 Sep 2026 12:09:54 +0261"], "INVALID_TZ"),
        (["From: Bonus ,_<a@evil.example>"], "FROM_MISSPACED"),
        (["From: Bonus <a@evil.example >"], "FROM_MISSPACED"),
        (["From: Bonus<a@evil.example>"], "FROM_GLUED"),
        (["Subject: \u00fcber uns"], "NEEDS_ENCODING"),
        (["X-Priority: 1"], "HIGH_PRIORITY"),
        (["Message-ID: <12345@laptop>"], "MSGID_NO_DOMAIN"),
        (["Message-ID: <12345@192.0.2.1>"], "MSGID_NUMERIC"),
        (["Message-ID: <010c80e51c0a$2758c1e0$4ad86db6@pc.example>"], "MSGID_OUTLOOK_INVALID"),
        (["Message-ID: <1@mx.example.com>", LATER], "MSGID_FROM_MTA"),
        (["X-Mailer: Microsoft Outlook Express 5.50.4522.1200"], "FORGED_MUA"),
        (
            ["X-Mailer: Microsoft Outlook Express 6.00", "X-MimeOLE: Produced By", "Message-ID: <1@example.org>"],
            "FORGED_MUA_MSGID",
        ),
        (["X-Mailer: QUALCOMM Windows Eudora Version 5.1", "Message-ID: <1@example.org>"], "FORGED_MUA"),
        (["X-Mailer: Mass Mailer 2"], "BULK_PROGRAM"),
        (["X-Mailer: QnMvTk3RvBhGg8sT"], "MAILER_GIBBERISH"),
        (["Received: from hotmail.com (unknown [203.0.113.9]) by mx.example.com"], "RCVD_FAKE_FREEMAIL"),
        (["Received: from x.example (unknown [203.0.113.9]) by mx.example.com"], "ORIGIN_NAMELESS"),
        (["From: a@hotmail.com", LATER], "FORGED_FREEMAIL_RCVD"),
    ],
)
def test_a_sign_and_its_evidence(fields, name):
    found = hits(header_signs, *fields)
    assert name in found
    assert found[name].evidence.endswith(".")
    assert found[name].evidence.isprintable()


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["To:", "Cc: bob@example.com"],
        ["To: zoe@x.example, abe@y.example, carl@z.example, bea@x.example, dan@x.example"],
        ["Subject: Re: [LIST] NASA and ESA"],
        ["Subject: =?utf-8?b?5Lya6K2w44Gu5Lu2IOaYjuaXpQ==?="],
        ["Subject: A B C of cooking"],
        ["Subject: Free software and free speech"],
        ["Subject: Tickets for tonight!"],
        ["Subject: [bug 4711] crash at start"],
        ["Date: Thu, 24 Sep 2026 12:09:54 +0545"],
        ["Date: Thu, 24 Sep 2026 12:09:54 +1400 (LINT)"],
        ["Message-ID: <001501c1d6ab$ca196c60$777ba8c0@pc.example>"],
        ["Message-ID: <1@mx.example.com>", LATER.replace("mx.example.com", "mail.example.org")],
        ["Message-ID: <1@example.org>", LATER],
        ["X-Mailer: Microsoft Outlook Express Macintosh Edition - 5.0"],
        ["X-Mailer: Microsoft Outlook Express 6.00", "X-MimeOLE: x", "Message-ID: <000c01c2$0001$1@x>", "List-Id: <l>"],
        ["X-Mailer: Apple Mail (2.3445.104.11)"],
        ["User-Agent: Mozilla Thunderbird"],
        ["From: a@gmail.com", "Received: from mail-x.google.com (mail-x.google.com [192.0.2.1]) by mx.example.com"],
        ["From: a@hotmail.com"],  # nothing is known of its way
    ],
)
def test_honest_headers_show_nothing(fields):
    assert not set(hits(header_signs, *fields)) - {"MSGID_NO_DOMAIN"}


def test_the_client_is_the_last_hop_of_the_trace():
    client = Connection("c", ip="203.0.113.9", helo="yahoo.com", receiver="mx.example.com")
    assert set(hits(header_signs, connection=client)) == {"RCVD_FAKE_FREEMAIL"}  # that it has no name others tell
    named = Connection("c", ip="203.0.113.9", helo="a.example", name="a.example", receiver="mx.example.com")
    assert hits(header_signs, connection=named) == {}


def test_a_trace_that_says_that_we_had_it_before():
    client = Connection("c", ip="203.0.113.9", helo="a.example", name="a.example", receiver="mx.example.com")
    assert "RECEIVED_FORGED_US" in hits(header_signs, LATER, connection=client)
    assert "RECEIVED_FORGED_US" not in hits(header_signs, LATER, "List-Id: <l.example>", connection=client)


@pytest.mark.parametrize(("unknown", "expected"), [(2, False), (3, True)])
def test_recipients_that_do_not_exist(unknown, expected):
    it = message("From: a@example.org", "To: b@example.com", "Subject: x", to=[f"u{n}@example.com" for n in range(5)])
    for one in it.recipients[:unknown]:
        one.refused = Decision("known_user", reject("no such user", "unknown"))
    given_ = services(header_signs)
    finding = header_signs.collect(Connection("c"), it, None, given_)
    tests = {one.test for one in finding.signs} if finding is not None else set()
    assert ("UNKNOWN_USERS" in tests) is expected


NAMES = st.sampled_from([b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"x-mailer", b"received"])


@given(st.dictionaries(NAMES, st.lists(st.binary(max_size=200), min_size=1, max_size=3)), st.text(max_size=100))
def test_no_header_raises(fields, subject):
    list(headers.signs(fields, subject, frozenset({"mx.example.com"})))
