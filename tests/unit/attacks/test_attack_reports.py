"""Reports of spam, and addresses that teach, in the hands of those who want the filter to learn something else."""

import contextlib
import time

from antispam.checks import feedback
from antispam.deadline import Deadline
from antispam.mail.verdicts import Action
from antispam.store import rates
from dspam.store import put_signature
from dspam.store.records import pack_keys
from support.dns import ScriptedResolver
from support.learning import teach
from support.whole_journey import COLLEAGUE, application, connected, send

ANN, TRAP = "ann@example.com", "trap@example.com"
CONFIG = f"""
[greylist]
mode = off
[dspam]
dspam_users = ann
ann = {ANN}
spam = spam@example.com
ham = ham@example.com
honeypot = {TRAP}
"""
HEADERS = [(b"From", b" Ann <ann@example.com>"), (b"Subject", b" Fwd: WIN"), (b"Content-Type", b" message/rfc822")]


def forward(number, more=b""):
    return b"From: a@spam.example\r\nSubject: WIN %d\r\n%b\r\nBuy pills %d, cheap\r\n" % (number, more, number)


@contextlib.contextmanager
def started(folder, config=""):
    with application(folder, ScriptedResolver(), CONFIG + config) as app:
        yield app


def report(app, body, recipients=("spam@example.com",)):
    return send(connected(app, COLLEAGUE), HEADERS, body, ANN, recipients)


def totals(app, user="ann"):
    return app.dictionaries.make(user).totals(Deadline.after(60))


def test_reports_that_come_at_the_same_time_are_limited_like_others(tmp_path):
    """All are past RCPT before the first one counts."""
    with started(tmp_path, "report_rate = 3\n") as app:
        sessions = [connected(app, COLLEAGUE) for _ in range(10)]
        for one in sessions:
            one.mail(ANN)
            assert one.rcpt("spam@example.com").action is Action.CONTINUE
        actions = []
        for number, one in enumerate(sessions):
            for name, value in HEADERS:
                one.header(name, value)
            one.body(forward(number))
            actions.append(one.end().verdict.action)
        assert actions == [Action.DISCARD] * 3 + [Action.TEMPFAIL] * 7
        assert totals(app) == (3, 0)


def test_mail_that_reports_nothing_counts_as_a_report(tmp_path):
    """To look for one costs as much as to find it."""
    with started(tmp_path, "report_rate = 2\n") as app:
        answers = [send(connected(app, COLLEAGUE), [], b"hello\r\n", ANN, ["spam@example.com"]) for _ in range(3)]
        assert answers[-1].action is Action.TEMPFAIL


def test_a_report_to_a_thousand_forms_of_the_address_is_read_once(tmp_path, monkeypatch):
    read = []
    with started(tmp_path) as app:
        reported = feedback.reported
        monkeypatch.setattr(feedback, "reported", lambda raw: read.append(len(raw)) or reported(raw))
        outcome = report(app, forward(1), [f"spam+{number}@example.com" for number in range(1000)])
        assert outcome.verdict.action is Action.DISCARD
        assert len(read) == 1
        assert rates.used(app.store, "report ann", time.time(), 3600.0) == 1


def test_a_signature_that_a_spammer_quotes_does_not_make_spam_of_honest_mail(tmp_path):
    """He knows it from an answer of the victim's, and writes it where it is found before ours."""
    honest, spam = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
    with started(tmp_path) as app:
        ann = app.dictionaries.make("ann")
        put_signature(app.store, ann.number, honest, pack_keys([1, 2, 3]), now=1000.0)
        put_signature(app.store, ann.number, spam, pack_keys([4, 5, 6]), now=2000.0)
        ann.learn(honest, [1, 2, 3], False)
        tags = b"<!DSPAM:%b>\r\n<!DSPAM:%b>\r\n" % (spam.encode(), honest.encode())
        report(app, forward(1) + tags)
        assert totals(app) == (1, 1)


def test_a_stranger_teaches_by_the_honeypot_no_more_than_a_user_may(tmp_path):
    with started(tmp_path, "report_rate = 3\n") as app:
        teach(app.store, number=5)
        for number in range(6):
            send(connected(app), [(b"From", b" x@example.net")], b"lunch %d\r\n" % number, recipients=[TRAP])
        assert totals(app, "site") == (8, 5)


def test_a_report_of_many_messages_teaches_no_more_than_the_rate_allows(tmp_path):
    """Not its last message alone, which the rate was passed with before."""
    parts = b"".join(b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + forward(number) for number in range(9))
    headers = [*HEADERS[:2], (b"Content-Type", b" multipart/mixed; boundary=b")]
    with started(tmp_path, "report_rate = 4\n") as app:
        report(app, forward(100))
        send(connected(app, COLLEAGUE), headers, parts + b"--b--\r\n", ANN, ("spam@example.com",))
        assert totals(app) == (4, 0)
