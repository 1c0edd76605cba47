"""One's own account: another password, logging out everywhere."""

from __future__ import annotations

import functools

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.learning.languages import texts
from antispam.store import accounts, login_failures, sessions
from antispam.store.accounts import Login
from antispam.store.sessions import How
from antispam.web import passwords
from antispam.web.answers import (
    COOKIE,
    Forbidden,
    console_of,
    form_of,
    language_of,
    logged_in,
    marked,
    shown,
    text_of,
)
from antispam.web.console import Refused, Session
from antispam.web.login_pages import refusal, with_session
from antispam.web.turns import Busy


def account_page(request: Request) -> Response:
    return _shown(request, logged_in(request), done=request.query_params.get("done") == "password")


def _shown(request: Request, session: Session, *, done: bool = False, problem: str = "", status: int = 200) -> Response:
    console = console_of(request)
    told = texts(language_of(request)).gettext("You have a new password. All other logins have ended.")
    return shown(
        request, "account.html", status=status, done=told if done else "", problem=problem,
        own=session.account.login is Login.OWN, asks_current=_asks_current(session), least=passwords.MIN_LENGTH,
        logins=sessions.count(console.store, session.account.name, console.clock()),
    )  # fmt: skip


def _asks_current(session: Session) -> bool:
    """Whether the current password is required. Users who came by a link may have forgotten it, or never had one."""
    return session.how is not How.LINK


async def change_password(request: Request) -> Response:
    session, form = await form_of(request)
    try:
        return await console_of(request).login_turns.take(functools.partial(_change_password, request, session, form))
    except Busy:
        text = texts(language_of(request)).gettext("Your password could not be checked. Try again soon.")
        return await run_in_threadpool(functools.partial(_shown, request, session, problem=text, status=503))


def _change_password(request: Request, session: Session, form: FormData) -> Response:
    if session.account.login is not Login.OWN:
        raise Forbidden(marked("Your password is that of your mailbox. It is changed where you read your mail."))
    console, now, name = console_of(request), console_of(request).clock(), session.account.name
    if _asks_current(session):
        wait = login_failures.attempt(console.store, name, now, console.options.attempts)
        if wait or not passwords.fits(session.account.password, text_of(form, "current")):
            return _shown(request, session, problem=refusal(request, Refused(wait)), status=403)
    translate = texts(language_of(request)).gettext
    if text_of(form, "new") != text_of(form, "again"):
        return _shown(request, session, problem=translate("The two new passwords differ."), status=400)
    try:
        hashed = passwords.hashed(text_of(form, "new"))
    except passwords.BadPassword:
        text = translate("A password has %(least)d to %(most)d characters.")
        limits = {"least": passwords.MIN_LENGTH, "most": passwords.MAX_LENGTH}
        return _shown(request, session, problem=text % limits, status=400)
    accounts.set_password(console.store, name, hashed)
    secret = sessions.begin(console.store, name, How.PASSWORD, now, console.options.session)
    return with_session(request, secret, "account", done="password")


async def logout_everywhere(request: Request) -> Response:
    session, _ = await form_of(request)
    await run_in_threadpool(sessions.end_all, console_of(request).store, session.account.name)
    answer = RedirectResponse(request.app.url_path_for("login"), 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer
