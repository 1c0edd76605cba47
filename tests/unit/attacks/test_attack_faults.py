"""A defect in any function of any check costs a message what on_error says, and nothing else.

The attack: mail that makes a check raise, in the hope that it is then let through, or that the filter dies.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bms import JOURNEY

from antispam.checks import dspam as dspam_check
from antispam.checks import fingerprints, spam_action
from antispam.checks._shared.own_lists import OwnListFinding
from antispam.journey.delivery import Outcome
from antispam.journey.session import Session
from antispam.journey.table import Row
from antispam.learning.teacher import Teacher
from antispam.mail.evidence import OwnEnvelopeFinding
from antispam.mail.findings import Finding
from antispam.mail.message import split_message
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.callback_dialogue import Outcome as CallOutcome
from antispam.protocols.callback_dialogue import Verification
from antispam.service.application import Application
from antispam.settings import OnError
from antispam.store.callbacks import remember
from antispam.store.lists import Kind, add
from support.clamd import FakeClamd
from support.dns import ScriptedResolver
from support.signing import SigningKey
from support.whole_journey import COLLEAGUE, STRANGER, Clock, application, connected, send

HEADERS = [
    (b"From", b" ann@example.net"),
    (b"MIME-Version", b" 1.0"),
    (b"Content-Type", b" application/octet-stream; name=game.exe"),
]
FORWARD = b"-------- Forwarded Message --------\r\nFrom: win@spam.example\r\nSubject: WIN\r\n\r\nBuy pills.\r\n"
REPORT = {"headers": HEADERS[:1], "body": FORWARD, "recipients": ("spam@example.com",)}
KEY = SigningKey.make("s1", "example.net", "rsa")
# What the checks ask about that an ordinary message gives no reason to.
SPECIAL: dict[str, dict[str, Any]] = {
    "spf_fail": {"sender": "ann@elsewhere.example"},
    "rules": {"headers": HEADERS[:1]},
    "impersonation": {"headers": [(b"From", b" ann@examp1e.com")]},
    "arc": {"headers": [(b"ARC-Seal", b" i=1"), *HEADERS]},
    "forged_marks": {"headers": [(b"X-Spam-Flag", b" NO"), *HEADERS]},
    "own_mail": {"headers": [(b"X-BMS-Pass", b" 1.00"), *HEADERS]},
    "training_address": REPORT,
    "feedback": REPORT,
    "blacklisted": {"sender": "win@spam.example"},
    "login_domain": {"login": "ann"},
    "srs": {"sender": "", "recipients": ("bob@signed.example",)},
    "private_relay": {"recipients": ("x@private.example",)},
    "known_user": {"recipients": ("carl@known.example",)},
    "words": {"headers": [(b"Subject", b" XYZZY")]},
    "languages": {"headers": [(b"Subject", " 你好".encode())]},
    "header_oddities": {"headers": [*HEADERS, (b"Bad Name", b" x")]},
    "block_forward": {"headers": [(b"Subject", b" Fwd: x")], "recipients": ("hater@example.com",)},
    "author_signs": {"headers": [(b"From", b' "help@bank.example" <ann@example.net>')]},
    "content_signs": {"headers": [*HEADERS, (b"Subject", " 𝐘𝐨𝐮𝐫 parcel".encode())]},
    "link_signs": {"headers": HEADERS[:1], "body": b"Log in: http://192.0.2.7/login\r\n"},
    "author_domain": {"headers": [(b"From", b" eve@example.org")]},
    "callback": {"sender": "ann@cbv.example"},
    "dsn": {"sender": "ann@dsn.example"},
    "wiretap": {"sender": "tapped@example.net"},
    "smart_alias": {"sender": "client@client.example"},
    "scrub": {"headers": [(b"Received", b" from pc"), *HEADERS], "recipients": ("x@hidden.example",)},
    "auto_whitelist": {"sender": "tapped@example.net"},
    "srs_sign": {"sender": "ann@signed.example"},
}
# What a row is taken to have found, where that would need mail of our own outbox, or reports of many.
FOUND: dict[str, Finding] = {
    "own_envelope": OwnEnvelopeFinding(),
    "fingerprints": fingerprints.Finding(),
    "own_lists": OwnListFinding(),
}
FROM_INSIDE = (
    *("dkim_sign", "training_address", "feedback", "internal_policy", "private_relay", "author_domain", "scrub"),
    *("auto_whitelist", "srs_sign"),
)
# They ask at the end of a message that no greylist knows.
NOT_GREYLISTED = (
    *(
        "blacklisted",
        "words",
        "languages",
        "header_oddities",
        "block_forward",
        "callback",
        "dsn",
        "wiretap",
        "smart_alias",
    ),
    "reputation_signed",
    "spf_fail",
)
EXEMPT = "198.51.100.99"
USERS = """
[dspam]
dspam_dict = site
dspam_users = ann
ann = ann@example.net
spam = spam@example.com
whitelist_senders = tapped@example.net
[greylist]
exempt_clients = 198.51.100.99
[milter]
internal_domains = inside.example
internal_mta = 10.1.2.3
private_relay = private.example
check_user = carl@known.example
[srs]
secret = shhhh!
ses = signed.example
[defang]
spam_words = XYZZY
block_chinese = yes
block_forward = hater@example.com
[bans]
learn = yes
[header_oddities]
invalid_name = reject
[author_domain]
domains = example.net, signed.example
remedy = fix
[scrub]
internal_policy = yes
hide_path = hidden.example
[wiretap]
users = tapped@example.net
dest = spy@example.net
archive = {folder}/archive
[smart_alias]
other = client@client.example, bob@example.com
[spf]
access_file = {folder}/access
[dkim_sign]
keys = example.net s1 {folder}/key
[arc]
seal = all
[antivirus]
clamd = local:{folder}/clamd
[rates]
client = 100000
[dnsbl]
zones = list
[dnsbl list]
zone = bl.example
codes = 127.0.0.2 LISTED 0
refuse = yes
"""
# What a row needs to be in force, or to have something to find.
MORE = {
    "greylist": "[greylist]\nwhen = always\n",
    "greylist_suspicious": "[score]\ngreylist = 1\n",
    "rules": "[rules]\nfile = {folder}/rules\n",
    **dict.fromkeys(
        ("impersonation", "author_signs", "content_signs", "link_signs"), "[score]\ngreylist = never\nrefuse = never\n"
    ),
}
ACCESS = "SPF-None:cbv.example  CBV\nSPF-None:dsn.example  DSN\n"
FAULTS = [(row, part) for row in JOURNEY.rows for part in ("collect", "decide", "act") if hasattr(row.check, part)]


class Defect(Exception):
    pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Application]:
    key = tmp_path / "key"
    key.write_text(KEY.private_pem)
    key.chmod(0o600)
    (tmp_path / "access").write_text(ACCESS)
    (tmp_path / "rules").write_text("[HELLO]\ntext = /Hello/\npoints = 0.1\n")
    elsewhere = {"elsewhere.example": {"TXT": ("v=spf1 ip4:192.0.2.1 -all",)}}
    listed = {f"{octets}.bl.example": {"A": ("127.0.0.2",)} for octets in ("7.100.51.198", "99.100.51.198")}
    resolver = ScriptedResolver({"s1._domainkey.example.net": {"TXT": (KEY.record,)}, **elsewhere, **listed})
    row = request.node.callspec.params.get("row") if hasattr(request.node, "callspec") else None
    config = USERS.format(folder=tmp_path) + (MORE.get(row.check.NAME, "").format(folder=tmp_path) if row else "")
    with FakeClamd(tmp_path / "clamd"), application(tmp_path, resolver, config, clock) as made:
        for sender in ("ann@cbv.example", "ann@dsn.example"):
            remember(made.store, sender, Verification(CallOutcome.OK, "250 ok", "mx.example", False), clock(), 86400.0)
        add(made.store, Kind.BLACKLIST, "win@spam.example", reason="why", by="test", now=clock())
        Teacher(made.store).teach(b"Subject: lunch\r\n\r\nToday?\r\n", False)  # until then [dspam] has nothing to say
        yield made


def _special(name: str) -> dict[str, Any]:
    if name != "reputation_signed":
        return SPECIAL.get(name, {})
    headers, body = split_message(KEY.sign(b"From: ann@example.net\r\nSubject: x\r\n\r\nHello\r\n"))
    return {"headers": [(header.name, header.value) for header in headers], "body": body}


def _known(app: Application, clock: Clock, ip: str) -> Session:
    """A session whose message would be accepted: it has waited out the greylist."""
    session = connected(app, ip)
    send(session, HEADERS)
    clock.ahead += 400
    assert isinstance(send(session, HEADERS), Outcome)
    return session


@pytest.mark.parametrize(("row", "part"), FAULTS, ids=[f"{row.check.NAME}-{part}" for row, part in FAULTS])
def test_a_defect_follows_on_error_and_is_logged_once(
    app: Application,
    clock: Clock,
    row: Row,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = row.check.NAME
    ip = COLLEAGUE if name in FROM_INSIDE else EXEMPT if name in NOT_GREYLISTED else STRANGER
    session = _known(app, clock, ip)
    raised = []

    def fail(*args: object) -> None:
        raised.append(part)
        raise Defect("a defect\n2026-01-01 ACCEPT forged")

    caplog.clear()
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        if part == "decide" and name in FOUND:
            patch.setattr(row.check, "collect", lambda *args: FOUND[name])
        patch.setattr(row.check, part, fail)
        result = send(connected(app, ip), **{"headers": HEADERS, **_special(name)})
    verdict = result if isinstance(result, Verdict) else result.verdict
    assert raised == [part]
    assert [record for record in caplog.records if record.exc_info] != []
    assert len([record for record in caplog.records if record.exc_info]) == 1
    match app.settings[row.check.Settings].on_error:
        case OnError.TEMPFAIL:
            assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.3.0")
        case OnError.ACCEPT if (row.check.NAME, part) == ("training_address", "decide"):
            assert verdict.action is Action.DISCARD  # the report is learned, as if nobody had asked
        case OnError.ACCEPT:
            assert verdict.action is Action.CONTINUE
    assert "Defect" not in verdict.text
    assert isinstance(send(session, HEADERS), Outcome), "the next message is judged as ever"


def test_a_defect_in_what_makes_copies_differ_costs_a_copy_of_one_s_own(
    app: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = _known(app, clock, STRANGER)

    def fail(finding: object) -> None:
        raise Defect

    monkeypatch.setattr(spam_action, "content", fail)
    caplog.clear()
    outcome = send(session, HEADERS, recipients=("bob@example.com",))
    assert isinstance(outcome, Outcome)
    assert outcome.verdict.action is Action.CONTINUE
    assert "ERROR spam_action: unexpected Defect" in caplog.text


def test_a_defect_in_what_follows_a_message_costs_nothing(
    app: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = _known(app, clock, STRANGER)

    def fail(*args: object) -> None:
        raise Defect

    monkeypatch.setattr(dspam_check, "afterwards", fail)
    caplog.clear()
    outcome = send(session, HEADERS)
    assert isinstance(outcome, Outcome)
    assert outcome.verdict.action is Action.CONTINUE
    assert "ERROR dspam: unexpected Defect" in caplog.text
