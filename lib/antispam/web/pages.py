"""The pages. Each handler reads what it needs in one short transaction and writes through the functions that commands use."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from antispam.journey.account import account as account_of
from antispam.mail.reading import readable
from antispam.net.addresses import parse_mailbox
from antispam.store import StoreError, accounts, lists, quarantine, stored_messages
from antispam.store.accounts import Account
from antispam.store.history_search import Search as HistorySearch
from antispam.store.history_search import Transaction, search
from antispam.store.quarantine import Entry, NoEntry, Search, State, find, of_ref
from antispam.store.release import Outcome, release
from antispam.text import local_time
from antispam.web import inert
from antispam.web.console import Console, Refused, Session

COOKIE = "bms-session"
PAGE = 50  # entries
_MAX_FOUND = 50  # messages of the history
_MAX_REFS = 200  # of one action


class NotLoggedIn(Exception):
    """The page is for those who are logged in."""


class Forbidden(Exception):
    """The account may not do that; the text says what."""


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["time"] = local_time


def shown(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer."""
    session = getattr(request.state, "session", None)
    common = {"url": lambda name, **parts: str(request.app.url_path_for(name, **parts)), "session": session}
    return HTMLResponse(_templates.get_template(template).render(common | values), status)


def _console(request: Request) -> Console:
    console = request.app.state.console
    assert isinstance(console, Console)
    return console


def _logged_in(request: Request) -> Session:
    """Raises NotLoggedIn, StoreError."""
    session = _console(request).session(request.cookies.get(COOKIE, ""))
    if session is None:
        raise NotLoggedIn
    request.state.session = session
    return session


async def _form(request: Request) -> tuple[Session, FormData]:
    """The form of somebody who is logged in. Raises NotLoggedIn, and Forbidden where another site may have sent it."""
    session = await run_in_threadpool(_logged_in, request)
    form = await request.form(max_files=0, max_fields=_MAX_REFS + 20)
    if not session.sent(_text(form, "token")):
        raise Forbidden("The page was open for too long. Go back, reload it, and try again.")
    return session, form


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


# Logging in


def login_page(request: Request) -> Response:
    return shown(request, "login.html", problem="", name="")


async def login(request: Request) -> Response:
    form = await request.form(max_files=0, max_fields=5)
    name, password = _text(form, "name").strip(), _text(form, "password")
    console = _console(request)
    result = await run_in_threadpool(console.login, name, password)
    if isinstance(result, Refused):
        problem = "The name or the password is wrong."
        if result.wait:
            problem = f"Too many wrong passwords. Try again in {max(1, round(result.wait))} seconds."
        return shown(request, "login.html", status=403, problem=problem, name=name)
    answer = RedirectResponse(request.app.url_path_for("quarantine"), 303)
    answer.set_cookie(
        COOKIE, result.secret, httponly=True, samesite="lax", path="/",
        max_age=int(console.options.session), secure=console.options.url.startswith("https:"),
    )  # fmt: skip
    return answer


