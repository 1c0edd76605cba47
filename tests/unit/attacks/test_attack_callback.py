"""Mail servers that were set up to hurt whoever calls them back: over real connections, time and memory stay bounded."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from antispam.checks._shared.callback.verify import Caller, Reach
from antispam.deadline import Deadline
from antispam.net.addresses import ClientList
from antispam.protocols.callback_dialogue import Outcome
from support.allocations import peak_of
from support.dns import ScriptedResolver
from support.patience import PATIENCE, quickest, took

TIMEOUT = 0.6


class Hostile:
    """Accepts connections and lets `behave` loose on each, until the other side goes."""

    def __init__(self, behave):
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self._behave(self, connection)

    def send(self, connection, octets):
        connection.sendall(octets)
        self.sent += len(octets)

    def pause(self, seconds):
        """False once the test is over."""
        return not self._stop.wait(seconds)


def one_line_without_end(server, connection):
    server.send(connection, b"220 ")
    while True:
        server.send(connection, b"x" * 65536)


def a_banner_without_end(server, connection):
    while True:
        server.send(connection, b"220-welcome\r\n" * 1000)


def drip(server, connection):
    for octet in b"220 welcome to the slowest server of the world":
        server.send(connection, bytes([octet]))
        if not server.pause(0.1):
            return


def silence(server, connection):
    connection.recv(1)
    server.pause(30)


def answers_to_nothing_asked(server, connection):
    server.send(connection, b"220 mx\r\n250 mx\r\n250 ok\r\n" + b"354 go on\r\n" * 10_000)
    server.pause(30)


def help_without_end(server, connection):
    server.send(connection, b"220 mx\r\n")
    while True:
        server.send(connection, b"250-" + b"A" * 4000 + b"\r\n")


def nonsense(server, connection):
    server.send(connection, bytes(range(256)) * 100 + b"\n")


def hangs_up(server, connection):
    pass


EVIL = [
    one_line_without_end,
    a_banner_without_end,
    drip,
    silence,
    answers_to_nothing_asked,
    help_without_end,
    nonsense,
    hangs_up,
]


def caller(port, slots=None):
    zones = {"example.org": {"MX": [(10, "mx.example.org")]}, "mx.example.org": {"A": ["127.0.0.1"]}}
    return Caller(
        ScriptedResolver(zones),
        Reach(also=ClientList(("127.0.0.1",))),
        slots or threading.BoundedSemaphore(4),
        helo="me.example",
        timeout=TIMEOUT,
        port=port,
    )


@pytest.mark.parametrize("behave", EVIL, ids=lambda behave: behave.__name__)
def test_no_server_keeps_a_caller_longer_than_it_may(behave):

    def seconds():
        with Hostile(behave) as server:
            started = time.monotonic()
            found = caller(server.port).verify("ann@example.org", Deadline.after(60))
            spent = time.monotonic() - started
        assert found.outcome is Outcome.TEMPORARY
        assert found.detail.isprintable()
        assert len(found.detail) <= 500
        return spent

    assert quickest(seconds, limit=TIMEOUT + 1.0) < TIMEOUT + 1.0


@pytest.mark.parametrize(
    "behave", [one_line_without_end, a_banner_without_end, help_without_end], ids=lambda b: b.__name__
)
def test_what_never_ends_is_not_kept(behave):
    with Hostile(behave) as server:
        one = caller(server.port)
        one.verify("ann@example.org", Deadline.after(60))
        with peak_of() as peak:
            one.verify("ann@example.org", Deadline.after(60))
        # What the server's own thread holds (64 kB at a time) is counted, too.
        assert peak.octets < 1_500_000


def test_slow_servers_do_not_use_up_more_places_than_there_are():
    slots = threading.BoundedSemaphore(2)
    with Hostile(silence) as server:
        one = caller(server.port, slots)

        def all_verify():
            outcomes = []
            threads = [
                threading.Thread(
                    target=lambda: outcomes.append(one.verify("ann@example.org", Deadline.after(60)).outcome)
                )
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert outcomes == [Outcome.TEMPORARY] * 8

        assert quickest(lambda: took(all_verify), limit=TIMEOUT + 1.5) < TIMEOUT + 1.5
    assert slots.acquire(blocking=False)
    assert slots.acquire(blocking=False)
