"""`bms report`, and what it counts in the history."""

from __future__ import annotations

import datetime
import io
import itertools
import json
import time

import click.testing
import pytest
import sqlalchemy as sa
from bms import JOURNEY
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from antispam.commands.report import as_object, report_command, show
from antispam.journey.history_row import row_for
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import SpamFinding
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.remedies import Remedy
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, Action, Verdict, discard, hold, quarantine, reject, tempfail
from antispam.service.application import Program
from antispam.settings import Mode
from antispam.store import tally
from antispam.store.history_sums import SLOT, sums_of
from antispam.store.reports import report
from antispam.store.schema import history, history_sum
from antispam.store.tally import Disposition, Offenders, midnights
from dspam.schema import dspam_training, dspam_user

pytestmark = pytest.mark.every_database

NOW = datetime.datetime(2026, 11, 24, 12, 0).timestamp()
DAY = 86400.0


class Mail:
    """Messages on their way into the history."""

    def __init__(self, store):
        self._store = store
        self._number = 0

    def __call__(self, verdict=CONTINUE, decisions=(), recipients=None, at=NOW, ip="192.0.2.1", **more):
        """Writes down one message; `recipients` are made by to()."""
        self._number += 1
        connection = Connection(ref="c", ip=ip, name=more.get("name", ""), helo=more.get("helo", "mx.example.org"))
        message = Message(f"ref{self._number:09}", more.get("mail_from", "ann@example.org"), at, Body(1 << 10))
        message.decisions.extend(decisions)
        message.recipients.extend([to()] if recipients is None else recipients)
        row = row_for(Subject(connection, message), verdict, "node")
        with self._store.write() as database:
            database.execute(sa.insert(history).values(**row))
            database.execute(sa.insert(history_sum), sums_of([row]))


@pytest.fixture
def mail(store):
    return Mail(store)


def to(address="bob@example.com", *decisions, refused=None, spam=None):
    recipient = Recipient(address, (), f"<{address}>", Findings())
    recipient.decisions.extend(decisions)
    recipient.refused = refused
    if spam is not None:
        recipient.findings.add(SpamFinding(is_spam=True, action=spam))
    return recipient


def no(check, verdict, mode=Mode.ENFORCE):
    return Decision(check, verdict, mode)


SPF = reject("no", "fail for example.org")


@pytest.mark.parametrize(
    ("verdict", "disposition"),
    [
        (CONTINUE, Disposition.DELIVERED),
        (SPF, Disposition.REJECTED),
        (tempfail("later", "new"), Disposition.DEFERRED),
        (quarantine("spam"), Disposition.QUARANTINED),
        (hold("look"), Disposition.HELD),
        (discard("honeypot"), Disposition.DISCARDED),
    ],
)
def test_a_message_counts_for_what_became_of_it(store, mail, verdict, disposition):
    mail(verdict, [no("spf", verdict)])
    made = report(store, NOW, 1)
    assert made.days[0].dispositions == {disposition: 1}
    assert made.why == ({} if disposition is Disposition.DELIVERED else {(disposition, "spf"): 1})


def test_each_message_counts_on_its_day(store, mail):
    today = datetime.datetime(2026, 11, 24).timestamp()
    for at in (today - DAY - 1, today - 1, today, NOW, NOW + SLOT):
        mail(at=at)
    assert [day.messages for day in report(store, NOW, 2).days] == [1, 2]
    assert [day.messages for day in report(store, NOW, 1).days] == [2]


def test_days_begin_at_midnight_when_the_clocks_change(monkeypatch):
    """In Berlin the 25th of October 2026 has 25 hours."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        begins = midnights(datetime.datetime(2026, 10, 26, 9).timestamp(), 3)
        assert [late - early for early, late in itertools.pairwise(begins)] == [DAY, DAY + 3600]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_message_without_a_recipient_was_not_delivered(store, mail):
    mail(recipients=[])
    mail(recipients=[to(refused=no("known_user", reject("no", "no user")))])
    assert report(store, NOW, 1).days[0].dispositions == {Disposition.UNFINISHED: 2}


def test_a_message_that_its_client_gave_up_was_not_delivered(store, mail):
    mail(Verdict(Action.UNFINISHED))
    assert report(store, NOW, 1).days[0].dispositions == {Disposition.UNFINISHED: 1}


def test_recipients_refused_one_by_one_are_counted(store, mail):
    """Not those that only hear what holds for the whole message, nor those that may come again."""
    unknown, early = no("known_user", reject("no", "no user")), no("greylist", tempfail("later", "new"))
    spf = no("spf", SPF)
    mail(
        recipients=[to(), to("x@example.com", unknown, refused=unknown), to("y@example.com", unknown, refused=unknown)]
    )
    mail(recipients=[to("z@example.com", early, refused=early)])
    mail(SPF, [spf], [to(refused=spf)])
    made = report(store, NOW, 1)
    assert made.recipients == {"known_user": 2}
    assert made.days[0].recipients == 2


def test_the_check_is_named_whose_words_the_row_has(store, mail):
    """Of several that refuse; and where recipients were refused, whatever the message's own decisions were."""
    mail(SPF, [no("helo", reject("no", "forged")), no("spf", SPF)])
    unknown = no("known_user", reject("no", "no user"))
    mail(unknown.verdict, [], [to("x@example.com", unknown, refused=unknown)])
    mail(reject("no", "words of nobody"), [])
    assert report(store, NOW, 1).why == {
        (Disposition.REJECTED, "spf"): 1,
        (Disposition.REJECTED, "known_user"): 1,
        (Disposition.REJECTED, "other"): 1,
    }


