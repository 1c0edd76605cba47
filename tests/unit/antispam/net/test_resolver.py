"""The resolver, against scripted exchanges and against real packets on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antispam.deadline import Deadline
from antispam.net.resolver import (
    DnsSettings,
    DNSTemporaryError,
    RdType,
    Resolver,
    Status,
    parse_nameserver,
    system_nameservers,
)
from support.dns import loopback_nameserver
from support.patience import PATIENCE

Message = dns.message.Message


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Servers:
    """Scripted name servers: `behave` gives the response to a query for a server, or raises."""

    def __init__(self, behave: Callable[[Message, str], Message]) -> None:
        self.behave = behave
        self.asked: list[tuple[str, str]] = []
        self.timeouts: list[float] = []

    def __call__(self, query: Message, server: str, port: int, timeout: float) -> Message:
        self.asked.append((query.question[0].name.to_text(True), server))
        self.timeouts.append(timeout)
        return self.behave(query, server)


def respond(
    query: Message, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, authority: tuple[str, ...] = ()
) -> Message:
    """A response with records in zone-file form."""
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    for section, lines in ((response.answer, records), (response.authority, authority)):
        for line in lines:
            name, ttl, rdtype, rdata = line.split(" ", 3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, rdata))
    return dns.message.from_wire(response.to_wire(max_size=65535))


def resolver_over(servers: Servers, clock: HandClock | None = None, **options: object) -> Resolver:
    clock = clock or HandClock()
    options.setdefault("nameservers", ["192.0.2.53"])
    return Resolver(clock=clock, exchange=servers, **options)  # type: ignore[arg-type]


def soon(clock: HandClock | None = None) -> Deadline:
    return Deadline.after(20, clock or HandClock())


SPF = 'example.org. 300 TXT "v=spf1 " "-all"'


@pytest.mark.parametrize(
    ("rdtype", "record", "field", "expected"),
    [
        ("TXT", '"v=spf1 " "-all"', "texts", (b"v=spf1 -all",)),
        ("TXT", r'"caf\195\169\000"', "texts", (b"caf\xc3\xa9\x00",)),
        ("A", "192.0.2.1", "addresses", ("192.0.2.1",)),
        ("AAAA", "2001:db8::1", "addresses", ("2001:db8::1",)),
        ("MX", "10 mx.example.org.", "exchanges", ((10, "mx.example.org"),)),
        ("MX", "0 .", "exchanges", ((0, ""),)),
        ("PTR", "host.example.org.", "names", ("host.example.org",)),
        ("PTR", r"a\.b\000c.example.org.", "names", (r"a\.b\000c.example.org",)),
        ("NS", "ns.example.org.", "names", ("ns.example.org",)),
    ],
)
def test_each_type_fills_its_own_field(rdtype: RdType, record: str, field: str, expected: object) -> None:
    servers = Servers(lambda query, _: respond(query, f"example.org. 300 {rdtype} {record}"))
    answer = resolver_over(servers).lookup("example.org", rdtype, soon())
    assert answer.found
    assert getattr(answer, field) == expected


def test_exchanges_come_in_the_order_of_preference() -> None:
    def behave(query: Message, server: str) -> Message:
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text("e.org.", 300, "IN", "MX", "20 b.e.org.", "10 c.e.org."))
        return dns.message.from_wire(response.to_wire(max_size=65535))

    answer = resolver_over(Servers(behave)).lookup("e.org", "MX", soon())
    assert answer.exchanges == ((10, "c.e.org"), (20, "b.e.org"))


def test_a_cname_in_the_answer_is_followed() -> None:
    servers = Servers(lambda query, _: respond(query, "a.example. 300 CNAME b.example.", 'b.example. 300 TXT "found"'))
    assert resolver_over(servers).lookup("a.example", "TXT", soon()).texts == (b"found",)


def test_a_missing_name_and_a_missing_type_are_told_apart() -> None:
    gone = Servers(lambda query, _: respond(query, rcode=dns.rcode.NXDOMAIN))
    bare = Servers(lambda query, _: respond(query))
    assert resolver_over(gone).lookup("example.org", "A", soon()).status is Status.NXDOMAIN
    assert resolver_over(bare).lookup("example.org", "A", soon()).status is Status.NODATA


def test_an_answer_is_remembered_for_its_ttl_and_no_longer() -> None:
    clock = HandClock()
    servers = Servers(lambda query, _: respond(query, SPF))
    resolver = resolver_over(servers, clock)
    for _ in range(3):
        resolver.lookup("example.org", "TXT", soon(clock))
    resolver.lookup("EXAMPLE.org.", "TXT", soon(clock))
    assert len(servers.asked) == 1
    clock.now += 301
    resolver.lookup("example.org", "TXT", soon(clock))
    assert len(servers.asked) == 2


def test_absence_is_remembered_as_long_as_the_soa_says() -> None:
    clock = HandClock()
    soa = "example.org. 900 SOA ns.example.org. admin.example.org. 1 7200 900 1209600 60"
    servers = Servers(lambda query, _: respond(query, rcode=dns.rcode.NXDOMAIN, authority=(soa,)))
    resolver = resolver_over(servers, clock)
    resolver.lookup("x.example.org", "A", soon(clock))
    clock.now += 59
    resolver.lookup("x.example.org", "A", soon(clock))
    assert len(servers.asked) == 1
    clock.now += 2
    resolver.lookup("x.example.org", "A", soon(clock))
    assert len(servers.asked) == 2


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR])
def test_a_server_that_cannot_answer_is_a_temporary_error_and_remembered_briefly(rcode: dns.rcode.Rcode) -> None:
    clock = HandClock()
    servers = Servers(lambda query, _: respond(query, rcode=rcode))
    resolver = resolver_over(servers, clock)
    for _ in range(2):
        with pytest.raises(DNSTemporaryError, match=dns.rcode.to_text(rcode)):
            resolver.lookup("example.org", "TXT", soon(clock))
    assert len(servers.asked) == 1
    clock.now += 6
    servers.behave = lambda query, _: respond(query, SPF)
    assert resolver.lookup("example.org", "TXT", soon(clock)).found


def test_the_next_server_is_asked_where_one_is_silent_and_is_preferred_afterwards() -> None:
    def behave(query: Message, server: str) -> Message:
        if server == "192.0.2.1":
            raise dns.exception.Timeout
        name = query.question[0].name
        return respond(query, f"{name} 300 A 192.0.2.80")

    servers = Servers(behave)
    resolver = resolver_over(servers, nameservers=["192.0.2.1", "192.0.2.2"])
    assert resolver.lookup("a.example", "A", soon()).found
    assert resolver.lookup("b.example", "A", soon()).found
    assert [server for _, server in servers.asked] == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]


def test_silent_servers_are_asked_again_only_as_often_as_there_are_rounds() -> None:
    def silent(query: Message, server: str) -> Message:
        raise dns.exception.Timeout

    servers = Servers(silent)
    with pytest.raises(DNSTemporaryError, match="time-out"):
        resolver_over(servers, nameservers=["192.0.2.1", "192.0.2.2"], rounds=2).lookup("a.example", "A", soon())
    assert len(servers.asked) == 4


class Silent:
    """Name servers that say nothing, in time that passes, until one is told to speak."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.speaking: set[str] = set()
        self.about_root: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, query: Message, server: str, port: int, timeout: float) -> Message:
        self.asked.append(server)
        name = query.question[0].name
        if server in self.speaking or (server in self.about_root and name == dns.name.root):
            return respond(query, f"{name} 300 A 192.0.2.80")
        self.clock.now += timeout
        raise dns.exception.Timeout


