"""Release requests: users see the outcome of theirs; the helpdesk sees everybody's and decides."""

from __future__ import annotations

import dataclasses

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from antispam.learning.languages import texts
from antispam.mail.kept_because import why
from antispam.store import StoreError, requests
from antispam.store.quarantine import BadName, Entry, NoEntry, of_ref
from antispam.store.requests import Request
from antispam.web.answers import (
    Forbidden,
    console_of,
    form_of,
    language_of,
    logged_in,
    marked,
    shown,
    text_of,
)
from antispam.web.console import Console, Session
from antispam.web.delivering import deliver
from antispam.web.roles import acted, back_to

_MOST = 100  # requests of a page
_DECIDED = 20
_DONE = {
    "deliver": marked("The message will be delivered, and the user sees your answer."),
    "refuse": marked("The message stays in the quarantine, and the user sees your answer."),
    "late": marked("Somebody else has decided about it, or the message is gone."),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A request, and its message if that still exists."""

    asked: Request
    entry: Entry | None

    @property
    def why(self) -> str:
        return why(self.entry.check) if self.entry is not None else ""


def requests_page(request: HttpRequest) -> Response:
    session, console = logged_in(request), console_of(request)
    translate = texts(language_of(request)).gettext
    if session.account.sees_all:
        parts = [
            ("", _rows(console, requests.undecided(console.store, _MOST)), True),
            (translate("Decided"), _rows(console, requests.decided(console.store, _DECIDED)), False),
        ]
    else:
        mine = requests.of_users(console.store, session.account.mailboxes, _MOST)
        parts = [("", _rows(console, mine), False)]
    done = _DONE.get(request.query_params.get("done", ""), "")
    return shown(request, "requests.html", parts=parts, done=translate(done) if done else "")


def _rows(console: Console, found: list[Request]) -> list[Row]:
    return [Row(asked, _entry(console, asked)) for asked in found]


def _entry(console: Console, asked: Request) -> Entry | None:
    try:
        return of_ref(console.store, asked.ref, asked.user)[0]
    except (NoEntry, BadName):
        return None


async def decide(request: HttpRequest) -> Response:
    session, form = await form_of(request)
    if not session.account.sees_all:
        raise Forbidden(marked("This page is for the helpdesk and administrators."))
    return back_to(request, "requests", await run_in_threadpool(_decide, console_of(request), session, form))


def _decide(console: Console, session: Session, form: FormData) -> str:
    """Decide a request. Returns the word of _DONE for the result. The decision is recorded first, so that two
    simultaneous clicks act once.
    """
    number, word = text_of(form, "number"), text_of(form, "do")
    if word not in ("deliver", "refuse") or not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise Forbidden(marked("There is no such action."))
    asked = requests.of_number(console.store, int(number))
    entry = _entry(console, asked) if asked is not None else None
    granted = word == "deliver"
    if asked is None or (granted and entry is None):
        return "late"
    if not requests.decide(
        console.store, asked.number, granted=granted, by=session.account.name,
        answer=text_of(form, "answer").strip(), now=console.clock(),
    ):  # fmt: skip
        return "late"
    if granted and entry is not None:
        try:
            deliver(console, entry)
        except (StoreError, NoEntry, BadName):
            requests.reopen(console.store, asked.number)
            raise
    acted(console, session, f"{'delivers' if granted else 'refuses'} {asked.ref}, for which {asked.user} asked")
    return word
