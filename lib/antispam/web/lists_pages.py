"""The site's lists of senders and clients: entries with author, reason and expiry, and changes to them."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.settings.values import duration
from antispam.store import lists
from antispam.store.lists import Kind
from antispam.web.answers import Forbidden, console_of, marked, shown, text_of
from antispam.web.console import Console, Session
from antispam.web.roles import acted, administrators_form, helpdesk

ROWS = 100
WORDS = {
    Kind.WHITELIST: marked("Allowed senders"),
    Kind.BLACKLIST: marked("Blocked senders"),
    Kind.BANNED_IP: marked("Banned clients"),
    Kind.BANNED_DOMAIN: marked("Banned domains"),
}
_REASON = "by hand"  # as for `bms lists add`


def lists_page(request: Request) -> Response:
    helpdesk(request)
    return _page(request, _kind(request.query_params.get("kind", "")))


def _page(request: Request, kind: Kind, *, problem: str = "", status: int = 200) -> Response:
    console, asked = console_of(request), request.query_params
    name, after, now = asked.get("q", "").strip(), asked.get("after", ""), console.clock()
    entries = (
        lists.find(console.store, [(kind, name)], now)
        if name
        else lists.page(console.store, kind, now, ROWS + 1, after)
    )
    more = len(entries) > ROWS
    entries = entries[:ROWS]
    older = urlencode({"kind": str(kind), "after": entries[-1].name}) if more else ""
    return shown(
        request, "lists.html", status=status, kind=kind, words=WORDS, entries=entries, q=name, older=older,
        problem=problem, done=asked.get("done", ""), Kind=Kind,
        author=lists.author, ADMINISTRATOR=lists.ADMINISTRATOR,
    )  # fmt: skip


def _kind(text: str) -> Kind:
    return Kind(text) if text in set(Kind) else Kind.BLACKLIST


async def change_lists(request: Request) -> Response:
    """Add an entry, or remove one."""
    session, form = await administrators_form(request)
    do = {"add": _add, "remove": _remove}.get(text_of(form, "do"))
    if do is None or text_of(form, "kind") not in set(Kind):
        raise Forbidden(marked("There is no such action."))
    kind = Kind(text_of(form, "kind"))
    try:
        done = await run_in_threadpool(do, console_of(request), session, kind, form)
    except ValueError as error:  # BadName among them
        return await run_in_threadpool(_page, request, kind, problem=str(error), status=422)
    said = urlencode({"kind": str(kind), "done": done})
    return RedirectResponse(f"{request.app.url_path_for('lists')}?{said}", 303)


def _add(console: Console, session: Session, kind: Kind, form: FormData) -> str:
    """Add an entry. Raises StoreError, and ValueError whose text says what is wrong."""
    name, reason, period = (text_of(form, field).strip() for field in ("name", "reason", "period"))
    now = console.clock()
    lasts = duration("d")(period) if period else None
    lists.add(
        console.store, kind, name.removeprefix("@"), reason=reason or _REASON, now=now,
        by=lists.administrator(session.account.name), expires_at=None if lasts is None else now + lasts,
    )  # fmt: skip
    acted(
        console,
        session,
        f"added {name} to the {kind}, {f'for {period}' if period else 'for ever'}: {reason or _REASON}",
    )
    return "added"


def _remove(console: Console, session: Session, kind: Kind, form: FormData) -> str:
    name = text_of(form, "name")
    if not lists.remove(console.store, kind, name):
        return "gone"
    acted(console, session, f"removed {name} from the {kind}")
    return "removed"
