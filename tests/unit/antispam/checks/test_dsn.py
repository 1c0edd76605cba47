"""Who is written to, who is not, and what follows from a failure that comes back."""

from __future__ import annotations

import random
import secrets

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from antispam.checks._shared.callback.settings import CallbackSettings, DsnSettings
from antispam.checks.dsn import SECRET, Finding, afterwards, collect, decide
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import AuthFinding, CallbackFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.verdicts import Action, discard, quarantine
from antispam.protocols import notice_id
from antispam.protocols.callback_dialogue import Outcome
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import default_settings, load_text
from antispam.store import StoreError, callbacks, lists, outbox
from support.dns import ScriptedResolver

NOW = 1_700_000_000.0
EXISTS = CallbackFinding(word="DSN", tag="spf-neutral", outcome=Outcome.OK)


def spf(result):
    outcome = SpfResult(
        result=Result(result),
        identity="mailfrom",
        domain="example.org",
        mailfrom="ann@example.org",
        helo="h",
        ip="192.0.2.1",
    )
    return SpfFinding(mailfrom=outcome)


def message(*fields, sender="ann@example.org", found=EXISTS, result="neutral", body=b"Hello\r\n", to="bob@example.com"):
    it = Message("ref", sender, NOW, Body(1 << 20), findings=Findings(own=[spf(result), *([found] if found else [])]))
    it.recipients.append(Recipient(to))
    it.headers += [Header(b"From", b" a@example.org"), Header(b"Subject", b" lunch"), *fields]
    it.body.write(body)
    return it


def services(store, now=NOW, sign=None, **settings):
    default = default_settings([DsnSettings, CallbackSettings])
    return Services(
        settings=default.replaced(DsnSettings(**settings)),
        resolver=ScriptedResolver({}),
        store=store,
        access=EMPTY,
        clock=lambda: now,
        deadline=Deadline.after(60),
        **({"sign": sign} if sign else {}),
    )


def collected(store, it, **settings):
    connection = Connection("c", ip="192.0.2.1", helo="mail.example.org", receiver="mx.example.com")
    return collect(connection, it, None, services(store, **settings))


def queued_messages(store):
    return outbox.entries(store, NOW)


def take(store, it, now=NOW, sign=None, **settings):
    finding = collected(store, it, now=now, **settings)
    if finding is not None:
        afterwards(finding, it, services(store, now, sign, **settings))
    return finding


def test_a_sender_who_exists_is_written_to(store):
    assert take(store, message()).template == "neutral"
    (queued,) = queued_messages(store)
    assert (queued.kind, queued.mail_from, queued.recipients, queued.ref) == ("dsn", "", ("ann@example.org",), "ref")
    content = outbox.entry(store, queued.id, NOW).content
    assert b"From: Mail Delivery System <postmaster@mx.example.com>\r\n" in content
    assert notice_id.find(content, callbacks.secret(store, SECRET, NOW), NOW) == "ann@example.org"


@pytest.mark.parametrize(
    "found",
    [
        None,
        CallbackFinding(word="CBV", tag="spf-neutral", outcome=Outcome.OK),
        CallbackFinding(word="DSN", tag="spf-softfail", skipped="SPF softfail", outcome=Outcome.OK),
        CallbackFinding(word="DSN", tag="spf-neutral", outcome=Outcome.TEMPORARY),
        CallbackFinding(word="DSN", tag="spf-neutral", outcome=Outcome.UNKNOWN),
        CallbackFinding(word="DSN", tag="spf-neutral", outcome=Outcome.FAILED),
    ],
)
def test_nobody_else_is(store, found):
    assert take(store, message(found=found)) is None
    assert queued_messages(store) == []


@pytest.mark.parametrize(
    "field",
    [
        Header(b"Auto-Submitted", b" auto-replied"),
        Header(b"Precedence", b" bulk"),
        Header(b"List-Id", b" <x.example.org>"),
        Header(b"X-Auto-Response-Suppress", b" All"),
    ],
)
def test_what_a_program_sent_is_not_answered(store, field):
    assert take(store, message(field)) is None


def test_fields_of_a_resender_do_not_hide_that_a_program_sent_it(store):
    resent = (Header(b"Resent-From", b" x@example.org"), Header(b"Resent-To", b" x@example.org"))
    assert take(store, message(*resent, Header(b"Auto-Submitted", b" auto-replied"))) is None


