"""A session's rules: who may overrule whom, when a refusal is spoken, what is recorded, what a defect costs."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import threading
from typing import ClassVar

import pytest

from antispam.deadline import Deadline
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.session import Session
from antispam.journey.table import Accepted, Journey, JourneyError, NotDone, Row, Scope, Stage
from antispam.mail.access_map import AccessMap
from antispam.mail.draft import AddRecipient, AppendHeader, ChangeSender, DeleteRecipient, InsertHeader
from antispam.mail.findings import Finding
from antispam.mail.verdicts import CONTINUE, Action, accept, discard, hold, let_pass, quarantine, reject, tempfail
from antispam.settings import CheckSettings, Mode, OnError, default_settings, section
from antispam.settings.program import ExceptionPolicy, ProgramSettings, RejectAt
from support.dns import ScriptedResolver
from support.patience import PATIENCE


def make_check(
    name, verdict=CONTINUE, *, collect=None, act=None, mode=Mode.ENFORCE, on_error=OnError.TEMPFAIL, error=""
):
    """A check that always finds the same and decides the same."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Found(Finding):
        check: ClassVar[str] = name

    @section(name)
    class Configured(CheckSettings):
        pass

    class Check:
        NAME = name
        Settings = Configured
        Finding = Found
        calls: ClassVar[list] = []
        value = Configured(mode=mode, on_error=on_error)

        @staticmethod
        def collect(connection, message, recipient, services):
            Check.calls.append(recipient.address if recipient else None)
            return collect() if collect else Found(error=error)

        @staticmethod
        def decide(finding, findings, settings, policy):
            return verdict

    if act is not None:
        Check.act = staticmethod(act)
    return Check


class Recorder:
    def __init__(self, store_works=True):
        self.rows = []
        self.kept, self.entries, self.queued_messages = [], [], []
        self._store_works = store_works

    def record(self, subject, verdict):
        self.rows.append((subject.message.mail_from, [r.address for r in subject.message.recipients], verdict.action))

    def store(self, message, entries, queued_messages=()):
        self.kept += [one.decision.check for one in entries]
        self.entries += entries
        self.queued_messages += queued_messages
        return self._store_works


def session(*rows, reject_at=RejectAt.RCPT, recorder=None, failed=lambda subject: None, watch=None, **options):
    table = [row if isinstance(row, Row) else Row(row[0], row[1], row[2]) for row in rows]
    journey = Journey(table)
    settings = default_settings([ProgramSettings, *journey.settings_classes()])
    settings = settings.replaced(
        dataclasses.replace(settings[ProgramSettings], reject_at=reject_at, **options),
        *(row.check.value for row in table),
    )
    services = Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=None,
        access=AccessMap(),
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )
    return Session(Runner(journey, failed=failed, watch=watch), services, recorder)


def at_connect(check):
    return (Stage.CONNECT, Scope.CONNECTION, check)


def at_mail(check):
    return (Stage.MAIL, Scope.MESSAGE, check)


def at_rcpt(check):
    return (Stage.RCPT, Scope.RECIPIENT, check)


def at_end(check):
    return (Stage.END, Scope.MESSAGE, check)


def for_each(wishes, *, content=None, act=None, afterwards=None):
    """A row that asks each recipient at the end of the message; `wishes` has his verdict."""
    check = make_check("each", act=act)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Found(Finding):
        check: ClassVar[str] = "each"
        who: str = ""

    check.Finding = Found
    check.collect = staticmethod(lambda connection, message, recipient, services: Found(who=recipient.address))
    check.decide = staticmethod(lambda finding, *rest: wishes.get(finding.who, CONTINUE))
    if content is not None:
        check.content = staticmethod(lambda finding: content(finding.who))
    return (Stage.END, Scope.RECIPIENT, check)


def send(session, *recipients, mail_from="a@example.org"):
    """One message to these; returns the replies at RCPT and the outcome, None where nobody was left."""
    session.mail(mail_from)
    replies = [session.rcpt(address).action for address in recipients or ("b@example.com",)]
    if all(action.refuses for action in replies):
        return replies, None
    session.header(b"Subject", b" hi")
    session.body(b"text\r\n")
    return replies, ended(session)


def ended(session):
    """The end of a message whose edits the MTA takes."""
    outcome = session.end()
    session.taken()
    return outcome


