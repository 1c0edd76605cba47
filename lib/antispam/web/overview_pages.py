"""How the filter is doing: how much mail came and what became of it, why, how often people said that a decision was wrong, and
what waits for an administrator."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from antispam.service.effective import warnings_of
from antispam.settings.program import ProgramSettings, StoreSettings
from antispam.store import outbox, quarantine
from antispam.store.hours import Hour, Hours, Wrong, judged
from antispam.store.reports import Day, Disposition
from antispam.web import plots
from antispam.web.answers import console_of, language_of, marked, shown, texts
from antispam.web.console import Console
from antispam.web.plots import Look, Plot, Series
from antispam.web.roles import helpdesk
from dspam.store import said_since

BUDGET = 1.0  # seconds for counting what nobody looked at before
SAID = 20_000  # lessons that are compared with decisions
_TOP = 10  # reasons
_SPANS = {"day": 24, "week": 7 * 24, "month": 30 * 24}  # hours
_LOWEST, _HIGHEST = -10, 20  # points in the plot of scores
_BECAME = {
    Disposition.REJECTED: marked("refused"),
    Disposition.DEFERRED: marked("asked to come again"),
    Disposition.QUARANTINED: marked("quarantined"),
    Disposition.HELD: marked("held in the mail server's queue"),
    Disposition.DISCARDED: marked("dropped"),
}
Gettext = Callable[[str], str]


@dataclasses.dataclass(slots=True)
class Bucket:
    """What a bar of a plot stands for: an hour, or a day."""

    label: str
    day: Day
    missed: int = 0
    lost: int = 0
    decided: int = 0

    @property
    def wrong(self) -> float | None:
        """In percent; None where nothing was decided."""
        return 100.0 * (self.missed + self.lost) / self.decided if self.decided else None


def overview_page(request: Request) -> Response:
    helpdesk(request)
    console, _ = console_of(request), texts(language_of(request)).gettext
    span = request.query_params.get("span", "day")
    number, now = _SPANS.get(span, _SPANS["day"]), console.clock()
    hours_of = request.app.state.hours
    assert isinstance(hours_of, Hours)
    hours = hours_of.last(number, now, BUDGET)
    said = said_since(console.store, hours[0].begins if hours else now, SAID)
    buckets = list(_buckets(hours, judged(hours, said), by_day=number > 24))
    everything = _sum(buckets)
    return shown(
        request, "overview.html", spans=tuple(_SPANS), span=span if span in _SPANS else "day", all=everything,
        missing=number - len(hours), plots=list(_plots(buckets, hours, _)), why=_why(hours, _),
        shares=_shares(everything.day), **_decided(everything), **_state(console),
    )  # fmt: skip


def _state(console: Console) -> dict[str, Any]:
    """What holds now, whatever came."""
    return {
        "kept": quarantine.sizes(console.store),
        "queued": {"waiting": 0, "failed": 0} | outbox.counts(console.store, console.clock()),
        "history": console.settings[StoreSettings].history,
        "observe": console.settings[ProgramSettings].observe,
        "warnings": list(warnings_of(console.settings, "bms")),
    }


def _decided(everything: Bucket) -> dict[str, Any]:
    rate = everything.wrong
    return {"wrong": None if rate is None else f"{rate:.2f}", "missed": everything.missed, "lost": everything.lost}


def _buckets(hours: Sequence[Hour], wrong: Sequence[Wrong | None], *, by_day: bool) -> Iterator[Bucket]:
    made: Bucket | None = None
    for hour, said in zip(hours, wrong, strict=True):
        at = datetime.datetime.fromtimestamp(hour.begins)
        label = at.strftime("%Y-%m-%d" if by_day else "%H:%M")
        if made is None or made.label != label:
            if made is not None:
                yield made
            made = Bucket(label, Day(hour.begins))
        made.day.dispositions.update(hour.day.dispositions)
        made.day.tagged += hour.day.tagged
        if said is not None:
            made.missed, made.lost, made.decided = (
                made.missed + said.missed,
                made.lost + said.lost,
                made.decided + said.of,
            )
    if made is not None:
        yield made


def _sum(buckets: Iterable[Bucket]) -> Bucket:
    made = Bucket("", Day(0.0))
    for one in buckets:
        made.day.dispositions.update(one.day.dispositions)
        made.day.tagged += one.day.tagged
        made.missed, made.lost, made.decided = (
            made.missed + one.missed,
            made.lost + one.lost,
            made.decided + one.decided,
        )
    return made


def _shares(day: Day) -> dict[str, int]:
    """How many messages went which way, in the words of the plot."""
    of = day.dispositions
    return {
        "delivered": of[Disposition.DELIVERED] - day.tagged,
        "tagged": day.tagged,
        "held": of[Disposition.QUARANTINED] + of[Disposition.HELD],
        "stopped": of[Disposition.REJECTED] + of[Disposition.DISCARDED],
        "deferred": of[Disposition.DEFERRED],
    }


def _plots(buckets: Sequence[Bucket], hours: Sequence[Hour], _: Gettext) -> Iterator[tuple[Plot, Markup]]:
    places = tuple(one.label for one in buckets)
    shares = [_shares(one.day) for one in buckets]
    names = (
        ("delivered", _("delivered"), Look.GOOD),
        ("tagged", _("delivered, marked as spam"), Look.MARKED),
        ("held", _("quarantined"), Look.HELD),
        ("stopped", _("refused or dropped"), Look.BAD),
        ("deferred", _("asked to come again"), Look.PLAIN),
    )
    volume = Plot(
        name="volume", title=_("Messages, and what became of them"), across=_("Time"), places=places,
        told=_("How many messages were delivered, marked, quarantined, refused and asked to come again, over time."),
        series=tuple(Series(text, look, tuple(float(one[name]) for one in shares)) for name, text, look in names),
    )  # fmt: skip
    yield volume, plots.bars(volume)
    wrong = Plot(
        name="wrong", title=_("Decisions that people called wrong, in percent"), across=_("Time"), places=places,
        told=_("Which share of the decisions people called wrong, by the time at which the messages came."),
        series=(Series(_("wrong decisions"), Look.BAD, tuple(one.wrong for one in buckets)),),
    )  # fmt: skip
    yield wrong, plots.lines(wrong)
    if scores := _scores(hours):
        spread = Plot(
            name="scores", title=_("Recipients by the score of their message"), across=_("Score"),
            places=tuple(str(score) for score, _number in scores),
            told=_("How many recipients' copies had which score, rounded down; all beyond the ends stand at the ends."),
            series=(Series(_("recipients"), Look.PLAIN, tuple(float(count) for _score, count in scores)),),
        )  # fmt: skip
        yield spread, plots.bars(spread)


def _scores(hours: Iterable[Hour]) -> list[tuple[int, int]]:
    """How many had which score, from the lowest that somebody had to the highest."""
    counted: Counter[int] = Counter()
    for hour in hours:
        for score, count in hour.scores.items():
            counted[min(max(score, _LOWEST), _HIGHEST)] += count
    if not counted:
        return []
    return [(score, counted[score]) for score in range(min(counted), max(counted) + 1)]


def _why(hours: Iterable[Hour], _: Gettext) -> list[tuple[str, str, int]]:
    """The check, what became of the messages, and how many there were: the most frequent."""
    counted: Counter[tuple[Disposition, str]] = Counter()
    for hour in hours:
        counted.update(hour.why)
    return [
        (check, _(_BECAME.get(disposition, str(disposition))), count)
        for (disposition, check), count in counted.most_common(_TOP)
    ]
