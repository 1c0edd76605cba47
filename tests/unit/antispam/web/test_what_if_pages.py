"""The page that tries a configuration: who may, what it shows, and what it says when there is no result."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from bms import JOURNEY

from antispam.journey.comparing import Outcome, caveats
from antispam.service.application import settings_classes
from antispam.service.trials import Busy, Failed
from antispam.service.trying import Example, Trial
from antispam.settings import load_text
from antispam.store import sessions
from antispam.store.sessions import How
from antispam.web.app import application
from antispam.web.said import said_in, unknown_in
from support.console import NOW, token

FOUND = Trial(
    messages=9, deliveries=11, changes=1, kinds=[("refused", "delivered", 1)], people=[("bob@example.com", 1)],
    examples=[
        Example("aaa", NOW, "e@example.org", "<script>urgent", "bob@example.com", "refused", "delivered", False, "dmarc: no")
    ],
    notes=["Not known: what antivirus would find."], oldest=NOW - 60, complete=False,
)  # fmt: skip


def press(
    place, who="ann", answer=lambda question: FOUND, text="[dmarc]\nmode = log", hours="24", access="", language="en"
):
    place.app = application(dataclasses.replace(place.console, try_out=answer))
    client = place.client(who)
    form = {"token": token(client, "/account"), "text": text, "hours": hours, "access": access}
    return client.post("/what-if", data=form, headers={"Accept-Language": language})


def test_it_shows_what_would_change_and_for_whom(place):
    asked = []
    answer = press(place, answer=lambda question: asked.append(question) or FOUND)
    for said in (
        "bob@example.com",
        "&lt;script&gt;urgent",
        "no longer dmarc: no",
        "There was no time for all",
        "antivirus",
    ):
        assert said in answer.text
    assert (asked[0].text, asked[0].now - asked[0].since) == ("[dmarc]\nmode = log", 86_400)


def test_entries_of_the_access_map_are_asked_for_too_and_stay_typed(place):
    asked = []
    answer = press(place, answer=lambda question: asked.append(question) or FOUND, text="", access="SPF-Fail: <REJECT>")
    assert (asked[0].text, asked[0].access) == ("", "SPF-Fail: <REJECT>")
    assert "SPF-Fail: &lt;REJECT&gt;</textarea>" in answer.text


def test_what_the_figures_do_not_say_is_read_in_german(place):
    """The sentences are those of journey/comparing.py."""
    present = load_text("", settings_classes(JOURNEY))
    planned = load_text(
        "[antivirus]\nmode = enforce\nclamd = inet:3310@127.0.0.1\n[dkim]\nmax_signatures = 3",
        settings_classes(JOURNEY),
    )
    outcome = Outcome(messages=9, unknown=2, drifted=3)
    notes = list(caveats(JOURNEY, present, planned, frozenset(), outcome))
    assert (len(notes), [one for note in notes for one in unknown_in(note)]) == (4, [])
    assert {said_in("de", note) for note in notes}.isdisjoint(notes)
    answer = press(place, answer=lambda question: msgspec.structs.replace(FOUND, notes=notes), language="de")
    assert "Nicht bekannt, weil es nicht gefragt wurde" in answer.text


@pytest.mark.parametrize("who", ["bob", "helen"])
def test_it_is_for_administrators(place, who):
    assert press(place, who).status_code == 403
    assert place.client(who).get("/what-if").status_code == 403


def failing(error):
    def answer(question):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (failing(Busy()), 503, "Somebody tries"),
        (failing(Failed()), 503, "too much memory"),
        (None, 503, "Nothing can be tried here"),
        (lambda question: Trial(problem="your text:2: <b>no</b>"), 422, "your text:2: &lt;b&gt;no"),
    ],
)
def test_without_a_result_it_says_why(place, answer, status, said):
    found = press(place, answer=answer)
    assert (found.status_code, said in found.text) == (status, True)


def test_what_is_too_long_is_not_tried(place):
    asked = []
    assert press(place, answer=asked.append, text="#" * 20_000).status_code == 422
    assert press(place, answer=asked.append, access="#" * 20_000).status_code == 422
    assert press(place, answer=asked.append, hours="1000").status_code == 403
    assert asked == []


def test_a_program_of_an_administrator_tries_it_too(place):
    secret = {name: sessions.begin(place.store, name, How.TOKEN, NOW, 3600) for name in ("ann", "helen")}

    def ask(who, body):
        return place.client().post("/api/what-if", json=body, headers={"Authorization": f"Bearer {secret[who]}"})

    assert ask("ann", {"text": "[score]\nmark = 5"}).json()["messages"] == 0
    assert ask("ann", {"text": "[srs]\nsecret_file = /etc/shadow"}).status_code == 422
    assert ask("helen", {"text": ""}).status_code == 403