NO = reject("Not welcome.", "test")


def test_a_refusal_found_at_connect_waits_for_rcpt():
    s = session(at_connect(make_check("c", NO)))
    assert s.connect("192.0.2.1") is CONTINUE
    assert s.helo("h") is CONTINUE
    assert s.mail("a@example.org") is CONTINUE
    assert s.rcpt("b@example.com").action is Action.REJECT


def test_a_refusal_found_at_connect_holds_for_every_message_of_the_connection():
    s = session(at_connect(make_check("c", NO)))
    s.connect("192.0.2.1")
    assert [send(s)[0] for _ in range(2)] == [[Action.REJECT], [Action.REJECT]]


def test_reject_at_now_speaks_at_once():
    s = session(at_connect(make_check("c", NO)), reject_at=RejectAt.NOW)
    assert s.connect("192.0.2.1").action is Action.REJECT


def test_a_refusal_at_data_names_the_recipients_in_the_log(caplog):
    caplog.set_level("INFO")
    s = session(at_mail(make_check("m", NO)), reject_at=RejectAt.DATA)
    s.mail("a@example.org")
    for number in range(22):
        s.rcpt(f"r{number}@example.com")
    assert s.data().action is Action.REJECT
    assert "; to=<r0@example.com>,<r1@example.com>," in caplog.text
    assert ",<r19@example.com> and 2 more from=<a@example.org>" in caplog.text


def test_reject_at_data_lets_all_recipients_be_logged_first():
    recorder = Recorder()
    s = session(at_mail(make_check("m", NO)), reject_at=RejectAt.DATA, recorder=recorder)
    s.mail("a@example.org")
    assert s.rcpt("b@example.com") is CONTINUE
    assert s.rcpt("c@example.com") is CONTINUE
    assert s.data().action is Action.REJECT
    s.abort()
    assert recorder.rows == [("a@example.org", ["b@example.com", "c@example.com"], Action.REJECT)]


def test_reject_at_end_waits_for_the_message_and_asks_nothing_about_it():
    recorder, content = Recorder(), make_check("e", NO)
    s = session(at_mail(make_check("m", NO)), at_end(content), reject_at=RejectAt.END, recorder=recorder)
    s.mail("a@example.org")
    assert [s.rcpt("b@example.com"), s.rcpt("c@example.com"), s.data()] == [CONTINUE] * 3
    assert ended(s).verdict.action is Action.REJECT
    assert recorder.rows == [("a@example.org", ["b@example.com", "c@example.com"], Action.REJECT)]
    assert content.calls == []


def test_a_recipient_is_refused_at_rcpt_although_the_rest_waits_for_the_end():
    s = session(at_rcpt(make_check("r", NO)), reject_at=RejectAt.END)
    s.mail("a@example.org")
    assert s.rcpt("b@example.com").action is Action.REJECT


@pytest.mark.parametrize("reject_at", [RejectAt.RCPT, RejectAt.END])
def test_recipients_beyond_any_reason_are_refused_one_by_one_where_the_mta_listens(monkeypatch, reject_at):
    monkeypatch.setattr("antispam.journey.session.MAX_RECIPIENTS", 2)
    s = session(at_rcpt(make_check("r")), reject_at=reject_at)
    s.mail("a@example.org")
    assert [s.rcpt(f"r{number}@example.com").code for number in range(4)] == [0, 0, 452, 452]
    assert ended(s).verdict is CONTINUE


def test_recipients_beyond_any_reason_cost_the_message_where_nobody_listens_before_its_end(monkeypatch):
    monkeypatch.setattr("antispam.journey.session.MAX_RECIPIENTS", 2)
    s = session(reject_at=RejectAt.END)
    s.mail("a@example.org")
    assert [s.rcpt(f"r{number}@example.com").code for number in range(4)] == [0, 0, 0, 0]
    verdict = ended(s).verdict
    assert (verdict.action, verdict.enhanced) == (Action.REJECT, "5.5.3")


def test_a_quarantine_does_not_swallow_the_mail_of_recipients_beyond_any_reason(monkeypatch):
    monkeypatch.setattr("antispam.journey.session.MAX_RECIPIENTS", 2)
    recorder, check = Recorder(), make_check("q", quarantine("doubtful"))
    row = Row(Stage.MAIL, Scope.MESSAGE, check, accepted=Accepted.DECIDE)
    s = session(row, reject_at=RejectAt.END, recorder=recorder)
    s.mail("a@example.org")
    for number in range(3):
        s.rcpt(f"r{number}@example.com")
    assert ended(s).verdict.action is Action.REJECT
    assert recorder.entries == []


