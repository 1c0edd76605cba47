"""`bms explain`: an answer to "what became of my mail?"."""

from __future__ import annotations

import json

import click.testing
import pytest
from bms import JOURNEY, main

from antispam.journey.account import account
from antispam.journey.history_row import address_rows, row_for
from antispam.journey.recorder import StoreRecorder
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import ScoreFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.score import Counted
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, Action, Verdict, quarantine, reject
from antispam.settings import Mode
from antispam.store import Store, migrate
from antispam.store.history import HistoryWriter
from antispam.store.history_search import Search, search
from antispam.store.quarantine import NewEntry, of_ref, remove

NOW = 1_700_000_000.0
REFUSED = Decision("dmarc", reject("Prove it.\nSign it.", "DMARC fail of bank.example", enhanced="5.7.26"))
KEPT = Decision("spam_action", quarantine("spam, score 7.1"))


@pytest.fixture
def place(tmp_path):
    """A configuration, and the store that it names."""
    url = f"sqlite:///{tmp_path / 'bms.sqlite'}"
    migrate(url)
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n[store]\nurl = {url}\n")
    store = Store(url)
    yield store, config
    store.close()


def write(store, ref="0123456789ab", verdict=CONTINUE, decisions=(), recipients=None, keep=(), **fields):
    message = Message(ref, "ann@example.org", NOW, Body(1 << 10), queue_id="4Xyz")
    message.headers.extend(
        Header(name.replace("_", "-").encode(), f" {text}".encode()) for name, text in fields.items()
    )
    message.recipients.extend(recipients or [Recipient("bob@example.com")])
    message.decisions.extend(decisions)
    subject = Subject(Connection(ref="c", ip="192.0.2.1", name="mx.example.org", helo="mx.example.org"), message)
    writer = HistoryWriter(store)
    if keep:
        assert StoreRecorder(store, writer, lambda: NOW).store(message, keep)
    writer.record(lambda node: row_for(subject, verdict, node), lambda: address_rows(subject, verdict))
    writer.close()


def told(store, ref="0123456789ab"):
    (found,) = search(store, Search(name=ref), 1)
    return account(store, JOURNEY, found, NOW)


def run(config, *arguments):
    return click.testing.CliRunner().invoke(main, ["-c", str(config), "explain", *arguments], catch_exceptions=False)


def test_a_refusal_is_told_with_the_reply_and_what_would_change_it(place):
    store, _ = place
    write(store, verdict=REFUSED.verdict, decisions=[REFUSED])
    it = told(store)
    assert it.became == "refused with 550: DMARC fail of bank.example"
    assert it.reply == ("550 5.7.26 Prove it.", "Sign it.")
    ((check, otherwise),) = it.otherwise
    assert (check, "[dmarc] never" in otherwise) == ("dmarc", True)


def test_a_check_that_only_logs_has_no_effect(place):
    store, _ = place
    write(store, decisions=[REFUSED._replace(mode=Mode.LOG)])
    it = told(store)
    assert it.became == "delivered"
    assert [(step.check, step.effect) for step in it.steps] == [("dmarc", False)]
    assert [check for check, _ in it.otherwise] == [""]


def test_what_is_in_the_quarantine_says_how_to_get_it_out(place):
    store, _ = place
    kept = Recipient("bob@example.com", decisions=[KEPT])
    write(store, verdict=KEPT.verdict, recipients=[kept], keep=[NewEntry("bob", ("bob@example.com",), KEPT)])
    it = told(store)
    assert it.now == ("in the quarantine of bob; `bms quarantine release 0123456789ab` delivers it",)
    assert [check for check, _ in it.otherwise] == ["spam_action"]


def test_what_was_deleted_from_the_quarantine_is_said_to_be_gone(place):
    store, _ = place
    kept = Recipient("bob@example.com", decisions=[KEPT])
    write(store, verdict=KEPT.verdict, recipients=[kept], keep=[NewEntry("bob", ("bob@example.com",), KEPT)])
    remove(store, of_ref(store, "0123456789ab"))
    assert told(store).now == ("no longer in the quarantine: it was deleted, or its time was up",)