async def logout(request: Request) -> Response:
    session, _ = await _form(request)
    await run_in_threadpool(accounts.end, _console(request).store, session.secret)
    answer = RedirectResponse(request.app.url_path_for("login"), 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


# The quarantine


def _mailboxes(account: Account, wanted: str) -> list[str]:
    """Whose entries are looked at: "" is everybody. Raises Forbidden."""
    if account.sees_all:
        return [wanted]
    if wanted and wanted not in account.mailboxes:
        raise Forbidden("That mailbox is not yours.")
    return [wanted] if wanted else list(account.mailboxes)


def _entries(console: Console, account: Account, asked: Search, after: int) -> list[Entry]:
    """One page, the newest first, of all mailboxes together, with one entry more where there are more."""
    found: list[Entry] = []
    for user in _mailboxes(account, asked.user):
        last = quarantine.of_number(console.store, after) if after else None
        wanted = Search(user=user, text=asked.text, check=asked.check)
        found += find(console.store, wanted, PAGE + 1, last)
    return sorted(found, key=lambda entry: (-entry.received_at, -entry.number))[: PAGE + 1]


def quarantine_page(request: Request) -> Response:
    session, asked = _logged_in(request), request.query_params
    wanted = Search(user=asked.get("user", ""), text=asked.get("q", "").strip(), check=asked.get("check", ""))
    after = asked.get("after", "")
    found = _entries(_console(request), session.account, wanted, int(after) if after.isdecimal() else 0)
    shown_now, more = found[:PAGE], len(found) > PAGE
    query = {"q": wanted.text, "user": wanted.user, "check": wanted.check}
    following = urlencode({**query, "after": shown_now[-1].number}) if more else ""
    return shown(
        request, "quarantine.html", entries=shown_now, following=following, asked=wanted, done=asked.get("done", ""),
        with_user=session.account.sees_all or len(session.account.mailboxes) > 1, State=State,
    )  # fmt: skip


def _entry(console: Console, account: Account, ref: str, user: str) -> Entry:
    """Raises NoEntry for what is not there, and for what the account must not see: nobody learns which."""
    for mailbox in _mailboxes(account, user):
        try:
            return of_ref(console.store, ref, mailbox)[0]
        except NoEntry:
            continue
    raise NoEntry(f"nothing is kept under {ref}")


def message_page(request: Request) -> Response:
    session, console = _logged_in(request), _console(request)
    entry = _entry(console, session.account, request.path_params["ref"], request.query_params.get("user", ""))
    message = readable(quarantine.content(console.store, entry.ref))
    found = search(console.store, HistorySearch(name=entry.ref), 1)
    told = account_of(console.store, console.journey, found[0], console.clock()) if found else None
    scores = [score for score in told.scores if set(score.recipients) & set(entry.recipients)] if told else []
    return shown(request, "message.html", entry=entry, message=message, scores=scores, State=State)


def message_html(request: Request) -> Response:
    session, console = _logged_in(request), _console(request)
    entry = _entry(console, session.account, request.path_params["ref"], request.query_params.get("user", ""))
    source = readable(quarantine.content(console.store, entry.ref)).html
    return HTMLResponse(inert.page(source), headers={"Content-Security-Policy": inert.POLICY})


async def act(request: Request) -> Response:
    """Release or delete what was chosen."""
    session, form = await _form(request)
    refs = [ref for ref in form.getlist("ref") if isinstance(ref, str)][:_MAX_REFS]
    do = {"release": _release, "allow": _release_and_allow, "delete": _delete}.get(_text(form, "do"))
    if do is None:
        raise Forbidden("There is no such action.")
    console = _console(request)
    done = await run_in_threadpool(lambda: sum(do(console, session.account, ref) for ref in refs))
    said = urlencode({"done": f"{_text(form, 'do')}-{done}-{len(refs)}"})
    return RedirectResponse(f"{request.app.url_path_for('quarantine')}?{said}", 303)


def _chosen(console: Console, account: Account, name: str) -> Entry | None:
    """The entry that a form names by its reference and its user; None where it is gone or not theirs."""
    ref, _, user = name.partition(" ")
    try:
        return _entry(console, account, ref, user)
    except (NoEntry, Forbidden):
        return None


def _release(console: Console, account: Account, name: str) -> bool:
    entry = _chosen(console, account, name)
    if entry is None:
        return False
    released = release(console.store, entry, console.clock(), protect=console.protect)
    if released.outcome is Outcome.POSTED:
        # It is delivered all the same where nothing is there to be taught.
        with contextlib.suppress(StoreError, LookupError, ValueError):
            console.teach(entry.user, entry.ref)
    return True


def _release_and_allow(console: Console, account: Account, name: str) -> bool:
    entry = _chosen(console, account, name)
    if entry is None or not entry.mail_from or not account.sees_all:
        return False
    lists.add(
        console.store, lists.Kind.WHITELIST, str(parse_mailbox(entry.mail_from)), now=console.clock(),
        by=lists.ADMINISTRATOR, reason=f"allowed by {account.name} in the console",
    )  # fmt: skip
    return _release(console, account, name)


def _delete(console: Console, account: Account, name: str) -> bool:
    entry = _chosen(console, account, name)
    if entry is None or not quarantine.remove(console.store, [entry]).entries:
        return False
    while stored_messages.sweep(console.store):
        pass
    return True


# What became of a message


def explain_page(request: Request) -> Response:
    session, console, asked = _logged_in(request), _console(request), request.query_params
    wanted = HistorySearch(
        name=asked.get("ref", "").strip(), message_id=asked.get("message_id", "").strip(),
        sender=asked.get("from", "").strip(), recipient=asked.get("to", "").strip(),
    )  # fmt: skip
    found: Sequence[Transaction] = []
    if wanted != HistorySearch():
        found = [one for one in search(console.store, wanted, _MAX_FOUND) if _may_see(session.account, one)]
    told = account_of(console.store, console.journey, found[0], console.clock()) if len(found) == 1 else None
    return shown(
        request, "explain.html", asked=wanted, found=found, told=told, nothing=wanted != HistorySearch() and not found
    )


def _may_see(account: Account, found: Transaction) -> bool:
    """A user sees messages of which they are the only recipient: others' names and scores are none of their business."""
    return account.sees_all or {one.address.lower() for one in found.recipients} <= set(account.mailboxes)


# Problems


async def to_login(request: Request, error: Exception) -> Response:
    return RedirectResponse(request.app.url_path_for("login"), 303)


async def forbidden(request: Request, error: Exception) -> Response:
    return shown(request, "problem.html", status=403, title="That is not possible", text=str(error))


async def not_found(request: Request, error: Exception) -> Response:
    text = "It may have been deleted, or its time was up."
    return shown(request, "problem.html", status=404, title="There is nothing here", text=text)
