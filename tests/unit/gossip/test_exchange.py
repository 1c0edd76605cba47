"""Reputations in files: our own, and pygossip's."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import HAM, SPAM, UNSURE
from gossip.exchange import BadRecord, _from_pickle, from_lines, to_line
from gossip.observations import replayed

NOW = 1_700_000_000.0


@given(st.lists(st.sampled_from([HAM, SPAM, UNSURE]), max_size=40))
def test_what_is_written_is_read_again(votes):
    made = replayed(votes, NOW, size=16)
    ((name, read),) = from_lines([to_line("example.com:SPF", made), "\n"])
    assert name == "example.com:SPF"
    assert list(read.votes()) == list(made.votes())
    assert (read.first_seen, read.last_seen, read.size) == (NOW, NOW, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "example.com"},
        {"identity": "exa mple:SPF"},
        {"identity": "a" * 400 + ":SPF"},
        {"identity": "\x1b[1m:SPF"},
        {"votes": "hx"},
        {"votes": "h" * 1025},
        {"votes": 7},
        {"size": 0},
        {"size": 10**9},
        {"first_seen": 9.0, "last_seen": 8.0},
        {"first_seen": float("nan")},
        {"last_seen": None},
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_number(change):
    good = {"identity": "example.com:SPF", "votes": "hs", "first_seen": 1.0, "last_seen": 2.0}
    with pytest.raises(BadRecord, match="line 2"):
        list(from_lines([json.dumps(good), json.dumps(good | change)]))


@pytest.mark.parametrize("line", ["{", "[]", "7", "null", "[" * 9000, "x" * 20_000])
def test_what_is_no_record_is_refused(line):
    with pytest.raises(BadRecord):
        list(from_lines([line]))


def python2(state: str) -> bytes:
    """A pickle of protocol 0, as shelve wrote an object of pygossip under Python 2."""
    head = "ccopy_reg\n_reconstructor\np1\n(cgossip.server\nObservations\np2\nc__builtin__\nobject\np3\nNtp4\nRp5\n"
    return f"{head}{state}b.".encode()


# bptr, bcnt, hcnt, ncnt, maxobs, firstseen, lastseen, obs, null: ham, spam, ham, unsure.
STATE = "(I4\nI4\nI2\nI1\nI1024\nF1100000000.0\nF1200000000.0\nL5L\nL8L\nt"


def test_an_object_of_pygossip_is_read():
    name, made = _from_pickle("example.com:SPF", python2(STATE))
    assert name == "example.com:SPF"
    assert list(made.votes()) == [HAM, SPAM, HAM, UNSURE]
    assert (made.first_seen, made.last_seen, made.total) == (1_100_000_000.0, 1_200_000_000.0, 4)


def test_a_full_ring_of_pygossip_keeps_its_order():
    state = "(I1\nI3\nI1\nI0\nI3\nF1.0\nF2.0\nL2L\nL0L\nt"  # the oldest stands at place 1, and is ham
    assert list(_from_pickle("a:SPF", python2(state))[1].votes()) == [HAM, SPAM, SPAM]


def test_an_object_of_pygossips_first_versions_is_read():
    fields = {
        "bptr": "I2",
        "bcnt": "I2",
        "hcnt": "I1",
        "firstseen": "F1.0",
        "lastseen": "F2.0",
        "obs": "L1L",
        "maxobs": "I9",
    }
    state = "(d" + "".join(f"S'{name}'\n{value}\ns" for name, value in fields.items())
    assert list(_from_pickle("a:SPF", python2(state))[1].votes()) == [HAM, SPAM]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04garbage",
        b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
        pickle.dumps([1, 2, 3]),
        python2("(I1\nt"),
        python2("S'text'\n"),
        python2("(I4\nI4\nI2\nI1\nI1024\nF1.0\nF2.0\nL5L\nS'x'\nt"),
        python2("(I9999\nI4\nI2\nI1\nI1024\nF1.0\nF2.0\nL5L\nL0L\nt"),
        python2("(I4\nI4\nI2\nI1\nI1000000000\nF1.0\nF2.0\nL5L\nL0L\nt"),
        python2(STATE) + b"x" * 30_000,
    ],
)
def test_a_pickle_of_anything_else_runs_nothing_and_is_refused(raw):
    with pytest.raises(ValueError, match=r"."):
        _from_pickle("a:SPF", raw)


@given(st.binary(max_size=200))
def test_no_octets_raise_anything_else(raw):
    for octets in (raw, python2(STATE)[: len(raw)] + raw):
        try:
            _from_pickle("a:SPF", octets)
        except (ValueError, TypeError, KeyError, OverflowError):
            continue
