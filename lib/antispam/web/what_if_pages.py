"""What if: a changed configuration is tried on recent mail, and the page shows what would change, and for whom."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.learning.languages import texts
from antispam.service.trials import Busy, Failed
from antispam.service.trying import Question, Trial
from antispam.web.answers import Forbidden, console_of, language_of, marked, shown, text_of
from antispam.web.console import Console
from antispam.web.mail_pages import BECAME
from antispam.web.roles import administrator, administrators_form

LONGEST = 16 << 10  # characters of a configuration
HOURS = (1, 6, 24, 72)
_BUSY = marked("Somebody tries a configuration right now. Try again soon.")
_FAILED = marked("It took too long or needed too much memory. Try fewer hours; the log of the filter may say more.")
_NOWHERE = marked("Nothing can be tried here now.")


class NotTried(Exception):
    """There is no result; the text, a message of the catalogue, says why."""


def what_if(console: Console, text: str, hours: int, access: str = "") -> Trial:
    """Run the trial. Raises NotTried."""
    if console.try_out is None:
        raise NotTried(_NOWHERE)
    now = console.clock()
    try:
        return console.try_out(Question(text, now - hours * 3600.0, now, access))
    except Busy:
        raise NotTried(_BUSY) from None
    except Failed:
        raise NotTried(_FAILED) from None


def form_page(request: Request) -> Response:
    administrator(request)
    return _page(request)


def _page(
    request: Request,
    *,
    text: str = "",
    access: str = "",
    hours: int = 24,
    trial: Trial | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    return shown(
        request,
        "what_if.html",
        status=status,
        text=text,
        access=access,
        hours=hours,
        choices=HOURS,
        trial=trial,
        problem=problem,
        names=BECAME,
    )


async def try_it(request: Request) -> Response:
    _, form = await administrators_form(request)
    text, access, chosen = (text_of(form, name) for name in ("text", "access", "hours"))
    if chosen not in map(str, HOURS):
        raise Forbidden(marked("There is no such choice."))
    return await run_in_threadpool(_tried, request, text, access, int(chosen))


def _tried(request: Request, text: str, access: str, hours: int) -> Response:
    translate = texts(language_of(request)).gettext
    typed: dict[str, Any] = {"text": text[:LONGEST], "access": access[:LONGEST], "hours": hours}
    if max(len(text), len(access)) > LONGEST:
        problem = translate(marked("That is too long: write only what is to be changed."))
        return _page(request, **typed, problem=problem, status=422)
    try:
        trial = what_if(console_of(request), text, hours, access)
    except NotTried as error:
        return _page(request, **typed, problem=translate(str(error)), status=503)
    status = 422 if trial.problem else 200
    return _page(request, **typed, trial=trial, problem=trial.problem, status=status)
