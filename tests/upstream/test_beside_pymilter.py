"""Our modules beside the real pymilter 1.0.5: the same expressions, the same milters, the same dialogues.

What is equal stays equal. Each difference has a row here with its reason, and docs/pymilter.md tells it to people who move.
A row whose cases have become equal fails, too.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory
from support.pymilter import BUILT, build
from upstream.peer_dialogue import Peer, dialogue
from upstream.peer_expressions import FUNCTIONS
from upstream.peer_milters import CHANGES, MILTERS, OUTCOMES, STEPS

pytestmark = pytest.mark.fetched

OURS = REPOSITORY / "lib"
PEER = Path(__file__).with_name("peer.py")
Peers = Callable[[str, str], tuple[Peer, Peer]]

# A pattern that a whole expression matches, and why it gives something else here.
OTHER_RESULTS = [
    (r"utils\.parseaddr\('a@c\.example, b <a@b\.example>'\)", "of several addresses the first is returned"),
    (
        r"utils\.parse_header\('=\?.*\\n <a@b>'\)",
        "the white space behind an encoded word stays: name and address ran together",
    ),
    (
        r"utils\.parse_header\(.*us-ascii.*(=C3|Q2Fmw6k).*\)",
        "us-ascii says nothing: UTF-8 is read as that, else windows-1252",
    ),
    (
        r"utils\.parse_header\(.*nonsense.*=(C3=28|E9).*\)",
        "octets of an unknown charset are read; there, all stays encoded",
    ),
    (
        r"utils\.parse_header\(.*utf-8\*en.*=C3=28.*\)",
        "a language (RFC 2231 section 5) does not make the charset unknown",
    ),
    (r"utils\.iniplist\('(\d+\.){3}\d+', .*::ffff:0:0/96.*\)", "an IPv4 address equals its IPv4-mapped form"),
    (
        r"utils\.iniplist\('[\da-f]*:[\da-f:]*', .*0\.0\.0\.0/0.*\)",
        "no IPv6 address is in an IPv4 network, not even in 0.0.0.0/0",
    ),
    (r"utils\.iniplist\(.*/33'\]\)", "a prefix length that cannot be is an error"),
    (r"utils\.iniplist\(.*bad\.\.name.*\)", "a host name that cannot be has no addresses"),
    (r"mime\.check_ext\('a\.e(xe( |\\t|\.|\\xa0|⠀|:b)|\\u200bxe)'\)", "a name is judged as the system opens it"),
    (r"read\(.*utf-8''a\.exe.*\)\.getname\(\)", "text, also where it was encoded"),
    (r"mime\.defang\(read\(.*(utf-8''a\.exe|boundary=x).*\)\)", "pymilter raises"),
    (r"mask\(.*, (2048|16|0x800|0x10), \('(hello|body)',\)\)", "a step that a subclass overrides is called"),
    (r"Milter\.decode_mask\(61, .*\)", "the bits without a name are one number"),
]

MESSAGE_STEPS = "envfrom|envrcpt|data|header|eoh|body"
# Kinds of milters, what is done there, and why it goes another way here.
OTHER_DIALOGUES = [
    (r"sparse|twice", r".*", "steps without a callback are negotiated away"),
    (r"bare|layer|small", r"changes 26", "setreply() takes bytes, too"),
    (r"layer|small", r"changes 24", "a reply may do without text"),
    (r"layer|small", r"changes 28", "setsymlist() never works in pymilter on Python 3"),
    (r"bare|layer", r"\w+ (NOREPLY|99)", "the MTA gets an answer"),
    (r"silent|noreply", rf"({MESSAGE_STEPS}) .*", "a failure or a verdict is spoken at the next step that is answered"),
    (r"silent", r"(connect|helo) (REJECT|TEMPFAIL|DISCARD|ACCEPT|True)", "a verdict about the client is spoken later"),
]  # fmt: skip


def _difference(rows: list[tuple[str, ...]], *words: str) -> str | None:
    """The reason of the first row that fits."""
    for *patterns, reason in rows:
        if all(re.fullmatch(pattern, word, re.DOTALL) for pattern, word in zip(patterns, words, strict=True)):
            return reason
    return None


@pytest.fixture(scope="module")
def pymilter() -> Path:
    """The folder with the real modules."""
    if problem := build():
        pytest.skip(problem)
    return BUILT


# --- expressions --------------------------------------------------------------------------------------------------


@functools.cache
def _results(library: Path) -> dict[str, str]:
    command = [sys.executable, "-W", "ignore", str(PEER), "functions"]
    environment = {**os.environ, "PYTHONPATH": str(library)}
    output = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE
    ).stdout
    return dict(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("expression", FUNCTIONS)
def test_an_expression_gives_the_same(pymilter: Path, expression: str) -> None:
    """Or what the table of differences says."""
    theirs, ours = _results(pymilter)[expression], _results(OURS)[expression]
    if reason := _difference(OTHER_RESULTS, expression):
        assert ours != theirs, f"no longer different: {reason}"
    else:
        assert ours == theirs


# --- dialogues ----------------------------------------------------------------------------------------------------

SPOKEN = [outcome for outcome in OUTCOMES if outcome not in ("NOREPLY", "99")]
# Where pymilter's MTA gets no answer, each case costs the time until nobody waits any more: these stand for the others.
PLANS = {
    "bare": ["helo NOREPLY", "header NOREPLY", "envrcpt 99", "eom 99"],
    "layer": ["helo NOREPLY", "body 99"],
    "silent": [
        "envfrom REJECT",
        "envrcpt REJECT",
        "data raise",
        "header ACCEPT",
        "eoh None",
        "body TEMPFAIL",
        "eom raise",
    ],
    "noreply": ["envfrom raise", "envrcpt raise", "data REJECT", "header raise", "eoh None", "eom raise", "eom REJECT"],
}


def _plans(kind: str) -> Iterator[str]:
    """What the milters of a kind are told to do."""
    yield from ("plain", "changes 0", "changes 1", "changes 4")
    if kind in ("bare", "layer", "small"):
        yield from (f"changes {number}" for number in range(len(CHANGES)) if number not in (0, 1, 4))
    if kind in ("bare", "layer"):
        yield from (f"{step} {outcome}" for step, outcome in itertools.product(STEPS, SPOKEN))
    elif kind in ("silent", "noreply"):
        steps = ("connect", "helo", "unknown")
        yield from (f"{step} {outcome}" for step, outcome in itertools.product(steps, SPOKEN))
    yield from PLANS.get(kind, ())


def _cases() -> Iterator[tuple[str, str, str]]:
    """(kind of milter, exception policy, plan)"""
    for kind in MILTERS:
        yield from ((kind, "TEMPFAIL", plan) for plan in _plans(kind))
    for kind, policy, step in itertools.product(("bare", "layer"), ("REJECT", "ACCEPT", "CONTINUE"), STEPS):
        yield kind, policy, f"{step} raise"


@pytest.fixture(scope="module")
def peers(pymilter: Path) -> Iterator[Peers]:
    """peers(kind, policy): the milter on both sides, (pymilter's, ours)."""
    with RunDirectory("beside") as folder, contextlib.ExitStack() as running:

        @functools.cache
        def start(kind: str, policy: str) -> tuple[Peer, Peer]:
            made = Peer(pymilter, folder.path, kind, policy), Peer(OURS, folder.path, kind, policy)
            for peer in made:
                running.callback(peer.close)
            return made

        yield start


def _compared(peers: Peers, kind: str, policy: str, plan: str, **offer: Any) -> tuple[list[str], list[str]]:
    """The dialogue on both sides, (pymilter's, ours), where the text for a failed callback is ours on both."""
    theirs, ours = (dialogue(peer, plan, **offer) for peer in peers(kind, policy))
    return [line.replace("pymilter: untrapped exception in peer", "peer: internal error") for line in theirs], ours


@pytest.mark.parametrize(("kind", "policy", "plan"), list(_cases()))
def test_a_dialogue_goes_the_same_way(peers: Peers, kind: str, policy: str, plan: str) -> None:
    """What the MTA hears, and what the milter hears. Or what the table of differences says."""
    theirs, ours = _compared(peers, kind, policy, plan)
    if reason := _difference(OTHER_DIALOGUES, kind, plan):
        assert ours != theirs, f"no longer different: {reason}"
    else:
        assert ours == theirs


OFFERS = list(itertools.product((6, 2), (0x1FF, 0x3F, 0x0F, 0x01, 0), (0x1FFFFF, 0x1FF, 0x7F, 0x3F, 0x400, 0)))


@pytest.mark.parametrize(("version", "actions", "steps"), OFFERS)
@pytest.mark.parametrize("kind", ["bare", "flagged", "layer", "noreply", "small"])
def test_any_offer_of_an_mta_is_taken_the_same_way(
    peers: Peers, kind: str, version: int, actions: int, steps: int
) -> None:
    """With changes that the MTA may not have offered."""
    theirs, ours = _compared(peers, kind, "TEMPFAIL", "changes 4", version=version, actions=actions, steps=steps)
    assert ours == theirs


CLIENTS = [
    ("4", b"192.0.2.1"), ("4", b"0.0.0.0"), ("6", b"2001:db8::1"), ("6", b"::"), ("6", b"::ffff:192.0.2.1"), ("L", b"/run/x"),
    ("U", b""),
]  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("kind", ["bare", "layer", "noreply"])
def test_a_client_is_announced_the_same_way(peers: Peers, kind: str, client: tuple[str, bytes]) -> None:
    """IPv4, IPv6, a unix socket, and a client of whom the MTA knows nothing."""
    theirs, ours = _compared(peers, kind, "TEMPFAIL", "plain", client=client)
    assert ours == theirs


def test_a_host_name_that_is_not_utf8_reaches_the_milter(peers: Peers) -> None:
    """pymilter fails before the callback; ours gets surrogates, and goes on."""
    theirs, ours = _compared(peers, "bare", "TEMPFAIL", "h\udce9")
    assert theirs[1].startswith("connect: y")
    assert ours[1] == "connect: c"
    assert any(line.startswith("heard ('connect', 'h\\udce9'") for line in ours)


def test_each_row_of_the_tables_has_a_case() -> None:
    """One that fits nothing tells nothing."""
    cases = list(_cases())
    for pattern, reason in OTHER_RESULTS:
        assert any(re.fullmatch(pattern, expression, re.DOTALL) for expression in FUNCTIONS), reason
    for kinds, pattern, reason in OTHER_DIALOGUES:
        assert any(re.fullmatch(kinds, kind) and re.fullmatch(pattern, plan) for kind, _, plan in cases), reason