def lost(resolver: Resolver, clock: HandClock, name: str) -> float:
    """How long a question took that was lost."""
    began = clock.now
    with pytest.raises(DNSTemporaryError, match="time-out"):
        resolver.lookup(name, "A", Deadline.after(60, clock))
    return clock.now - began


@pytest.mark.parametrize("count", [1, 2])
def test_silent_servers_are_waited_for_by_few_questions_only(count: int) -> None:
    """All workers were full at 6 messages a second, each waiting for its deadline."""
    clock = HandClock()
    servers = Silent(clock)
    resolver = resolver_over(servers, clock, nameservers=[f"192.0.2.{n}" for n in range(1, count + 1)], query_timeout=3)
    waits = [lost(resolver, clock, f"{number}.example") for number in range(20)]
    assert max(waits) <= 5 * count
    assert sum(waits[3:]) <= 5 * count


def test_a_silent_server_that_speaks_again_is_asked_again_within_seconds() -> None:
    clock = HandClock()
    servers = Silent(clock)
    resolver = resolver_over(servers, clock, nameservers=["192.0.2.1"], query_timeout=3)
    for number in range(5):
        lost(resolver, clock, f"{number}.example")
    servers.speaking.add("192.0.2.1")
    assert lost(resolver, clock, "too.soon.example") == 0
    clock.now += 5
    assert resolver.lookup("now.example", "A", Deadline.after(60, clock)).found


