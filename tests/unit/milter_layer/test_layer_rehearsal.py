"""Testing milters without an MTA: Milter.testctx and Milter.test."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import Milter
from Milter._rehearsal import RawMessage
from Milter.test import TestBase
from Milter.testctx import TestCtx

MESSAGE = b"Received: one\r\nReceived: two\r\nSubject:  caf\xe9\r\n\tfolded\r\nX-Empty:\r\n\r\nfirst\r\n.second\r\nno line end"


class Asking(Milter.Base):
    """Does at end of message what the test says, and remembers what it saw before."""

    act: Callable[[Any], object] = staticmethod(lambda milter: None)

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:
        self.seen.append((hostname, family, hostaddr))
        return Milter.CONTINUE

    def hello(self, hostname: str) -> int:
        self.seen.append(hostname)
        return Milter.CONTINUE

    def header(self, field: str, value: str) -> int:
        self.seen.append((field, value))
        return Milter.CONTINUE

    def body(self, blk: bytes) -> int:
        self.seen.append(blk)
        return Milter.CONTINUE

    def eom(self) -> int:
        type(self).act(self)
        return Milter.ACCEPT


def rehearse(act: Callable[[Any], object], message: bytes = MESSAGE) -> TestCtx:
    """The context after one message."""

    class Acting(Asking):
        pass

    Acting.act = staticmethod(act)
    ctx = TestCtx()
    before = Milter.factory
    Milter.factory = Acting
    try:
        assert ctx._connect("client.example", "client", "192.0.2.1") == Milter.CONTINUE
        assert ctx._feedFile(BytesIO(message), "a@b", "c@d", "e@f") == Milter.ACCEPT
    finally:
        Milter.factory = before
    return ctx


def delivered(act: Callable[[Any], object], message: bytes = MESSAGE) -> bytes:
    body = rehearse(act, message)._body
    assert body is not None
    return body.getvalue()


def test_the_milter_sees_the_message_as_libmilter_hands_it_over() -> None:
    """Values without leading space, folded at LF; the body as it is."""
    seen = rehearse(lambda milter: None).getpriv().seen
    assert seen == [
        ("client.example", AF_INET, ("192.0.2.1", 1234)),
        "client",
        ("Received", "one"),
        ("Received", "two"),
        ("Subject", "caf\udce9\n\tfolded"),
        ("X-Empty", ""),
        b"first\r\n.second\r\nno line end",
    ]


def test_what_is_not_changed_is_delivered_as_it_came() -> None:
    """Octet by octet."""
    assert delivered(lambda milter: None) == MESSAGE


@given(st.binary() | st.text(alphabet=" \t\r\nab:").map(str.encode))
def test_taking_a_message_apart_loses_no_octet(raw: bytes) -> None:
    """Whatever it looks like, it can be put together again (the first line of an mbox file apart)."""
    received = RawMessage(raw)
    assert raw.endswith(received.with_body(received.body))
    assert raw.startswith(b"From ") or received.with_body(received.body) == raw


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda m: m.addheader("X-New", "v"), MESSAGE.replace(b"X-Empty:\r\n", b"X-Empty:\r\nX-New: v\r\n")),
        (lambda m: m.addheader("X-Top", "v", 0), b"X-Top: v\r\n" + MESSAGE),
        (lambda m: m.addheader("X-New", "a\n\tb", 1), MESSAGE.replace(b"one\r\n", b"one\r\nX-New: a\r\n\tb\r\n")),
        (lambda m: m.addheader("X-New", "caf\udce9", 0), b"X-New: caf\xe9\r\n" + MESSAGE),
        (lambda m: m.chgheader("received", 2, "three"), MESSAGE.replace(b"two", b"three")),
        (lambda m: m.chgheader("Received", 2, None), MESSAGE.replace(b"Received: two\r\n", b"")),
        (lambda m: m.chgheader("Received", 1, ""), MESSAGE.replace(b"Received: one\r\n", b"")),
        (lambda m: m.chgheader("X-Missing", 1, None), MESSAGE),
        (lambda m: m.chgheader("X-Missing", 1, "v"), MESSAGE.replace(b"Empty:\r\n", b"Empty:\r\nX-Missing: v\r\n")),
        (lambda m: (m.replacebody(b"new "), m.replacebody("body")), MESSAGE.partition(b"first")[0] + b"new body"),
    ],
)
def test_what_is_changed_is_delivered_changed(act: Callable[[Any], object], expected: bytes) -> None:
    """And nothing else."""
    assert delivered(act) == expected


def test_a_field_can_be_added_to_a_header_without_end() -> None:
    """It gets a line of its own."""
    assert delivered(lambda m: m.addheader("X-New", "v"), b"Subject: x") == b"Subject: x\nX-New: v\n\n"


def test_requests_are_recorded() -> None:
    """Envelope, reply and quarantine."""

    def act(milter: Any) -> None:
        milter.addrcpt("<x@y>", "NOTIFY=NEVER")
        milter.delrcpt("<c@d>")
        milter.chgfrom("<z@y>")
        milter.quarantine("why not")
        milter.progress()
        milter.setreply("550", "5.7.1", "no")

    ctx = rehearse(act)
    assert (ctx._addrcpt, ctx._delrcpt) == ([("<x@y>", "NOTIFY=NEVER")], ["<c@d>"])
    assert (ctx._sender, ctx._envfromchanged) == ("<z@y>", True)
    assert (ctx._quarantine, ctx._reply) == ("why not", ("550", "5.7.1", "no"))
    assert not ctx._headerschanged
    assert not ctx._bodyreplaced


def test_the_parsed_message_shows_the_changes() -> None:
    """_msg is the delivered message."""
    assert rehearse(lambda milter: milter.addheader("X-New", "v"))._msg["X-New"] == "v"


@pytest.mark.parametrize("message", [b"", b"no header\n", b"\n", b"Subject: x\n", b"Subject: x\n\n"])
def test_messages_without_header_or_body_are_fine(message: bytes) -> None:
    """They exist."""
    delivered(lambda milter: None, message)


def test_changes_are_refused_before_end_of_message() -> None:
    """As libmilter would."""
    with pytest.raises(OSError, match="addheader not called from eom"):
        TestCtx().addheader("X-New", "v")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Milter.Base]], TestCtx]:
    def use(cls: type[Milter.Base]) -> TestCtx:
        monkeypatch.setattr(Milter, "factory", cls)
        return TestCtx()

    return use


def test_ipv6_clients_have_ipv6_addresses(use: Any) -> None:
    """With flow and scope; what is no address is an error of the test."""
    ctx = use(Asking)
    ctx._connect("client.example", ip="2001:db8::1")
    assert ctx.getpriv().seen[0] == ("client.example", AF_INET6, ("2001:db8::1", 1234, 0, 0))
    with pytest.raises(ValueError, match="invalid ip address"):
        ctx._connect(ip="nonsense")


def test_macros_are_seen_at_their_stage_only(use: Any) -> None:
    """Where @symlist asked for some, only those; elsewhere all."""

    class Looking(Milter.Base):
        @Milter.symlist("{auth_authen}")
        def envfrom(self, f: str, *s: str) -> int:
            self.at_mail = (self.getsymval("{auth_authen}"), self.getsymval("j"))
            return Milter.CONTINUE

        def envrcpt(self, to: str, *s: str) -> int:
            self.at_rcpt = self.getsymval("j")
            return Milter.CONTINUE

    ctx = use(Looking)
    ctx._setsymval("{auth_authen}", "joe")
    ctx._setsymval("j", "mx.example.com")
    ctx._connect()
    ctx._feedFile(BytesIO(MESSAGE))
    assert ctx.getpriv().at_mail == ("joe", None)
    assert ctx.getpriv().at_rcpt == "mx.example.com"
    assert ctx.getsymval("j") == "mx.example.com"


def test_steps_that_were_negotiated_away_are_not_called(use: Any) -> None:
    """As an MTA would do."""

    class Deaf(Asking):
        @Milter.nocallback
        def header(self, field: str, value: str) -> int:
            raise AssertionError

    ctx = use(Deaf)
    ctx._connect()
    assert ctx._feedFile(BytesIO(MESSAGE)) == Milter.ACCEPT


def test_a_milter_that_has_seen_enough_gets_no_more_body(use: Any) -> None:
    """SKIP goes on to end of message."""

    class Sated(Asking):
        def body(self, blk: bytes) -> int:
            super().body(blk)
            return Milter.SKIP

    ctx = use(Sated)
    ctx._connect()
    assert ctx._feedFile(BytesIO(b"\n" + b"x" * 100_000)) == Milter.ACCEPT
    assert len([step for step in ctx.getpriv().seen if isinstance(step, bytes)]) == 1


@pytest.mark.parametrize("step", ["envfrom", "envrcpt", "data", "header", "eoh", "body", "eom"])
def test_the_first_refusal_ends_the_message(use: Any, step: str) -> None:
    """And is returned."""

    def refuse(self: Any, *args: Any) -> int:
        return Milter.REJECT

    ctx = use(type("Refusing", (Milter.Base,), {step: refuse}))
    ctx._connect()
    assert ctx._feedFile(BytesIO(MESSAGE)) == Milter.REJECT


def test_contexts_share_no_options(use: Any) -> None:
    """What one connection negotiates does not change what the next is offered."""
    offered = list(TestCtx.default_opts)
    use(Asking)._connect()
    assert TestCtx.default_opts == offered


def test_abort_ends_the_connection(use: Any) -> None:
    """abort, then close."""
    steps: list[str] = []

    class Noting(Milter.Base):
        def abort(self) -> int:
            steps.append("abort")
            return Milter.CONTINUE

        def close(self) -> int:
            steps.append("close")
            return Milter.CONTINUE

    ctx = use(Noting)
    ctx._connect()
    ctx._abort()
    assert steps == ["abort", "close"]


# --- Milter.test ------------------------------------------------------------------------------------------------


class Rehearsed(TestBase, Asking):
    def __init__(self, logfile: str) -> None:
        TestBase.__init__(self, logfile)
        Asking.__init__(self)

    def eom(self) -> int:
        self.log("at the end", "\udce9")
        self.addheader("X-New", "v", 0)
        self.addrcpt("<x@y>")
        self.quarantine("why not")
        return Milter.ACCEPT


def test_a_milter_can_be_tested_by_deriving_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees, changes and logs the same as with a context; several messages may follow."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "mail").write_bytes(MESSAGE)
    milter = Rehearsed("log")
    assert milter.connect("client.example", "client", "192.0.2.1") == Milter.CONTINUE
    for _ in range(2):
        assert milter.feedMsg("mail", "a@b", "c@d", "e@f") == Milter.ACCEPT
        assert milter._body is not None
        assert milter._body.getvalue() == b"X-New: v\r\n" + MESSAGE
        assert (milter._addrcpt, milter._quarantine, milter._headerschanged) == (["<x@y>"], "why not", True)
    assert milter.seen[:3] == [("client.example", AF_INET, ("192.0.2.1", 1234)), "client", ("Received", "one")]
    assert (tmp_path / "log").read_text().splitlines()[:2] == ["at the end \\udce9", "addheader: X-New=v"]


def test_macros_may_only_be_chosen_during_negotiation(tmp_path: Path) -> None:
    """As with libmilter."""
    with pytest.raises(RuntimeError, match="only be called from negotiate"):
        Rehearsed(str(tmp_path / "log")).setsymlist(Milter.M_CONNECT, "j")
