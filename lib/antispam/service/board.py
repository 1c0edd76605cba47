"""Counters shared by all processes of a program, in memory that the supervisor allocates before it forks.

Each child writes to its own page, so that nobody waits for a lock held by a killed process. When a child ends, the
supervisor adds its page to the totals of earlier ones, so the sums survive it.
"""

from __future__ import annotations

import bisect
import mmap
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

PROCESSES = 256  # processes with a page at the same time; untouched memory costs nothing
_TRIES = 100
_OWN = 0  # the supervisor's page
_PAST = 1  # the totals of children that ended
_FIRST = 2


class Family(NamedTuple):
    """The series of one name.

    kind     "counter"; "gauge", which ends with the process that set it; "newest", of which the largest counts (a time);
             "histogram"
    about    its help text
    labels   names of labels
    values   for each series, the values of its labels. The list is complete, so that mail cannot add any
    buckets  upper bounds of a histogram, rising, without infinity
    """

    name: str
    kind: str
    about: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ((),)
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """The number of values in a series: a histogram has one for each bucket, one for larger values, and the sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


class Figure(NamedTuple):
    """The value of a series: one number, or a histogram's."""

    family: Family
    values: tuple[str, ...]
    numbers: tuple[float, ...]


class Page:
    """The numbers of one process. Safe for its threads."""

    def __init__(self, board: Board, numbers: memoryview[float]) -> None:
        self._board = board
        self._numbers = numbers
        self._lock = threading.Lock()

    def count(self, name: str, *values: str, by: float = 1.0) -> None:
        """Add to a counter. A series that does not exist is not counted: a check that only a test knows, for example."""
        place = self._board.place(name, values)
        if place is not None:
            with self._lock:
                self._numbers[place] += by

    def set(self, name: str, *values: str, to: float) -> None:
        """Set a gauge, or a counter whose total is kept elsewhere."""
        place = self._board.place(name, values)
        if place is not None:
            self._numbers[place] = to

    def observe(self, name: str, *values: str, value: float) -> None:
        """Add a value to a histogram."""
        place = self._board.place(name, values)
        if place is not None:
            self.observe_at(place, self._board.families[name].buckets, value)

    # The same with a place looked up before: sixty checks count for each message.

    def count_at(self, place: int) -> None:
        """Add 1 to the counter at that place of the board."""
        with self._lock:
            self._numbers[place] += 1

    def observe_at(self, place: int, buckets: Sequence[float], value: float) -> None:
        """Add a value to the histogram there, which has these buckets."""
        at = place + bisect.bisect_left(buckets, value)
        with self._lock:
            self._numbers[at] += 1
            self._numbers[place + len(buckets) + 1] += value

    def places(self, name: str) -> Mapping[tuple[str, ...], int]:
        """The place of each series of a family, by the values of its labels."""
        values = self._board.families[name].values if name in self._board.families else ()
        return {one: place for one in values if (place := self._board.place(name, one)) is not None}


class Board:
    """The shared board. Made once, before the first fork; a reload keeps it."""

    def __init__(self, families: Sequence[Family] = (), processes: int = PROCESSES) -> None:
        self.families = {family.name: family for family in families}
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        width = 0
        for family in families:
            for values in family.values:
                self._places[family.name, values] = width
                width += family.width
        self._width = max(width, 1)
        self._gauges = self._of_kind("gauge")
        self._newest = self._of_kind("newest")
        # Layout: the number of times a page was added to the past, then a flag for each page in use, then the pages.
        self._begin = 1 + _FIRST + processes
        octets = (self._begin + (_FIRST + processes) * self._width) * 8
        self._shared = memoryview(mmap.mmap(-1, octets)).cast("d")
        self._pages = range(_FIRST, _FIRST + processes)
        self.own = Page(self, self._numbers(_OWN))

    def _of_kind(self, kind: str) -> frozenset[int]:
        return frozenset(place for (name, _), place in self._places.items() if self.families[name].kind == kind)

    def place(self, name: str, values: tuple[str, ...]) -> int | None:
        """The place of a series on a page; None if there is none."""
        return self._places.get((name, values))

    def claim(self) -> int | None:
        """A page for a child about to be forked. None if all are taken; its counts are then lost."""
        free = next((number for number in self._pages if not self._shared[1 + number]), None)
        if free is not None:
            self._shared[1 + free] = 1
        return free

    def release(self, number: int | None) -> None:
        """Release the page of a child that ended: its counts are kept, its gauges dropped."""
        if number is None:
            return
        ended, past = self._numbers(number), self._numbers(_PAST)
        for place in self._gauges:
            ended[place] = 0.0
        self._shared[0] += 1  # odd: readers try again
        for place, value in enumerate(ended):
            if value:
                past[place] = max(past[place], value) if place in self._newest else past[place] + value
                ended[place] = 0.0
        self._shared[1 + number] = 0
        self._shared[0] += 1

    def page(self, number: int | None) -> Page:
        """The page of a child."""
        return Page(self, memoryview(bytearray(self._width * 8)).cast("d") if number is None else self._numbers(number))

    def figures(self) -> Iterator[Figure]:
        """Every series, summed over all processes. Any process may call it."""
        sums = self._sums()
        for (name, values), place in self._places.items():
            family = self.families[name]
            yield Figure(family, values, tuple(sums[place : place + family.width]))

    def _sums(self) -> list[float]:
        """A consistent snapshot, not taken while a page is being added to the past."""
        for _ in range(_TRIES):
            before = self._shared[0]
            used = (_OWN, _PAST, *(number for number in self._pages if self._shared[1 + number]))
            pages = [self._numbers(number).tolist() for number in used]
            sums = [sum(numbers) for numbers in zip(*pages, strict=True)]
            for place in self._newest:
                sums[place] = max(numbers[place] for numbers in pages)
            if before == self._shared[0] and not before % 2:
                break
        return sums

    def _numbers(self, number: int) -> memoryview[float]:
        begin = self._begin + number * self._width
        return self._shared[begin : begin + self._width]
