"""Connections of the console: how long a client may take, and how many it may open. The loop's clock is the test's."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from antispam.web.connections import HEADERS, SHARE, WHOLE, sharing

GET = b"GET / HTTP/1.1\r\nHost: console.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: console.example\r\nContent-Length: 5\r\n\r\n"


class Timer:
    def __init__(self, at, work):
        self.at, self.work, self.cancelled = at, work, False

    def cancel(self):
        self.cancelled = True


class Loop:
    """As much of an event loop as a connection needs; tasks run when they are told to."""

    def __init__(self):
        self.now, self.timers, self.tasks = 0.0, [], []

    def call_later(self, seconds, work):
        self.timers.append(Timer(self.now + seconds, work))
        return self.timers[-1]

    def create_task(self, coroutine, **more):
        coroutine.close()
        self.tasks.append(coroutine)
        return asyncio.Future(loop=self.real)

    def later(self, seconds):
        self.now += seconds
        for timer in self.timers:
            if not timer.cancelled and timer.at <= self.now:
                timer.cancelled = True
                timer.work()


class Transport:
    def __init__(self, address):
        self.address, self.closed, self.sent = address, False, b""

    def get_extra_info(self, name, default=None):
        return {"peername": (self.address, 1), "sockname": ("192.0.2.99", 80)}.get(name)

    def write(self, data):
        self.sent += data

    def abort(self):
        self.closed = True

    close = abort

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    resume_reading = pause_reading


async def nothing(scope, receive, send):
    """Never called: the tests answer themselves."""


@pytest.fixture
def server():
    loop, kind = Loop(), sharing(lambda address: address == "198.51.100.1")
    loop.real = asyncio.new_event_loop()
    config, state = uvicorn.Config(nothing, log_config=None), ServerState()

    def connect(address="192.0.2.1"):
        made = kind(config, state, {}, _loop=loop)
        made.connection_made(Transport(address))
        return made

    connect.loop = loop
    yield connect
    loop.real.close()


def test_a_client_that_sends_nothing_is_disconnected(server):
    slow = server()
    server.loop.later(HEADERS - 1)
    assert not slow.transport.closed
    server.loop.later(1)
    assert slow.transport.closed


def test_octets_one_at_a_time_do_not_hold_a_connection(server):
    slow = server()
    for octet in GET[: int(HEADERS)]:
        slow.data_received(bytes([octet]))
        server.loop.later(1)
    assert slow.transport.closed


def test_a_body_that_does_not_come_is_not_waited_for(server):
    slow = server()
    slow.data_received(POST)
    server.loop.later(HEADERS)
    slow.data_received(b"a")
    assert not slow.transport.closed
    server.loop.later(WHOLE - HEADERS)
    assert slow.transport.closed


def answer(connection):
    connection.cycle.response_complete = True
    connection.on_response_complete()


def test_after_an_answer_the_time_begins_anew_with_the_next_request(server):
    kept = server()
    kept.data_received(GET)
    answer(kept)
    server.loop.later(4)
    kept.data_received(b"GET ")
    server.loop.later(HEADERS - 1)
    assert not kept.transport.closed
    server.loop.later(1)
    assert kept.transport.closed


def test_an_answer_that_nobody_reads_does_not_hold_a_connection(server):
    """It is closed, which waits for what is not sent yet."""
    slow = server()
    slow.data_received(GET)
    answer(slow)
    server.loop.later(WHOLE)
    assert slow.transport.closed


def test_an_address_has_a_share_of_the_connections(server):
    mine = [server() for _ in range(SHARE + 1)]
    assert [one.transport.closed for one in mine] == [False] * SHARE + [True]
    assert not server("192.0.2.2").transport.closed
    for one in mine[-2:]:
        one.connection_lost(None)
    assert not server().transport.closed


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "198.51.100.1"])
def test_a_proxy_of_ours_may_have_them_all(server, address):
    assert not any(server(address).transport.closed for _ in range(SHARE + 1))
