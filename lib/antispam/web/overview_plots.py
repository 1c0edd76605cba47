"""The plots of the overview."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup

from antispam.learning.languages import texts
from antispam.service.board import Board
from antispam.store.hours import Hour
from antispam.store.tally import Day, Disposition
from antispam.web import plots
from antispam.web.plots import Look, Plot, Series

_LOWEST, _HIGHEST = -10, 20  # points in the plot of scores
_SECONDS = "bms_message_seconds"
Drawn = tuple[Plot, Markup]


@dataclasses.dataclass(slots=True)
class Bucket:
    """The period of a bar: an hour or a day."""

    label: str
    day: Day
    missed: int = 0
    lost: int = 0
    decided: int = 0

    @property
    def wrong(self) -> float | None:
        """In percent; None if nothing was decided."""
        return 100.0 * (self.missed + self.lost) / self.decided if self.decided else None


def shares(day: Day) -> dict[str, int]:
    """The number of messages by outcome, in the words of the plot."""
    of = day.dispositions
    return {
        "delivered": of[Disposition.DELIVERED] - day.tagged,
        "tagged": day.tagged,
        "held": of[Disposition.QUARANTINED] + of[Disposition.HELD],
        "stopped": of[Disposition.REJECTED] + of[Disposition.DISCARDED],
        "deferred": of[Disposition.DEFERRED],
    }


def plots_of(buckets: Sequence[Bucket], hours: Sequence[Hour], board: Board | None, language: str) -> Iterator[Drawn]:
    """The plots of volume, wrong decisions and, if known, scores and latency."""
    yield _volume(buckets, language)
    yield _wrong(buckets, language)
    if scores := _scores(hours):
        yield _spread(scores, language)
    if waits := _waits(board):
        yield _latency(waits, language)


def _volume(buckets: Sequence[Bucket], language: str) -> Drawn:
    _ = texts(language).gettext
    of = [shares(one.day) for one in buckets]
    names = (
        ("delivered", _("delivered"), Look.GOOD),
        ("tagged", _("delivered, marked as spam"), Look.MARKED),
        ("held", _("quarantined"), Look.HELD),
        ("stopped", _("refused or dropped"), Look.BAD),
        ("deferred", _("asked to come again"), Look.PLAIN),
    )
    plot = Plot(
        name="volume", title=_("Messages, and what became of them"), across=_("Time"),
        places=tuple(one.label for one in buckets),
        told=_("How many messages were delivered, marked, quarantined, refused and asked to come again, over time."),
        series=tuple(Series(text, look, tuple(float(one[name]) for one in of)) for name, text, look in names),
        language=language,
    )  # fmt: skip
    return plot, plots.bars(plot)


def _wrong(buckets: Sequence[Bucket], language: str) -> Drawn:
    _ = texts(language).gettext
    plot = Plot(
        name="wrong", title=_("Decisions that people called wrong, in percent"), across=_("Time"),
        places=tuple(one.label for one in buckets),
        told=_("Which share of the decisions people called wrong, by the time at which the messages came."),
        series=(Series(_("wrong decisions"), Look.BAD, tuple(one.wrong for one in buckets)),),
        language=language,
    )  # fmt: skip
    return plot, plots.lines(plot)


def _spread(scores: Sequence[tuple[int, int]], language: str) -> Drawn:
    _ = texts(language).gettext
    plot = Plot(
        name="scores", title=_("Recipients by the score of their message"), across=_("Score"),
        places=tuple(str(score) for score, _count in scores),
        told=_("How many recipients' copies had which score, rounded down; all beyond the ends stand at the ends."),
        series=(Series(_("recipients"), Look.PLAIN, tuple(float(count) for _score, count in scores)),),
        language=language,
    )  # fmt: skip
    return plot, plots.bars(plot)


def _latency(waits: Sequence[tuple[str, float]], language: str) -> Drawn:
    _ = texts(language).gettext
    plot = Plot(
        name="latency", title=_("Messages by the seconds that the mail server waited, since the start"),
        across=_("Seconds"), places=tuple(place for place, _count in waits),
        told=_("How many messages got their answer within so many seconds, since the filter was started."),
        series=(Series(_("messages"), Look.PLAIN, tuple(count for _place, count in waits)),),
        language=language,
    )  # fmt: skip
    return plot, plots.bars(plot)


def _waits(board: Board | None) -> list[tuple[str, float]]:
    """The number of messages answered within each number of seconds; empty if there are none, or no counters."""
    found = next((one for one in board.figures() if one.family.name == _SECONDS), None) if board is not None else None
    if found is None:
        return []
    counts = found.numbers[: len(found.family.buckets) + 1]
    ends = ("0", *(f"{bound:g}" for bound in found.family.buckets))
    places = [*(f"{low}-{high}" for low, high in itertools.pairwise(ends)), f"> {ends[-1]}"]
    return list(zip(places, counts, strict=True)) if any(counts) else []


def _scores(hours: Iterable[Hour]) -> list[tuple[int, int]]:
    """The number of messages by score, from the lowest score that occurred to the highest."""
    counted: Counter[int] = Counter()
    for hour in hours:
        for score, count in hour.scores.items():
            counted[min(max(score, _LOWEST), _HIGHEST)] += count
    if not counted:
        return []
    return [(score, counted[score]) for score in range(min(counted), max(counted) + 1)]