def test_mode_log_says_what_it_would_have_stopped(store, mail):
    mail(CONTINUE, [no("spf", SPF, Mode.LOG)])
    made = report(store, NOW, 1)
    assert made.would == {"spf": 1}
    assert made.why == {}


def test_spam_that_is_delivered_and_mail_kept_from_some(store, mail):
    kept = no("spam_action", quarantine("spam"))
    mail(recipients=[to(spam=Remedy.TAG), to("c@example.com")])
    mail(recipients=[to(spam=Remedy.DELIVER)])
    mail(recipients=[to("c@example.com", kept), to()])
    day = report(store, NOW, 1).days[0]
    assert (day.dispositions[Disposition.DELIVERED], day.tagged, day.parted) == (3, 1, 1)


def test_offenders_are_those_whose_mail_was_stopped(store, mail):
    for _ in range(2):
        mail(SPF, ip="192.0.2.66", name="bad.example", mail_from="x@Spam.example", helo="FRIEND")
    mail(SPF, ip="2001:db8::1", mail_from="")
    mail(SPF, ip="2001:db8::2", mail_from="")
    mail(SPF, ip="2001:db8::3", mail_from="")
    mail(tempfail("later", "new"), ip="192.0.2.99")
    mail(ip="192.0.2.100")
    made = report(store, NOW, 1)
    assert [(one.name, one.stopped) for one in made.clients.top(9)] == [("2001:db8::/64", 3), ("192.0.2.66", 2)]
    assert [(one.name, one.stopped) for one in made.domains.top(9)] == [("<>", 3), ("spam.example", 2)]
    assert made.helos.top(9)[1].name == "friend"
    assert (made.clients.top(9)[1].called, made.clients.top(9)[1].reason) == ("bad.example", SPF.reason)


def test_what_was_learned_counts_unless_it_was_taken_back(store):
    with store.write() as connection:
        of = dict.fromkeys(
            (
                *("generation", "purges", "tokens", "spam_learned", "ham_learned", "spam_misclassified"),
                *("ham_misclassified", "spam_corpusfed", "ham_corpusfed", "spam_classified", "ham_classified"),
            ),
            0,
        )
        connection.execute(sa.insert(dspam_user).values(id=1, name="ann", created_at=NOW, **of))
        rows = [("a", 1, 1, NOW), ("b", 1, 1, NOW - DAY), ("c", 0, 1, NOW), (None, 1, 1, NOW), (None, 1, -1, NOW)]
        for message, is_spam, sign, at in rows:
            values = {"message": message, "is_spam": is_spam, "sign": sign, "trained_at": at}
            connection.execute(sa.insert(dspam_training).values(user_id=1, state=0, **values))
    assert [(day.spam, day.ham) for day in report(store, NOW, 2).days] == [(1, 0), (1, 1)]


def as_before_sums(store):
    """The database as the migration leaves it that brought the sums."""
    with store.write() as connection:
        connection.execute(sa.delete(history_sum))
        newest = connection.scalar(sa.select(sa.func.max(history.c.id)))
        connection.execute(
            sa.insert(history_sum).values(kind="older", begins=0.0, folded=1, content=f"[0,{newest}]"),
        )


