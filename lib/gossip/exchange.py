"""Reputations in files: our own JSON lines, and the database of pygossip.

pygossip's file is a Berkeley DB hash of pickles. An ordinary unpickler would run any code that a pickle names; this one
creates only tuples, numbers and one class.
"""

from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gossip.observations import HAM, MOST, SPAM, UNSURE, Observations
from Milter.berkeleydb import read_hash

_LETTERS = {HAM: "h", SPAM: "s", UNSURE: "-"}
_VOTES = {letter: vote for vote, letter in _LETTERS.items()}
_LONGEST_LINE = 10_000
_LARGEST_PICKLE = 20_000


class BadRecord(ValueError):
    """The input is not a reputation. The message says where."""


def to_line(name: str, made: Observations) -> str:
    """One line of JSON. Votes are letters, the oldest first."""
    return json.dumps(
        {
            "identity": name,
            "first_seen": made.first_seen,
            "last_seen": made.last_seen,
            "size": made.size,
            "votes": "".join(_LETTERS[vote] for vote in made.votes()),
        }
    )


def from_lines(lines: Iterable[str]) -> Iterator[tuple[str, Observations]]:
    """The records that to_line wrote. Raises BadRecord."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > _LONGEST_LINE:
                raise ValueError("it is too long")
            yield _from_json(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadRecord(f"line {number}: {type(error).__name__}: {error}"[:200]) from error


def _from_json(values: Any) -> tuple[str, Observations]:
    name, size = str(values["identity"]), int(values.get("size", MOST))
    votes = [_VOTES[letter] for letter in values["votes"]]
    return _checked(name, size, votes, float(values["first_seen"]), float(values["last_seen"]))


def _checked(name: str, size: int, votes: list[int], first: float, last: float) -> tuple[str, Observations]:
    domain, colon, how = name.rpartition(":")
    if not (colon and domain and how) or len(name) > 320 or not name.isprintable() or any(map(str.isspace, name)):
        raise ValueError("the identity is not domain:how")
    if not (1 <= size <= MOST and len(votes) <= size):
        raise ValueError("there are more votes than fit")
    if not (math.isfinite(first) and math.isfinite(last) and 0 <= first <= last):
        raise ValueError("the times make no sense")
    made = Observations(size, first_seen=first, last_seen=last)
    for vote in votes:
        made.add(vote, last)
    made.first_seen = first
    return name, made


def is_pygossip(path: Path) -> bool:
    """Whether the file is a Berkeley DB rather than text. Raises OSError."""
    with path.open("rb") as file:
        return b"\0" in file.read(64)


def from_pygossip(path: Path) -> Iterator[tuple[str, Observations]]:
    """The records of a pygossip node. Raises BadRecord, BerkeleyDBError, OSError."""
    for key, value in read_hash(path):
        name = key.rstrip(b"\0").decode("utf-8", "replace")
        try:
            yield _from_pickle(name, value)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise BadRecord(f"{name[:80]!r}: {error}"[:200]) from error


def _from_pickle(name: str, raw: bytes) -> tuple[str, Observations]:
    """A record from a pickle. The object's state is a tuple; early versions of pygossip wrote a dictionary."""
    state = _unpickled(raw)
    if isinstance(state, dict):
        fields = ("bptr", "bcnt", "hcnt", "firstseen", "lastseen", "obs")
        place, count, _, first, last, ham = (state[field] for field in fields)
        size, unsure = MOST, 0
    else:
        place, count, _, _, size, first, last, ham, unsure = state
    if not all(isinstance(one, int) for one in (place, count, size, ham, unsure)):
        raise ValueError("a number is none")
    if not (1 <= size <= MOST and 0 <= count <= size and 0 <= place < size and ham >= 0 and unsure >= 0):
        raise ValueError("its numbers contradict one another")
    ring = Observations(size, count if count < size else size + place, ham, unsure)
    return _checked(name, size, list(ring.votes()), float(first), float(last))


class _Stub:
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _new(*_: object) -> _Stub:
    return _Stub()


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows only pygossip's class, as pickled by Python 2 and 3."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case ("gossip.server" | "server", "Observations"):
                return _Stub
            case ("copy_reg" | "copyreg", "_reconstructor" | "__newobj__"):
                return _new
            case ("__builtin__" | "builtins", "object"):
                return _Stub
        raise pickle.UnpicklingError(f"{module}.{name} does not belong there")


def _unpickled(raw: bytes) -> Any:
    if len(raw) > _LARGEST_PICKLE:
        raise ValueError("it is too large")
    try:
        found = _Unpickler(io.BytesIO(raw), encoding="latin-1").load()
    except Exception as error:
        raise ValueError(f"no pickle of pygossip: {error}") from error
    if not isinstance(found, _Stub) or not isinstance(found.state, (tuple, dict)):
        raise ValueError("it is something else")
    return found.state
