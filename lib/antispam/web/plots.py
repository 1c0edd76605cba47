"""Plots as SVG, made of values alone: bars by day, one above the other, and lines. `_plot.html` shows one with its legend and
its table.

There are no scripts and no styles in them: console.css gives each Look its colour, in light and in dark.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 240  # of the view box; the picture is as wide as its place
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 632, 14, 206  # the plotted area
_STEPS = 4  # lines across at most, above the axis
_LABELS = 4  # at most, below the axis


class Look(enum.StrEnum):
    """What a series stands for, and so how it looks: the class in console.css."""

    GOOD = "good"
    MARKED = "marked"
    HELD = "held"
    BAD = "bad"
    PLAIN = "plain"


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """One kind of values. `name` is for people; a value that is None or no number is a gap, one below 0 counts as 0."""

    name: str
    look: Look
    values: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What is shown, as texts and values.

    name    unique on its page, of letters and digits
    title   what is plotted
    told    what it shows, in a sentence, for those who don't see it
    across  what stands at the axis, "day" for example
    places  the labels along the axis, one for each value of a series
    """

    name: str
    title: str
    told: str
    across: str
    places: tuple[str, ...]
    series: tuple[Series, ...]

    @property
    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """The same as a table: a place, and the value of each series there as text."""
        for at, place in enumerate(self.places):
            yield place, [number(_value(one, at)) for one in self.series]


def bars(plot: Plot) -> Markup:
    """For each place a bar, made of the values of all series one above the other; the first series is at the bottom."""
    totals = [sum(_value(one, at) or 0.0 for one in plot.series) for at in range(len(plot.places))]
    top, step = axis(max(totals, default=0.0))
    slot = (_RIGHT - _LEFT) / max(1, len(plot.places))
    inside = [*_frame(plot, top, step)]
    for at, place in enumerate(plot.places):
        below = 0.0
        for one in plot.series:
            if value := _value(one, at):
                y, foot = _height(below + value, top), _height(below, top)
                inside.append(
                    Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {} {}</title></rect>').format(
                        one.look.value, _short(_LEFT + slot * (at + 0.1)), _short(y), _short(slot * 0.8),
                        _short(foot - y), place, one.name, number(value),
                    )
                )  # fmt: skip
                below += value
    return _picture(plot, inside)


def lines(plot: Plot) -> Markup:
    """For each series a line through its values, interrupted by gaps; a value between two gaps is a dot."""
    known = [value for one in plot.series for at in range(len(plot.places)) if (value := _value(one, at)) is not None]
    top, step = axis(max(known, default=0.0))
    slot = (_RIGHT - _LEFT) / max(1, len(plot.places))
    inside = [*_frame(plot, top, step)]
    for one in plot.series:
        for piece in _pieces(one, len(plot.places)):
            points = [(_short(_LEFT + slot * (at + 0.5)), _short(_height(value, top))) for at, value in piece]
            if len(points) == 1:
                inside.append(Markup('<circle class="{}" cx="{}" cy="{}" r="3"/>').format(one.look.value, *points[0]))
            else:
                path = " ".join(f"{x},{y}" for x, y in points)
                inside.append(Markup('<polyline class="{}" points="{}"/>').format(one.look.value, path))
    return _picture(plot, inside)


def axis(most: float) -> tuple[float, float]:
    """Where an axis ends that must hold `most`, and the distance of its lines: 1, 2 or 5 times a power of ten."""
    if not 1e-9 <= most <= 1e15:
        return 1.0, 1.0
    rough = most / _STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    return math.ceil(most / step - 1e-9) * step, step


def number(value: float | None) -> str:
    """A value as text: with decimals only where it is small and not whole; "" for a gap."""
    if value is None:
        return ""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _value(series: Series, at: int) -> float | None:
    value = series.values[at] if at < len(series.values) else None
    if value is None or not math.isfinite(value):
        return None
    return max(0.0, float(value))


def _pieces(series: Series, places: int) -> Iterator[list[tuple[int, float]]]:
    """The values between gaps, with their places."""
    piece: list[tuple[int, float]] = []
    for at in range(places):
        value = _value(series, at)
        if value is not None:
            piece.append((at, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _height(value: float, top: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * min(1.0, value / top)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _frame(plot: Plot, top: float, step: float) -> Iterator[Markup]:
    """Lines across with their values, and labels below."""
    for count in range(round(top / step) + 1):
        y = _short(_height(count * step, top))
        yield Markup('<line class="across" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _RIGHT, y, y)
        yield Markup('<text class="value" x="{}" y="{}">{}</text>').format(_LEFT - 6, y, number(count * step))
    slot = (_RIGHT - _LEFT) / max(1, len(plot.places))
    for at in _labelled(len(plot.places)):
        x = _short(_LEFT + slot * (at + 0.5))
        yield Markup('<text class="place" x="{}" y="{}">{}</text>').format(x, _BOTTOM + 24, plot.places[at])


def _labelled(places: int) -> list[int]:
    """Which places have a label: evenly spread, and not at the very ends, where a label would be cut off."""
    if places <= _LABELS:
        return list(range(places))
    return [round((part + 0.5) * places / _LABELS - 0.5) for part in range(_LABELS)]


def _picture(plot: Plot, inside: Sequence[Markup]) -> Markup:
    name = escape(plot.name)
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-told">'
        '<title id="{}-title">{}</title><desc id="{}-told">{}</desc>{}</svg>'
    ).format(WIDTH, HEIGHT, name, name, name, plot.title, name, plot.told, Markup("").join(inside))
