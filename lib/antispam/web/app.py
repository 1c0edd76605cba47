"""The console as an ASGI application: its routes, the headers of every answer, and access control."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from antispam.store import StoreError
from antispam.store.quarantine import BadName, NoEntry
from antispam.text import for_log
from antispam.web import (
    account_pages,
    actions_pages,
    answers,
    api,
    api_document,
    configuration_pages,
    dictionaries_pages,
    digest_pages,
    dkim_pages,
    dmarc_pages,
    explain_pages,
    greylist_pages,
    language_pages,
    learning_pages,
    lists_pages,
    login_pages,
    mail_pages,
    outbox_pages,
    overview_pages,
    own_lists_pages,
    preferences_pages,
    quarantine_pages,
    rates_pages,
    request_pages,
    senders_pages,
    stream_pages,
    what_if_pages,
)
from antispam.web.console import Console

log = logging.getLogger(__name__)

MAX_FORM = 64 << 10  # octets of a request
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",  # with no-referrer, our own forms would have "Origin: null", as if foreign
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def application(console: Console) -> Starlette:
    """The console."""
    made = Starlette(
        routes=[
            Route("/", quarantine_pages.quarantine_page, name="quarantine"),
            Route("/login", login_pages.login_page, methods=["GET"], name="login"),
            Route("/login", login_pages.login, methods=["POST"]),
            Route("/enter/{secret}", login_pages.link_page, methods=["GET"], name="enter"),
            Route("/enter/{secret}", login_pages.enter, methods=["POST"]),
            Route("/language", language_pages.change_language, methods=["POST"], name="change_language"),
            Route("/account", account_pages.account_page, methods=["GET"], name="account"),
            Route("/account/password", account_pages.change_password, methods=["POST"], name="change_password"),
            Route("/account/logout", account_pages.logout_everywhere, methods=["POST"], name="logout_everywhere"),
            Route("/logout", login_pages.logout, methods=["POST"], name="logout"),
            Route("/messages/{ref}", quarantine_pages.message_page, name="message"),
            Route("/messages/{ref}/html", quarantine_pages.message_html, name="message_html"),
            Route("/quarantine", quarantine_pages.act, methods=["POST"], name="act"),
            Route("/digest/stop/{token}", digest_pages.stop_page, methods=["GET"], name="stop_digest"),
            Route("/digest/stop/{token}", digest_pages.stop, methods=["POST"]),
            Route("/kept/{token}", digest_pages.kept_page, methods=["GET"], name="kept"),
            Route("/kept/{token}", digest_pages.deliver, methods=["POST"]),
            *_own(),
            Route("/requests", request_pages.requests_page, methods=["GET"], name="requests"),
            Route("/requests", request_pages.decide, methods=["POST"], name="decide"),
            Route("/explain", explain_pages.explain_page, name="explain"),
            *_administration(),
            Route("/api/openapi.json", api_document.openapi),
            *api.routes(),
            Mount("/static", StaticFiles(directory=Path(__file__).with_name("static")), name="static"),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guard)],
        exception_handlers={
            StoreError: _store_failed,
            NoEntry: answers.not_found,
            BadName: answers.not_found,
            404: answers.not_found,
            answers.NotLoggedIn: answers.to_login,
            answers.Forbidden: answers.forbidden,
            Exception: _failed,
        },
    )
    made.state.console = console
    return made


def _own() -> list[Route]:
    """The routes of a user's own mail and filter."""
    return [
        Route("/mail", mail_pages.mail_page, methods=["GET"], name="mail"),
        Route("/mail", mail_pages.act, methods=["POST"]),
        Route("/mail/{ref}", mail_pages.message_page, name="mail_message"),
        Route("/own-lists", own_lists_pages.lists_page, methods=["GET"], name="own_lists"),
        Route("/own-lists", own_lists_pages.change_lists, methods=["POST"]),
        Route("/preferences", preferences_pages.preferences_page, methods=["GET"], name="preferences"),
        Route("/preferences", preferences_pages.change_preferences, methods=["POST"]),
        Route("/learning", learning_pages.learning_page, name="learning"),
    ]


def _administration() -> list[Route]:
    """The routes of the helpdesk and administrators."""
    return [
        Route("/actions", actions_pages.actions_page, name="actions"),
        Route("/overview", overview_pages.overview_page, name="overview"),
        Route("/stream", stream_pages.stream_page, name="stream"),
        Route("/lists", lists_pages.lists_page, methods=["GET"], name="lists"),
        Route("/lists", lists_pages.change_lists, methods=["POST"]),
        Route("/greylist", greylist_pages.greylist_page, methods=["GET"], name="greylist"),
        Route("/greylist", greylist_pages.let_pass, methods=["POST"]),
        Route("/reputation", senders_pages.reputation_page, methods=["GET"], name="reputation"),
        Route("/reputation", senders_pages.reset_reputation, methods=["POST"]),
        Route("/outbox", outbox_pages.outbox_page, methods=["GET"], name="outbox"),
        Route("/outbox", outbox_pages.change_outbox, methods=["POST"]),
        Route("/rates", rates_pages.rates_page, methods=["GET"], name="rates"),
        Route("/rates", rates_pages.release_login, methods=["POST"]),
        Route("/dictionaries", dictionaries_pages.dictionaries_page, methods=["GET"], name="dictionaries"),
        Route("/dictionaries", dictionaries_pages.undo_lesson, methods=["POST"]),
        Route("/dkim", dkim_pages.keys_page, methods=["GET"], name="dkim"),
        Route("/dkim", dkim_pages.ask_dns, methods=["POST"]),
        Route("/dmarc", dmarc_pages.reports_page, name="dmarc"),
        Route("/what-if", what_if_pages.form_page, methods=["GET"], name="what_if"),
        Route("/what-if", what_if_pages.try_it, methods=["POST"]),
        Route("/configuration", configuration_pages.configuration_page, name="configuration"),
    ]


async def _guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse requests that are too large or forged by another site, and add the common headers to every answer."""
    # A program's request carries a token, which browsers never add to another site's requests.
    if request.method == "POST" and not request.scope["path"].startswith("/api/") and (problem := _foreign(request)):
        log.warning("web: %s from %s", problem, for_log(request.client.host if request.client else "", 60))
        answer: Response = Response(problem, 403, media_type="text/plain")
    else:
        answer = await proceed(request)
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def _foreign(request: Request) -> str:
    """The reason to refuse a form; "" to accept it."""
    # Without either field there is no body (RFC 9112 section 6.3). The length of a chunked one is unknown.
    length = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
    if not length.isdecimal() or int(length) > MAX_FORM:
        return "the form is too large"
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "the form was sent by another site"
    origin = request.headers.get("origin", "")
    if origin and origin.partition("://")[2] != request.headers.get("host", ""):
        return "the form was sent by another site"
    return ""


async def _failed(request: Request, error: Exception) -> Response:
    """The answer after an unexpected exception, which _guard does not see; uvicorn logs the error."""
    answer = answers.problem(
        request, 500, answers.marked("Something went wrong"), answers.marked("The log of the filter says what.")
    )
    answer.headers.update(_HEADERS)
    return answer


async def _store_failed(request: Request, error: Exception) -> Response:
    log.error("web: %s", for_log(str(error)))
    return answers.problem(
        request, 503, answers.marked("The database does not answer"), answers.marked("Try again soon.")
    )
