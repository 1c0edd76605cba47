"""Release requests: what users may not deliver themselves, they ask for; somebody decides, and they see the answer."""

from __future__ import annotations

import email
import email.policy

import pytest

from antispam.learning.language_settings import LanguageSettings
from antispam.learning.settings import DspamSettings
from antispam.mail.decisions import Decision
from antispam.mail.verdicts import quarantine
from antispam.service import request_mail
from antispam.settings import load_text
from antispam.settings.web import WebSettings
from antispam.store import StoreError, outbox, preferences, requests
from antispam.store.preferences import Preference, Scope
from antispam.store.quarantine_settings import QuarantineSettings
from support.console import NOW, kept, press, token

VIRUS = Decision("antivirus", quarantine("the virus scanner found Eicar"))


@pytest.fixture
def virus(place, monkeypatch):
    """A message that was kept from Bob because of a virus, and one for Carol."""
    monkeypatch.setattr("support.console.SPAM", VIRUS)
    place.keep("aaa", "bob", subject=b"Invoice")
    place.keep("bbb", "carol", subject=b"for Carol")
    return place


def posted(place):
    return [entry.recipients for entry in outbox.entries(place.store, NOW)]


def decide(place, name, do, answer="", ref="aaa", user="bob"):
    client = place.client(name)
    asked = requests.of_entry(place.store, ref, user)
    form = {"token": token(client), "number": str(asked.number), "do": do, "answer": answer}
    return client.post("/requests", data=form)


def test_a_user_is_offered_to_ask_and_not_to_deliver(virus):
    page = virus.client("bob").get("/messages/aaa").text
    assert ('value="ask"' in page, 'value="release"' in page, 'value="allow"' in page) == (True, False, False)


@pytest.mark.parametrize("do", ["release", "allow"])
def test_a_user_can_not_deliver_it_by_another_form_either(virus, do):
    press(virus.client("bob"), do, "aaa bob")
    assert (posted(virus), virus.taught, kept(virus, "aaa")) == ([], [], ["bob"])


def test_other_messages_are_not_asked_for(place):
    place.keep("aaa", "bob")
    press(place.client("bob"), "ask", "aaa bob")
    assert requests.open_ones(place.store) == 0


def test_a_request_is_made_once(virus):
    client = virus.client("bob")
    for _ in range(2):
        press(client, "ask", "aaa bob")
    assert requests.open_ones(virus.store) == 1
    page = client.get("/messages/aaa").text
    assert ("has not decided yet" in page, 'value="ask"' in page) == (True, False)


def test_nobody_asks_for_anothers_message(virus):
    press(virus.client("bob"), "ask", "bbb carol", "bbb bob", "bbb ")
    assert requests.open_ones(virus.store) == 0


def test_the_helpdesk_delivers_it_and_the_user_sees_that(virus):
    press(virus.client("bob"), "ask", "aaa bob")
    page = virus.client("helen").get("/requests").text
    assert ("Invoice" in page, "the virus scanner found Eicar" in page) == (True, True)
    assert decide(virus, "helen", "deliver", "It was a false alarm.").headers["location"] == "/requests?done=deliver"
    assert posted(virus) == [("bob@example.com",)]
    for path in ("/requests", "/messages/aaa"):
        page = virus.client("bob").get(path).text
        assert "The helpdesk delivers this message." in page
        assert "It was a false alarm." in page


def test_the_helpdesk_refuses_with_a_sentence(virus):
    press(virus.client("bob"), "ask", "aaa bob")
    decide(virus, "ann", "refuse", "This is a <b>trojan</b>.")
    page = virus.client("bob").get("/requests").text
    assert "The helpdesk does not deliver this message." in page
    assert "This is a &lt;b&gt;trojan&lt;/b&gt;." in page
    assert (posted(virus), kept(virus, "aaa")) == ([], ["bob"])


def test_two_who_decide_at_once_decide_once(virus):
    press(virus.client("bob"), "ask", "aaa bob")
    decide(virus, "helen", "refuse", "no")
    assert decide(virus, "ann", "deliver").headers["location"] == "/requests?done=late"
    assert (posted(virus), requests.of_entry(virus.store, "aaa", "bob").answer) == ([], "no")


def test_a_user_decides_nothing_and_sees_own_requests_alone(virus):
    press(virus.client("bob"), "ask", "aaa bob")
    press(virus.client("carol"), "ask", "bbb carol")
    page = virus.client("bob").get("/requests").text
    assert ("Invoice" in page, "for Carol" in page, 'name="answer"' in page) == (True, False, False)
    assert decide(virus, "bob", "deliver").status_code == 403
    assert requests.open_ones(virus.store) == 2


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30, "\u0661", ""])
def test_a_number_that_is_none_decides_nothing(virus, number):
    client = virus.client("helen")
    answer = client.post("/requests", data={"token": token(client), "number": number, "do": "deliver"})
    assert answer.status_code == 403 or answer.headers["location"] == "/requests?done=late"