def test_a_whitelist_overrules_a_refusal_found_before():
    s = session(at_connect(make_check("c", NO)), at_mail(make_check("w", accept("listed"))))
    s.connect("192.0.2.1")
    assert send(s)[1].verdict is CONTINUE


def test_a_whitelist_overrules_refusals_found_later():
    s = session(at_mail(make_check("w", accept("listed"))), at_end(make_check("e", NO)))
    assert send(s)[1].verdict is CONTINUE


def test_what_is_dangerous_whoever_sent_it_is_not_overruled():
    firm = Row(Stage.END, Scope.MESSAGE, make_check("virus", NO), accepted=Accepted.DECIDE)
    s = session(at_mail(make_check("w", accept("listed"))), firm)
    assert send(s)[1].verdict.action is Action.REJECT


def test_a_row_to_which_nothing_applies_is_not_asked_and_misses_nobody():
    idle, below = make_check("idle", NO), make_check("below", CONTINUE)
    idle.applies = staticmethod(lambda settings: False)
    rows = (at_end(idle), Row(Stage.END, Scope.MESSAGE, below, needs=("idle",)))
    assert send(session(*rows))[1].verdict is CONTINUE
    assert (len(idle.calls), len(below.calls)) == (0, 1)


def test_what_passes_is_delivered_and_no_row_below_is_asked_anything():
    below = make_check("virus", NO)
    rows = (
        Row(Stage.END, Scope.MESSAGE, make_check("own", let_pass("ours"))),
        Row(Stage.END, Scope.MESSAGE, below, needs=("own",), accepted=Accepted.DECIDE),
    )
    assert send(session(*rows))[1].verdict is CONTINUE
    assert below.calls == []


def test_what_passes_overrules_whatever_would_have_kept_it():
    firm = Row(Stage.MAIL, Scope.MESSAGE, make_check("m", quarantine("dangerous")), accepted=Accepted.DECIDE)
    s = session(firm, at_end(make_check("own", let_pass("ours"))))
    assert send(s)[1].verdict is CONTINUE


def test_what_passes_is_changed_only_by_checks_that_were_asked():
    def act(finding, verdict, draft, services):
        draft.insert_header("X-Seen", verdict.action)

    rows = at_end(make_check("own", let_pass("ours"), act=act)), at_end(make_check("below", act=act))
    assert send(session(*rows))[1].edits == (InsertHeader("X-Seen", "pass"),)


def test_what_would_pass_in_mode_log_is_examined(caplog):
    caplog.set_level(logging.INFO)
    s = session(at_end(make_check("own", let_pass("ours"), mode=Mode.LOG)), at_end(make_check("e", NO)))
    assert send(s)[1].verdict.action is Action.REJECT
    assert "WOULD PASS own: ours" in caplog.text


def test_a_delivery_that_passed_says_by_what(caplog):
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    s = session(
        at_mail(make_check("w", accept("listed"))), at_end(make_check("own", let_pass("ours"))), recorder=recorder
    )
    send(s)
    assert "ACCEPT own: ours; to=<b@example.com>" in caplog.text
    assert recorder.rows == [("a@example.org", ["b@example.com"], Action.CONTINUE)]


def test_a_row_marked_skip_does_not_even_look_once_the_message_is_accepted():
    check = make_check("grey", NO)
    row = Row(Stage.RCPT, Scope.RECIPIENT, check, accepted=Accepted.SKIP)
    s = session(at_mail(make_check("w", accept("listed"))), row)
    assert send(s)[0] == [Action.CONTINUE]
    assert check.calls == []


def test_a_whitelist_of_one_message_does_not_reach_the_next():
    verdicts = iter([accept("listed"), CONTINUE])
    check = make_check("w")
    check.decide = staticmethod(lambda *args: next(verdicts))
    s = session(at_connect(make_check("c", NO)), at_mail(check))
    s.connect("192.0.2.1")
    assert send(s)[0] == [Action.CONTINUE]
    assert send(s)[0] == [Action.REJECT]


