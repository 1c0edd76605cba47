"""One callback at a time runs Python; those that wait let others go on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

import milter
from _libmilter import lib, step_aside, step_back
from support.milter_client import CONTINUE, MilterClient
from support.patience import PATIENCE

EVER = 3_600_000  # milliseconds of patience: the turn is never taken from anybody
CONNECTIONS = 12
MORE_THAN_RUNNERS = 70  # turns.c has 64

Waiting = Callable[[], contextlib.AbstractContextManager[None]]


def _all_at_once(server: Any, count: int) -> list[MilterClient]:
    """Connections whose HELO is sent, and not answered yet."""
    clients = [server.client(steps=0) for _ in range(count)]
    for number, client in enumerate(clients):
        client.put(b"H", b"client%d\0" % number)
    for client in clients:
        client.flush()
    return clients


def _one_after_another(server: Any, count: int) -> list[MilterClient]:
    """The same, each once the callback of the one before has begun: libmilter may be short of threads for all at once."""
    clients = []
    for _ in range(count):
        clients.append(server.client(steps=0))
        clients[-1].put(b"H", b"client\0")
        clients[-1].flush()
        server.until("here")
    return clients


def _meeting(patience: int, count: int, waiting: Waiting) -> Callable[[Any], None]:
    """A milter whose HELO returns once so many are in it."""

    def set_up(record: Any) -> None:
        lib.set_patience(patience)
        met = threading.Barrier(count)

        def helo(ctx: Any, name: str) -> int:
            record("here", name)
            with waiting():
                met.wait(PATIENCE)
            return milter.CONTINUE

        milter.set_helo_callback(helo)

    return set_up


def test_a_callback_is_finished_before_the_next_begins(start: Any) -> None:
    def set_up(record: Any) -> None:
        lib.set_patience(EVER)
        inside = 0

        def helo(ctx: Any, name: str) -> int:
            nonlocal inside
            inside += 1
            threading.Event().wait(0.001)  # gives the interpreter up
            record("inside", inside)
            inside -= 1
            return milter.CONTINUE

        milter.set_helo_callback(helo)

    server = start(set_up)
    replies = [client.reply() for client in _all_at_once(server, CONNECTIONS)]
    assert replies == [CONTINUE] * CONNECTIONS
    assert {server.until("inside") for _ in replies} == {("inside", 1)}


def test_those_that_wait_let_all_others_go_on(start: Any) -> None:
    server = start(_meeting(EVER, CONNECTIONS, milter.waiting))
    assert [client.reply() for client in _one_after_another(server, CONNECTIONS)] == [CONTINUE] * CONNECTIONS


def test_those_that_wait_without_saying_so_hold_nobody_up_for_ever(start: Any) -> None:
    server = start(_meeting(1, CONNECTIONS, contextlib.nullcontext))
    assert [client.reply() for client in _one_after_another(server, CONNECTIONS)] == [CONTINUE] * CONNECTIONS


def test_more_may_wait_than_there_are_runners(start: Any) -> None:
    server = start(_meeting(1, MORE_THAN_RUNNERS, contextlib.nullcontext))
    assert [client.reply() for client in _one_after_another(server, MORE_THAN_RUNNERS)] == [
        CONTINUE
    ] * MORE_THAN_RUNNERS


def test_who_has_waited_has_the_turn_again(start: Any) -> None:
    """With the turn, stepping aside says that there is something to step back to."""

    def set_up(record: Any) -> None:
        lib.set_patience(EVER)

        def helo(ctx: Any, name: str) -> int:
            had = [step_aside(), step_aside()]
            step_back()
            with pytest.raises(LookupError), milter.waiting():
                raise LookupError
            record("had", *had, step_aside())
            step_back()
            return milter.CONTINUE

        milter.set_helo_callback(helo)

    server = start(set_up)
    assert [client.reply() for client in _all_at_once(server, 3)] == [CONTINUE] * 3
    assert [server.until("had") for _ in range(3)] == [("had", True, False, True)] * 3


def test_a_failure_gives_the_turn_up(start: Any) -> None:
    def set_up(record: Any) -> None:
        lib.set_patience(EVER)

        def helo(ctx: Any, name: str) -> int:
            raise RuntimeError(name)

        milter.set_helo_callback(helo)

    server = start(set_up)
    assert {client.reply().action for client in _all_at_once(server, CONNECTIONS)} == {"y"}
    assert server.client(steps=0).helo(b"another").action == "y"


def test_outside_of_callbacks_there_is_nothing_to_step_aside_from() -> None:
    assert not step_aside()
    with milter.waiting():
        assert not step_aside()
