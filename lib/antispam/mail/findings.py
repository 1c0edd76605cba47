"""Evidence: small typed records that checks collect. They are stored with the message, so that its decisions can be
replayed.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import msgspec

from antispam.mail.score import Hit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """Base of all evidence. A subclass is a frozen dataclass of JSON-able fields (str, int, float, bool, None, enums,
    tuples, nested frozen dataclasses); its strings went through text.from_wire, so that they can be stored. Fields at
    their default are not stored, so the default of a field must never change.

    check  the name of the check that collects it; the key under which it is stored
    error  why the evidence could not be collected (a time-out, the store is down); "" if it was. With an error the
           runner follows the check's on_error setting and does not ask it to decide.
    """

    check: ClassVar[str]
    error: str = ""

    def to_json(self) -> bytes:
        return msgspec.json.encode(essential(self))

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        """Read back what to_json wrote. Raises ValueError if it does not fit. Unknown fields of later versions are
        ignored and missing ones take their defaults, so that old history stays readable.
        """
        return msgspec.json.decode(raw, type=cls)


F = TypeVar("F", bound=Finding)


class Findings(Mapping[type[Finding], Finding]):
    """The findings so far, by type: `findings.get(SpfFinding)`. None means that the check did not run.

    Built over parents: a recipient's findings show those of its message, which show those of its connection. It also
    holds the score's tests that were hit.
    """

    __slots__ = ("_hits", "_own", "_parent")

    def __init__(self, parent: Findings | None = None, own: Iterable[Finding] = ()) -> None:
        self._parent = parent
        self._own: dict[type[Finding], Finding] = {type(finding): finding for finding in own}
        self._hits: dict[str, tuple[bool, tuple[Hit, ...]]] = {}

    def add(self, finding: Finding) -> None:
        self._own[type(finding)] = finding

    def discard(self, kind: type[Finding]) -> None:
        self._own.pop(kind, None)

    def note(self, check: str, hits: tuple[Hit, ...], *, counts: bool = True) -> None:
        """Record the tests that a check found to be hit. They do not count if the check's row is in mode log."""
        self._hits[check] = counts, hits

    def noted(self, check: str) -> bool:
        """Whether a check's tests were recorded here."""
        return check in self._hits

    def hits(self, *, said: bool = False) -> tuple[Hit, ...]:
        """The tests that were hit so far, the parents' first.

        said  include those that do not count, for a row in mode log
        """
        own = tuple(hit for counts, hits in self._hits.values() if counts or said for hit in hits)
        return own if self._parent is None else (*self._parent.hits(said=said), *own)

    def own(self) -> tuple[Finding, ...]:
        """Those of this scope, without the parents'."""
        return tuple(self._own.values())

    def get(self, kind: type[F], default: Any = None) -> F | Any:
        inner: Findings | None = self
        while inner is not None:
            found = inner._own.get(kind)
            if found is not None:
                return found
            inner = inner._parent
        return default

    def __getitem__(self, kind: type[Finding]) -> Finding:
        found = self.get(kind)
        if found is None:
            raise KeyError(kind.check)
        return found

    def __iter__(self) -> Iterator[type[Finding]]:
        yield from self._own
        if self._parent is not None:
            yield from (kind for kind in self._parent if kind not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def to_builtins(self) -> dict[str, Any]:
        """All findings by check name, as JSON-able values."""
        return {kind.check: msgspec.to_builtins(self[kind]) for kind in self}

    def essentials(self) -> dict[str, Any]:
        """All findings as they are stored: without fields at their default."""
        found: dict[type[Finding], Finding] = {}
        inner: Findings | None = self
        while inner is not None:
            for kind, finding in inner._own.items():
                found.setdefault(kind, finding)
            inner = inner._parent
        return {kind.check: essential(finding) for kind, finding in found.items()}


def essential(value: Any) -> Any:
    """Evidence, or a part of it, as values that msgspec encodes. Fields at their defaults are left out: they would be
    the larger part of a usual message's row.
    """
    if isinstance(value, tuple):
        return [essential(one) for one in value]
    shape = _shape_of(value.__class__)
    if shape is None:
        return value
    names, usual, values_of = shape
    return {
        name: one if isinstance(one, str | float) else essential(one)
        for name, one, other in zip(names, values_of(value), usual, strict=True)
        if one != other
    }


class _Shape(NamedTuple):
    """The fields of a dataclass, their defaults, and a function that reads them all at once."""

    names: tuple[str, ...]
    usual: tuple[Any, ...]
    values_of: Callable[[Any], tuple[Any, ...]]


@functools.cache
def _shape_of(kind: type) -> _Shape | None:
    """The shape of a dataclass; None for any other type."""
    if not dataclasses.is_dataclass(kind):
        return None
    fields = dataclasses.fields(kind)
    names = tuple(field.name for field in fields)
    get: Callable[[Any], Any] = operator.attrgetter(*names) if names else lambda value: ()
    values_of = get if len(names) != 1 else lambda value: (get(value),)
    return _Shape(names, tuple(map(_default, fields)), values_of)


def _default(field: dataclasses.Field[Any]) -> Any:
    """The default of a field; for a required field, an object that equals nothing."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