def test_each_recipient_has_its_own_reply():
    check = make_check("grey")
    verdicts = iter([tempfail("Later.", "grey"), CONTINUE])
    check.decide = staticmethod(lambda *args: next(verdicts))
    replies, outcome = send(session(at_rcpt(check)), "b@example.com", "c@example.com")
    assert replies == [Action.TEMPFAIL, Action.CONTINUE]
    assert outcome.verdict is CONTINUE


def test_mode_log_says_what_it_would_do_and_does_nothing(caplog):
    caplog.set_level(logging.INFO)
    s = session(at_mail(make_check("m", NO, mode=Mode.LOG)))
    assert send(s)[0] == [Action.CONTINUE]
    assert "WOULD REJECT m: test" in caplog.text


def test_mode_off_never_looks():
    check = make_check("m", NO, mode=Mode.OFF)
    assert send(session(at_mail(check)))[0] == [Action.CONTINUE]
    assert check.calls == []


def broken():
    raise RuntimeError("a defect")


@pytest.mark.parametrize(
    ("on_error", "action"),
    [(OnError.ACCEPT, Action.CONTINUE), (OnError.TEMPFAIL, Action.TEMPFAIL), (OnError.REJECT, Action.REJECT)],
)
def test_an_exception_in_a_check_follows_on_error_and_is_logged_once(on_error, action, caplog):
    kept = []
    s = session(at_end(make_check("e", on_error=on_error, collect=broken)), failed=kept.append)
    _, outcome = send(s)
    assert outcome.verdict.action is action
    assert caplog.text.count("Traceback") == 1
    assert len(kept) == 1


def test_evidence_that_could_not_be_had_follows_on_error_without_a_traceback(caplog):
    s = session(at_mail(make_check("m", NO, error="the store is down", on_error=OnError.TEMPFAIL)))
    assert send(s)[0] == [Action.TEMPFAIL]
    assert "Traceback" not in caplog.text


def test_an_exception_while_acting_is_no_reason_to_deliver_half_a_change():
    def act(finding, verdict, draft, services):
        draft.insert_header("X-Half", "done")
        broken()

    _, outcome = send(session(at_end(make_check("e", act=act))))
    assert outcome.verdict.action is Action.TEMPFAIL
    assert outcome.edits == ()


def test_edits_are_queued_for_what_is_delivered():
    def act(finding, verdict, draft, services):
        draft.insert_header("X-Seen", "yes")

    _, outcome = send(session(at_end(make_check("e", act=act))))
    assert outcome.edits == (InsertHeader("X-Seen", "yes"),)


def test_quarantine_is_in_the_store_before_the_client_hears_of_it():
    recorder = Recorder()
    _, outcome = send(session(at_end(make_check("e", quarantine("spam"))), recorder=recorder))
    assert outcome.verdict.action is Action.QUARANTINE
    assert recorder.kept == ["e"]


def test_quarantine_without_a_store_is_tempfail():
    _, outcome = send(session(at_end(make_check("e", quarantine("spam"))), recorder=Recorder(store_works=False)))
    assert outcome.verdict.action is Action.TEMPFAIL


@pytest.mark.parametrize("verdict", [discard("junk"), hold("look at it")])
def test_other_final_verdicts_reach_the_mta(verdict):
    _, outcome = send(session(at_end(make_check("e", verdict))))
    assert outcome.verdict.action is verdict.action


def test_the_first_final_verdict_of_a_stage_wins_and_the_rest_is_not_asked():
    second = make_check("second", discard("junk"))
    _, outcome = send(session(at_end(make_check("first", NO)), at_end(second)))
    assert outcome.verdict.action is Action.REJECT


def test_a_message_given_up_is_recorded_and_does_not_leak_into_the_next():
    recorder = Recorder()
    s = session(recorder=recorder)
    s.mail("first@example.org")
    s.rcpt("b@example.com")
    s.mail("second@example.org")
    s.close()
    assert recorder.rows == [
        ("first@example.org", ["b@example.com"], Action.UNFINISHED),
        ("second@example.org", [], Action.UNFINISHED),
    ]


def test_a_second_helo_starts_the_helo_checks_afresh():
    check = make_check("h")
    verdicts = iter([NO, CONTINUE])
    check.decide = staticmethod(lambda *args: next(verdicts))
    s = session((Stage.HELO, Scope.CONNECTION, check))
    s.helo("bad")
    s.helo("good")
    assert send(s)[0] == [Action.CONTINUE]


