"""Who may teach the filter by mail, and whose dictionary learns."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.checks.training_address import Finding, collect, decide, tidy
from antispam.learning import feedback
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import Verb
from antispam.mail.verdicts import Action
from antispam.store import StoreError
from antispam.store.schema import rate
from support.learning import dspam_settings, message, services

CONFIG = """
dspam_users = ann, bob
ann = ann@example.com
bob = @bob.example
spam = spam@example.com, spam@bob.example
ham = ham@example.com
falsepositive = fp@example.com
bandom = bandom@example.com
report_rate = 10
"""
INSIDE = ConnectionFinding(client=ClientClass.INTERNAL)
OUTSIDE = ConnectionFinding()


def find(store, *found, to="spam@example.com", mail_from="ann@example.com", text="From: bob@bob.example\r\n\r\nx\r\n"):
    it = message(text, [to], *found)
    it.mail_from = mail_from
    return collect(Connection("c"), it, it.recipients[0], services(store, dspam_settings(CONFIG)))


def verdict(finding):
    return decide(finding, Findings(), dspam_settings(CONFIG), EMPTY)


@pytest.mark.parametrize(
    ("to", "verb"),
    [
        ("spam@example.com", Verb.SPAM),
        ("Spam+x@Example.com", Verb.SPAM),
        ("ham@example.com", Verb.HAM),
        ("fp@example.com", Verb.HAM),
        ("bandom@example.com", Verb.BAN),
    ],
)
def test_each_address_says_what_is_reported(store, to, verb):
    assert find(store, INSIDE, to=to).verb is verb


def test_other_recipients_are_no_question(store):
    assert find(store, INSIDE, to="ann@example.com") is None


def test_a_login_tells_who_it_is_whatever_the_envelope_and_the_header_say(store):
    finding = find(store, OUTSIDE, AuthFinding(login="ann"), mail_from="x@bob.example")
    assert (finding.user, verdict(finding).action) == ("ann", Action.CONTINUE)


def test_on_an_internal_connection_the_envelope_sender_does_never_the_header(store):
    assert find(store, INSIDE).user == "ann"
    assert find(store, INSIDE, mail_from="carol@example.com").user == ""


def test_a_stranger_is_refused_and_told_to_authenticate(store):
    refused = verdict(find(store, OUTSIDE))
    assert (refused.action, refused.code) == (Action.REJECT, 550)
    assert "SMTP AUTH" in refused.text


def test_a_sender_who_is_no_user_is_refused_with_instructions(store):
    for found in ((INSIDE,), (OUTSIDE, AuthFinding(login="carol"))):
        refused = verdict(find(store, *found, mail_from="carol@example.com"))
        assert (refused.action, refused.code) == (Action.REJECT, 550)
        assert "dspam_users" in refused.text
        assert "carol" in refused.text


def test_the_null_sender_teaches_nothing(store):
    assert verdict(find(store, INSIDE, mail_from="")).action is Action.REJECT


def test_who_reports_too_much_has_to_wait(store):
    feedback.count(store, "ann", 10, 1_700_000_000.0 - 60, None)
    late = verdict(find(store, INSIDE))
    assert (late.action, late.enhanced) == (Action.TEMPFAIL, "4.7.1")
    assert verdict(find(store, OUTSIDE, AuthFinding(login="bob"))).action is Action.CONTINUE


def test_with_the_store_gone_the_report_has_to_come_again_whatever_on_error_says(store, monkeypatch):
    def gone(*arguments):
        raise StoreError("locked")

    monkeypatch.setattr("antispam.store.rates.used", gone)
    assert verdict(find(store, INSIDE)).action is Action.TEMPFAIL


def test_the_finding_can_be_stored_and_read_again(store):
    finding = find(store, INSIDE)
    assert Finding.from_json(finding.to_json()) == finding


def test_counts_of_hours_that_are_over_are_forgotten(store):
    given = services(store, dspam_settings(CONFIG))
    feedback.count(store, "ann", 10, given.clock() - 7200, None)
    feedback.count(store, "bob", 10, given.clock() - 60, None)
    assert tidy(given)
    assert not tidy(given)
    with store.read() as connection:
        assert connection.scalars(sa.select(rate.c.name)).all() == [feedback.rate_name("bob")]