@pytest.mark.parametrize(
    "sender", ["", "mailer-daemon@example.org", "no-reply@example.org", "x-bounces@example.org", "a b@example.org"]
)
def test_some_senders_are_never_written_to(store, sender):
    assert take(store, message(sender=sender)) is None


def test_a_sender_in_the_recipients_domain_is_not_written_to(store):
    assert take(store, message(sender="ann@sub.example.com")) is None


def test_our_own_users_are_not_written_to(store):
    it = message()
    it.findings.add(AuthFinding(login="ann"))
    assert take(store, it) is None


def test_one_a_day(store):
    take(store, message())
    take(store, message())
    other = message()
    other.ref = "other"
    take(store, other, now=NOW + 86399)
    assert len(queued_messages(store)) == 1
    third = message()
    third.ref = "third"
    take(store, third, now=NOW + 86400)
    assert len(queued_messages(store)) == 2


def test_a_notice_is_signed(store):
    take(store, message(), sign=lambda queued, services: b"DKIM-Signature: x\r\n" + queued)
    assert outbox.entry(store, queued_messages(store)[0].id, NOW).content.startswith(b"DKIM-Signature: x\r\n")


def test_it_may_be_from_somebody_else(store):
    take(store, message(), sender="helpdesk@example.com")
    assert b"<helpdesk@example.com>" in outbox.entry(store, queued_messages(store)[0].id, NOW).content


# --- the quarantine ---


def quarantined(**more):
    it = message(found=None, **more)
    it.recipients[0].decisions.append(Decision("spam_action", quarantine("spam")))
    return it


def test_a_proved_sender_may_be_told_of_the_quarantine(store):
    take(store, quarantined(result="pass"), quarantine=True)
    (queued,) = queued_messages(store)
    assert b"quarantine" in outbox.entry(store, queued.id, NOW).content


def test_by_default_he_is_not(store):
    take(store, quarantined(result="pass"))
    assert queued_messages(store) == []


def test_who_is_not_proved_never_is(store):
    for result in ("none", "neutral", "softfail", "fail"):
        take(store, quarantined(result=result), quarantine=True)
    assert queued_messages(store) == []


def test_who_is_delivered_is_no_reason_to_write(store):
    take(store, message(found=None, result="pass"), quarantine=True)
    assert queued_messages(store) == []


def test_nobody_is_told_of_a_message_that_was_dropped(store):
    it = message()
    it.recipients[0].decisions.append(Decision("spam_action", discard("honeypot")))
    take(store, it)
    other = message()
    other.decisions.append(Decision("wiretap", discard("discard_users")))
    take(store, other, quarantine=True)
    assert queued_messages(store) == []


def test_a_notice_names_those_who_get_the_message(store):
    it = message()
    it.recipients.append(Recipient("carol@example.com"))
    it.recipients[0].decisions.append(Decision("spam_action", quarantine("spam")))
    take(store, it)
    content = outbox.entry(store, queued_messages(store)[0].id, NOW).content
    assert b"carol@example.com" in content
    assert b"bob@example.com" not in content


def test_a_notice_that_says_the_message_was_taken_is_not_sent_where_it_was_kept_from_all(store):
    it = quarantined()
    it.findings.add(EXISTS)
    take(store, it)
    assert queued_messages(store) == []


# --- what comes back ---


def failure(
    store,
    body=None,
    sender="",
    subject=b" Undelivered",
    kind=b" multipart/report; boundary=x",
    address="ann@example.org",
):
    name = notice_id.signed(address, "mx.example.com", callbacks.secret(store, SECRET, NOW), NOW).encode()
    content = body or b"--x\r\n\r\nAction: failed\r\n--x\r\nMessage-ID: " + name + b"\r\n--x--\r\n"
    it = message(Header(b"Content-Type", kind), sender=sender, found=None, body=content.replace(b"{name}", name))
    it.headers[1] = Header(b"Subject", subject)
    return it