def test_the_reply_carries_a_reference_that_the_log_has_too(caplog):
    caplog.set_level(logging.INFO)
    s = session(at_mail(make_check("m", NO)))
    s.mail("a@example.org")
    reply = s.rcpt("b@example.com").reply_lines()
    reference = s.message.ref
    assert f"(ref {reference})" in reply[-1]
    assert f"[{reference}] REJECT m: test" in caplog.text


def test_a_header_section_beyond_any_reason_is_refused():
    s = session()
    s.mail("a@example.org")
    s.rcpt("b@example.com")
    for _ in range(3000):
        s.header(b"X", b" " + b"y" * 1000)
    assert ended(s).verdict.action is Action.REJECT
    assert s.message is None


@pytest.mark.parametrize("count", [1, 4998, 4999, 5000, 5001])
@pytest.mark.parametrize("octets", [10, 208, 210])
def test_header_fields_that_come_together_are_taken_as_one_by_one(count, octets):
    def taken(give):
        s = session()
        s.mail("a@example.org")
        s.rcpt("b@example.com")
        s.headers([(b"First", b" 1")])
        give(s, [(b"X", b" " + b"y" * octets)] * count)
        return s.message.headers, ended(s).verdict.action

    def one_by_one(s, fields):
        for field in fields:
            s.header(*field)

    assert taken(lambda s, fields: s.headers(fields)) == taken(one_by_one)


def test_header_fields_that_come_together_are_logged_too(caplog):
    caplog.set_level(logging.INFO)
    s = session(log_headers=True)
    s.mail("a@example.org")
    s.headers([(b"Subject", b" hi"), (b"X", b" y")])
    assert "header Subject: hi" in caplog.text
    assert "header X: y" in caplog.text


def test_fields_are_found_by_name_also_those_that_come_later():
    s = session()
    s.mail("a@example.org")
    s.headers([(b"To", b" a"), (b"Cc ", b" b")])
    assert [field.value for field in s.message.fields(b"cc")] == [b" b"]
    s.headers([(b"CC", b" c")])
    assert [field.value for field in s.message.fields(b"Cc")] == [b" b", b" c"]
    assert s.message.fields(b"bcc") == []


def test_checks_that_look_for_fields_at_the_same_time_find_each_once():
    s = session()
    s.mail("a@example.org")

    class Name(bytes):
        """While one thread is reading it, others look for fields, too."""

        def strip(self, *_):
            asked.append(threading.Thread(target=s.message.fields, args=(b"from",)))
            if len(asked) == 1:
                asked[0].start()
                asked[0].join()
            return bytes(self)

    asked = []
    s.headers([(b"From", b" a"), (Name(b"Date"), b" d"), (b"From", b" b")])
    for _ in range(2):
        assert [field.value for field in s.message.fields(b"from")] == [b" a", b" b"]


def test_hostile_text_in_the_envelope_cannot_forge_a_log_line(caplog):
    caplog.set_level(logging.INFO)
    send(session(), "b\r\n[x] REJECT fake@example.com\x1b[2J\u2028", mail_from="a\n@example.org")
    assert len([line for line in caplog.text.splitlines() if line]) == 1


def test_a_row_that_needs_what_no_row_above_finds_is_a_defect_found_at_start():
    with pytest.raises(JourneyError, match="needs missing"):
        Journey([Row(Stage.MAIL, Scope.MESSAGE, make_check("m"), needs=("missing",))])


def test_rows_out_of_order_are_a_defect_found_at_start():
    with pytest.raises(JourneyError, match="below"):
        Journey([Row(*at_rcpt(make_check("r"))), Row(*at_mail(make_check("m")))])


def test_look_ups_of_one_wave_wait_beside_one_another_and_needs_are_respected():
    met = threading.Barrier(2, timeout=PATIENCE)
    first, second = make_check("first"), make_check("second")
    for check in (first, second):
        check.LOOKS_UP = True
        original = check.collect
        check.collect = staticmethod(lambda *args, original=original: (met.wait(), original(*args))[1])
    third = make_check("third")
    journey = [
        Row(*at_mail(first)),
        Row(*at_mail(second)),
        Row(Stage.MAIL, Scope.MESSAGE, third, needs=("first", "second")),
    ]
    s = session(*journey)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        s._runner._pool = pool
        s.mail("a@example.org")
    assert [decision.check for decision in s.message.decisions] == ["first", "second", "third"]


