"""Logging in and out."""

from __future__ import annotations

import math

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.store import accounts
from antispam.web.answers import COOKIE, console_of, form_of, language_of, shown, text_of, texts
from antispam.web.console import Refused


def login_page(request: Request) -> Response:
    return shown(request, "login.html", problem="", name="")


async def login(request: Request) -> Response:
    form = await request.form(max_files=0, max_fields=5)
    name, password = text_of(form, "name").strip(), text_of(form, "password")
    console = console_of(request)
    result = await run_in_threadpool(console.login, name, password)
    if isinstance(result, Refused):
        catalogue = texts(language_of(request))
        problem = catalogue.gettext("The name or the password is wrong.")
        if seconds := math.ceil(result.wait):
            problem = catalogue.ngettext(
                "Too many wrong passwords. Try again in %(seconds)d second.",
                "Too many wrong passwords. Try again in %(seconds)d seconds.",
                seconds,
            ) % {"seconds": seconds}
        return shown(request, "login.html", status=403, problem=problem, name=name)
    answer = RedirectResponse(request.app.url_path_for("quarantine"), 303)
    answer.set_cookie(
        COOKIE, result.secret, httponly=True, samesite="lax", path="/",
        max_age=int(console.options.session), secure=console.options.url.startswith("https:"),
    )  # fmt: skip
    return answer


async def logout(request: Request) -> Response:
    session, _ = await form_of(request)
    await run_in_threadpool(accounts.end, console_of(request).store, session.secret)
    answer = RedirectResponse(request.app.url_path_for("login"), 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer
