"""The overview: the amount of mail, outcomes and their reasons, how often people corrected a decision, and what waits
for an administrator.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from antispam.learning.languages import day_in, texts
from antispam.service.effective import warnings_of
from antispam.settings.program import ProgramSettings, StoreSettings
from antispam.store import outbox, quarantine, requests
from antispam.store.hours import Hour, Wrong, judged
from antispam.store.tally import Day, Disposition
from antispam.web.answers import (
    console_of,
    language_of,
    marked,
    shown,
)
from antispam.web.console import Console
from antispam.web.overview_plots import Bucket, plots_of, shares
from antispam.web.roles import helpdesk
from dspam.store import said_since

BUDGET = 0.25  # seconds for counting what the background has not counted yet
SAID = 20_000  # lessons that are compared with decisions
_TOP = 10  # reasons
_SPANS = {"day": 24, "week": 7 * 24, "month": 30 * 24}  # hours
_BECAME = {
    Disposition.REJECTED: marked("refused"),
    Disposition.DEFERRED: marked("asked to come again"),
    Disposition.QUARANTINED: marked("quarantined"),
    Disposition.HELD: marked("held in the mail server's queue"),
    Disposition.DISCARDED: marked("dropped"),
}


def overview_page(request: Request) -> Response:
    helpdesk(request)
    console, language = console_of(request), language_of(request)
    _ = texts(language).gettext
    span = request.query_params.get("span", "day")
    number, now = _SPANS.get(span, _SPANS["day"]), console.clock()
    hours = console.hours.last(number, now, BUDGET)
    said = console.ask(lambda store: said_since(store, hours[0].begins if hours else now, SAID))
    buckets = list(_buckets(hours, judged(hours, said), language, by_day=number > 24))
    everything = _sum(buckets)
    return shown(
        request, "overview.html", spans=tuple(_SPANS), span=span if span in _SPANS else "day", all=everything,
        missing=number - len(hours), plots=list(plots_of(buckets, hours, console.board, language)), why=_why(hours, _),
        shares=shares(everything.day), behind=console.behind(), **_decided(everything), **_state(console),
    )  # fmt: skip


def _state(console: Console) -> dict[str, Any]:
    """The current state, independent of the chosen period."""
    return {
        "kept": quarantine.sizes(console.store),
        "asked": requests.open_ones(console.store),
        "queued": {"waiting": 0, "failed": 0} | outbox.counts(console.store, console.clock()),
        "history": console.settings[StoreSettings].history,
        "observe": console.settings[ProgramSettings].observe,
        "warnings": list(warnings_of(console.settings, "bms")),
    }


def _decided(everything: Bucket) -> dict[str, Any]:
    rate = everything.wrong
    return {"wrong": rate, "missed": everything.missed, "lost": everything.lost}


def _buckets(hours: Sequence[Hour], wrong: Sequence[Wrong | None], language: str, *, by_day: bool) -> Iterator[Bucket]:
    made: Bucket | None = None
    for hour, said in zip(hours, wrong, strict=True):
        at = datetime.datetime.fromtimestamp(hour.begins)
        label = day_in(language, at) if by_day else at.strftime("%H:%M")
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


def _why(hours: Iterable[Hour], _: Callable[[str], str]) -> list[tuple[str, str, int]]:
    """The most frequent reasons: check, outcome and number of messages."""
    counted: Counter[tuple[Disposition, str]] = Counter()
    for hour in hours:
        counted.update(hour.why)
    return [
        (check, _(_BECAME.get(disposition, str(disposition))), count)
        for (disposition, check), count in counted.most_common(_TOP)
    ]