KEEP = quarantine("spam")
THREE = ("a@example.com", "b@example.com", "c@example.com")


def test_a_check_that_will_not_have_to_wait_keeps_its_thread():
    """Handing it over would cost more than it takes."""
    threads = []
    waiting, ready = (
        make_check(name, collect=lambda: threads.append(threading.current_thread())) for name in ("waiting", "ready")
    )
    waiting.LOOKS_UP = ready.LOOKS_UP = True
    ready.ready = staticmethod(lambda connection, message, services: True)
    s = session(at_end(waiting), at_end(ready))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        s._runner._pool = pool
        send(s, "b@example.com")
    assert sorted(thread is threading.current_thread() for thread in threads) == [False, True]


KEEP = quarantine("spam")
THREE = ("a@example.com", "b@example.com", "c@example.com")


def test_each_recipient_gets_what_he_wants_and_who_gets_nothing_leaves_the_envelope():
    recorder = Recorder()
    row = for_each({"b@example.com": KEEP, "c@example.com": NO})
    _, outcome = send(session(row, recorder=recorder), *THREE)
    assert outcome.verdict is CONTINUE
    assert outcome.edits == (DeleteRecipient("<b@example.com>"), DeleteRecipient("<c@example.com>"))
    assert [(kept.user, kept.decision.verdict.action) for kept in recorder.entries] == [
        ("b@example.com", Action.QUARANTINE),
        ("c@example.com", Action.REJECT),
    ]


def test_nobody_gets_anything_before_it_is_stored_for_who_does_not():
    row = for_each({"b@example.com": KEEP})
    _, outcome = send(session(row, recorder=Recorder(store_works=False)), *THREE)
    assert (outcome.verdict.action, outcome.edits) == (Action.TEMPFAIL, ())


def test_what_all_recipients_refuse_is_refused():
    recorder = Recorder()
    _, outcome = send(session(for_each(dict.fromkeys(THREE, NO)), recorder=recorder), *THREE)
    assert outcome.verdict.action is Action.REJECT
    assert recorder.entries == []


def test_who_wants_another_content_gets_it_by_another_way():
    def act(finding, verdict, draft, services):
        draft.append_header("X-For", ",".join(one.address[0] for one in draft.recipients))

    recorder = Recorder()
    row = for_each({}, content=lambda who: who == "b@example.com", act=act)
    _, outcome = send(session(row, recorder=recorder), *THREE)
    assert outcome.edits == (AppendHeader("X-For", "a,c"), DeleteRecipient("<b@example.com>"))
    (queued,) = recorder.queued_messages
    assert (queued.mail_from, queued.recipients) == ("a@example.org", ("b@example.com",))
    assert queued.content == b"Subject: hi\r\nX-For: b\r\n\r\ntext\r\n"


def test_what_goes_by_another_way_has_the_same_sender():
    recorder = Recorder()
    row = for_each(
        {}, content=str, act=lambda finding, verdict, draft, services: draft.change_sender("signed@x.example")
    )
    _, outcome = send(session(row, recorder=recorder), "b@example.com", "c@example.com")
    assert ChangeSender("signed@x.example") in outcome.edits
    assert [queued.mail_from for queued in recorder.queued_messages] == ["signed@x.example"]


def test_an_address_leaves_the_envelope_as_the_client_wrote_it():
    s = session(for_each({"b@example.com": KEEP}), recorder=Recorder())
    s.mail("a@example.org")
    s.rcpt("a@example.com")
    s.rcpt("b@example.com", (), "<@relay.example:b@example.com>")
    assert ended(s).edits == (DeleteRecipient("<@relay.example:b@example.com>"),)


def test_what_can_not_be_written_anew_is_the_same_for_all():
    recorder = Recorder()
    s = session(for_each({}, content=lambda who: who), recorder=recorder)
    s._program = dataclasses.replace(s._program, max_message=3)
    _, outcome = send(s, *THREE)
    assert (outcome.verdict, outcome.edits, recorder.queued_messages) == (CONTINUE, (), [])


