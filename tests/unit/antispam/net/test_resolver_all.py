"""Many questions at once, against scripted exchanges and against real packets on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from antispam.deadline import Deadline
from antispam.net.all_at_once import exchange_all_over_network
from antispam.net.dns_answers import lookup_all, query
from antispam.net.resolver import Question, Resolver, Status
from support.dns import ScriptedResolver, loopback_nameserver
from support.patience import PATIENCE, quickest, took
from support.ports import free_port

Message = dns.message.Message
MANY: list[Question] = [(f"n{number}.example", "A") for number in range(30)]


def address(query: Message, text: str = "192.0.2.1") -> Message:
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", text))
    return dns.message.from_wire(response.to_wire())


def asked(behave: Callable[[Message], Message], **options: object) -> tuple[Resolver, list[str]]:
    names: list[str] = []

    def exchange(query: Message, server: str, port: int, timeout: float) -> Message:
        names.append(query.question[0].name.to_text(True))
        return behave(query)

    options.setdefault("nameservers", ["192.0.2.53"])
    return Resolver(exchange=exchange, **options), names  # type: ignore[arg-type]


def test_all_are_answered_and_remembered() -> None:
    resolver, names = asked(address)
    found = resolver.lookup_all(MANY, Deadline.after(60))
    assert {question: answer.addresses for question, answer in found.items()} == dict.fromkeys(MANY, ("192.0.2.1",))
    assert resolver.lookup_all(MANY, Deadline.after(60)) == found
    assert resolver.lookup("n1.example", "A", Deadline.after(60)).found
    assert len(names) == len(MANY)


def test_two_spellings_are_one_question() -> None:
    resolver, names = asked(address)
    assert len(resolver.lookup_all([("Bücher.example", "A"), ("xn--bcher-kva.EXAMPLE.", "A")], Deadline.after(60))) == 2
    assert names == ["xn--bcher-kva.example"]


def test_what_can_not_be_a_name_is_known_not_to_be_one() -> None:
    resolver, names = asked(address)
    found = resolver.lookup_all([("a..b", "A"), ("x" * 300, "A")], Deadline.after(60))
    assert {answer.status for answer in found.values()} == {Status.INVALID_NAME}
    assert names == []


def test_what_is_not_answered_is_left_out_and_not_asked_again_for_a_while() -> None:
    def behave(query: Message) -> Message:
        if b"n1" in query.question[0].name.labels:
            raise dns.exception.Timeout
        return address(query)

    resolver, names = asked(behave)
    assert set(resolver.lookup_all(MANY, Deadline.after(60))) == set(MANY) - {("n1.example", "A")}
    names.clear()
    resolver.lookup_all(MANY, Deadline.after(60))
    assert names == []


def test_a_server_that_refuses_is_asked_once_and_the_next_one_after_it() -> None:
    def refuse(query: Message) -> Message:
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.REFUSED)
        return response

    resolver, names = asked(refuse, nameservers=["192.0.2.53", "192.0.2.54"])
    assert resolver.lookup_all(MANY[:2], Deadline.after(60)) == {}
    assert names == ["n0.example", "n1.example"] * 2


def test_nothing_is_asked_after_the_deadline() -> None:
    resolver, names = asked(address)
    assert resolver.lookup_all(MANY, Deadline.after(0)) == {}
    assert names == []


def test_who_has_no_time_keeps_nobody_from_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question under way is one that others wait for: without time there must be none."""
    resolver, _ = asked(address)
    flights: list[str] = []
    monkeypatch.setattr(resolver, "_ask_all", lambda keys, deadline: flights.extend(name for name, _ in keys) or {})
    assert resolver.lookup_all(MANY, Deadline.after(0)) == {}
    assert flights == []


def test_what_another_thread_asks_is_awaited_and_not_asked_twice() -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def behave(query: Message) -> Message:
        under_way.set()
        go_on.wait(PATIENCE)
        return address(query)

    resolver, names = asked(behave)
    resolver.ask_all_ahead(MANY[:1], Deadline.after(60))
    assert under_way.wait(PATIENCE)
    first = threading.Thread(target=resolver.lookup_all, args=(MANY[:2], Deadline.after(60)))
    first.start()
    go_on.set()
    first.join(PATIENCE)
    assert resolver.lookup("n0.example", "A", Deadline.after(60)).found
    assert sorted(names) == ["n0.example", "n1.example"]


