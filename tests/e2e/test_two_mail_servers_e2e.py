"""Two mail servers, each a real Postfix with a filter of its own, on one PostgreSQL: nothing is lost and nothing comes twice,
whatever is taken away."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest
import sqlalchemy as sa

from antispam.store import lists, migrate
from antispam.store.engine import Store
from antispam.store.schema import quarantine_entry
from support.databases import PostgreSQL, StandBy
from support.dns import loopback_nameserver
from support.filter_process import FilterProcess
from support.frozen_path import FrozenPath, frozen_path
from support.mta import Postfix
from support.network import Cable, Network, Segment
from support.processes import wait_until
from support.sink import Sink
from support.smtp_client import ConnectionLostError

pytestmark = pytest.mark.servers

CONFIG = (
    "[helo]\nmode = off\n[spf]\nmode = off\n[greylist]\nmode = off\n[milter]\nmessage_timeout = 4\nstep_timeout = 2\n"
    "[defang]\nremedy = quarantine\n"
)
RAW = (
    "From: ann@example.org\r\nTo: bob@example.com\r\nSubject: {0}\r\nMessage-ID: <{1}@example.org>\r\n"
    "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMIME-Version: 1.0\r\n"
    'Content-Type: application/octet-stream; name="game.exe"\r\n\r\nMZ {0}\r\n'
)


def _nothing_exists(query: dns.message.Message, by_tcp: bool) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.NXDOMAIN)
    return response


def _cable(near: Segment, far: Segment, number: int) -> Cable | None:
    """None where the kernel has none, as in some containers."""
    try:
        return Cable(near, far, number)
    except subprocess.CalledProcessError:
        return None


class Node:
    """A mail server with its filter, which is in a network of its own. A cable leads from it to another one, and from there a
    proxy to the database: `path`, which can lead to another server. A kernel that cannot make cables has the proxy alone, which
    then swallows what is said instead."""

    def __init__(self, stack: contextlib.ExitStack, sink: Sink, server: PostgreSQL, url: str, number: int) -> None:
        near, far = (stack.enter_context(Segment()) for _ in range(2))
        self._cable = _cable(near, far, number)
        host = self._cable.address if self._cable else "127.0.0.1"
        place: Network = far if self._cable else Network()
        self.path: FrozenPath = stack.enter_context(frozen_path(server.port, place.listen(host)))
        whole = sa.engine.make_url(url).set(host=host, port=self.path.port)
        own = whole.render_as_string(hide_password=False)
        network: Network = near if self._cable else Network()
        dns_port = stack.enter_context(loopback_nameserver(_nothing_exists, network=network))
        config = f"{CONFIG}[dns]\nnameservers = 127.0.0.1@{dns_port}\n"
        self.filter = stack.enter_context(FilterProcess(network, config, database=own))
        extra = {"milter_command_timeout": "5s", "milter_content_timeout": "10s", "milter_connect_timeout": "5s"}
        self.mta = stack.enter_context(Postfix(Network(), sink, [f"unix:{self.filter.socket}"], extra=extra))

    def cut(self) -> None:
        """Let nothing get through between the filter and the database, and nobody hear of it."""
        if self._cable:
            self._cable.pull_out()
        else:
            self.path.frozen.set()

    def mend(self) -> None:
        if self._cable:
            self._cable.plug_in()
        else:
            self.path.cut()
            self.path.frozen.clear()

    def send(self, subject: str, sender: str = "ann@example.org") -> int:
        """The code of the reply that ends a message."""
        with self.mta.client() as client:
            client.greet()
            client.xclient(ADDR="192.0.2.1", NAME="client.example.org")
            client.command("EHLO client.example.org")
            message = RAW.format(subject, subject.replace(" ", ".")).encode()
            return client.message(sender, ["bob@example.com"], message).code


class Senders:
    """Mail servers of the world: each brings its message to one MX after the other until it is taken."""

    def __init__(self, nodes: tuple[Node, Node]) -> None:
        self._nodes = nodes
        self._stop = threading.Event()
        self.taken: list[tuple[str, Node]] = []
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(2)]

    def _send(self, name: int) -> None:
        order = itertools.cycle(self._nodes if name else self._nodes[::-1])
        for number in itertools.count():
            subject = f"{name} {number}"
            for node in order:
                if self._stop.is_set():
                    return
                with contextlib.suppress(OSError, ConnectionLostError):
                    if node.send(subject) == 250:
                        self.taken.append((subject, node))
                        break
                self._stop.wait(0.05)

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def flows(self, *by: Node) -> None:
        """Each of these nodes takes another message."""
        for node in by:
            self._await_another(node)

    def _await_another(self, node: Node) -> None:
        wanted = self._of(node) + 1
        wait_until(lambda: self._of(node) >= wanted, "mail flows")

    def _of(self, node: Node) -> int:
        return sum(taker is node for _, taker in self.taken)


@pytest.fixture
def servers_of_databases() -> Iterator[tuple[PostgreSQL, StandBy, str]]:
    """A server, one that has everything before a commit is answered, and a database with tables."""
    with PostgreSQL() as primary:
        url = primary.new_database()
        migrate(url)
        with StandBy(primary) as standby:
            primary.demand_copies()
            yield primary, standby, url


def test_nothing_is_lost_and_nothing_comes_twice(servers_of_databases: tuple[PostgreSQL, StandBy, str]) -> None:
    primary, standby, url = servers_of_databases
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink(Network()))
        one, other = (Node(stack, sink, primary, url, number) for number in range(2))
        with Senders((one, other)) as senders:
            senders.flows(one, other)
            one.filter.kill()
            senders.flows(other)
            one.filter.start()
            senders.flows(one)
            primary.restart()
            senders.flows(one, other)
            one.cut()
            assert 400 <= one.send("while the network is cut") < 500
            senders.flows(other)
            one.mend()
            senders.flows(one, other)
            primary.stop()
            standby.promote()
            for node in (one, other):
                node.path.lead_to(standby.port)
            senders.flows(one, other)
        kept = _kept(standby.of(url))
        taken = [subject for subject, _ in senders.taken]
        assert set(taken) <= set(kept)
        assert sorted(kept) == sorted(set(kept))
        assert sink.deliveries == []
        _demand_that_lists_are_shared(standby.of(url), one, other)


def _kept(url: str) -> list[str]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(quarantine_entry.c.subject)))


def _demand_that_lists_are_shared(url: str, one: Node, other: Node) -> None:
    """What is listed in the database that was promoted holds at both: for five seconds they believe what they read before."""
    with contextlib.closing(Store(url)) as store:
        lists.add(store, lists.Kind.BLACKLIST, "eve@example.org", reason="test", by="test", now=time.time())
    for node in (one, other):
        node.filter.clock.advance(6)
        wait_until(lambda node=node: _refuses_eve(node), "she is refused")  # type: ignore[misc]


def _refuses_eve(node: Node) -> bool:
    """Whether for good. Where the database is slow, she is asked to come again, and never let in."""
    code = node.send("from eve", "eve@example.org")
    assert code != 250
    return code == 550