def test_what_is_too_large_to_be_kept_from_one_is_refused_for_all():
    s = session(for_each({"b@example.com": KEEP}), recorder=Recorder())
    s._program = dataclasses.replace(s._program, max_message=3)
    _, outcome = send(s, *THREE)
    assert (outcome.verdict.action, outcome.verdict.code) == (Action.REJECT, 552)


def test_a_check_hears_of_a_message_that_is_taken_and_of_no_other():
    heard = []
    for verdict, times in ((CONTINUE, 1), (KEEP, 1), (hold("?"), 1), (NO, 0)):
        check = make_check("e", verdict)
        check.afterwards = staticmethod(lambda finding, message, services: heard.append(message.ref))
        send(session(at_end(check), recorder=Recorder()))
        assert len(heard) == times
        heard.clear()


def test_a_defect_in_what_follows_costs_no_mail(caplog):
    check = make_check("e")
    check.afterwards = staticmethod(lambda finding, message, services: broken())
    _, outcome = send(session(at_end(check)))
    assert outcome.verdict is CONTINUE
    assert "ERROR e: unexpected RuntimeError" in caplog.text


def firm(row):
    return Row(*row, accepted=Accepted.DECIDE)


def test_what_nobody_is_to_get_is_not_refused_by_what_follows():
    """A report that has taught would only come back."""
    checks = (
        firm(for_each({"b@example.com": discard("learned"), "c@example.com": discard("learned")})),
        at_end(make_check("later", NO)),
    )
    _, outcome = send(session(*checks), "b@example.com", "c@example.com")
    assert outcome.verdict.action is Action.DISCARD
    _, outcome = send(session(*checks), "b@example.com", "d@example.com")
    assert outcome.verdict.action is Action.REJECT


def test_who_is_dropped_twice_is_one_who_does_not_get_it():
    """Another recipient's copy is examined to the end."""
    twice = [for_each({"b@example.com": discard("learned")}) for _ in range(2)]
    for number, (_, _, check) in enumerate(twice):
        check.NAME = f"drops {number}"
    checks = (*(firm(row) for row in twice), at_end(make_check("later", NO)))
    _, outcome = send(session(*checks), "b@example.com", "c@example.com")
    assert outcome.verdict.action is Action.REJECT


def test_who_is_added_to_every_copy_gets_one_and_recipients_get_their_own():
    def act(finding, verdict, draft, services):
        draft.append_header("X-For", finding.who)
        for address in ("spy@example.com", "c@example.com"):
            draft.add_recipient(address)

    recorder = Recorder()
    s = session(for_each({}, content=lambda who: who == "c@example.com", act=act), recorder=recorder)
    _, outcome = send(s, "a@example.com", "b@example.com", "c@example.com")
    assert outcome.edits == (
        AppendHeader("X-For", "a@example.com"),
        AddRecipient("spy@example.com"),
        DeleteRecipient("<c@example.com>"),
    )
    assert [queued.recipients for queued in recorder.queued_messages] == [("c@example.com",)]


def test_a_copy_for_nobody_is_not_sent():
    def act(finding, verdict, draft, services):
        draft.redirect("c@example.com", ["d@example.com"])
        draft.add_recipient("d@example.com")

    recorder = Recorder()
    s = session(for_each({}, content=lambda who: who == "c@example.com", act=act), recorder=recorder)
    _, outcome = send(s, "a@example.com", "b@example.com", "c@example.com")
    assert outcome.edits == (AddRecipient("d@example.com"), DeleteRecipient("<c@example.com>"))
    assert recorder.queued_messages == []


@pytest.mark.parametrize(
    ("on_error", "action"), [(OnError.TEMPFAIL, Action.TEMPFAIL), (OnError.ACCEPT, Action.CONTINUE)]
)
def test_what_can_not_be_done_follows_on_error_without_a_traceback(caplog, on_error, action):
    def act(finding, verdict, draft, services):
        raise NotDone("the disk is full")

    kept = []
    s = session(at_end(make_check("archive", act=act, on_error=on_error)), failed=kept.append)
    _, outcome = send(s)
    assert outcome.verdict.action is action
    assert "ERROR archive: the disk is full" in caplog.text
    assert "Traceback" not in caplog.text
    assert kept == []


