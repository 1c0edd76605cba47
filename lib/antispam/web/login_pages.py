"""Logging in by a password or a link, and logging out."""

from __future__ import annotations

import functools
import math
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.checks._shared.rates import network_of
from antispam.learning.languages import texts
from antispam.learning.login_settings import By, LoginSettings
from antispam.store import sessions
from antispam.store.accounts import Account
from antispam.web.answers import (
    COOKIE,
    console_of,
    form_of,
    language_of,
    marked,
    named_by_proxy,
    problem,
    shown,
    text_of,
)
from antispam.web.console import Refused
from antispam.web.limiter import PERIOD
from antispam.web.proxies import client_of
from antispam.web.site_logins import Unavailable
from antispam.web.turns import Busy


def login_page(request: Request) -> Response:
    """The login form. Users already authenticated by a proxy need only press a button."""
    return _form(request)


def _form(request: Request, *, problem: str = "", name: str = "", status: int = 200) -> Response:
    console, named = console_of(request), named_by_proxy(request)
    asks = bool(set(console.settings[LoginSettings].login_by) - {By.HEADER})
    known_as = named if named and console.expects(named) else ""
    return shown(request, "login.html", status=status, problem=problem, name=name, asks=asks, known_as=known_as)


def _named(request: Request) -> Response:
    """Log in a user authenticated by a proxy."""
    named = named_by_proxy(request)
    session = console_of(request).login_by_header(named) if named else None
    if session is None:
        return _form(request, status=403)
    return with_session(request, session.secret, _first_page(session.account))


async def login(request: Request) -> Response:
    form = await request.form(max_files=0, max_fields=5)
    if text_of(form, "by") == "proxy":
        return await run_in_threadpool(_named, request)
    name, password = text_of(form, "name").strip(), text_of(form, "password")
    console = console_of(request)
    network = network_of(client_of(request, console.settings[LoginSettings]))
    if network and not console.login_limiter.admits(network):
        return _form(request, status=429, problem=refusal(request, Refused(PERIOD)), name=name)
    try:
        result = await console.login_turns.take(functools.partial(console.login, name, password))
    except (Unavailable, Busy):
        text = texts(language_of(request)).gettext("Your password could not be checked. Try again soon.")
        answer = _form(request, status=503, problem=text, name=name)
        answer.headers["Retry-After"] = "10"
        return answer
    if isinstance(result, Refused):
        return _form(request, status=403, problem=refusal(request, result), name=name)
    return with_session(request, result.secret, _first_page(result.account))


def _first_page(account: Account) -> str:
    return "overview" if account.acts_for_all else "quarantine"


def refusal(request: Request, refused: Refused) -> str:
    """The text after a failed login."""
    catalogue = texts(language_of(request))
    if seconds := math.ceil(refused.wait):
        return catalogue.ngettext(
            "Too many wrong passwords. Try again in %(seconds)d second.",
            "Too many wrong passwords. Try again in %(seconds)d seconds.",
            seconds,
        ) % {"seconds": seconds}
    return catalogue.gettext("The name or the password is wrong.")


def with_session(request: Request, secret: str, page: str, **query: str) -> Response:
    """Redirect to a page, with the session's cookie."""
    options, asked = console_of(request).options, f"?{urlencode(query)}" if query else ""
    answer = RedirectResponse(request.app.url_path_for(page) + asked, 303)
    answer.set_cookie(
        COOKIE, secret, httponly=True, samesite="lax", path="/",
        max_age=int(options.session), secure=options.url.startswith("https:"),
    )  # fmt: skip
    return answer


def link_page(request: Request) -> Response:
    """The page of a login link. It has a button, because programs fetch links, too."""
    console = console_of(request)
    name = sessions.offered(console.store, request.path_params["secret"], console.clock())
    return shown(request, "link.html", name=name) if name else _used(request)


def enter(request: Request) -> Response:
    """Log in by the button of link_page()."""
    console, link = console_of(request), request.path_params["secret"]
    console.purge()
    secret = sessions.redeem(console.store, link, console.clock(), console.options.session)
    return with_session(request, secret, "account") if secret else _used(request)


def _used(request: Request) -> Response:
    title, text = marked("This link no longer works"), marked("It was used, or its time is up. Ask for a new one.")
    return problem(request, 404, title, text)


async def logout(request: Request) -> Response:
    session, _ = await form_of(request)
    await run_in_threadpool(sessions.end, console_of(request).store, session.secret)
    answer = RedirectResponse(request.app.url_path_for("login"), 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer
