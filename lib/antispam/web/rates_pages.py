"""The amount of mail sent: blocked logins, the largest senders, and unblocking a login."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.checks._shared.rates import Of, RatesSettings, counted_as, login_key
from antispam.checks._shared.rates_notices import period_in
from antispam.learning.languages import texts
from antispam.store import windows
from antispam.web.answers import console_of, language_of, shown, text_of
from antispam.web.roles import acted, administrators_form, back_to, helpdesk

_BUSIEST = 10


def rates_page(request: Request) -> Response:
    helpdesk(request)
    console = console_of(request)
    period = console.settings[RatesSettings].period
    busiest = [
        (of, name, used)
        for of in Of
        for name, used in windows.busiest(console.store, counted_as(of, ""), console.clock(), period, _BUSIEST)
    ]
    return shown(
        request, "rates.html", stopped=windows.all_stopped(console.store), busiest=busiest,
        period=period_in(texts(language_of(request)), period), done=request.query_params.get("done", ""),
    )  # fmt: skip


async def release_login(request: Request) -> Response:
    session, form = await administrators_form(request)
    console, login = console_of(request), login_key(text_of(form, "login"))

    def release() -> bool:
        if not windows.release(console.store, login, counted_as(Of.LOGIN, login)):
            return False
        acted(console, session, f"let the login {login} send again")
        return True

    done = await run_in_threadpool(release)
    return back_to(request, "rates", "released" if done else "gone")
