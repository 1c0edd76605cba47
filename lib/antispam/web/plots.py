"""Plots as SVG, made only from values: stacked bars and lines. `_plot.html` shows a plot with its legend and table.

They contain no scripts and no styles: console.css gives each Look its colours, light and dark.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from antispam.learning.languages import ENGLISH, number_in

WIDTH, HEIGHT = 640, 240  # of the view box; the picture scales to its container
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 632, 14, 206  # the plotted area
_HUGE = 1e15  # beyond it, nobody counts digits
_STEPS = 4  # lines across at most, above the axis
_LABELS = 4  # at most, below the axis


class Look(enum.StrEnum):
    """The meaning of a series, which determines its look: the class in console.css."""

    GOOD = "good"
    MARKED = "marked"
    HELD = "held"
    BAD = "bad"
    PLAIN = "plain"


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """One series of values. `name` is its display name. A value of None or NaN is a gap; a negative one counts as 0."""

    name: str
    look: Look
    values: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The content of a plot, as texts and values.

    name    unique on its page, of letters and digits
    title   what is plotted
    told    a sentence that describes it, for those who cannot see it
    across  the name of the axis, "day" for example
    places  the labels along the axis, one for each value of a series
    language  in which numbers are written
    """

    name: str
    title: str
    told: str
    across: str
    places: tuple[str, ...]
    series: tuple[Series, ...]
    language: str = ENGLISH

    @property
    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """The rows of the plot's table: a place, and the value of each series as text."""
        for at, place in enumerate(self.places):
            yield place, [number(_value(one, at), self.language) for one in self.series]


def bars(plot: Plot) -> Markup:
    """Stacked bars, one for each place; the first series is at the bottom."""
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
                        _short(foot - y), place, one.name, number(value, plot.language),
                    )
                )  # fmt: skip
                below += value
    return _picture(plot, inside)


def lines(plot: Plot) -> Markup:
    """A line for each series, interrupted by gaps; a value between two gaps is a dot."""
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
    """The end of an axis that must include `most`, and the distance of its lines: 1, 2 or 5 times a power of ten."""
    if not 1e-9 <= most <= 1e15:
        return 1.0, 1.0
    rough = most / _STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    return math.ceil(most / step - 1e-9) * step, step


def number(value: float | None, language: str = ENGLISH) -> str:
    """A value as text: with decimals only if it is small and not whole; "" for a gap."""
    if value is None:
        return ""
    if value >= _HUGE:
        return f"{value:.3g}"
    if value >= 100 or value == int(value):
        return number_in(language, value)
    return number_in(language, value, "@##")


def _value(series: Series, at: int) -> float | None:
    value = series.values[at] if at < len(series.values) else None
    if value is None or not math.isfinite(value):
        return None
    return max(0.0, float(value))


def _pieces(series: Series, places: int) -> Iterator[list[tuple[int, float]]]:
    """The runs of values between gaps, with their places."""
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
    """The horizontal lines with their values, and the labels below."""
    for count in range(round(top / step) + 1):
        y = _short(_height(count * step, top))
        yield Markup('<line class="across" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _RIGHT, y, y)
        yield Markup('<text class="value" x="{}" y="{}">{}</text>').format(
            _LEFT - 6, y, number(count * step, plot.language)
        )
    slot = (_RIGHT - _LEFT) / max(1, len(plot.places))
    for at in _labelled(len(plot.places)):
        x = _short(_LEFT + slot * (at + 0.5))
        yield Markup('<text class="place" x="{}" y="{}">{}</text>').format(x, _BOTTOM + 24, plot.places[at])


def _labelled(places: int) -> list[int]:
    """The places with a label: evenly spread, and not at the very ends, where it would be cut off."""
    if places <= _LABELS:
        return list(range(places))
    return [round((part + 0.5) * places / _LABELS - 0.5) for part in range(_LABELS)]


def _picture(plot: Plot, inside: Sequence[Markup]) -> Markup:
    name = escape(plot.name)
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-told">'
        '<title id="{}-title">{}</title><desc id="{}-told">{}</desc>{}</svg>'
    ).format(WIDTH, HEIGHT, name, name, name, plot.title, name, plot.told, Markup("").join(inside))
