"""The newest messages as they arrive: a page that works without scripts, and its rows alone for a script that polls."""

from __future__ import annotations

import contextlib
import math
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from antispam.journey.account import became
from antispam.store.history_search import Cursor, Search, page
from antispam.web.answers import console_of, shown
from antispam.web.roles import helpdesk

ROWS = 50


def stream_page(request: Request) -> Response:
    helpdesk(request)
    asked = request.query_params
    after = cursor_of(asked.get("after", ""))
    console = console_of(request)
    found = console.ask(lambda store: page(store, Search(), ROWS, after=after))
    rows = [(one, became(one)) for one in found.found]
    if asked.get("rows"):
        return shown(request, "_stream.html", rows=rows)
    return shown(
        request, "stream.html", rows=rows, older=following(found.after), newest=after is None, behind=console.behind()
    )


def cursor_of(text: str) -> Cursor | None:
    """The start of a page, as written by following() into a link; None for anything else."""
    at, _, ref = text.partition("-")
    with contextlib.suppress(ValueError):
        if ref and len(at) <= 40 and math.isfinite(float(at)):
            return Cursor(float(at), ref[:16])
    return None


def following(after: Cursor | None, **query: str) -> str:
    """The query of the next page; "" if there is none."""
    return urlencode({**query, "after": f"{after.received_at!r}-{after.ref}"}) if after is not None else ""
