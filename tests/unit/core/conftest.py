"""Milters in processes of their own, since libmilter has one milter a process and keeps its state for ever."""

from __future__ import annotations

import ast
import logging
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import milter
from support.milter_client import MilterClient
from support.patience import PATIENCE
from support.processes import RunDirectory

Event = tuple[Any, ...]
# A milter's set-up: called in the child with record(), which sends an event to the test; returns the rest of
# register()'s arguments, if any.
SetUp = Callable[[Callable[..., None]], dict[str, Any] | tuple[Any, ...] | None]


class ForkedMilter:
    """A milter that was set up by a function of the test, in a forked process that is killed at the end."""

    def __init__(self, set_up: SetUp, folder: Path, where: str | None = None) -> None:
        self.path = str(folder / "milter.sock")
        self._log = folder / "stderr"
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            self._serve(set_up, where or self.path, writer)
        os.close(writer)
        self._events = reader
        self._pending = b""
        self._clients: list[MilterClient] = []
        try:
            self.port: int | None = self.until("listening")[1]
        except BaseException:
            self.kill()
            raise

    def _serve(self, set_up: SetUp, where: str, writer: int) -> None:
        """The child's life. It must never return into pytest."""
        try:
            with self._log.open("wb") as log:
                os.dup2(log.fileno(), 2)
            logging.getLogger().handlers[:] = [logging.StreamHandler(os.fdopen(2, "w", closefd=False))]

            def record(*event: Any) -> None:
                os.write(writer, repr(event).encode() + b"\n")

            milter.setconn(where)
            rest = set_up(record) or {}
            if isinstance(rest, tuple):
                milter.register("under-test", *rest)
            else:
                milter.register("under-test", **rest)
            milter.opensocket(True)
            record("listening", _port_of(milter.listening_fd()))
            milter.main()
        finally:
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)

    def client(self, steps: int | None = None) -> MilterClient:
        """A connection to it; negotiated if steps are given."""
        client = MilterClient(self.path if self.port is None else ("127.0.0.1", self.port))
        self._clients.append(client)
        if steps is not None:
            client.negotiate(steps=steps)
        return client

    def event(self, seconds: float = PATIENCE) -> Event:
        """The next event that the milter recorded; fails the test if there is none in time."""
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._events], [], [], seconds)
            block = os.read(self._events, 65536) if ready else b""
            if not block:
                pytest.fail(f"no event from the milter; its log: {self.log()}")
            self._pending += block
        line, _, self._pending = self._pending.partition(b"\n")
        event: Event = ast.literal_eval(line.decode())
        return event

    def until(self, name: str) -> Event:
        """The next event of this name, skipping others."""
        return self.events_until(name)[-1]

    def events_until(self, name: str) -> list[Event]:
        """All events from now on up to the next of this name."""
        events = [self.event()]
        while events[-1][0] != name:
            events.append(self.event())
        return events

    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def kill(self) -> None:
        """End it and what is connected to it."""
        for client in self._clients:
            client.drop()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._events)


def _port_of(fd: int | None) -> int | None:
    assert fd is not None
    borrowed = socket.socket(fileno=fd)
    try:
        return None if borrowed.family == socket.AF_UNIX else borrowed.getsockname()[1]
    finally:
        borrowed.detach()


@pytest.fixture
def start() -> Iterator[Callable[..., ForkedMilter]]:
    """start(set_up, where=None) runs a milter for this test; `where` is a libmilter address, by default a unix socket."""
    running: list[ForkedMilter] = []
    with RunDirectory("core") as folder:

        def begin(set_up: SetUp, where: str | None = None) -> ForkedMilter:
            running.append(ForkedMilter(set_up, folder.path, where))
            return running[-1]

        yield begin
        for one in running:
            one.kill()