def test_what_protects_is_asked_of_what_passes_too_and_may_stop_it():
    def act(finding, verdict, draft, services):
        draft.insert_header("X-Seen", verdict.action)

    own = at_end(make_check("own", let_pass("ours")))
    rows = [Row(Stage.END, Scope.MESSAGE, make_check("e", act=act), needs=("own",), accepted=Accepted.PROTECT)]
    assert send(session(own, *rows))[1].edits == (InsertHeader("X-Seen", "continue"),)
    rows = [Row(Stage.END, Scope.MESSAGE, make_check("e", NO), needs=("own",), accepted=Accepted.PROTECT)]
    assert send(session(own, *rows))[1].verdict.action is Action.REJECT


def test_nothing_is_told_of_a_message_before_the_mta_took_its_edits(caplog):
    """The history and the log said ACCEPT, and checks had learned, where the MTA then refused an edit."""
    caplog.set_level("INFO")
    recorder, done = Recorder(), []
    check = make_check("e")
    check.afterwards = staticmethod(lambda finding, message, services: done.append("afterwards"))
    check.concluded = staticmethod(lambda finding, connection, message, verdict, services: done.append(verdict.action))
    s = session(at_end(check), recorder=recorder)
    s.mail("a@example.org")
    s.rcpt("b@example.com")
    assert s.end().verdict is CONTINUE
    assert (recorder.rows, done, "ACCEPT" in caplog.text) == ([], [], False)
    s.taken()
    assert recorder.rows == [("a@example.org", ["b@example.com"], Action.CONTINUE)]
    assert (done, "ACCEPT" in caplog.text) == (["afterwards", Action.CONTINUE], True)


def test_a_message_whose_edits_the_mta_refused_is_told_as_deferred_with_the_reason(caplog):
    caplog.set_level("INFO")
    rows, done = [], []
    recorder, check = Recorder(), make_check("e")
    recorder.record = lambda subject, verdict: rows.append((verdict, [d.check for d in subject.message.decisions]))
    check.afterwards = staticmethod(lambda *rest: done.append("afterwards"))
    s = session(at_end(check), recorder=recorder)
    s.mail("a@example.org")
    s.rcpt("b@example.com")
    s.end()
    verdict = s.refused("the MTA did not accept a change: cannot add header")
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.3.0")
    assert rows == [(verdict, ["e", "edits"])]
    assert "TEMPFAIL edits: the MTA did not accept a change: cannot add header; to=<b@example.com>" in caplog.text
    assert "ACCEPT" not in caplog.text
    s.close()
    assert (len(rows), done, s.message) == (1, [], None)


@pytest.mark.parametrize(
    ("policy", "action"),
    [("tempfail", Action.TEMPFAIL), ("reject", Action.REJECT), ("continue", Action.CONTINUE)],
)
def test_a_message_whose_end_raised_is_told_as_it_was_answered(policy, action):
    recorder = Recorder()
    s = session(recorder=recorder, untrapped_exception=ExceptionPolicy(policy))
    s.mail("a@example.org")
    s.rcpt("b@example.com")
    s.end()
    s.close()  # taken() did not come: the milter's callback ended in an exception
    assert recorder.rows == [("a@example.org", ["b@example.com"], action)]


class Watch:
    """Writes down what the runner tells those who count."""

    def __init__(self):
        self.told = []

    def collected(self, check, seconds):
        assert seconds >= 0
        self.told.append(("collected", check))

    def decided(self, decision):
        self.told.append(("decided", decision.check, str(decision.verdict.action), str(decision.mode)))

    def failed(self, check):
        self.told.append(("failed", check))


def test_who_counts_is_told_of_each_check_that_found_something():
    watch = Watch()
    rows = at_mail(make_check("one", NO, mode=Mode.LOG)), at_mail(make_check("two", collect=lambda: None))
    session(*rows, watch=watch).mail("a@example.org")
    assert watch.told == [("collected", "one"), ("decided", "one", "reject", "log")]


def test_who_counts_is_told_of_each_check_that_could_not_do_its_work():
    def defect():
        raise ValueError("a defect")

    watch = Watch()
    rows = at_mail(make_check("slow", error="no answer")), at_mail(make_check("broken", collect=defect))
    session(*rows, watch=watch).mail("a@example.org")
    assert [one for one in watch.told if one[0] != "collected"] == [
        ("failed", "slow"),
        ("decided", "slow", "tempfail", "enforce"),
        ("failed", "broken"),
        ("decided", "broken", "tempfail", "enforce"),
    ]
