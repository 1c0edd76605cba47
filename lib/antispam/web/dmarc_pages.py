"""Others' reports about mail in the name of our domains: sums by domain, source and reporter, and a plot by day."""

from __future__ import annotations

import datetime

from starlette.requests import Request
from starlette.responses import Response

from antispam.learning.languages import day_in, texts
from antispam.net.addresses import normalize_domain
from antispam.store import dmarc_received
from antispam.store.dmarc_received import DAY, By
from antispam.web import plots
from antispam.web.answers import console_of, language_of, shown
from antispam.web.plots import Look, Plot, Series
from antispam.web.roles import helpdesk

_SPANS = {"week": 7, "month": 30, "quarter": 90, "year": 365}  # days
_MOST = 50  # rows of a table


def reports_page(request: Request) -> Response:
    helpdesk(request)
    console, asked = console_of(request), request.query_params
    span, domain = asked.get("span", ""), normalize_domain(asked.get("domain", "").strip()[:255])
    span = span if span in _SPANS else "month"
    today = int(console.clock()) // DAY
    since = today - _SPANS[span] + 1
    tables = {by: dmarc_received.sums(console.store, by, since, _MOST + 1, domain) for by in By}
    plot = _plot(dmarc_received.days(console.store, since, domain), since, today, language_of(request))
    return shown(
        request, "dmarc.html", span=span, spans=tuple(_SPANS), domain=domain, most=_MOST, By=By,
        tables={by: found[:_MOST] for by, found in tables.items()},
        more={by: len(found) > _MOST for by, found in tables.items()}, drawn=plots.bars(plot), plot=plot,
    )  # fmt: skip


def _plot(found: dict[int, tuple[int, int]], since: int, today: int, language: str) -> Plot:
    _ = texts(language).gettext
    days = range(since, today + 1)
    passed, failed = (sum(found.get(day, (0, 0))[side] for day in days) for side in (0, 1))
    return Plot(
        name="dmarc",
        title=_("Messages in the name of your domains"),
        told=_("%(passed)d passed DMARC, %(failed)d failed") % {"passed": passed, "failed": failed},
        across=_("Day"),
        places=tuple(day_in(language, datetime.datetime.fromtimestamp(day * DAY, datetime.UTC)) for day in days),
        language=language,
        series=(
            Series(_("passed"), Look.GOOD, tuple(float(found.get(day, (0, 0))[0]) for day in days)),
            Series(_("failed"), Look.BAD, tuple(float(found.get(day, (0, 0))[1]) for day in days)),
        ),
    )
