"""Key rotation without unverifiable messages: publish, wait, sign, retire.

A key starts to sign only after its record has been in the DNS for a while. The record stays after the key stops
signing, for as long as mail may wait in queues. This module is the state machine, without files, DNS or a clock;
folder.py stores the states.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from antispam.checks._shared.dkim_keys.files import Algorithm
from antispam.checks._shared.dkim_keys.published import State


class Stage(enum.StrEnum):
    """The stages of a key's life, in order."""

    NEW = "new"  # to be published
    PUBLISHED = "published"  # seen in DNS; waits for caches to expire
    SIGNING = "signing"
    RETIRED = "retired"  # no longer signs; its record is still needed
    WITHDRAWN = "withdrawn"  # its record may be deleted, then its file


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A key, its stage, and when that began (seconds since the epoch)."""

    selector: str
    algorithm: Algorithm
    stage: Stage
    since: float


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """The times of a rotation, in seconds.

    wait  how long a record must have been seen before its key signs; more than the negative caching time of name servers
    keep  how long a record stays after its key last signed
    """

    wait: float = 86400.0
    keep: float = 7 * 86400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A change of a key: `now` is None if the key is gone."""

    before: Key
    now: Key | None


class RotationError(ValueError):
    """The request does not fit the keys' states; the text says why."""


def begin(keys: Iterable[Key], algorithm: Algorithm, selector: str, now: float) -> tuple[Key, ...]:
    """The keys with a new one added. Raises RotationError if one of that algorithm is waiting already."""
    keys = tuple(keys)
    for key in keys:
        if key.algorithm is algorithm and key.stage in (Stage.NEW, Stage.PUBLISHED):
            raise RotationError(f"{key.selector} is on its way already; finish its rotation first")
        if key.selector == selector:
            raise RotationError(f"the selector {selector} is in use")
    return (*keys, Key(selector, algorithm, Stage.NEW, now))


def advance(
    keys: Iterable[Key], seen: Mapping[str, State], now: float, pace: Pace
) -> tuple[tuple[Key, ...], tuple[Step, ...]]:
    """The keys in their new states, and the changes. `seen` has the DNS state of each key by selector; a key without an
    answer does not change.
    """
    before = tuple(_not_from_the_future(key, now) for key in keys)
    moved = {key.selector: _next(key, seen.get(key.selector, State.UNKNOWN), now, pace) for key in before}
    successors = {
        key.algorithm
        for key in before
        if key.stage is Stage.PUBLISHED and (then := moved[key.selector]) is not None and then.stage is Stage.SIGNING
    }
    for key in before:
        if key.stage is Stage.SIGNING and key.algorithm in successors:
            moved[key.selector] = dataclasses.replace(key, stage=Stage.RETIRED, since=now)
    after = tuple(key for key in moved.values() if key is not None)
    return after, tuple(Step(key, moved[key.selector]) for key in before if moved[key.selector] != key)


def _next(key: Key, seen: State, now: float, pace: Pace) -> Key | None:
    match key.stage, seen:
        case Stage.NEW, State.RIGHT:
            return dataclasses.replace(key, stage=Stage.PUBLISHED, since=now)
        case Stage.PUBLISHED, State.MISSING | State.WRONG:
            return dataclasses.replace(key, stage=Stage.NEW, since=now)
        case Stage.PUBLISHED, State.RIGHT if now - key.since >= pace.wait:
            return dataclasses.replace(key, stage=Stage.SIGNING, since=now)
        case Stage.RETIRED, _ if now - key.since >= pace.keep:
            return dataclasses.replace(key, stage=Stage.WITHDRAWN, since=now)
        case Stage.WITHDRAWN, State.MISSING:
            return None
    return key


def _not_from_the_future(key: Key, now: float) -> Key:
    """The key, with a time in the future set to now: a clock that was once wrong must not block a rotation for ever."""
    return dataclasses.replace(key, since=now) if key.since > now else key