def test_a_silent_server_is_not_asked_while_another_answers() -> None:
    clock = HandClock()
    servers = Silent(clock)
    resolver = resolver_over(servers, clock, nameservers=["192.0.2.1", "192.0.2.2"], query_timeout=3)
    for number in range(4):
        lost(resolver, clock, f"{number}.example")
    servers.speaking.add("192.0.2.2")
    clock.now += 5
    assert resolver.lookup("first.example", "A", Deadline.after(60, clock)).found
    began = clock.now
    servers.asked.clear()
    for number in range(20):
        clock.now += 1
        assert resolver.lookup(f"a{number}.example", "A", Deadline.after(60, clock)).found
    assert clock.now - began == 20
    assert set(servers.asked) == {"192.0.2.2"}


def test_senders_whose_own_name_servers_are_silent_silence_nobody() -> None:
    """A resolver that waits for theirs says nothing for so long, but it knows the root."""
    clock = HandClock()
    servers = Silent(clock)
    servers.about_root.add("192.0.2.1")
    resolver = resolver_over(servers, clock, nameservers=["192.0.2.1"], query_timeout=3)
    for number in range(10):
        assert lost(resolver, clock, f"{number}.hostile.example") == 4
    servers.speaking.add("192.0.2.1")
    assert resolver.lookup("honest.example", "A", Deadline.after(60, clock)).found


def test_no_question_outlasts_the_deadline() -> None:
    clock = HandClock()

    def slow(query: Message, server: str) -> Message:
        clock.now += servers.timeouts[-1]
        raise dns.exception.Timeout

    servers = Servers(slow)
    deadline = Deadline.after(4, clock)
    with pytest.raises(DNSTemporaryError):
        resolver_over(servers, clock, query_timeout=3, rounds=5).lookup("a.example", "A", deadline)
    assert servers.timeouts == [1, 3]


def test_after_the_deadline_nothing_is_asked_but_what_is_known_is_told() -> None:
    clock = HandClock()
    servers = Servers(lambda query, _: respond(query, SPF))
    resolver = resolver_over(servers, clock)
    over = Deadline.after(0, clock)
    with pytest.raises(DNSTemporaryError):
        resolver.lookup("example.org", "TXT", over)
    assert servers.asked == []
    resolver.lookup("example.org", "TXT", soon(clock))
    assert resolver.lookup("example.org", "TXT", over).found


def test_running_out_of_ones_own_time_is_not_remembered_against_the_name() -> None:
    clock = HandClock()

    def slow(query: Message, server: str) -> Message:
        clock.now += 1
        raise dns.exception.Timeout

    servers = Servers(slow)
    resolver = resolver_over(servers, clock)
    with pytest.raises(DNSTemporaryError):
        resolver.lookup("example.org", "TXT", Deadline.after(0.5, clock))
    servers.behave = lambda query, _: respond(query, SPF)
    assert resolver.lookup("example.org", "TXT", soon(clock)).found


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        ".a",
        "a..b",
        "x" * 64 + ".org",
        "a." * 127 + "b",
        "ü" * 63 + ".org",
        "nul\x00.org",
        "line\nfeed.org",
        "\x7f.org",
        "escape\x1b.org",
        "\udcff.org",
    ],
)
def test_a_hostile_name_is_absent_for_good_and_never_asked_for(name: str) -> None:
    servers = Servers(lambda query, _: respond(query, SPF))
    assert resolver_over(servers).lookup(name, "TXT", soon()).status is Status.INVALID_NAME
    assert servers.asked == []


def test_a_backslash_in_a_name_is_not_an_escape() -> None:
    servers = Servers(lambda query, _: respond(query))
    resolver_over(servers).lookup(r"a\.b.example", "A", soon())
    assert servers.asked[0][0] == r"a\\.b.example"


def test_u_labels_are_asked_for_as_a_labels() -> None:
    servers = Servers(lambda query, _: respond(query))
    resolver_over(servers).lookup("straße.Example", "A", soon())
    assert servers.asked[0][0] == "xn--strae-oqa.example"


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_any_text_as_a_name_gives_an_answer(name: str) -> None:
    resolver = resolver_over(Servers(lambda query, _: respond(query)))
    assert resolver.lookup(name, "A", soon()).status in (Status.NODATA, Status.INVALID_NAME)


def test_the_cache_is_bounded_by_entries_and_by_octets() -> None:
    def behave(query: Message, _: str) -> Message:
        name = query.question[0].name.to_text()
        strings = " ".join(['"' + "x" * 250 + '"'] * (20 if name.startswith("big") else 1))
        return respond(query, f"{name} 300 TXT {strings}")

    servers = Servers(behave)
    resolver = resolver_over(servers, cache_size=10)
    for number in range(50):
        resolver.lookup(f"n{number}.example", "TXT", soon())
    assert len(resolver._cache) == 10
    for number in range(3):
        resolver.lookup(f"big{number}.example", "TXT", soon())
    assert len(resolver._cache) <= 1


