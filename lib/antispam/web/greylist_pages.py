"""The greylist: clients that must wait, clients that came back, and letting one in at once."""

from __future__ import annotations

import contextlib
import math
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.store import Store, greylist
from antispam.store.greylist import Listed
from antispam.web.answers import console_of, shown, text_of
from antispam.web.roles import acted, administrators_form, back_to, helpdesk

ROWS = 100
LOOKED_AT = 2000  # triplets that one page looks at for a name


def greylist_page(request: Request) -> Response:
    helpdesk(request)
    asked = request.query_params
    passed, wanted = asked.get("state") == "passed", asked.get("q", "").strip()[:320]
    rows, last = _rows(console_of(request).store, wanted, passed=passed, after=_after(asked.get("after", "")))
    older = ""
    if last is not None:
        query = {"state": "passed" if passed else "", "q": wanted, "after": f"{last.record.last_seen!r}-{last.key}"}
        older = urlencode({name: value for name, value in query.items() if value})
    return shown(
        request, "greylist.html", rows=rows, passed=passed, older=older, q=wanted, done=asked.get("done", ""),
    )  # fmt: skip


def _rows(
    store: Store, wanted: str, *, passed: bool, after: tuple[float, str] | None
) -> tuple[list[Listed], Listed | None]:
    """A page of the triplets whose client or addresses contain `wanted`, and the last triplet examined, None at the
    end. No index finds parts of names, so at most LOOKED_AT triplets are examined.
    """
    most = LOOKED_AT if wanted else ROWS
    looked = greylist.newest(store, most + 1, passed=passed, after=after)
    more, looked = len(looked) > most, looked[:most]
    fitting = [one for one in looked if wanted.lower() in _text(one)]
    if len(fitting) > ROWS:
        return fitting[:ROWS], fitting[ROWS - 1]
    return fitting, looked[-1] if more else None


def _text(one: Listed) -> str:
    return "\n".join((one.triplet.client, one.triplet.mail_from, one.triplet.recipient)).lower()


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
