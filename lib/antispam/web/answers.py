"""The common parts of all pages: answers from templates in the user's language, the session, forms, problems."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from antispam.learning.language_settings import LanguageSettings
from antispam.learning.languages import languages, number_in, octets_in, texts, time_in
from antispam.learning.login_settings import LoginSettings, login_name
from antispam.store.sessions import How
from antispam.web.console import Console, Session
from antispam.web.languages import preferred
from antispam.web.proxies import named_by
from antispam.web.said import said_in

COOKIE = "bms-session"
LANGUAGE_COOKIE = "bms-language"
_YEAR = 365 * 24 * 3600
MAX_CHOSEN = 200  # rows of one form
_FOLDER = Path(__file__).parent
_COMMAND = re.compile("`([^`]+)`")


class NotLoggedIn(Exception):
    """The page is for those who are logged in."""


class Forbidden(Exception):
    """The account may not do that. The text is a message of the catalogue."""


def language_of(request: Request) -> str:
    """The language of the answer: the chosen one, otherwise the browser's first choice, otherwise the default."""
    chosen, usual = request.cookies.get(LANGUAGE_COOKIE, ""), console_of(request).settings[LanguageSettings].language
    return chosen if chosen in languages() else preferred(request.headers.get("accept-language", ""), usual)


def remember_language(request: Request, answer: Response, language: str) -> None:
    """Store the chosen language in a cookie. It contains nothing personal."""
    answer.set_cookie(
        LANGUAGE_COOKIE, language, max_age=_YEAR, path="/", httponly=True, samesite="lax",
        secure=console_of(request).options.url.startswith("https:"),
    )  # fmt: skip


def marked(text: str) -> str:
    """Marks a text of the catalogue that is translated where it is shown."""
    return text


def coded(text: str) -> Markup:
    """A sentence in which a command stands between backticks, as HTML."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))


@functools.cache
def _templates(language: str) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"), extensions=["jinja2.ext.i18n"],
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_translations(texts(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters["time"] = functools.partial(time_in, language)
    made.filters["said"] = functools.partial(said_in, language)
    made.filters["number"] = functools.partial(number_in, language)
    made.filters["octets"] = functools.partial(octets_in, language)
    made.filters["coded"] = coded
    return made


def shown(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """An answer rendered from a template."""
    language, session = language_of(request), getattr(request.state, "session", None)
    common = {
        "url": lambda name, **parts: str(request.app.url_path_for(name, **parts)),
        "session": session,
        "here": request.url.path,
        "stay": request.url.path if status == 200 else "/",  # missing pages and forbidden ones look the same
        "language": language,
        "languages": languages(),
    }
    page = _templates(language).get_template(template).render(common | values)
    return HTMLResponse(page.encode("utf-8", "replace"), status)  # a replaced character is better than no page


def console_of(request: Request) -> Console:
    console = request.app.state.console
    assert isinstance(console, Console)
    return console


def named_by_proxy(request: Request) -> str:
    """The user that a trusted proxy names as logged in; "" for none."""
    return named_by(request, console_of(request).settings[LoginSettings])


def logged_in(request: Request) -> Session:
    """The session of the request. Raises NotLoggedIn, StoreError."""
    session = console_of(request).session(request.cookies.get(COOKIE, ""))
    if session is None or (session.how is How.HEADER and login_name(named_by_proxy(request)) != session.account.name):
        raise NotLoggedIn
    request.state.session = session
    return session


async def form_of(request: Request) -> tuple[Session, FormData]:
    """The session and form of a request. Raises NotLoggedIn, and Forbidden if another site may have sent it."""
    session = await run_in_threadpool(logged_in, request)
    form = await request.form(max_files=0, max_fields=MAX_CHOSEN + 20)
    if not session.sent(text_of(form, "token")):
        raise Forbidden(marked("The page was open for too long. Go back, reload it, and try again."))
    return session, form


def text_of(form: FormData, name: str) -> str:
    """One field of a form; "" if it is missing or is a file. The result can be encoded as UTF-8: the sender chooses a
    multipart form's charset, and some yield lone surrogates.
    """
    value = form.get(name, "")
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


# Problems


async def to_login(request: Request, error: Exception) -> Response:
    return RedirectResponse(request.app.url_path_for("login"), 303)


async def forbidden(request: Request, error: Exception) -> Response:
    return problem(request, 403, marked("That is not possible"), str(error))


async def not_found(request: Request, error: Exception) -> Response:
    return problem(
        request, 404, marked("There is nothing here"), marked("It may have been deleted, or its time was up.")
    )


def problem(request: Request, status: int, title: str, text: str) -> Response:
    """A page that reports a problem. Both texts are messages of the catalogue."""
    translate = texts(language_of(request)).gettext
    return shown(request, "problem.html", status=status, title=translate(title), text=translate(text))