def test_pages_lose_and_repeat_nothing(store, mail, monkeypatch):
    """Many rows of the same instant, and rows too large for a page."""
    monkeypatch.setattr(tally, "PAGE", 3)
    monkeypatch.setattr(tally, "LARGEST", 1000)
    for number in range(10):
        mail(SPF, [no("spf", SPF)], [to()] * (30 if number % 4 == 0 else 1), at=NOW - number // 5)
    as_before_sums(store)
    made = report(store, NOW, 1)
    assert made.why == {(Disposition.REJECTED, "spf"): 10}
    assert made.clients.top(1)[0].stopped == 10


def test_damaged_rows_harm_nothing(store, mail):
    mail(SPF)
    as_before_sums(store)
    for broken in ("", "[", '{"check": 1}', "[1]", '[{"refused": 7}]', "\x00", "null", '[{"check": null}]'):
        text = broken if "\x00" not in broken or store.dialect != "postgresql" else "x"
        with store.write() as connection:
            connection.execute(sa.update(history).values(recipients=text, decisions=text))
        assert report(store, NOW, 1).why == {(Disposition.REJECTED, "other"): 1}


def test_of_many_names_the_worst_are_remembered():
    offenders = Offenders(remembered=10)
    for number in range(1000):
        offenders.count(f"once{number}", number, "")
        if number % 10 == 0:
            offenders.count("often", number, "why")
    assert offenders.top(1)[0].name == "often"
    assert offenders.top(1)[0].stopped == 100
    assert not offenders.complete
    assert len(offenders.top(10_000)) <= 20


@given(st.text(max_size=80), st.text(max_size=80))
def test_names_from_outside_rule_no_terminal(name, reason):
    made = tally.Report([tally.Day(NOW)])
    made.days[0].dispositions[Disposition.REJECTED] = 1
    made.clients.count(name, NOW, reason, called=name)
    made.why[Disposition.REJECTED, name] += 1
    console = Console(width=200, record=True, file=io.StringIO(), markup=False)
    show(made, 10, console)
    printed = console.export_text()
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert len(printed.splitlines()) < 20
    json.dumps(as_object(made, 10))


@pytest.fixture
def bms(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    runner = click.testing.CliRunner(env={"COLUMNS": "300"})
    command = report_command(Program("bms", JOURNEY, config), lambda: NOW)
    return lambda *arguments: runner.invoke(command, arguments, obj=config)


def test_the_command_shows_days_reasons_and_offenders(bms, sqlite_store):
    Mail(sqlite_store)(SPF, [no("spf", SPF)], ip="192.0.2.66", name="bad.example")
    result = bms()
    assert result.exit_code == 0, result.output
    for expected in ("2026-11-24", "REJECTED", "spf", "█", "192.0.2.66", "bad.example", SPF.reason):
        assert expected in result.output


def test_json_is_one_object(bms, sqlite_store):
    Mail(sqlite_store)(SPF, [no("spf", SPF)])
    found = json.loads(bms("--json", "--days", "2").output)
    assert [day["messages"] for day in found["days"]] == [0, 1]
    assert found["not_delivered"] == [{"what": "rejected", "check": "spf", "messages": 1}]
    assert found["clients"]["worst"][0]["name"] == "192.0.2.1"


def test_where_there_is_no_database_it_says_so_and_makes_none(bms, tmp_path):
    """Under another configuration than the filter's, it told of an empty history."""
    told = bms()
    assert told.exit_code == 1
    assert f"there is no database at {tmp_path}/bms.sqlite" in told.output
    assert [path.name for path in tmp_path.iterdir()] == ["milter.cfg"]


def test_an_empty_history_says_so(bms, sqlite_store):
    assert "No mail since" in bms().output
    assert bms("--days", "0").exit_code == 2


def text_of(made, width):
    console = Console(width=width, file=io.StringIO(), highlight=False, emoji=False, markup=False, color_system=None)
    show(made, 10, console)
    return console.file.getvalue()


def test_a_report_that_taught_is_no_mail_that_was_stopped(store, mail):
    taught = discard("ann reports spam: 1 learned")
    mail(taught, recipients=[to("spam@example.com", no("feedback", taught))], ip="192.0.2.9")
    made = report(store, NOW, 1)
    assert made.days[0].dispositions == {Disposition.REPORTED: 1}
    assert made.why == {}
    assert made.clients.top(10) == made.domains.top(10) == made.helos.top(10) == []


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_every_number_is_shown_on_a_terminal_of_any_width(store, mail, width):
    for back in range(7):
        at = NOW - back * DAY
        mail(at=at)
        mail(SPF, [no("spf", SPF)], at=at, ip="198.51.100.123", name="a-long-name.of-a.provider.example")
        mail(tempfail("later", "new"), [no("greylist", tempfail("later", "new"))], at=at)
        mail(quarantine("spam"), [no("spam_action", quarantine("spam"))], at=at)
        mail(hold("look"), [no("author_domain", hold("look"))], at=at)
        mail(discard("trap"), [no("dspam", discard("trap"))], at=at)
    shown = text_of(report(store, NOW, 7), width)
    assert "…" not in shown
    for heading in ("MESSAGES", "DELIVERED", "REJECTED", "DEFERRED", "QUARANTINED", "HELD", "DISCARDED"):
        assert heading in shown
    assert sum(line.split().count("42") for line in shown.splitlines()) == 1  # messages, in all
    assert max(map(len, shown.splitlines())) <= width


def test_names_are_shown_whole(store, mail):
    name = "a" * 60 + "." + "b" * 60 + ".example"
    mail(SPF, [no("spf", SPF)], helo=name)
    shown = text_of(report(store, NOW, 1), 80)
    assert name in "".join(line.split()[0] if line.split() else "" for line in shown.splitlines())