@pytest.mark.parametrize("sender", ["", "mailer-daemon@example.org", "MAILER-DAEMON@mx.example.org"])
def test_a_failure_is_dropped_and_blacklists_the_sender(store, sender):
    finding = take(store, failure(store, sender=sender))
    assert finding.failed == "ann@example.org"
    assert decide(finding, Findings(), DsnSettings(), EMPTY).action is Action.DISCARD
    assert lists.find(store, [(lists.Kind.BLACKLIST, "ann@example.org")], NOW + 29 * 86400)
    assert callbacks.recall(store, "ann@example.org", NOW + 1).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("subject", "kind", "body", "known"),
    [
        (b" failure notice", b" text/plain", b"Sorry.\r\n\r\nMessage-ID: {name}\r\n", True),
        (b" Returned mail: see transcript", b" text/plain", b"Message-ID: {name}\r\n", True),
        (b" I am away", b" text/plain", b"You wrote:\r\n> Message-ID: {name}\r\n", False),
        (b" x", b" multipart/report; boundary=x", b"Action: delayed\r\nMessage-ID: {name}\r\n", False),
        (b" Undelivered", b" multipart/report; boundary=x", b"Action: failed\r\nMessage-ID: <dsn.a.1.b@x>\r\n", False),
    ],
)
def test_what_is_a_failure(store, subject, kind, body, known):
    finding = take(store, failure(store, body, subject=subject, kind=kind))
    assert (finding is not None) is known


def test_an_ordinary_sender_reports_no_failure(store):
    assert take(store, failure(store, sender="eve@example.net")) is None


def test_a_soft_line_break_does_not_hide_it(store):
    name = notice_id.signed("ann@example.org", "mx.example.com", callbacks.secret(store, SECRET, NOW), NOW).encode()
    body = b"Action: failed\r\n\r\nMessage-ID: " + name[:40] + b"=\r\n" + name[40:] + b"\r\n"
    assert take(store, failure(store, body)).failed == "ann@example.org"


def test_an_address_that_can_not_be_listed_harms_nothing(store):
    assert take(store, failure(store, address="nobody")).failed == "nobody"


def test_a_store_that_is_gone_is_an_error_of_the_check(store, monkeypatch):
    it = failure(store)

    def gone(*args):
        raise StoreError("gone")

    monkeypatch.setattr(callbacks, "secret", gone)
    assert collected(store, it).error == "dsn: gone"


def test_a_store_that_goes_away_harms_no_message(store, monkeypatch):
    finding = collected(store, message())
    for _ in range(3):
        store.breaker.failed()
    afterwards(finding, message(), services(store))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.binary(max_size=200)), max_size=8),
    st.binary(max_size=500),
)
@example(
    [(b"Subject", b" =?utf-8?b?////?= \xff\r\n\tBcc: x"), (b"Content-Type", b"multipart/report")],
    b"Action: failed\r\n<dsn.",
)
def test_whatever_a_message_contains_a_notice_of_it_is_one(store, headers, body):
    fields = [Header(name, value) for name, value in headers]
    for sender in ("", "ann@example.org"):
        it = message(*fields, sender=sender, body=body + b" <dsn.aaaa.20000." + b"a" * 32 + b"@x> failed")
        it.ref = secrets.token_hex(6)
        finding = collected(store, it)
        if finding is not None:
            assert finding.failed == finding.error == ""
            afterwards(finding, it, services(store, NOW + random.randrange(10**9)))
    for queued in queued_messages(store):
        content = outbox.entry(store, queued.id, NOW).content
        assert content.isascii()
        assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
        assert content.partition(b"\r\n\r\n")[0].count(b"\r\n") == 8
        outbox.delete(store, queued.id, NOW)


def test_findings_can_be_read_back():
    finding = Finding(template="none", proved=True, failed="x")
    assert Finding.from_json(finding.to_json()) == finding


def test_texts_of_ones_own_are_read_with_the_configuration(tmp_path):
    (tmp_path / "fail.txt").write_text("Subject: mine\n\nHello\n")
    settings = load_text(f"[dsn]\ntemplates = {tmp_path}\n", [DsnSettings])[DsnSettings]
    assert settings.templates.fill("fail", {})["Subject"] == "mine"
    with pytest.raises(ValueError, match="no folder"):
        load_text("[dsn]\ntemplates = /nowhere/at/all\n", [DsnSettings])
