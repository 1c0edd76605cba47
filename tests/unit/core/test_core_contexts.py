"""A context lives as long as its connection, however that ends."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import milter
from support.milter_client import MilterClient
from support.processes import wait_until

Dialogue = Callable[[MilterClient], object]
# How far a session gets before the MTA is gone.
DIALOGUES: list[tuple[str, Dialogue]] = [
    ("negotiate", lambda client: client.negotiate()),
    ("connect", lambda client: client.connect()),
    ("helo", lambda client: client.helo()),
    ("mail", lambda client: client.mail()),
    ("rcpt", lambda client: client.rcpt()),
    ("data", lambda client: client.data()),
    ("header", lambda client: client.header(b"A", b"1")),
    ("eoh", lambda client: client.eoh()),
    ("body", lambda client: client.body(b"x")),
    ("end of message", lambda client: client.end_of_message()),
    ("the next MAIL", lambda client: client.mail()),
    ("abort", lambda client: client.abort()),
]
CONNECTIONS = 5


class Priv:
    """Something that can be watched as it goes."""


def _watching(record: Any) -> dict[str, Any]:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def remember(ctx: Any, *_: Any) -> int:
        priv = Priv()
        # As the object layer has it: a cycle between the context and its object.
        priv.ctx = ctx  # type: ignore[attr-defined]
        ctx.setpriv(priv)
        alive.update((ctx, priv))
        return milter.CONTINUE

    def helo(ctx: Any, name: str) -> int:
        if name == "count":
            gc.collect()
            record("alive", len(alive), *milter.getdiag())
        return milter.CONTINUE

    def close(ctx: Any) -> int:
        ctx.getpriv().ctx = None
        return milter.CONTINUE

    def negotiate(ctx: Any, options: list[int]) -> int:
        options[:] = [0, 0, 0, 0]
        return remember(ctx)

    for name in ("envfrom", "envrcpt", "header", "eoh", "body", "eom", "abort"):
        getattr(milter, f"set_{name}_callback")(lambda *_: milter.CONTINUE)
    milter.set_connect_callback(lambda ctx, *_: remember(ctx) if ctx.getpriv() is None else milter.CONTINUE)
    milter.set_helo_callback(helo)
    milter.set_close_callback(close)
    return {"negotiate": negotiate, "data": lambda ctx: milter.CONTINUE}


def _left_over(server: Any) -> tuple[int, int]:
    """How many contexts are still alive, and how many are still counted as open, beside the one that asks."""
    with server.client() as client:
        client.negotiate()
        client.connect()
        client.helo(b"count")
    _, alive, opened, closed = server.until("alive")
    # Two for the one that asks: the context and the object attached to it.
    return alive - 2, opened - closed - 1


def _wait_until_nothing_is_left(server: Any) -> None:
    """A close comes some time after the connection was dropped; what it leaves behind would stay for ever."""
    wait_until(lambda: _left_over(server) == (0, 0), "contexts freed")


@pytest.mark.parametrize("last", range(len(DIALOGUES)), ids=[name for name, _ in DIALOGUES])
def test_a_dropped_connection_leaves_nothing(start: Any, last: int) -> None:
    """In whatever state it is dropped."""
    server = start(_watching)
    for _ in range(CONNECTIONS):
        client = server.client()
        for _, speak in DIALOGUES[: last + 1]:
            speak(client)
        client.drop()
    _wait_until_nothing_is_left(server)


def test_a_connection_dropped_before_negotiation_makes_no_context(start: Any) -> None:
    server = start(_watching)
    for _ in range(CONNECTIONS):
        server.client().drop()
    assert _left_over(server) == (0, 0)


def test_two_sessions_on_one_connection_each_have_a_context(start: Any) -> None:
    """An MTA may keep its connection to the milter for the next SMTP client, without negotiating again."""
    server = start(_watching)
    for _ in range(CONNECTIONS):
        client = server.client()
        client.greet()
        client.message()
        client.quit_and_reuse()
        client.connect()
        client.message()
        client.drop()
    _wait_until_nothing_is_left(server)


def test_what_was_negotiated_holds_for_the_next_session_on_the_connection(start: Any) -> None:
    """A verdict in a step that was promised silent would never be heard otherwise."""

    def set_up(record: Any) -> dict[str, Any]:
        def negotiate(ctx: Any, options: list[int]) -> int:
            options[:] = [milter.ADDHDRS, milter.P_NR_HDR | milter.P_HDR_LEADSPC, 0, 0]
            return milter.CONTINUE

        milter.set_header_callback(lambda ctx, name, value: milter.REJECT if value == b"bad" else milter.CONTINUE)
        milter.set_helo_callback(lambda ctx, name: record("inherited", ctx.inherited) or milter.CONTINUE)
        return {"negotiate": negotiate}

    server = start(set_up)
    with server.client() as client:
        client.greet()
        client.message()
        client.quit_and_reuse()
        client.connect()
        client.helo()
        assert client.message([(b"A", b"bad")]).action == "r"
    assert server.until("inherited") == ("inherited", (0, 0))
    assert server.until("inherited") == ("inherited", (milter.ADDHDRS, milter.P_NR_HDR | milter.P_HDR_LEADSPC))


def test_a_context_that_outlives_its_connection_says_so(start: Any) -> None:
    """ "bad context" instead of reaching freed memory; the object that was attached can still be had."""

    def set_up(record: Any) -> None:
        kept: list[Any] = []

        def connect(ctx: Any, *_: Any) -> int:
            ctx.setpriv("attached")
            if kept:
                calls = (
                    lambda old: old.getsymval("j"),
                    lambda old: old.setreply("550", None, "x"),
                    lambda old: old.addheader("A", "1"),
                    lambda old: old.chgheader("A", 1, "1"),
                    lambda old: old.addrcpt("<a@b>"),
                    lambda old: old.delrcpt("<a@b>"),
                    lambda old: old.chgfrom("<a@b>"),
                    lambda old: old.replacebody(b"x"),
                    lambda old: old.quarantine("x"),
                    lambda old: old.progress(),
                    lambda old: old.setsymlist(0, "j"),
                )
                record("old", kept[0].getpriv(), [_error_of(call, kept[0]) for call in calls])
            kept.append(ctx)
            return milter.CONTINUE

        milter.set_connect_callback(connect)
        milter.set_close_callback(lambda ctx: record("close") or milter.CONTINUE)

    server = start(set_up)
    for _ in range(2):
        client = server.client()
        client.negotiate()
        client.connect()
        client.quit()
        if _ == 0:
            server.until("close")
    assert server.until("old") == ("old", "attached", ["bad context"] * 11)


def _error_of(call: Callable[[Any], object], context: Any) -> str:
    try:
        call(context)
    except milter.error as refused:
        return str(refused)
    return "no error"
