"""What a worker may take for granted again: until when, how much of it, and for whom."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from antispam.deadline import Deadline
from antispam.memory import Memory
from antispam.net.resolver import Resolver
from antispam.protocols.spf import Result, SpfOptions, check_host

OPTIONS = SpfOptions(explain=True, lax=True, best_guess="v=spf1 a")


def test_a_conclusion_is_forgotten_at_its_moment() -> None:
    memory = Memory(10)
    memory.put("key", "value", 100.0)
    assert memory.get("key", 99.9) == "value"
    assert memory.get("key", 100.0) is None
    assert len(memory) == 0


def test_what_was_not_asked_for_the_longest_time_is_forgotten_first() -> None:
    memory = Memory(2)
    memory.put("a", 1, 100.0)
    memory.put("b", 2, 100.0)
    memory.get("a", 0.0)
    memory.put("c", 3, 100.0)
    assert [memory.get(key, 0.0) for key in "abc"] == [1, None, 3]


class World:
    """A resolver with a clock that is turned by hand, over records that can change; one type may fail."""

    def __init__(self, **records: str) -> None:
        self.time = 0.0
        self.failing = ""  # the type of records that can't be had for the moment
        self.records = {name.replace("_", "."): text for name, text in records.items()}
        self.resolver = Resolver(["192.0.2.53"], clock=lambda: self.time, exchange=self._answer)

    def _answer(self, query: dns.message.Message, server: str, port: int, timeout: float) -> dns.message.Message:
        response = dns.message.make_response(query)
        question = query.question[0]
        text = self.records.get(question.name.to_text(True).lower())
        kind = dns.rdatatype.to_text(question.rdtype)
        if kind == self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif text is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == "TXT" and text.startswith("v="):
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", f'"{text}"'))
        elif kind == "A" and not text.startswith("v="):
            response.answer.append(dns.rrset.from_text(question.name, 30, "IN", "A", text))
        return dns.message.from_wire(response.to_wire())

    def check(self, mailfrom: str, ip: str = "192.0.2.1", helo: str = "mx.example.net") -> Result:
        return check_host(ip, "mailfrom", mailfrom, helo, self.resolver, Deadline.after(60), OPTIONS).result


def test_an_evaluation_is_kept_as_long_as_every_answer_that_led_to_it() -> None:
    world = World(example_org="v=spf1 a:mail.example.org -all", mail_example_org="192.0.2.1")
    assert world.check("joe@example.org") is Result.PASS
    world.records["mail.example.org"] = "192.0.2.9"
    world.time = 29.0
    assert world.check("ann@example.org") is Result.PASS
    world.time = 31.0
    assert world.check("ann@example.org") is Result.FAIL


def test_another_client_is_another_question() -> None:
    world = World(example_org="v=spf1 ip4:192.0.2.1 -all")
    assert world.check("joe@example.org") is Result.PASS
    assert world.check("joe@example.org", ip="192.0.2.2") is Result.FAIL
    assert world.check("joe@example.org") is Result.PASS


def test_the_address_and_the_helo_name_are_those_of_each_message() -> None:
    world = World(example_org="v=spf1 ip4:192.0.2.1 -all")
    for name in ("joe", "ann"):
        outcome = check_host(
            "192.0.2.1", "mailfrom", f"{name}@example.org", f"mx.{name}.example", world.resolver, Deadline.after(60)
        )
        assert (outcome.mailfrom, outcome.helo) == (f"{name}@example.org", f"mx.{name}.example")


def test_a_record_that_looks_at_the_sender_is_evaluated_for_each() -> None:
    world = World(example_org="v=spf1 exists:%{l}.ok.example.org -all", joe_ok_example_org="192.0.2.7")
    for _ in range(2):
        assert world.check("joe@example.org") is Result.PASS
        assert world.check("ann@example.org") is Result.FAIL


def test_a_record_that_looks_at_the_helo_name_is_evaluated_for_each() -> None:
    world = World(example_org="v=spf1 exists:%{h}.example.org -all", joe_example_org="192.0.2.7")
    assert world.check("a@example.org", helo="joe") is Result.PASS
    assert world.check("a@example.org", helo="ann") is Result.FAIL


def test_a_temporary_error_is_not_kept() -> None:
    world = World(example_org="v=spf1 ip4:192.0.2.1 -all")
    world.failing = "TXT"
    assert world.check("joe@example.org") is Result.TEMPERROR
    world.failing = ""
    world.time = 6.0  # the resolver itself remembers a failure for some seconds
    assert world.check("joe@example.org") is Result.PASS


def test_a_guess_that_could_not_be_made_is_not_kept() -> None:
    world = World()

    def guess() -> Result | None:
        return check_host(
            "192.0.2.1", "mailfrom", "a@example.org", "mx", world.resolver, Deadline.after(60), OPTIONS
        ).guess

    world.records = {"example.org": "192.0.2.1"}  # an address, and no policy
    world.failing = "A"
    assert guess() is None
    world.failing = ""
    world.time = 6.0
    assert guess() is Result.PASS
