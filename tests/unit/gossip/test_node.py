"""A node among peers: how their opinions are gathered and weighed, and that circles of them end."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from antispam.store import Store
from gossip import HAM, SPAM, Records
from gossip.client import NoAnswer
from gossip.node import Gossip
from gossip.records import vote_row
from support.patience import PATIENCE, quickest, took

NOW = 1_800_000_000.0


class Peer:
    """A node that says what it is told to, or nothing."""

    def __init__(self, name: str, says: Any, host: str = "198.51.100.1") -> None:
        self.name, self.host, self.addresses, self.resting = name, host, set[str](), False
        self.says = says
        self.asked: list[int] = []

    def query(self, umis: str, id: str, qual: str, ttl: int, *, timeout: float) -> Any:
        self.asked.append(ttl)
        if isinstance(self.says, threading.Event):
            self.says.wait(PATIENCE)
            raise NoAnswer("slow")
        if self.says is None:
            raise NoAnswer("down")
        return self.says


def known(store: Store, vote: int, number: int = 200, name: str = "example.org:SPF") -> None:
    for at in range(number):
        Records(store).note(vote_row(f"{name}{at}", name, NOW - 1000 + 5 * at, vote=vote))


def node(store: Store, *peers: Any, timeout: float = PATIENCE) -> Gossip:
    return Gossip(Records(store), peers, timeout=timeout, clock=lambda: NOW)


def test_without_peers_we_answer_what_we_remember(store):
    known(store, SPAM)
    answer = node(store).query("u", "Example.Org", "SPF")
    assert answer.opinion == pytest.approx((-76.159, 100 * 200 / 1024 * 996 / 1001), abs=0.001)
    assert answer.own.spam_count == 200


def test_a_peer_knows_what_we_do_not(store):
    peer = Peer("peer", (-76.0, 40.0))
    answer = node(store, peer).query("u", "example.org", "SPF", 1)
    # We have none, with no confidence: where only one has any, that opinion is all there is.
    assert answer.opinion == pytest.approx((-76.0, 40.0))
    assert answer.peers == 1
    assert peer.asked == [0]


def test_ttl_zero_asks_nobody(store):
    peer = Peer("peer", (-76.0, 40.0))
    assert node(store, peer).query("u", "example.org", "SPF", 0).peers == 0
    assert peer.asked == []


def test_a_great_ttl_is_bounded(store):
    peer = Peer("peer", (-76.0, 40.0))
    node(store, peer).query("u", "example.org", "SPF", 10**6)
    assert peer.asked == [2]


def test_a_peer_that_is_down_has_no_say(store):
    answer = node(store, Peer("down", None), Peer("up", (50.0, 30.0))).query("u", "example.org", "SPF")
    assert answer.peers == 1
    assert answer.opinion == pytest.approx((50.0, 30.0))


def test_peers_are_asked_at_the_same_time_and_not_waited_for_beyond_the_limit(store):
    gate = threading.Event()

    def seconds() -> float:
        """Infinite if the machine was too busy for all of them to be asked, and for one to answer, in that time."""
        slow = [Peer(f"slow{number}", gate) for number in range(6)]
        asker = node(store, *slow, Peer("up", (50.0, 30.0)), timeout=0.2)
        heard: list[int] = []
        spent = took(lambda: heard.append(asker.query("u", "example.org", "SPF").peers))
        return spent if heard == [1] and all(peer.asked for peer in slow) else math.inf

    spent = quickest(seconds, limit=2.0)
    gate.set()
    assert spent < 2.0


def test_the_one_who_asks_is_not_asked(store):
    asker = Peer("asker", (50.0, 30.0), host="192.0.2.7")
    other = Peer("other", (50.0, 30.0))
    assert node(store, asker, other).query("u", "example.org", "SPF", 2, asker="192.0.2.7").peers == 1
    assert asker.asked == []


def test_a_message_that_comes_round_is_not_passed_on_again(store):
    known(store, SPAM)
    peer = Peer("peer", (-76.0, 40.0))
    ours = node(store, peer)
    ours.query("u", "example.org", "SPF", 2)
    came_round = ours.query("u", "example.org", "SPF", 2, asker="203.0.113.9")
    assert came_round.opinion == (0.0, 0.0)
    assert len(peer.asked) == 1


def test_a_circle_of_nodes_ends(store):
    """Three nodes, each of which has both others as peers, and ttl as large as it may be."""
    nodes: dict[str, Gossip] = {}
    asked = []

    class Neighbour(Peer):
        def query(self, umis: str, id: str, qual: str, ttl: int, *, timeout: float) -> Any:
            asked.append(self.name)
            return nodes[self.name].query(umis, id, qual, ttl).opinion

    for name in "abc":
        others = [Neighbour(other, None) for other in "abc" if other != name]
        nodes[name] = node(store, *others)
    nodes["a"].query("u", "example.org", "SPF", 99)
    assert len(asked) <= 6


def test_a_peer_that_mostly_disagrees_loses_its_say(store):
    known(store, SPAM)
    for number in range(100):
        Records(store).note(vote_row(f"p{number}", "liar:PEER", NOW - 500 + number, vote=SPAM))
    liar = Peer("liar", (76.0, 100.0))
    trusting, ours = 100.0, 100 * 200 / 1024 * 996 / 1001
    heard = trusting * (100 - 76.159) / 100
    expected = (-76.159 * ours + 76.0 * heard) / (ours + heard)
    value, confidence = node(store, liar).query("u", "example.org", "SPF").opinion
    assert value == pytest.approx(expected, abs=0.01)
    assert confidence == pytest.approx((ours + heard) / 2, abs=0.01)


def test_it_is_remembered_whether_a_peer_agreed_a_hundred_times(store):
    known(store, SPAM)
    peer = Peer("peer", (76.0, 40.0))
    ours = node(store, peer)
    for number in range(3):
        ours.query(f"u{number}", "example.org", "SPF")
    peer.says = (-20.0, 40.0)
    ours.query("u9", "example.org", "SPF")
    found = Records(store).get("peer:PEER")
    assert found is not None
    assert (found.size, found.spam_count, found.ham_count) == (100, 3, 1)


def test_what_the_database_said_is_believed_for_five_seconds(store):
    now = [0.0]
    ours = Gossip(Records(store), clock=lambda: NOW, ticks=lambda: now[0])
    known(store, SPAM, 10)

    def spam() -> int:
        return ours.query(f"u{len(ours._recent)}", "example.org", "SPF").own.spam_count

    assert spam() == 10
    known(store, SPAM, 12)
    assert spam() == 10
    ours.voted("example.org:SPF", SPAM)  # of our own we need not be told
    assert spam() == 11
    now[0] = 4.9
    assert spam() == 11
    now[0] = 5.0
    assert spam() == 12
    known(store, SPAM, 20)
    ours.forget()
    assert spam() == 20


def test_a_stranger_is_as_old_as_the_question_about_his_first_message(store):
    ours = node(store)
    assert ours.query("u", "example.org", "SPF").opinion == (0.0, 0.0)
    ours.voted("example.org:SPF", HAM, NOW - 5)
    answer = ours.query("v", "example.org", "SPF")
    assert (answer.own.first_seen, answer.own.last_seen) == (NOW - 5, NOW)
    assert answer.opinion[1] > 0


def test_what_was_answered_does_not_change_afterwards(store):
    known(store, SPAM, 10)
    ours = node(store)
    answer = ours.query("u", "example.org", "SPF")
    ours.voted("example.org:SPF", SPAM)
    assert answer.own.spam_count == 10
    assert ours.query("v", "example.org", "SPF").own.spam_count == 11


def test_a_message_that_somebody_asked_about_can_be_judged(store):
    ours = node(store)
    ours.note("u", "example.org", "SPF")
    assert ours.feedback("u", HAM)
    assert ours.query("v", "example.org", "SPF").own.ham_count == 1
    assert ours.reset("example.org", "SPF")
    assert ours.query("w", "example.org", "SPF").own.ham_count == 0
