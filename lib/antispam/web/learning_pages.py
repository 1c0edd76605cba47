"""What a user's filter has learned, how it works until it knows enough, and a plot of a month's mail."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from antispam.learning.languages import day_in, texts
from antispam.store import own_history
from antispam.store.history_search import Became
from antispam.web import plots
from antispam.web.answers import (
    console_of,
    language_of,
    logged_in,
    marked,
    shown,
)
from antispam.web.mail_pages import mailbox_of
from antispam.web.plots import Look, Plot, Series

DAYS = 30
# The stacked series, lowest first. Messages that were deferred are left out: they were retried, or given up by the
# sender.
_PARTS: tuple[tuple[str, Look, tuple[Became, ...]], ...] = (
    (marked("delivered"), Look.GOOD, (Became.DELIVERED,)),
    (marked("marked as spam"), Look.MARKED, (Became.MARKED,)),
    (marked("kept"), Look.HELD, (Became.KEPT, Became.HELD)),
    (marked("refused or dropped"), Look.BAD, (Became.REFUSED, Became.DROPPED)),
)


def learning_page(request: Request) -> Response:
    session, console = logged_in(request), console_of(request)
    user = mailbox_of(session.account, request.query_params.get("user", ""))
    bounds = days(console.clock())
    counts = own_history.volume(console.store, console.addresses.whose(user), bounds)
    plot = _plot(counts, bounds, language_of(request))
    return shown(
        request, "learning.html", user=user, plot=plot, drawn=plots.bars(plot), empty=not counts,
        progress=console.corrections.progress(user), teaches=console.corrections.has_profile(user),
    )  # fmt: skip


def days(now: float) -> list[float]:
    """The boundaries of the last DAYS days, today included, in local time, as seconds since the epoch."""
    today = datetime.datetime.fromtimestamp(now).date()
    dates = [today + datetime.timedelta(days=number) for number in range(1 - DAYS, 2)]
    return [datetime.datetime.combine(date, datetime.time()).timestamp() for date in dates]


def _plot(counts: dict[tuple[int, Became], int], bounds: Sequence[float], language: str) -> Plot:
    _ = texts(language).gettext
    places = tuple(day_in(language, datetime.datetime.fromtimestamp(at)) for at in bounds[:-1])
    series = tuple(
        Series(
            _(name), look,
            tuple(float(sum(counts.get((day, one), 0) for one in meant)) for day in range(len(places))),
        )
        for name, look, meant in _PARTS
    )  # fmt: skip
    told = ", ".join(f"{one.name}: {plots.number(sum(value or 0 for value in one.values), language)}" for one in series)
    return Plot(
        name="volume", title=_("Your mail of the last 30 days"), told=told, across=_("Day"),
        places=places, series=series, language=language,
    )  # fmt: skip
