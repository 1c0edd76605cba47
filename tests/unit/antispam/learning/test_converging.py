"""What one node was told, the others know within five seconds, whatever they believed before (docs/databases.md)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from antispam.learning.people import People
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries
from antispam.mail.remedies import Remedy
from antispam.protocols.fingerprints import Marks
from antispam.settings import default_settings
from antispam.store import Store, fingerprints, greylist, lists, own_lists, own_names, preferences
from antispam.store.fingerprint_filter import MarkFilter
from antispam.store.own_names import NameFilter
from gossip.node import Gossip
from gossip.records import Records

pytestmark = pytest.mark.every_database

WITHIN = 5.0  # seconds
NOW = 1_700_000_000.0
CLIENT = "192.0.2.0/24"
LIMITS = greylist.Limits(wait=60, expire=3600, retain=86400, returns=2)
KEYS = np.array([1, 2, 3], dtype=np.int64)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Node:
    """A worker of one node, with what it keeps in memory; `clock` is its monotonic clock, and its time of day since NOW."""

    def __init__(self, url: str, clock: Clock) -> None:
        settings = default_settings([DspamSettings])[DspamSettings]
        self.store = Store(url)
        self.clock = clock
        self.people = People(settings, self.store, clock)
        self.dictionaries = Dictionaries(self.store, clock)
        self.marks = MarkFilter(self.store, clock)
        self.names = NameFilter(self.store, clock)
        self.gossip = Gossip(Records(self.store), clock=lambda: self.now, ticks=clock)

    @property
    def now(self) -> float:
        return NOW + self.clock()


def _add(kind: lists.Kind, name: str) -> Callable[[Node], object]:
    return lambda node: lists.add(node.store, kind, name, reason="test", by="test", now=node.now)


def _listed(kind: lists.Kind, name: str) -> Callable[[Node], object]:
    return lambda node: lists.find(node.store, [(kind, name)], node.now)


def _set_preference(node: Node) -> None:
    preferences.put(
        node.store, preferences.Preference(preferences.Scope.USER, "bob", "spamAction", str(Remedy.QUARANTINE))
    )


def _prefers(node: Node) -> object:
    return node.people.settings_for("bob").spam_action is Remedy.QUARANTINE


def _blocks(node: Node) -> object:
    return own_lists.anybody(node.store, node.now) and own_lists.find(
        node.store, ["bob"], ["eve@example.org"], node.now
    )


def _report(node: Node) -> None:
    fingerprints.report(node.store, Marks((5, 7), frozenset(), 2), 1, 2, node.now, 1000.0, common=5)


def _teach(node: Node) -> None:
    node.dictionaries.make("bob").learn("m1", KEYS, True)


def _taught(node: Node) -> object:
    dictionary = node.dictionaries.get("bob")
    return dictionary is not None and dictionary.totals() == (1, 0)


def _teach_more(node: Node) -> None:
    node.dictionaries.make("amy").learn("m2", KEYS, False)


def _taught_more(node: Node) -> object:
    return node.dictionaries.make("amy").totals() == (0, 1)


def _vote(node: Node) -> None:
    node.gossip.note("m1", "example.org", "SPF")
    assert node.gossip.feedback("m1", 1)


KINDS: dict[str, tuple[Callable[[Node], object], Callable[[Node], object]]] = {
    "bans": (_add(lists.Kind.BANNED_IP, "192.0.2.1"), _listed(lists.Kind.BANNED_IP, "192.0.2.1")),
    "dictionaries, the first training": (_teach, _taught),
    "dictionaries": (_teach_more, _taught_more),
    "fingerprints": (_report, lambda node: node.marks.possible([5])),
    "greylist": (
        lambda node: greylist.vouch(node.store, CLIENT, node.now, LIMITS),
        lambda node: greylist.is_known(node.store, CLIENT, node.now, LIMITS),
    ),
    "lists": (
        _add(lists.Kind.BLACKLIST, "eve@example.org"), _listed(lists.Kind.BLACKLIST, "eve@example.org"),
    ),
    "lists of users": (
        lambda node: own_lists.put(node.store, "bob", own_lists.Kind.BLOCK, "eve@example.org", node.now), _blocks,
    ),
    "names of users": (
        lambda node: own_names.learn(node.store, "ann lee", "ann@example.com", node.now),
        lambda node: node.names.may_have(own_names._digest("ann lee")),
    ),
    "preferences": (_set_preference, _prefers),
    "reputation": (_vote, lambda node: node.gossip.query("m2", "example.org", "SPF").own.count),
}  # fmt: skip


@pytest.fixture
def nodes(database_url: str) -> Iterator[tuple[Node, Node]]:
    clock = Clock()
    one, other = (Node(database_url, clock) for _ in range(2))
    with contextlib.closing(one.store), contextlib.closing(other.store):
        yield one, other


def test_what_one_node_was_told_the_other_knows_within_five_seconds(nodes: tuple[Node, Node]) -> None:
    one, other = nodes
    assert [kind for kind, (_, knows) in KINDS.items() if knows(other)] == []  # it believes so for a while
    for tell, _ in KINDS.values():
        tell(one)
    one.clock.now += WITHIN
    assert [kind for kind, (_, knows) in KINDS.items() if not knows(other)] == []
