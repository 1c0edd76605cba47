"""Between libmilter and a session; the rest of it is in the dialogues and in tests/e2e/test_bms_run.py."""

from __future__ import annotations

import contextlib

import pytest

import Milter
from antispam.journey.delivery import Outcome
from antispam.journey.session import OutOfOrder
from antispam.mail.connection import Connection
from antispam.mail.draft import InsertHeader
from antispam.mail.verdicts import CONTINUE, tempfail
from antispam.service.activity import Activity
from antispam.service.libmilter_session import milter_class
from antispam.settings.program import RejectAt


class _Context:
    """An MTA that tells no macros and takes no answers."""

    def setpriv(self, value):
        pass

    def getsymval(self, name):
        return None


class _FailingSession:
    def mail(self, *arguments):
        raise OSError("broken")

    def end(self, *arguments, **named):
        raise OSError("broken")


@pytest.mark.parametrize(
    ("reject_at", "asks_recipients", "silent"),
    [("now", True, set()), ("rcpt", False, {"MAIL"}), ("end", True, {"MAIL"}), ("end", False, {"MAIL", "RCPT"})],
)
def test_the_mta_waits_only_where_something_may_be_refused(reject_at, asks_recipients, silent):
    milter = milter_class(_FailingSession, Activity(), RejectAt(reject_at), asks_recipients=asks_recipients)()
    milter._setctx(_Context())
    options = [Milter.CURR_ACTS & ~Milter.SETSYMLIST, Milter.CURR_PROT, 0, 0]
    milter.negotiate(options)
    bits = {"MAIL": Milter.P_NR_MAIL, "RCPT": Milter.P_NR_RCPT}
    assert {step for step, bit in bits.items() if options[1] & bit} == silent


def test_a_stop_does_not_wait_for_a_message_that_ended_in_an_exception():
    activity = Activity()
    milter = milter_class(_FailingSession, activity, RejectAt.RCPT)()
    milter._setctx(_Context())
    with pytest.raises(OSError, match="broken"):
        milter.envfrom("<ann@example.org>")
    assert activity.load().messages == 1  # nobody answered it: the MTA goes on with it or gives it up
    with pytest.raises(OSError, match="broken"):
        milter.eom()
    assert activity.load()[:2] == (1, 0)


@pytest.mark.parametrize(
    ("step", "arguments"), [("connect", ("mail.example", 2, ("192.0.2.1", 25))), ("hello", ("mail.example",))]
)
def test_no_mail_is_taken_from_a_client_whose_greeting_failed(step, arguments):
    """The core drops an exception where the MTA does not wait; the checks would judge a client of whom they know nothing."""
    milter = milter_class(_FailingSession, Activity(), RejectAt.RCPT)()
    milter._setctx(_Context())
    with pytest.raises(AttributeError):
        getattr(milter, step)(*arguments)
    with pytest.raises(RuntimeError, match=f"{step} failed"):
        milter.envfrom("<ann@example.org>")


class _WatchingSession:
    """Notes for each step whether the supervisor would see it hang."""

    def __init__(self, activity):
        self._activity = activity
        self.seen = {}

    def __getattr__(self, step):
        def note(*arguments, **named):
            self.seen[step] = self._activity.load().oldest > 0
            raise InterruptedError(step)

        return note


@pytest.mark.parametrize(
    ("callback", "arguments", "step"),
    [
        ("connect", ("mail.example", 2, ("192.0.2.1", 25)), "connect"),
        ("hello", ("mail.example",), "helo"),
        ("envfrom", ("<ann@example.org>",), "mail"),
        ("envrcpt", ("<bob@example.com>",), "rcpt"),
        ("data", (), "data"),
        ("eom", (), "end"),
        ("abort", (), "abort"),
        ("close", (), "close"),
    ],
)
def test_the_supervisor_sees_a_hang_in_every_step(callback, arguments, step):
    activity = Activity()
    session = _WatchingSession(activity)
    milter = milter_class(lambda: session, activity, RejectAt.DATA)()
    milter._setctx(_Context())
    milter.progress = lambda: None
    with contextlib.suppress(InterruptedError, RuntimeError):
        getattr(milter, callback)(*arguments)
    assert session.seen == {step: True}
    assert activity.load().oldest == 0


@pytest.mark.parametrize(
    ("callback", "arguments", "answer"),
    [
        ("envrcpt", ("<bob@example.com>",), Milter.TEMPFAIL),
        ("data", (), Milter.TEMPFAIL),
        ("eom", (), Milter.TEMPFAIL),
        ("header", ("Subject", b"x"), Milter.CONTINUE),
        ("header_fields", ([(b"Subject", b"x")],), Milter.CONTINUE),
        ("body", (b"x",), Milter.CONTINUE),
    ],
)
def test_a_step_out_of_order_has_an_answer_and_a_line_and_no_traceback(callback, arguments, answer, caplog):
    milter = milter_class(_Lost, Activity(), RejectAt.DATA)()
    milter._setctx(_Context())
    milter._protocol = 0
    assert getattr(milter, callback)(*arguments) == answer
    assert f"{callback} came out of order" in caplog.text
    assert not any(record.exc_info for record in caplog.records)


class _Lost:
    """A session without a message."""

    connection = Connection(ref="c0ffee")

    def __getattr__(self, step):
        def fail(*arguments, **named):
            raise OutOfOrder("no message is in progress")

        return fail


class _Ending:
    """A session whose message ends with one edit; notes what it hears of it."""

    def __init__(self):
        self.heard = []

    def end(self, queue_id, tick):
        tick()
        return Outcome(CONTINUE, (InsertHeader("X-A", "1"), InsertHeader("X-B", "2")))

    def taken(self):
        self.heard.append("taken")

    def refused(self, why):
        self.heard.append(why)
        return tempfail("Later.", why, enhanced="4.3.0")


def _at_its_end(fails):
    """The milter after the end of a message, what it answered, and what was asked of the MTA, which fails from there on."""
    asked = []

    class Mta(_Context):
        def addheader(self, name, value, index=-1):
            asked.append(name)
            if name == fails:
                raise Milter.error(f"cannot add {name}")

        def setreply(self, *arguments):
            asked.append(arguments)

        def progress(self):
            asked.append("progress")
            if fails == "progress":
                raise Milter.error("cannot notify progress")

    session = _Ending()
    made = milter_class(lambda: session, Activity(), RejectAt.RCPT)()
    made._setctx(Mta())
    made._protocol, made._actions = 0, Milter.CURR_ACTS & ~(Milter.ADDHDRS if fails == "actions" else 0)
    return session.heard, made.eom(), asked


def test_the_session_hears_that_all_changes_were_made():
    assert _at_its_end("") == (["taken"], Milter.CONTINUE, ["progress", "X-A", "X-B"])


def test_an_mta_that_does_not_hear_that_work_goes_on_ends_no_check():
    """It ended in a traceback, and in the policy for defects of ours."""
    assert _at_its_end("progress") == (["taken"], Milter.CONTINUE, ["progress", "X-A", "X-B"])


def test_a_change_that_the_mta_refuses_defers_the_message_and_the_session_hears_why():
    why = "the MTA did not accept a change: cannot add X-A"
    reply = ("451", "4.3.0", "Later.")
    assert _at_its_end("X-A") == ([why], Milter.TEMPFAIL, ["progress", "X-A", reply])


def test_a_change_that_the_mta_never_offered_defers_the_message_too():
    heard, answer, _ = _at_its_end("actions")
    assert (answer, [why.split(":")[0] for why in heard]) == (Milter.TEMPFAIL, ["the MTA did not accept a change"])
