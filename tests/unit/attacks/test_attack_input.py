"""Arbitrary and pathological input through the whole journey: no exception, no forged line, bounded time and questions."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import authres
import authres.core
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antispam.journey.delivery import Outcome
from antispam.mail.draft import AppendHeader, ChangeHeader, InsertHeader
from antispam.mail.message import Auth
from antispam.mail.verdicts import Action, Verdict
from antispam.service.application import Application
from antispam.service.logs import Formatter
from support.dns import ScriptedResolver, loopback_nameserver
from support.effort import in_proportion
from support.patience import quickest, took
from support.whole_journey import application, connected, send

# Nothing but the end of message shall refuse, so that every message reaches every check.
LENIENT = "log_headers = yes\n[helo]\nmode = log\n[greylist]\nmode = log\n[spf]\nmode = log\n[auth]\nmode = log\n"

# What parsers of addresses, results, signatures and MIME trip over.
_TRICKS = st.sampled_from(
    [
        b"a@evil.example", b"<", b">", b"(", b")", b'"', b"\\", b",", b";", b":", b"=", b"=?utf-8?B?!!?=", b"=?x?Q?=00=0A?=",
        b"\n ", b"\r\n\t", b"\r", b"\n", b"\0", b"\x1b[2J", b"\x7f", b"\xff", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"%s%n",
        b"%{d}", b"mx.example.test", b"; spf=pass", b"; dkim=pass header.d=bank.example", b"v=1", b"; a=rsa-sha256",
        b"; d=bank.example", b"; s=s1", b"; h=from", b"; bh=", b"; b=AAAA", b"; l=0", b"; t=y", b"multipart/mixed; boundary=x",
        b"message/rfc822", b"application/zip; name=a.zip", b"; filename*0*=utf-8''%", b"base64", b"..", b"/../",
        b"[red]", b"\xc3\xa9",
    ]
)  # fmt: skip
VALUES = st.lists(_TRICKS | st.binary(max_size=20), max_size=12).map(b"".join)
NAMES = st.sampled_from(
    [b"From", b"From ", b"fROM", b"Sender", b"To", b"Subject", b"Received", b"Received-SPF", b"Authentication-Results",
     b"DKIM-Signature", b"Content-Type", b"Content-Transfer-Encoding", b"Content-Disposition", b"MIME-Version", b"X-Odd"]
)  # fmt: skip
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
BODIES = st.lists(
    st.sampled_from(
        [b"--x\r\n", b"--x--\r\n", b"\r\n", b"PK\3\4", b"UEsDBA==", b"<script>", b"\n.\n", b"Content-Type: "]
    )
    | st.binary(max_size=30),
    max_size=15,
).map(b"".join)
TEXTS = st.text(max_size=40) | VALUES.map(lambda raw: raw.decode("utf-8", "surrogateescape"))


FIELD = "Authentication-Results"


class _Lines(logging.Handler):
    """What the log file would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Formatter("%(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("application")
    with application(folder, ScriptedResolver(), LENIENT) as made:
        yield made


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Application, ScriptedResolver]]:
    """With every check at its default, and a domain that everybody forges."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "access").write_text("smtp-auth:forbidden.example REJECT\n")
    resolver = ScriptedResolver({"fail.example": {"TXT": ["v=spf1 -all exp=why.fail.example"]}})
    with application(folder, resolver, f"[spf]\naccess_file = {folder}/access\n") as made:
        yield made, resolver


@pytest.fixture
def lines() -> Iterator[_Lines]:
    logger = logging.getLogger("antispam")
    handler, level = _Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def _demand_clean_reply(verdict: Verdict) -> None:
    for line in verdict.reply_lines():
        assert line.isascii(), line
        assert line.isprintable(), line
        assert len(line) <= 500


def _demand_clean_edits(outcome: Outcome) -> None:
    """No field that we write can end early or hold what ends an SMTP line."""
    for edit in outcome.edits:
        if isinstance(edit, InsertHeader | AppendHeader | ChangeHeader):
            value = edit.value or ""
            assert "\r" not in value
            assert "\0" not in value
            assert re.search(r"\n(?![ \t])", value) is None
            assert all(len(line.encode("utf-8", "surrogateescape")) <= 998 for line in value.split("\n"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(helo=TEXTS, sender=TEXTS, recipient=TEXTS, headers=HEADERS, body=BODIES)
def test_nothing_raises_and_nothing_gets_out(
    app: Application, lines: _Lines, helo: str, sender: str, recipient: str, headers: list[Any], body: bytes
) -> None:
    """Whatever a client says: no defect, one printable line of log a message, replies of US-ASCII, whole header fields."""
    lines.lines.clear()
    result = send(connected(app, helo=helo), headers, body, sender, [recipient])
    assert isinstance(result, Outcome), "every check was reached"
    _demand_clean_reply(result.verdict)
    _demand_clean_edits(result)
    assert not [line for line in lines.lines if line.startswith("ERROR")]
    assert all(line.isprintable() for line in lines.lines)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(helo=TEXTS, local=TEXTS, login=TEXTS, explanation=VALUES)
def test_a_refusal_is_plain_text_whatever_it_quotes(
    strict: tuple[Application, ScriptedResolver], helo: str, local: str, login: str, explanation: bytes
) -> None:
    """The sender's address, the HELO name, the login and the domain owner's DNS all find their way into replies."""
    app, resolver = strict
    resolver.zones["why.fail.example"] = {"TXT": [explanation]}
    forged = send(connected(app), [], sender=f"{local}@fail.example")
    assert isinstance(forged, Verdict)
    _demand_clean_reply(forged)
    misnamed = send(connected(app, helo=f"{helo} "), [])
    assert isinstance(misnamed, Verdict)
    _demand_clean_reply(misnamed)
    session = connected(app)
    session.mail(f"{local}@forbidden.example", auth=Auth(f"x{login}", "PLAIN"))
    refused = session.rcpt("bob@example.com")
    assert refused.action is Action.REJECT
    _demand_clean_reply(refused)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headers=HEADERS, body=BODIES, forged=VALUES)
def test_results_that_come_with_a_message_are_never_ours(
    app: Application, headers: list[Any], body: bytes, forged: bytes
) -> None:
    """The only Authentication-Results under our name is the one that we write: neither SPF nor DKIM can pass here."""
    claims = [(b"Authentication-Results", b" mx.example.test; spf=pass " + forged), (b"authentication-RESULTS", forged)]
    fields = [*claims, *headers]
    result = send(connected(app), fields, body)
    assert isinstance(result, Outcome)
    (ours,) = [edit.value for edit in result.edits if isinstance(edit, InsertHeader) and edit.name == FIELD]
    assert "spf=pass" not in ours.replace('"', "")
    assert not re.search(r"^\s*dkim=pass", ours, re.MULTILINE)
    for value in _left(fields, result):
        with contextlib.suppress(authres.core.SyntaxError, UnicodeDecodeError):
            found = authres.AuthenticationResultsHeader.parse_value(value.decode("ascii"))
            assert found.authserv_id.lower() != "mx.example.test"


def _left(fields: list[tuple[bytes, bytes]], outcome: Outcome) -> list[bytes]:
    """The Authentication-Results of a message which are still there after the edits."""
    left: list[bytes | None] = [value for name, value in fields if name.lower() == FIELD.lower().encode()]
    for edit in outcome.edits:
        if isinstance(edit, ChangeHeader) and edit.name.lower() == FIELD.lower():
            left[edit.occurrence - 1] = None  # the last one first, so that the numbers stay true
    return [value for value in left if value is not None]


PATTERNS = [
    b"a", b"(", b")(", b'"', b"\\", b"<", b"<>", b"@", b"@a", b"a@b,", b"a.", b".", b"=?", b"=?a?q?", b"=?utf-8?B?QQ==?= ",
    b" ", b"\n ", b"; a=", b";;", b"mx.example.test;", b"mx.example.test; a=b (", b"[::", b"%{", b"{", b"a=b; ", b"--x\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", b"<script ", b"<!--", b"begin 644 a.exe\r\n", b"PK\3\4",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
def test_no_repetition_is_expensive(app: Application, pattern: bytes) -> None:
    """No regular expression and no parser of ours takes more than linear time for 100 kB a field, 300 kB of body, in
    whatever thread it works."""
    hostile = (pattern * 1000)[:1000].decode()

    def come(content_type: bytes, long: bytes) -> None:
        fields = [
            (name, b" " + long) for name in (b"From", b"To", b"Subject", b"Authentication-Results", b"DKIM-Signature")
        ]
        fields.append((b"Content-Type", content_type or b" " + long))
        assert isinstance(send(connected(app, helo=hostile), fields, long * 3, hostile, [hostile]), Outcome)

    for content_type in (b" multipart/mixed; boundary=x", b" text/html", b" application/zip; name=a.zip", b""):
        one = functools.partial(come, content_type)
        assert in_proportion(one, lambda count: pattern * count, 100_000 // len(pattern), time.process_time)


def test_one_message_asks_a_bounded_number_of_questions(tmp_path: Path) -> None:
    """Thousands of authors, hundreds of signatures, an SPF record with many hosts: no amplifier of DNS queries."""
    hosts = [(10, f"mx{number}.example.net") for number in range(1000)]
    zones: dict[str, Any] = {
        "example.net": {"TXT": ["v=spf1 mx ptr include:a.example.net include:b.example.net ~all"], "MX": hosts}
    }
    resolver = ScriptedResolver(zones)
    authors = b",".join(b"a%d@x%d.example" % (number, number) for number in range(1500))
    signatures = [
        (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; bh=AAAA; b=AAAA" % number)
        for number in range(500)
    ]
    with application(tmp_path, resolver, LENIENT) as app:
        assert isinstance(send(connected(app), [(b"From", b" " + authors), *signatures]), Outcome)
    assert len(resolver.asked) < 100


def test_name_servers_that_never_answer_cost_no_more_than_the_limits(tmp_path: Path) -> None:
    """Fifty signatures on domains whose servers are silent: the limit for the message holds, and nothing passes."""
    signatures = [
        (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; bh=AAAA; b=AAAA" % number)
        for number in range(50)
    ]
    with loopback_nameserver(lambda query, by_tcp: None) as port:
        limits = "step_timeout = 0.3s\nmessage_timeout = 0.3s\n"
        dns = f"[dns]\nnameservers = 127.0.0.1@{port}\ntimeout = 0.2s\n"
        with application(tmp_path, None, limits + LENIENT + dns) as app:
            results = []
            message = [(b"From", b" ann@example.net"), *signatures]
            assert quickest(lambda: took(lambda: results.append(send(connected(app), message))), limit=3) < 3
    result = results[-1]
    assert isinstance(result, Outcome)
    (ours,) = [
        edit.value for edit in result.edits if isinstance(edit, InsertHeader) and edit.name == "Authentication-Results"
    ]
    assert "temperror" in ours
    assert "=pass" not in ours.replace("iprev=pass", "")


def test_a_thousand_messages_on_one_connection_leave_nothing_behind(app: Application) -> None:
    session = connected(app)
    for number in range(1000):
        sender = f"sender{number}@example.net"
        result = send(session, [(b"From", b" ann@example.net")], sender=sender)
        assert isinstance(result, Outcome)
        written = " ".join(str(edit.value) for edit in result.edits if isinstance(edit, InsertHeader))
        assert set(re.findall(r"sender\d+@", written)) == {f"sender{number}@"}
    assert session.message is None
    assert len(session.connection.decisions) <= 3
