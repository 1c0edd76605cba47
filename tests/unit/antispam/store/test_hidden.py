"""Hashed addresses in the history: nobody is named in it, and everybody is found."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks._shared.bans import BanSettings, ban_reported
from antispam.journey.history_row import address_rows, row_for
from antispam.learning import erasure
from antispam.learning.personal_data import Search as PersonalSearch
from antispam.learning.personal_data import person_of
from antispam.learning.settings import DspamSettings
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, reject
from antispam.settings import load_text
from antispam.store import lists
from antispam.store.hidden import hide_json, hide_text, is_hidden
from antispam.store.history import HistoryWriter
from antispam.store.history_search import Search, search
from antispam.store.schema import history, history_address

NOW = 1_700_000_000.0
KEY = b"k" * 32


@pytest.fixture
def written(store):
    """A message between Ann and Bob, written down with hashes."""
    message = Message("ref1", "ann@example.org", NOW, Body(1 << 10), queue_id="Q1")
    message.headers += [Header(b"From", b"Ann <ann@example.org>"), Header(b"Subject", b"for bob@example.com")]
    message.headers.append(Header(b"Message-ID", b"<1.ab@example.org>"))
    message.recipients.append(Recipient("bob+shop@example.com"))
    message.findings.add(AuthFinding(login="annlogin", mechanism="PLAIN", sender="ann@example.org"))
    verdict = reject("No.", "to=<bob@example.com> is full")
    subject = Subject(Connection(ref="c", ip="192.0.2.1"), message)
    writer = HistoryWriter(store, hide=True)
    writer.record(lambda node: row_for(subject, verdict, node), lambda: address_rows(subject, verdict))
    writer.flush()
    writer.close()
    return store


def everything(store):
    with store.read() as connection:
        rows = [*connection.execute(sa.select(history)), *connection.execute(sa.select(history_address))]
    return " ".join(str(value) for row in rows for value in row)


def test_nobody_is_named_in_the_history(written):
    text = everything(written)
    for name in ("ann@", "bob@", "bob+shop", "annlogin"):
        assert name not in text
    assert "@example.org" in text
    assert "1.ab@example.org" in text, "the Message-ID stays: it is how people ask"


@pytest.mark.parametrize(
    "wanted",
    [
        {"sender": "ann@example.org"},
        {"sender": "ANN@Example.ORG"},
        {"recipient": "bob+shop@example.com"},
        {"recipient": "example.com"},
        {"message_id": "1.ab@example.org"},
        {"name": "Q1"},
    ],
)
def test_whoever_asks_about_an_address_finds_it(written, wanted):
    assert [one.ref for one in search(written, Search(**wanted), 5)] == ["ref1"]


@pytest.mark.parametrize("sender", ["bob@example.org", "ann@example.com"])
def test_another_address_is_not_found(written, sender):
    assert search(written, Search(sender=sender), 5) == []


def test_mail_from_before_the_setting_is_still_found(written):
    with written.write() as connection:
        values = {"domain": "example.org", "local": "ann", "received_at": NOW, "ref": "ref1", "role": "sender"}
        connection.execute(sa.delete(history_address))
        connection.execute(sa.insert(history_address).values(values))
    assert [one.ref for one in search(written, Search(sender="ann@example.org"), 5)] == ["ref1"]


def test_a_person_is_forgotten_by_the_hash_of_their_address(written):
    person = person_of("ann@example.org", load_text("", [DspamSettings]), written)
    assert [row["ref"] for row in PersonalSearch(written, person).rows("history")] == ["ref1"]
    erasure.forget(written, person, NOW)
    assert everything(written) == ""


def test_a_person_is_forgotten_to_whom_mail_came_with_a_detail_only(store):
    message = Message("ref1", "ann@example.org", NOW, Body(1 << 10))
    message.recipients.append(Recipient("bob+shop@example.com"))
    subject = Subject(Connection(ref="c", ip="192.0.2.1"), message)
    writer = HistoryWriter(store, hide=True)
    writer.record(lambda node: row_for(subject, CONTINUE, node), lambda: address_rows(subject, CONTINUE))
    writer.close()
    erasure.forget(store, person_of("bob@example.com", load_text("", [DspamSettings]), store), NOW)
    assert everything(store) == ""


def test_a_hash_is_put_on_no_list(written):
    assert ban_reported(written, BanSettings(email_providers=("example.org",)), "ref1", "bob", NOW) == ""
    assert lists.find(written, [(lists.Kind.BLACKLIST, "ann@example.org")], NOW) == []


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.org",
        "<ann@example.org>",
        '["ann@example.org"]',
        "=?x?ann@example.org",
        "SRS0=AbCd=XY=example.net=ann@example.org",
        '"an ann"@example.org',
        r'"an \"ann"@example.org',
        "ann@xn--bcher-kva.example",
        "ann@BÜCHER.example",
        "eve@example.com,ann@example.org",
    ],
)
def test_an_address_is_hidden_wherever_it_stands(text):
    hidden = hide_text(KEY, text)
    assert "ann" not in hidden
    assert "@" in hidden


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.text('ab@.\\"+~ ', max_size=60))
def test_json_stays_json(one, other):
    text = json.dumps({"login": one, "address": f"{other}@example.org", "more": [one, {"login": other}, 1, None]})
    hidden = hide_json(KEY, text)
    found = json.loads(hidden)
    assert (found["more"][2:], len(found)) == ([1, None], 3)


@pytest.mark.parametrize("text", ["ann@example.org", "to <ann+x@example.org>, bob@example.com", "nobody"])
def test_what_is_hidden_already_stays_as_it_is(text):
    """A database that was locked is tried again with the same rows."""
    assert hide_text(KEY, hide_text(KEY, text)) == hide_text(KEY, text)


def test_json_that_is_damaged_is_hidden_as_text():
    assert "ann" not in hide_json(KEY, '[{"address": "ann@example.org"')


@pytest.mark.parametrize(
    ("address", "hidden"),
    [(hide_text(KEY, "ann@example.org"), True), ("ann@example.org", False), ("~ann@example.org", False), ("", False)],
)
def test_a_hash_is_told_from_an_address(address, hidden):
    assert is_hidden(address) is hidden
