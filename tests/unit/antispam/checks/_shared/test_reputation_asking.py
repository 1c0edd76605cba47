"""Asking peers and a server about a domain, telling the server, and forgetting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from antispam.checks import reputation, reputation_signed
from antispam.checks._shared.reputation import asking
from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.deadline import Deadline
from antispam.mail.connection import Connection
from antispam.mail.evidence import ReputationFinding
from antispam.mail.message import Body, Message
from antispam.store import Store
from gossip import HAM, SPAM, Observations, Records
from gossip.node import Answer
from gossip.records import vote_row
from gossip.schema import reputation_vote
from gossip.server import Server, listen
from support.checking import services_of
from support.patience import PATIENCE

NOW = 1_800_000_000.0
DAY = 86400.0


class Other:
    """Another node, that says what it is told to, and notes what it is told."""

    def __init__(self, opinion: tuple[float, float] = (-76.0, 40.0)) -> None:
        self.opinion = opinion
        self.told: list[tuple[str, int]] = []

    def query(self, umis: str, id: str, qual: str, ttl: int = 1, *, asker: str = "") -> Answer:
        return Answer(self.opinion, Observations())

    def note(self, umis: str, id: str, qual: str) -> None: ...

    def feedback(self, umis: str, vote: int) -> bool:
        self.told.append((umis, vote))
        return True

    def reset(self, id: str, qual: str) -> bool:
        return True


@contextlib.contextmanager
def listening(other: Other) -> Iterator[str]:
    server = Server(other, listen("127.0.0.1", 0), admits=lambda address: True)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"127.0.0.1:{server.port}"
    server.close()
    thread.join(PATIENCE)


def services(store: Store, config: str = "", **more: Any) -> Any:
    return services_of(GossipSettings, "gossip", config, store=store, clock=lambda: NOW, **more)


def ask(given: Any) -> ReputationFinding:
    message = Message("abcdefghijkl", "ann@example.org", NOW, Body(1000))
    return asking.ask(ReputationFinding, "example.org", "SPF", message, given)


def test_a_peer_has_a_say_and_whether_it_agreed_is_written_later(store):
    rows: list[Any] = []
    with listening(Other()) as address:
        finding = ask(services(store, f"peers = {address}", write_later=lambda table, row: rows.append(row)))
    assert (finding.reputation, finding.confidence, finding.peers) == (-76.0, 40.0, 1)
    assert [row["identity"] for row in rows] == [f"{address}:PEER"]


def test_whoever_only_wants_to_know_leaves_no_trace(store):
    rows: list[Any] = []
    with listening(Other()) as address:
        given = services(store, f"peers = {address}", read_only=True, write_later=lambda table, row: rows.append(row))
        assert ask(given).peers == 1
    assert rows == []


def test_the_server_is_asked_instead(store):
    Records(store).note(vote_row("u", "example.org:SPF", NOW - 9, vote=HAM))
    with listening(Other((-70.0, 33.0))) as address:
        finding = ask(services(store, f"server = {address}"))
    assert (finding.reputation, finding.confidence, finding.ham) == (-70.0, 33.0, 1)


def test_our_own_records_count_while_the_server_is_gone(store):
    Records(store).note(vote_row("u", "example.org:SPF", NOW - 9, vote=HAM))
    with listening(Other()) as address:
        pass
    finding = ask(services(store, f"server = {address}"))
    assert finding.error == ""
    assert finding.reputation == pytest.approx(76.159, abs=0.001)


def test_nobody_is_asked_once_the_time_is_up(store):
    other = Other()
    with listening(other) as address:
        finding = ask(services(store, f"peers = {address}", deadline=Deadline(NOW, clock=lambda: NOW)))
    assert finding.peers == 0


@pytest.mark.parametrize(
    ("config", "ready"), [("", True), ("peers = a.example", False), ("peers = a.example\nttl = 0", True),
                          ("server = a.example", False)],
)  # fmt: skip
@pytest.mark.parametrize("check", [reputation, reputation_signed])
def test_only_who_asks_others_has_to_wait(check, config, ready, store):
    assert check.ready(Connection("c"), Message("m", "", NOW, Body(1)), services(store, config)) is ready


def test_the_server_is_told_once_and_again_where_a_report_corrects_it(store):
    Records(store).note(vote_row("u1", "example.org:SPF", NOW - 9, vote=HAM))
    Records(store).note(vote_row("u2", "example.org:SPF", NOW - 8))
    Records(store).note(vote_row("u3", "peer.example:PEER", NOW - 8, vote=HAM))
    Records(store).note(vote_row("u4", "example.org:SPF", NOW - 3 * DAY, vote=HAM))
    other = Other()
    with listening(other) as address:
        given = services(store, f"server = {address}")
        asking.upkeep(given)
        asking.upkeep(given)
        assert other.told == [("u1", HAM)]
        Records(store).feedback("u1", SPAM, NOW)
        asking.upkeep(given)
    assert other.told == [("u1", HAM), ("u1", SPAM)]


def test_what_could_not_be_told_waits(store):
    Records(store).note(vote_row("u1", "example.org:SPF", NOW - 9, vote=HAM))
    with listening(Other()) as address:
        pass
    asking.upkeep(services(store, f"server = {address}"))
    with store.read() as connection:
        assert connection.scalars(sa.select(reputation_vote.c.told)).all() == [None]


def test_old_messages_and_old_domains_are_forgotten_and_rare_ones_sooner(store):
    for days in (1, 40, 200):
        for number in range(5):
            Records(store).note(vote_row(f"u{days} {number}", f"{days}.example:SPF", NOW - days * DAY, vote=HAM))
    Records(store).note(vote_row("u", "rare.example:SPF", NOW - 40 * DAY, vote=HAM))
    Records(store).note(vote_row("v", "new.example:SPF", NOW - DAY, vote=HAM))
    while asking.upkeep(services(store)):
        pass
    left = [name for name, _ in Records(store).everything()]
    assert left == ["1.example:SPF", "40.example:SPF", "new.example:SPF"]
    with store.read() as connection:
        assert len(connection.scalars(sa.select(reputation_vote.c.umis)).all()) == 6
