from antispam.deadline import Deadline


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_remaining_counts_down_and_stops_at_zero() -> None:
    clock = HandClock()
    deadline = Deadline.after(5, clock)
    assert deadline.remaining() == 5
    clock.now += 4
    assert deadline.remaining() == 1
    assert not deadline.expired
    clock.now += 4
    assert deadline.remaining() == 0
    assert deadline.expired


def test_at_most_shortens_but_never_extends() -> None:
    deadline = Deadline.after(5, HandClock())
    assert deadline.at_most(2).remaining() == 2
    assert deadline.at_most(60).remaining() == 5


def test_a_deadline_shortened_earlier_is_not_extended_by_a_later_look_at_the_clock() -> None:
    clock = HandClock()
    short = Deadline.after(5, clock).at_most(2)
    clock.now += 1
    assert short.at_most(10).remaining() == 1