def test_fifty_who_want_the_same_are_one_question_however_they_ask() -> None:
    under_way, go_on, found = threading.Event(), threading.Event(), list[bool]()

    def behave(query: Message) -> Message:
        under_way.set()
        go_on.wait(PATIENCE)
        return address(query)

    resolver, names = asked(behave)
    ways: list[Callable[[], object]] = [
        lambda: found.append(resolver.lookup("n0.example", "A", Deadline.after(60)).found),
        lambda: found.append(MANY[0] in resolver.lookup_all(MANY[:1], Deadline.after(60))),
        lambda: resolver.ask_ahead("n0.example", "A", Deadline.after(60), lambda answer: found.append(answer.found)),
    ]
    resolver.ask_all_ahead(MANY[:1], Deadline.after(60))
    assert under_way.wait(PATIENCE)
    threads = [threading.Thread(target=ways[number % 3]) for number in range(50)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    resolver._ahead.shutdown()
    assert found == [True] * len(found)
    assert len(found) >= 34  # of those that ask ahead some may find too much asked already
    assert names == ["n0.example"]


def test_a_resolver_that_knows_no_such_thing_is_asked_one_by_one() -> None:
    resolver = ScriptedResolver({"a.example": {"A": ["192.0.2.1"]}, "b.example": "TIMEOUT"})
    questions: list[Question] = [("a.example", "A"), ("b.example", "A"), ("a.example", "A")]
    assert set(lookup_all(resolver, questions, Deadline.after(60))) == {("a.example", "A")}
    assert len(resolver.asked) == 2


def slow_server(seconds: float) -> tuple[socket.socket, threading.Thread]:
    """Answers each question so many seconds after it came, however many there are."""
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            raw, client = wire.recvfrom(65535)
            if not raw:
                return
            response = address(dns.message.from_wire(raw)).to_wire()
            threading.Timer(seconds, wire.sendto, (response, client)).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return wire, thread


def test_many_questions_take_the_time_of_one() -> None:
    wire, thread = slow_server(0.1)
    port = wire.getsockname()[1]
    limit = len(MANY) * 0.1 / 3

    def ask() -> None:
        assert len(Resolver([f"127.0.0.1@{port}"]).lookup_all(MANY, Deadline.after(60))) == len(MANY)

    spent = quickest(lambda: took(ask), limit)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
        bell.sendto(b"", ("127.0.0.1", port))
    thread.join(PATIENCE)
    wire.close()
    assert 0.1 <= spent < limit


def test_forged_and_broken_datagrams_are_ignored() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            raw, client = server.recvfrom(65535)
            right = address(dns.message.from_wire(raw))
            forged = address(query("other.example", "A"), "192.0.2.66")
            forged.id = right.id
            other_number = raw[:1] + bytes([raw[1] ^ 1])
            for datagram in (
                b"",
                b"\0",
                raw,
                raw[:14],
                other_number + right.to_wire()[2:],
                forged.to_wire(),
                right.to_wire(),
            ):
                server.sendto(datagram, client)

        thread = threading.Thread(target=serve)
        thread.start()
        (found,) = exchange_all_over_network([query("a.example", "A")], *server.getsockname(), PATIENCE)
        thread.join(PATIENCE)
    assert found is not None
    assert found.answer[0][0].to_text() == "192.0.2.1"


@pytest.mark.parametrize("tcp", [True, False])
def test_a_truncated_answer_is_asked_for_by_tcp(tcp: bool) -> None:
    def respond(query: Message, by_tcp: bool) -> Message:
        response = address(query)
        if not by_tcp:
            response.answer.clear()
            response.flags |= dns.flags.TC
        return response

    with loopback_nameserver(respond, tcp=tcp) as port:
        (found,) = exchange_all_over_network([query("a.example", "A")], "127.0.0.1", port, PATIENCE)
    assert (found is not None) == tcp


def test_a_server_that_is_not_there_is_no_error() -> None:
    assert exchange_all_over_network([query("a.example", "A")], "127.0.0.1", free_port(), 1.0) == [None]
