"""The greylist: who is asked to come again, who came back, and letting somebody in at once."""

from __future__ import annotations

import contextlib
import math
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.store import greylist
from antispam.web.answers import console_of, shown, text_of
from antispam.web.roles import acted, administrators_form, back_to, helpdesk

ROWS = 100


def greylist_page(request: Request) -> Response:
    helpdesk(request)
    asked = request.query_params
    passed = asked.get("state") == "passed"
    found = greylist.newest(console_of(request).store, ROWS + 1, passed=passed, after=_after(asked.get("after", "")))
    rows, last = found[:ROWS], found[ROWS - 1] if len(found) > ROWS else None
    older = ""
    if last is not None:
        state = {"state": "passed"} if passed else {}
        older = urlencode({**state, "after": f"{last.record.last_seen!r}-{last.key}"})
    return shown(request, "greylist.html", rows=rows, passed=passed, older=older, done=asked.get("done", ""))


def _after(text: str) -> tuple[float, str] | None:
    at, _, key = text.partition("-")
    with contextlib.suppress(ValueError):
        if key and len(at) <= 40 and math.isfinite(float(at)):
            return float(at), key[:64]
    return None


async def let_pass(request: Request) -> Response:
    session, form = await administrators_form(request)
    console, key = console_of(request), text_of(form, "key")

    def passes() -> bool:
        if not greylist.let_pass(console.store, key[:64], console.clock()):
            return False
        told = " to ".join(text_of(form, name) for name in ("mail_from", "recipient"))
        acted(console, session, f"let a greylisted message pass, {key[:16]} ({told})")
        return True

    done = await run_in_threadpool(passes)
    return back_to(request, "greylist", "passed" if done else "gone")