def test_what_could_not_be_delivered_waits_for_a_decision_again(virus, monkeypatch):
    press(virus.client("bob"), "ask", "aaa bob")

    def fail(console, entry):
        raise StoreError("the disk is full")

    monkeypatch.setattr("antispam.web.request_pages.deliver", fail)
    assert decide(virus, "helen", "deliver").status_code == 503
    assert requests.open_ones(virus.store) == 1


def test_a_request_for_what_was_deleted_can_only_be_refused(virus):
    press(virus.client("bob"), "ask", "aaa bob")
    press(virus.client("bob"), "delete", "aaa bob")
    page = virus.client("helen").get("/requests").text
    assert ("A message that was deleted" in page, 'value="deliver"' in page) == (True, False)
    assert decide(virus, "helen", "deliver").headers["location"] == "/requests?done=late"
    assert decide(virus, "helen", "refuse").headers["location"] == "/requests?done=refuse"


def test_the_link_of_a_digest_asks_too(virus):
    link = "/kept/" + virus.console.links.token("aaa", "bob")
    client = virus.client()
    assert "Ask the helpdesk to deliver it" in client.get(link).text
    assert "has not decided yet" in client.post(link).text
    assert (posted(virus), requests.open_ones(virus.store)) == ([], 1)
    assert "has not decided yet" in client.get(link).text


def test_a_user_has_so_many_open_requests_and_no_more(place, monkeypatch):
    monkeypatch.setattr(requests, "MAX_OPEN", 2)
    for ref in ("a", "b"):
        assert requests.ask(place.store, ref, "bob", NOW)
    with pytest.raises(requests.TooMany):
        requests.ask(place.store, "c", "bob", NOW)
    assert requests.ask(place.store, "c", "carol", NOW)


# The postmaster


def settings(more="postmaster = postmaster@example.com\n"):
    text = f"[web]\nurl = https://mail.example.com/\n[quarantine]\n{more}"
    return load_text(text, [QuarantineSettings, WebSettings, LanguageSettings, DspamSettings])


def tell(place, now, more="postmaster = postmaster@example.com\n"):
    request_mail.tell_postmaster(settings(more), place.store, lambda raw: raw, now)


def told(place):
    queued = outbox.entry(place.store, outbox.entries(place.store, NOW)[0].id, NOW)
    return queued, email.message_from_bytes(queued.content, policy=email.policy.default)


def test_the_postmaster_is_told_once_a_day(place):
    requests.ask(place.store, "aaa", "bob", NOW)
    for hours, mails in ((0, 1), (1, 1), (24, 2)):
        tell(place, NOW + hours * 3600)
        assert len(outbox.entries(place.store, NOW)) == mails
    queued, message = told(place)
    assert (queued.recipients, queued.mail_from) == (("postmaster@example.com",), "")
    assert message["Subject"] == "1 message waits in the quarantine for your decision"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "https://mail.example.com/requests\r\n" in message.get_content()


@pytest.mark.parametrize("whose", ["the site", "the postmaster"])
def test_the_postmaster_is_told_in_german(place, whose):
    requests.ask(place.store, "aaa", "bob", NOW)
    more = "postmaster = bob@example.com\n"
    if whose == "the site":
        more += "[web]\nlanguage = de\n"
    else:
        more += "[dspam]\ndspam_users = bob\nbob = bob@example.com\n"
        preferences.put(place.store, Preference(Scope.USER, "bob", "language", "de"))
    tell(place, NOW, more)
    _, message = told(place)
    assert message["Subject"] == "1 Nachricht in der Quarantäne wartet auf Ihre Entscheidung"
    assert "https://mail.example.com/requests\r\n" in message.get_content()


def test_without_an_open_request_or_an_address_nobody_is_told(place):
    tell(place, NOW)
    requests.ask(place.store, "aaa", "bob", NOW)
    tell(place, NOW, "")
    requests.decide(
        place.store, requests.of_entry(place.store, "aaa", "bob").number, granted=False, by="ann", answer="", now=NOW
    )
    tell(place, NOW)
    assert outbox.entries(place.store, NOW) == []


def test_old_requests_are_forgotten(place):
    requests.ask(place.store, "aaa", "bob", NOW)
    purge, told = request_mail.chores(settings(), place.store, lambda raw: raw, lambda: NOW + requests.KEPT + 1)
    assert (purge.task(), purge.task(), told.task()) == (True, False, False)
    assert requests.open_ones(place.store) == 0