def test_threads_with_the_same_question_ask_it_once() -> None:
    asked, go = threading.Event(), threading.Event()

    def behave(query: Message, _: str) -> Message:
        asked.set()
        go.wait(PATIENCE)
        return respond(query, SPF)

    servers = Servers(behave)
    resolver = Resolver(["192.0.2.53"], exchange=servers)
    found: list[bool] = []

    def ask() -> None:
        found.append(resolver.lookup("example.org", "TXT", Deadline.after(60)).found)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    asked.wait(PATIENCE)
    go.set()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert len(servers.asked) == 1


def test_who_waits_for_anothers_question_asks_again_if_that_one_ran_out_of_time() -> None:
    asked, go = threading.Event(), threading.Event()
    clock = HandClock()

    def behave(query: Message, _: str) -> Message:
        if not asked.is_set():
            asked.set()
            go.wait(PATIENCE)
            clock.now += 100
            raise dns.exception.Timeout
        return respond(query, SPF)

    resolver = Resolver(["192.0.2.53"], exchange=Servers(behave))
    outcome: list[object] = []

    def hurried() -> None:
        try:
            resolver.lookup("example.org", "TXT", Deadline.after(50, clock))
        except DNSTemporaryError as error:
            outcome.append(error)

    def patient() -> None:
        outcome.append(resolver.lookup("example.org", "TXT", Deadline.after(60)).found)

    first = threading.Thread(target=hurried)
    first.start()
    asked.wait(PATIENCE)
    second = threading.Thread(target=patient)
    second.start()
    go.set()
    first.join()
    second.join()
    assert True in outcome
    assert any(isinstance(item, DNSTemporaryError) for item in outcome)


def test_system_name_servers_are_read_from_resolv_conf(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_bytes(b"# caf\xe9\nnameserver 192.0.2.1\nnameserver\nnameserver nonsense\nnameserver 2001:db8::1\n")
    assert system_nameservers(conf) == ("192.0.2.1", "2001:db8::1")
    assert system_nameservers(tmp_path / "missing") == ("127.0.0.1",)


@pytest.mark.parametrize(
    "server", ["localhost", "192.0.2.1@", "192.0.2.1@dns", "192.0.2.1@70000", "@53", "192.0.2.1:53"]
)
def test_a_name_server_that_is_no_address_is_refused_at_once(server: str) -> None:
    with pytest.raises(ValueError, match="expected an IP address"):
        Resolver([server])


def test_a_name_server_may_have_a_port_of_its_own() -> None:
    settings = DnsSettings(nameservers=("192.0.2.1", "2001:db8::1@5353"))
    assert [parse_nameserver(server) for server in settings.nameservers] == [("192.0.2.1", 53), ("2001:db8::1", 5353)]
    with loopback_nameserver(lambda query, _: respond(query, SPF)) as port:
        resolver = Resolver.from_settings(DnsSettings(nameservers=(f"127.0.0.1@{port}",)))
        assert resolver.lookup("example.org", "TXT", Deadline.after(60)).found


def over_wire(port: int, query_timeout: float = PATIENCE) -> Resolver:
    return Resolver(["127.0.0.1"], port, query_timeout=query_timeout, rounds=1)


def truncated(query: Message) -> Message:
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response


def test_a_truncated_answer_is_fetched_by_tcp() -> None:
    def server(query: Message, tcp: bool) -> Message:
        return respond(query, SPF) if tcp else truncated(query)

    with loopback_nameserver(server) as port:
        assert over_wire(port).lookup("example.org", "TXT", Deadline.after(60)).texts == (b"v=spf1 -all",)


def test_truncation_without_tcp_is_a_temporary_error_never_an_absent_record() -> None:
    with (
        loopback_nameserver(lambda query, _: truncated(query), tcp=False) as port,
        pytest.raises(DNSTemporaryError),
    ):
        over_wire(port).lookup("example.org", "TXT", Deadline.after(60))


def test_a_forged_answer_with_another_id_is_not_believed() -> None:
    def server(query: Message, tcp: bool) -> Message:
        response = respond(query, SPF)
        response.id ^= 1
        return response

    with loopback_nameserver(server) as port, pytest.raises(DNSTemporaryError):
        over_wire(port, query_timeout=0.05).lookup("example.org", "TXT", Deadline.after(60))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_rubbish_from_the_wire_is_a_temporary_error(rubbish: bytes) -> None:
    def server(query: Message, tcp: bool) -> Message | bytes:
        return query.to_wire()[:2] + b"\x81\x80" + rubbish if tcp else truncated(query)

    with loopback_nameserver(server) as port:
        try:
            answer = over_wire(port, query_timeout=0.5).lookup("example.org", "TXT", Deadline.after(1))
        except DNSTemporaryError:
            return
        assert not answer.found
