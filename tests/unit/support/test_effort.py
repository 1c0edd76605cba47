"""What is in proportion is so at the first attempt or at a later one; what is quadratic never is."""

from __future__ import annotations

import gc

import pytest

from support.effort import FACTOR, effort, in_proportion, no_dearer


class Clock:
    """Shows the time that work has taken so far, plus delays that are given."""

    def __init__(self, *delays: float) -> None:
        self.now = 0.0
        self.delays = list(delays)

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds + (self.delays.pop(0) if self.delays else 0.0)


@pytest.mark.parametrize("speed", [0.0001, 1.0, 100.0])
@pytest.mark.parametrize(
    ("power", "expected"), [(0, True), (1, True), (1.3, True), (1.7, False), (2, False), (3, False)]
)
def test_only_growth_counts_on_machines_of_any_speed(power: float, expected: bool, speed: float) -> None:
    clock = Clock()
    assert in_proportion(lambda given: clock.work(given**power * speed), int, 8000, clock) is expected


def test_what_others_delay_is_measured_again() -> None:
    clock = Clock(0.0, 100_000.0, 0.0, 100_000.0)
    assert in_proportion(clock.work, float, 800, clock)


def test_a_small_measurement_that_was_delayed_does_not_excuse_the_large_one_for_long() -> None:
    """All attempts count together, so a delay helps quadratic work only if nothing else was measured before it."""
    clock = Clock(0.0, 0.0, 10_000.0)
    assert not in_proportion(lambda given: clock.work(given**2), float, 80, clock)


def test_an_eighth_and_the_whole_are_given() -> None:
    given: list[str] = []
    assert in_proportion(given.append, lambda count: "x" * count, 80, Clock())
    assert [len(one) for one in given] == [80 // FACTOR, 80]


def test_garbage_is_collected_again_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError):
        effort(lambda: 1 / 0)
    assert gc.isenabled()


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, True), (3.0, True), (3.1, False)])
def test_work_is_compared_with_other_work(seconds: float, expected: bool) -> None:
    clock = Clock()
    assert no_dearer(lambda: clock.work(seconds), lambda: clock.work(1.0), 3, clock) is expected