def test_a_recipient_who_was_refused_stands_apart(place):
    store, _ = place
    unknown = Decision("known_user", reject("No such user.", "no such user", enhanced="5.1.1"))
    write(store, recipients=[Recipient("bob@example.com"), Recipient("x@example.com", refused=unknown)])
    assert told(store).recipients == (("x@example.com", "refused by known_user: no such user"),)


def test_the_score_stands_with_its_tests(place):
    store, _ = place
    finding = ScoreFinding(total=3.5, tests=(Counted("SPF_FAIL", 3.5, "SPF fail of example.org"),))
    write(store, recipients=[Recipient("bob@example.com", findings=Findings(None, [finding]))])
    (score,) = told(store).scores
    assert (score.total, score.recipients, score.tests) == (3.5, ("bob@example.com",), finding.tests)


def test_the_command_explains_the_one_that_fits(place):
    store, config = place
    write(store, verdict=REFUSED.verdict, decisions=[REFUSED], From="Ann <ann@example.org>", Subject="hello")
    done = run(config, "--from", "ann@example.org", "--to", "bob@example.com")
    assert done.exit_code == 0
    for part in (
        "Message 0123456789ab: refused",
        "192.0.2.1",
        "subject     hello",
        "550 5.7.26 Prove it.",
        "[dmarc] never",
    ):
        assert part in done.output


@pytest.mark.parametrize(
    "name",
    [
        "0123456789ab",
        "4Xyz",
        "550 5.7.26 Sign it. (ref 0123456789ab)",
        "ann@example.org",
        "bob@example.com",
        "<1@example.org>",
        "1@example.org",
    ],
)
def test_a_person_may_give_what_they_have(place, name):
    store, config = place
    write(store, Message_ID="<1@example.org>")
    assert "Message 0123456789ab: delivered" in run(config, name).output


def test_several_are_listed(place):
    store, config = place
    write(store, "0123456789aa", Subject="first")
    write(store, "0123456789ab", Subject="second")
    done = run(config, "--from", "example.org")
    _, *rows = done.output.splitlines()
    assert [line.split()[0] for line in rows] == ["0123456789ab", "0123456789aa"]
    assert all("delivered" in line for line in rows)


def test_a_message_that_its_client_gave_up_was_not_delivered(place):
    store, config = place
    write(store, verdict=Verdict(Action.UNFINISHED))
    assert "Message 0123456789ab: given up by its client\n" in run(config, "0123456789ab").output


def test_an_address_lists_what_it_sent_and_got(place):
    store, config = place
    write(store, "0123456789aa", Subject="to bob")
    write(store, "0123456789ab", Subject="nobody's", recipients=[Recipient("eve@example.com")])
    done = run(config, "bob@example.com", "ann@example.org")
    assert done.output.count("0123456789aa") == 2
    assert done.output.count("0123456789ab") == 1


def test_an_address_without_mail_is_said_and_fails(place):
    _, config = place
    done = run(config, "nobody@example.com")
    assert (done.exit_code, "nobody@example.com is not in the history" in done.output) == (1, True)


def test_nothing_found_is_said_and_fails(place):
    _, config = place
    done = run(config, "zzzz")
    assert (done.exit_code, "zzzz is not in the history" in done.output) == (1, True)


def test_nothing_asked_is_a_mistake(place):
    _, config = place
    assert "Give a reference" in run(config).output


def test_control_characters_of_mail_do_not_reach_the_terminal(place):
    store, config = place
    write(store, Subject="\x1b]0;owned\x07")
    assert "\x1b" not in run(config, "0123456789ab").output


def test_programs_get_everything(place):
    store, config = place
    write(store, verdict=REFUSED.verdict, decisions=[REFUSED])
    (line,) = run(config, "0123456789ab", "--json").output.splitlines()
    assert json.loads(line)["decisions"][0]["text"] == "Prove it.\nSign it."
