"""The senders that a user allows or blocks for their own mail."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.checks._shared.own_lists import OwnListSettings
from antispam.learning.languages import texts
from antispam.settings import Mode
from antispam.store import own_lists
from antispam.store.own_lists import BadName, Full, Kind
from antispam.web.answers import (
    MAX_CHOSEN,
    Forbidden,
    console_of,
    form_of,
    language_of,
    logged_in,
    marked,
    shown,
    text_of,
)
from antispam.web.console import Console
from antispam.web.mail_pages import changed_mailbox, mailbox_of

_WRONG = marked("Give an address such as bob@example.com, or a domain such as example.com.")
_FULL = marked("The list is full. Remove senders whom you no longer need to list.")


def lists_page(request: Request) -> Response:
    session = logged_in(request)
    return _page(request, mailbox_of(session.account, request.query_params.get("user", "")))


def _page(request: Request, user: str, *, problem: str = "", name: str = "", status: int = 200) -> Response:
    entries = own_lists.of_user(console_of(request).store, user)
    return shown(
        request, "own_lists.html", status=status, user=user, problem=problem, name=name, Kind=Kind,
        entries={kind: [entry for entry in entries if entry.kind is kind] for kind in Kind},
        done=request.query_params.get("done", ""),
        in_force=console_of(request).settings[OwnListSettings].mode is Mode.ENFORCE,
    )  # fmt: skip


async def change_lists(request: Request) -> Response:
    """Add a sender to a list, or remove some."""
    session, form = await form_of(request)
    user = changed_mailbox(session.account, text_of(form, "user"))
    do, console = text_of(form, "do"), console_of(request)
    try:
        if do in set(Kind):
            name = text_of(form, "name")[:400]
            await run_in_threadpool(own_lists.put, console.store, user, Kind(do), name, console.clock())
        elif do == "remove":
            await run_in_threadpool(_remove, console, user, form)
        else:
            raise Forbidden(marked("There is no such action."))
    except (BadName, Full) as error:
        problem = texts(language_of(request)).gettext(_FULL if isinstance(error, Full) else _WRONG)
        return await run_in_threadpool(_page, request, user, problem=problem, name=text_of(form, "name"), status=422)
    said = urlencode({"user": user, "done": do})
    return RedirectResponse(f"{request.app.url_path_for('own_lists')}?{said}", 303)


def _remove(console: Console, user: str, form: FormData) -> None:
    for name in form.getlist("entry")[:MAX_CHOSEN]:
        if isinstance(name, str):
            own_lists.remove(console.store, user, name)
