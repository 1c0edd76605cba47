"""Our own messages come back through the filter and pass, once; nobody else's do."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
import sqlalchemy as sa
from bms import JOURNEY
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks.own_mail import NAME, Finding, Settings, collect, decide, perform
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.journey.table import Stage
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.draft import ChangeHeader, InsertHeader, ReplaceBody
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message
from antispam.mail.verdicts import Action
from antispam.service.application import Application, settings_classes
from antispam.settings import default_settings, load_text
from antispam.store import StoreError
from antispam.store.connecting import url_from
from antispam.store.outbox import Kind, QueuedMessage, pass_digest, post
from antispam.store.schema import history, outbox
from support.dns import ScriptedResolver
from support.stores import make_store

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
SECRET = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


def under_way(store, secret=SECRET, until=NOW + 60.0, kind=Kind.RELEASE):
    """The number of a message that is being sent with that pass."""
    with store.write() as connection:
        post(store, connection, QueuedMessage(kind, "abcdefghijkl", "", ("b@example.com",), b"\r\n"), NOW)
        number = connection.scalar(sa.select(sa.func.max(outbox.c.id)))
        values = {"pass_digest": pass_digest(secret), "next_at": until}
        connection.execute(sa.update(outbox).where(outbox.c.id == number).values(values))
    return number


def message(*values, name=b"X-BMS-Pass"):
    it = Message("ref", "a@example.org", NOW, Body(1 << 20))
    it.headers += [Header(b"Received", b" from a by b"), *(Header(name, value) for value in values)]
    it.headers.append(Header(b"Subject", b" hi"))
    return it


def find(store, *values, name=b"X-BMS-Pass"):
    services = Services(
        settings=default_settings([Settings]),
        resolver=ScriptedResolver({}),
        store=store,
        access=EMPTY,
        clock=lambda: NOW,
        deadline=Deadline.after(60),
    )
    it = message(*values, name=name)
    finding = collect(Connection("c"), it, None, services)
    return None if finding is None else perform(finding, it, None, services)


def decided(finding):
    return decide(finding, Findings(), Settings(), EMPTY)


def carried(number, secret=SECRET):
    return f" {number}.{secret}".encode()


def test_a_message_without_the_field_is_not_asked_about(store):
    assert find(store) is None


def test_a_message_is_known_by_its_pass(store):
    number = under_way(store)
    found = find(store, carried(number))
    assert found == Finding(outbox_id=number, kind="release", ref="abcdefghijkl")
    verdict = decided(found)
    assert verdict.action is Action.PASS
    assert verdict.reason == f"message {number} of our outbox (release of abcdefghijkl)"


def test_a_pass_is_good_for_one_message(store):
    number = under_way(store)
    assert find(store, carried(number)).outbox_id
    assert not find(store, carried(number)).outbox_id


def test_of_many_who_show_a_pass_at_the_same_moment_one_passes(store):
    number = under_way(store)
    together = threading.Barrier(4)

    def show():
        together.wait()
        return find(store, carried(number)).outbox_id

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        queued_messages = [future.result() for future in [pool.submit(show) for _ in range(4)]]
    assert sorted(queued_messages) == [0, 0, 0, number]


def test_the_pass_of_a_try_that_is_over_is_worth_nothing(store):
    number = under_way(store, until=NOW)
    assert not find(store, carried(number)).outbox_id


def test_a_message_that_waits_for_its_first_try_has_no_pass(store):
    number = under_way(store)
    with store.write() as connection:
        connection.execute(sa.update(outbox).values(pass_digest=None))
    assert not find(store, carried(number)).outbox_id


def test_the_pass_of_another_message_is_worth_nothing_and_stays_good_for_its_own(store):
    number, other = under_way(store), under_way(store, OTHER)
    assert not find(store, carried(other)).outbox_id
    assert find(store, carried(number)).outbox_id == number


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b" ",
        b" 1",
        b" 1.",
        b" 1.0123456789ABCDEF0123456789ABCDEF",
        b" 1." + SECRET.encode() + b"0",
        b" 01." + SECRET.encode(),
        b" -1." + SECRET.encode(),
        b" 999999999999999999." + SECRET.encode(),
        b" 9999999999999999999999." + SECRET.encode(),
        "\u0661.".encode() + SECRET.encode(),
        b" 1 ." + SECRET.encode(),
        b" 1." + SECRET.encode() + b"'--",
        b" 1." + pass_digest(SECRET).encode(),
    ],
)
def test_what_is_not_a_pass_is_a_stranger_s(store, forged):
    assert under_way(store) == 1
    finding = find(store, forged)
    assert finding == Finding()
    assert decided(finding).action is Action.CONTINUE


@given(st.binary(max_size=80))
def test_whatever_the_field_holds_a_stranger_s_is_a_stranger_s(value):
    found = find(None, b" " + value)
    assert found == Finding() or found.error


def test_a_stranger_s_fields_below_do_not_keep_a_message_from_passing(store):
    """A message that is released may have come with such fields, in any number."""
    number = under_way(store)
    assert find(store, carried(number) + b"\n folded", b" 1.x", b" " + OTHER.encode()).outbox_id == number


def test_a_pass_below_another_field_is_not_ours(store):
    number = under_way(store)
    assert find(store, b" x", carried(number)) == Finding()


def test_a_store_that_can_not_answer_is_an_error(store, monkeypatch):
    number = under_way(store)
    monkeypatch.setattr(store, "read", lambda deadline: (_ for _ in ()).throw(StoreError("locked")))
    assert find(store, carried(number)).error == "outbox: locked"
    assert find(None, carried(number)).error == "there is no store"


def test_a_database_that_is_down_is_not_asked_about_what_is_no_pass():
    assert find(None, b" nonsense") == Finding()


def test_every_row_below_waits_for_the_answer():
    """Whichever rows are switched off, none looks at a message of ours beside this one."""
    first, *others = JOURNEY.at(Stage.END)
    assert first.check.NAME == NAME
    assert [row.check.NAME for row in others if NAME not in row.needs] == []


@pytest.fixture
def application(tmp_path):
    settings = load_text(f"[milter]\ndatadir = {tmp_path}\n", settings_classes(JOURNEY))
    make_store(url_from(settings))
    application = Application(JOURNEY, settings, resolver=ScriptedResolver({}), clock=lambda: NOW)
    yield application
    application.close()


def send(application, *first, ip="127.0.0.1"):
    """What a virus under our name would look like, with these fields on top."""
    session = application.session()
    session.connect(ip, name="localhost", receiver="mx.example.com")
    session.helo("mx.example.com")
    session.mail("a@example.org")
    session.rcpt("b@example.com")
    fields = [(b"Authentication-Results", b" mx.example.com; spf=pass"), (b"Content-Type", b" text/plain; name=a.exe")]
    for name, value in [*first, *fields]:
        session.header(name, value)
    session.body(b"text\r\n")
    outcome = session.end()
    session.taken()
    session.close()
    return outcome


@pytest.mark.parametrize("kind", [Kind.COPY, Kind.ORIGINAL])
def test_a_message_that_was_examined_is_delivered_as_it_is(application, kind, caplog):
    number = under_way(application.store, kind=kind)
    caplog.set_level("INFO")
    outcome = send(application, (b"X-Spam-Flag", b" YES"), (b"X-BMS-Pass", carried(number)))
    assert not outcome.verdict.action.refuses
    assert outcome.edits == (ChangeHeader("X-BMS-Pass", 1, None),)
    assert f"own_mail: message {number} of our outbox ({kind} of abcdefghijkl)" in caplog.text
    application.history.close()
    with application.store.read() as connection:
        row = connection.execute(sa.select(history)).one()
    assert '"action":"pass"' in row.decisions
    assert "defang" not in row.findings


@pytest.mark.parametrize("remedy", ["replace", "reject", "quarantine", "hold"])
@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.ANSWER])
def test_a_message_that_may_be_a_stranger_s_loses_what_is_dangerous_and_forged(tmp_path, kind, remedy):
    """However dangerous attachments are answered otherwise: who released it wants it delivered."""
    config = f"[milter]\ndatadir = {tmp_path}\n[defang]\nremedy = {remedy}\n"
    settings = load_text(config, settings_classes(JOURNEY))
    make_store(url_from(settings))
    application = Application(JOURNEY, settings, resolver=ScriptedResolver({}), clock=lambda: NOW)
    number = under_way(application.store, kind=kind)
    outcome = send(application, (b"X-Spam-Flag", b" NO"), (b"X-BMS-Pass", carried(number)))
    assert outcome.verdict.action is Action.CONTINUE
    removed = {edit.name for edit in outcome.edits if isinstance(edit, ChangeHeader) and edit.value is None}
    assert removed >= {"X-BMS-Pass", "X-Spam-Flag", "Authentication-Results"}
    bodies = [edit.content for edit in outcome.edits if isinstance(edit, ReplaceBody)]
    assert len(bodies) == 1
    assert b"text\r\n" not in bodies[0]
    assert not any(isinstance(edit, InsertHeader) for edit in outcome.edits)
    application.close()


def test_a_message_waits_while_what_protects_can_not_work(tmp_path, monkeypatch):
    settings = load_text(f"[milter]\ndatadir = {tmp_path}\n", settings_classes(JOURNEY))
    make_store(url_from(settings))
    application = Application(JOURNEY, settings, resolver=ScriptedResolver({}), clock=lambda: NOW)
    number = under_way(application.store)
    monkeypatch.setattr("antispam.checks.attachments.engine.inspect", lambda *_: 1 / 0)
    assert send(application, (b"X-BMS-Pass", carried(number))).verdict.action is Action.TEMPFAIL
    application.close()


def test_with_a_pass_that_was_used_it_is_a_message_like_any_other(application):
    number = under_way(application.store)
    send(application, (b"X-BMS-Pass", carried(number)))
    kinds = [(type(edit).__name__, edit[0]) for edit in send(application, (b"X-BMS-Pass", carried(number))).edits]
    assert ("ChangeHeader", "X-BMS-Pass") in kinds
    assert ("ChangeHeader", "Authentication-Results") in kinds
    assert "ReplaceBody" in {kind for kind, _ in kinds}


def test_a_message_is_asked_for_again_while_the_store_is_down(application, monkeypatch):
    number = under_way(application.store)
    monkeypatch.setattr(application.store, "read", lambda deadline=None: (_ for _ in ()).throw(StoreError("gone")))
    assert send(application, (b"X-BMS-Pass", carried(number))).verdict.action is Action.TEMPFAIL
