"""Recipients of one message who want different things: nobody may get what was kept from him, and nothing may be lost."""

import contextlib
import math
import time

from antispam.checks.dspam import MAX_USERS
from antispam.deadline import Deadline
from antispam.learning import people
from antispam.mail.draft import DeleteRecipient
from antispam.mail.verdicts import Action
from antispam.store import outbox, preferences
from antispam.store.preferences import Preference, Scope
from support.dns import ScriptedResolver
from support.learning import teach
from support.whole_journey import application, connected, send

ANN, BOB, TRAP = "ann@example.com", "bob@example.com", "trap@example.com"
CONFIG = f"""
[greylist]
mode = off
[dspam]
dspam_users = ann, bob
ann = {ANN}
bob = {BOB}
honeypot = {TRAP}
signature_location = message
"""
SPAM = [(b"From", b" Pills <win3@spam.example>"), (b"Subject", b" WIN 3")]
TEXT = b"Buy cheap pills now, offer 3, click here!\r\n"


@contextlib.contextmanager
def taught(folder, config=""):
    """bms.py's application, whose screener knows spam, and two users who want their copies in two forms."""
    with application(folder, ScriptedResolver(), CONFIG + config) as app:
        teach(app.store)
        preferences.put(app.store, Preference(Scope.USER, "ann", "signatureLocation", "headers"))
        yield app


def test_of_a_held_message_no_copy_goes_by_another_way(tmp_path):
    """A copy in the outbox would reach its recipient at once, with nobody having looked at it."""
    with taught(tmp_path, "spam_action = hold\n") as app:
        outcome = send(connected(app), SPAM, TEXT, recipients=[ANN, BOB])
        assert outcome.verdict.action is Action.HOLD
        assert outbox.entries(app.store, time.time()) == []
        assert "DeleteRecipient" not in [type(edit).__name__ for edit in outcome.edits]


def test_a_copy_that_we_send_ourselves_has_crlf_as_its_only_line_end(tmp_path):
    """sendmail and Postfix refuse others from a client, and the copy would never arrive."""
    with taught(tmp_path) as app:
        headers = [*SPAM, (b"X-Odd", b" one\rtwo")]
        send(connected(app), headers, b"Buy cheap\npills\rnow\n.\nclick here!\r\r\n", recipients=[ANN, BOB])
        content = outbox.claim(app.store, time.time(), 60.0).content
    assert b"\r\n.\r\n" in content
    rest = content.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest


def test_what_came_to_a_honeypot_alone_is_learned(tmp_path):
    with taught(tmp_path) as app:
        assert send(connected(app), SPAM, TEXT, recipients=[TRAP]).verdict.action is Action.DISCARD
        assert app.dictionaries.make("site").totals(Deadline.after(60)) == (121, 120)


def test_of_a_thousand_users_the_database_is_asked_with_few_queries(tmp_path, monkeypatch):
    """One query each took so long that sendmail gave the filter up, and what was stored by then came twice."""
    asked = []
    of_user = people.of_user
    monkeypatch.setattr(people, "REMEMBERED", math.inf)  # on a slow machine the message takes longer
    monkeypatch.setattr(people, "of_user", lambda store, user, deadline: asked.append(user) or of_user(store, user))
    users = [f"u{number}" for number in range(1000)]
    names = "".join(f"{user} = {user}@example.org\n" for user in users)
    config = CONFIG.replace("dspam_users = ann", f"{names}dspam_users = {', '.join(users)}, ann")
    with application(tmp_path, ScriptedResolver(), config) as app:
        teach(app.store)
        preferences.put(app.store, Preference(Scope.USER, "u999", "spamAction", "quarantine"))
        outcome = send(connected(app), SPAM, TEXT, recipients=[f"{user}@example.org" for user in users])
    assert outcome.edits[-1] == DeleteRecipient("<u999@example.org>")
    assert len(asked) <= MAX_USERS + 1  # those whose own dictionaries are asked
