"""A callback that fails gives the exception policy's answer and one traceback, and never ends the process."""

from __future__ import annotations

from typing import Any

import pytest

import milter
from support.milter_client import MilterClient, ProtocolError, Reply

STEPS = ("connect", "helo", "envfrom", "envrcpt", "data", "header", "eoh", "body", "eom")
POLICIES = {
    milter.TEMPFAIL: Reply("y", b"451 4.3.0 under-test: internal error"),
    milter.REJECT: Reply("y", b"554 5.3.0 under-test: internal error"),
    milter.ACCEPT: Reply("a"),
    milter.CONTINUE: Reply("c"),
}


def _fail_in(failing: str, how: Any, record: Any) -> dict[str, Any]:
    """Set every callback; the one named calls how()."""

    def step(name: str) -> Any:
        return lambda ctx, *_: how() if name == failing else milter.CONTINUE

    for name in (*STEPS, "abort", "close"):
        if name != "data":
            getattr(milter, f"set_{name}_callback")(step(name))
    return {"data": step("data"), "unknown": step("unknown")}


def _reply_at(client: MilterClient, step: str) -> Reply:
    """Go through a session up to this step, and return its answer."""
    dialogue = {
        "connect": client.connect,
        "helo": client.helo,
        "envfrom": client.mail,
        "envrcpt": client.rcpt,
        "data": client.data,
        "header": lambda: client.header(b"Subject", b"x"),
        "eoh": client.eoh,
        "body": lambda: client.body(b"x"),
        "eom": client.end_of_message,
    }
    for name, speak in dialogue.items():
        reply = speak()
        if name == step:
            return reply
        assert reply.action == "c", name
    raise AssertionError(step)


def _raise(what: BaseException) -> int:
    raise what


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("step", STEPS)
def test_an_exception_gives_the_policy(start: Any, step: str, policy: int) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        milter.set_exception_policy(policy)
        return _fail_in(step, lambda: _raise(ValueError("on purpose")), record)

    server = start(set_up)
    with server.client(steps=0) as client:
        assert _reply_at(client, step) == POLICIES[policy]
    assert server.log().count("ValueError: on purpose") == 1


@pytest.mark.parametrize("failure", [SystemExit(3), KeyboardInterrupt(), milter.error("refused"), RecursionError()])
def test_every_kind_of_exception_is_caught(start: Any, failure: BaseException) -> None:
    """Also those that would end a Python program: a milter that dies loses other people's mail."""
    server = start(lambda record: _fail_in("helo", lambda: _raise(failure), record))
    for _ in range(2):
        with server.client(steps=0) as client:
            assert _reply_at(client, "helo") == POLICIES[milter.TEMPFAIL]
    assert server.alive


@pytest.mark.parametrize("answer", [None, "0", 2.5, 5, 6, 9, milter.ALL_OPTS, 99, -1, 1 << 40, -(1 << 70)])
def test_an_answer_that_libmilter_does_not_know_counts_as_failure(start: Any, answer: Any) -> None:
    """libmilter itself would never answer the MTA again."""
    server = start(lambda record: _fail_in("envrcpt", lambda: answer, record))
    with server.client(steps=0) as client:
        assert _reply_at(client, "envrcpt") == POLICIES[milter.TEMPFAIL]
    assert "envrcpt callback failed" in server.log()


def test_a_bool_is_an_int_as_in_pymilter(start: Any) -> None:
    server = start(lambda record: _fail_in("envrcpt", lambda: True, record))
    with server.client(steps=0) as client:
        assert _reply_at(client, "envrcpt").action == "r"


def test_noreply_where_a_reply_is_due_means_continue(start: Any) -> None:
    server = start(lambda record: _fail_in("helo", lambda: milter.NOREPLY, record))
    with server.client(steps=0) as client:
        assert _reply_at(client, "helo") == Reply("c")


def test_a_milter_that_fails_everywhere_stays_alive_and_frees_its_contexts(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        def close(ctx: Any) -> int:
            record("close", *milter.getdiag())
            raise ValueError("close")

        milter.set_exception_policy(milter.CONTINUE)
        for name in ("connect", "helo", "envfrom", "envrcpt", "header", "eoh", "body", "eom", "abort"):
            getattr(milter, f"set_{name}_callback")(lambda ctx, *_: _raise(ValueError("always")))
        milter.set_close_callback(close)
        return {"data": lambda ctx: _raise(ValueError("data"))}

    server = start(set_up)
    for number in range(20):
        client = server.client(steps=0)
        assert _reply_at(client, "eom") == Reply("c")
        client.mail()
        client.abort()
        client.quit()
        assert server.until("close") == ("close", number + 1, number)
    assert server.alive


@pytest.mark.parametrize(
    "negotiate", [lambda ctx, options: 1 / 0, lambda ctx, options: options.__setitem__(1, "x") or 0]
)
def test_a_failed_negotiation_declines_the_mta(start: Any, negotiate: Any) -> None:
    server = start(lambda record: {"negotiate": negotiate})
    with server.client() as client, pytest.raises(ProtocolError):
        client.negotiate()
    assert "negotiate callback failed" in server.log()


def test_a_failed_negotiation_under_continue_promises_nothing(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        def negotiate(ctx: Any, options: list[int]) -> int:
            options[1] = milter.P_NR_HDR
            raise ValueError("half done")

        milter.set_exception_policy(milter.CONTINUE)
        milter.set_header_callback(lambda ctx, name, value: milter.CONTINUE)
        return {"negotiate": negotiate}

    with start(set_up).client() as client:
        assert client.negotiate().steps & milter.P_NR_HDR == 0
