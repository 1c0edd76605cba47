"""The server, spoken to over real sockets by honest and by hostile clients."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gossip import HAM, SPAM, Observations
from gossip.client import Client, NoAnswer
from gossip.node import Answer
from gossip.protocol import Feedback, Query, Reset, write_request
from gossip.server import Limits, Rates, Server, _group, _plain, listen
from support.patience import PATIENCE
from support.ports import free_port
from support.processes import wait_until

KEY = "a key that is long enough"
NOW = 1_800_000_000.0


class Node:
    """Notes what it is asked and told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.said: list[Any] = []
        self.error = error

    def query(self, umis: str, id: str, qual: str, ttl: int = 1, *, asker: str = "") -> Answer:
        if self.error is not None:
            raise self.error
        self.said.append(("query", umis, id, qual, ttl, asker))
        return Answer((-76.2, 12.9), Observations())

    def note(self, umis: str, id: str, qual: str) -> None:
        self.said.append(("note", umis))

    def feedback(self, umis: str, vote: int) -> bool:
        self.said.append(("feedback", umis, vote))
        return True

    def reset(self, id: str, qual: str) -> bool:
        self.said.append(("reset", id, qual))
        return True


@contextlib.contextmanager
def serving(node: Node, **more: Any) -> Iterator[Server]:
    more = {"admits": lambda address: True, "failed": (OverflowError,), **more}
    server = Server(node, listen("127.0.0.1", 0), **more)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def ask(server: Server, *lines: str) -> str:
    """All that it answers to these lines, until it closes the connection or has answered each."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        received = b""
        with contextlib.suppress(OSError):
            connection.sendall("".join(f"{line}\n\n" for line in lines).encode())
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(4096):
                received += more
    return received.decode()


def test_a_query_is_answered_as_pygossip_answers_it():
    node = Node()
    with serving(node) as server:
        assert ask(server, "Q:example.com:SPF:1:abc") == "PREPEND X-GOSSiP: abc,-76,12\n\n"
    assert node.said == [("query", "abc", "example.com", "SPF", 1, "127.0.0.1"), ("note", "abc")]


def test_the_word_reject_is_said_where_the_thresholds_say_so():
    with serving(Node(), rejects=lambda reputation, confidence: reputation < -70) as server:
        assert ask(server, "Q:example.com:SPF:1:abc").startswith("REJECT X-GOSSiP: abc,-76,12")


def test_our_client_and_our_server_understand_one_another():
    node = Node()
    with serving(node) as server:
        client = Client("127.0.0.1", server.port, key=KEY)
        assert client.query("abc", "example.com", "SPF", 2, timeout=PATIENCE) == (-76.0, 12.0)
        client.feedback("abc", SPAM, timeout=PATIENCE)
        client.feedback("abc", HAM, timeout=PATIENCE)
        client.reset("example.com", "SPF", timeout=PATIENCE)
    assert node.said[-3:] == [("feedback", "abc", SPAM), ("feedback", "abc", HAM), ("reset", "example.com", "SPF")]
    assert client.addresses == {"127.0.0.1"}


def test_several_lines_of_one_connection_are_answered_one_after_the_other():
    with serving(Node()) as server:
        assert ask(server, "Q:a.example:SPF:1:u1", "F:u1:1", "Q:b.example:SPF:0:u2").split("\n\n")[:-1] == [
            "PREPEND X-GOSSiP: u1,-76,12",
            "",
            "PREPEND X-GOSSiP: u2,-76,12",
        ]


def answer_to(line: str, client: str, key: str = "") -> list[Any]:
    node = Node()
    with socket.socket() as unused:
        server = Server(node, unused, admits=lambda address: True, key=key, clock=lambda: NOW)
        with contextlib.suppress(ValueError):
            server._answer(line, client)
    return node.said


@pytest.mark.parametrize("request_", [Feedback("u", SPAM), Reset("example.com", "SPF")])
def test_a_stranger_can_ask_but_neither_tell_nor_reset(request_):
    assert answer_to(write_request(request_), "192.0.2.9") == []
    assert answer_to(write_request(request_), "192.0.2.9", KEY) == []
    assert answer_to(write_request(request_, "another key, as long", NOW), "192.0.2.9", KEY) == []
    assert len(answer_to(write_request(request_, KEY, NOW), "192.0.2.9", KEY)) == 1
    assert len(answer_to(write_request(request_), "127.0.0.1")) == 1
    assert len(answer_to(write_request(request_), "::1")) == 1


def test_what_a_stranger_asks_about_leaves_no_row():
    assert [kind for kind, *_ in answer_to("Q:example.com:SPF:1:u", "192.0.2.9")] == ["query"]
    proved = write_request(Query("example.com", "SPF", 1, "u"), KEY, NOW)
    assert [kind for kind, *_ in answer_to(proved, "192.0.2.9", KEY)] == ["query", "note"]


def test_who_is_not_admitted_is_not_heard():
    node = Node()
    with serving(node, admits=lambda address: False) as server:
        assert ask(server, "Q:example.com:SPF:1:abc") == ""
    assert node.said == []


@pytest.mark.parametrize(
    "sent",
    [b"x" * 2000, b"x" * 600 + b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff\x00\n", b"Q:a:b:1:u,1,1\n", b"\n" * 5000],
)
def test_nonsense_costs_its_client_the_connection_and_nobody_else_anything(sent):
    node = Node()
    with serving(node) as server:
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as hostile,
            contextlib.suppress(OSError),
        ):
            hostile.sendall(sent)
            hostile.shutdown(socket.SHUT_WR)
            assert hostile.recv(100) == b""
        assert ask(server, "Q:example.com:SPF:1:abc").startswith("PREPEND")


def test_a_client_that_sends_a_line_octet_by_octet_is_left():
    with (
        serving(Node(), limits=Limits(line=0.1)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as slow,
    ):
        slow.settimeout(PATIENCE)
        slow.sendall(b"Q:exa")
        assert slow.recv(100) == b""


def test_no_client_can_have_all_connections():
    with serving(Node(), limits=Limits(per_client=2)) as server, contextlib.ExitStack() as stack:
        greedy = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            for _ in range(3)
        ]
        for one in greedy[:2]:
            one.sendall(b"Q:example.com:SPF:1:abc\n")
            assert one.recv(100).startswith(b"PREPEND")
        assert greedy[2].recv(100) == b""


def test_clients_that_connect_and_drop_leave_nothing_behind():
    with serving(Node()) as server:
        for number in range(200):
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as dropping:
                if number % 2:
                    dropping.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        wait_until(lambda: ask(server, "Q:example.com:SPF:1:abc").startswith("PREPEND"), "there is room again")
        wait_until(lambda: not server._open, "nobody is remembered")


def test_who_asks_too_often_is_cut_off_until_the_minute_is_over():
    with serving(Node(), limits=Limits(rate=3)) as server:
        assert ask(server, *["Q:example.com:SPF:1:abc"] * 9).count("PREPEND") == 3


def test_rates_are_counted_in_bounded_memory_and_forgotten_after_a_minute():
    now = [0.0]
    rates = Rates(2, lambda: now[0])
    assert [rates.allow("a") for _ in range(3)] == [True, True, False]
    for number in range(20_000):
        rates.allow(f"c{number}")
    assert len(rates._used) == 10_000
    now[0] = 61.0
    assert rates.allow("a")


def test_a_database_that_is_gone_costs_the_answer_only():
    node = Node(OverflowError("locked"))
    with serving(node) as server:
        assert ask(server, "Q:example.com:SPF:1:abc") == ""
        node.error = None
        assert ask(server, "Q:example.com:SPF:1:abc").startswith("PREPEND")


def test_an_ipv6_client_counts_by_its_network_and_a_mapped_one_is_ipv4():
    assert _plain("::ffff:192.0.2.1") == "192.0.2.1"
    assert _plain("fe80::1%eth0") == "fe80::1"
    assert _group("2001:db8::1") == _group("2001:db8::2")


@contextlib.contextmanager
def saying(answer: bytes) -> Iterator[int]:
    """A server that says this to everybody, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "answer", [b"", b"\n\n", b"x" * 5000, b"PREPEND X-GOSSiP: other,1,1\n", b"PREPEND X-GOSSiP: abc,999,1\n", b"\xff\n"]
)
def test_a_peer_that_answers_nonsense_has_not_answered(answer):
    with saying(answer) as port, pytest.raises(NoAnswer):
        Client("127.0.0.1", port).query("abc", "example.com", "SPF")


def test_a_peer_that_fails_is_left_alone_for_a_while():
    now = [0.0]
    client = Client("127.0.0.1", free_port(), clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(NoAnswer, match="refused"):
            client.query("abc", "example.com", "SPF")
    assert client.resting
    with pytest.raises(NoAnswer, match="not asked for a while"):
        client.query("abc", "example.com", "SPF")
    now[0] = 31.0
    assert not client.resting
