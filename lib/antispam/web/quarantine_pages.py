"""The quarantine: its list, one message, and actions on the chosen ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from antispam.journey.account import account as account_of
from antispam.mail.kept_because import why
from antispam.mail.reading import readable
from antispam.store import quarantine, requests
from antispam.store.accounts import Account
from antispam.store.history_search import Search as HistorySearch
from antispam.store.history_search import search
from antispam.store.quarantine import Entry, Search, State, find
from antispam.store.quarantine_order import LOOKED_AT, Order, bounded
from antispam.web import inert
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
from antispam.web.delivering import may_deliver
from antispam.web.entries import ACTIONS, chosen, entry_of, last_seen, mailboxes
from antispam.web.reasons import evidence_of
from antispam.web.roles import acted

PAGE = 50  # entries
_TOLD = {  # the texts for the log of actions on others' mail
    "release": "delivered %s",
    "allow": "allowed the sender of %s and delivered it",
    "block": "blocked the sender of %s",
    "delete": "deleted %s",
    "ask": "asked for %s",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """The part of the list to show, from the page's address; invalid values are ignored."""

    text: str = ""
    user: str = ""
    check: str = ""
    order: Order = Order.RECEIVED
    ascending: bool = False
    after: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        sort = query.get("sort", "")
        if sort.removeprefix("-") not in set(Order):
            sort = "-received"
        after = query.get("after", "")
        return cls(
            text=query.get("q", "").strip(), user=query.get("user", ""), check=query.get("check", ""),
            order=Order(sort.removeprefix("-")), ascending=not sort.startswith("-"),
            after=int(after) if _is_number(after) else 0,
        )  # fmt: skip

    def query(self, **changes: str) -> str:
        """The query of another part; of this one without changes."""
        said = {
            "q": self.text, "user": self.user, "check": self.check, "sort": self.sort(self.order, self.ascending),
            "after": str(self.after or ""),
        }  # fmt: skip
        return urlencode({name: value for name, value in (said | changes).items() if value})

    def sort(self, order: Order, ascending: bool) -> str:
        usual = (order, ascending) == (Order.RECEIVED, False)
        return "" if usual else f"{'' if ascending else '-'}{order}"

    def sorted_by(self, order: Order) -> str:
        """The address of the list in that order; reversed if it has that order now. Names begin at A, dates and scores
        at the highest.
        """
        ascending = not self.ascending if order is self.order else order in (Order.SENDER, Order.SUBJECT)
        return self.query(sort=self.sort(order, ascending), after="")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _entries(console: Console, account: Account, asked: Asked) -> tuple[list[Entry], bool]:
    """One page of entries, plus one if there are more; and whether older entries were left out. Raises Forbidden, BadName
    and StoreError."""
    wanted = Search(users=mailboxes(account, asked.user), text=asked.text, check=asked.check)
    wanted, limited = bounded(console.store, wanted, asked.order, most=LOOKED_AT)
    last = last_seen(console, wanted.users, asked.after)
    found = find(console.store, wanted, PAGE + 1, last, order=asked.order, ascending=asked.ascending)
    return found, limited


def quarantine_page(request: Request) -> Response:
    session, asked = logged_in(request), Asked.of(request.query_params)
    found, limited = _entries(console_of(request), session.account, asked)
    entries, more = found[:PAGE], len(found) > PAGE
    return shown(
        request, "quarantine.html", entries=entries, asked=asked, done=request.query_params.get("done", ""),
        following=asked.query(after=str(entries[-1].number)) if more else "", back=asked.query(),
        with_user=session.account.sees_all or len(session.account.mailboxes) > 1, why=why, Order=Order, State=State,
        looked_at=LOOKED_AT if limited else 0,
    )  # fmt: skip


def message_page(request: Request) -> Response:
    session, console = logged_in(request), console_of(request)
    entry = entry_of(console, session.account, request.path_params["ref"], request.query_params.get("user", ""))
    message = readable(quarantine.content(console.store, entry.ref))
    if session.account.sees_all and entry.user not in session.account.mailboxes:
        acted(console, session, f"read {entry.ref} of {entry.user}")
    found = search(console.store, HistorySearch(name=entry.ref), 1)
    told = account_of(console.store, console.journey, found[0], console.clock()) if found else None
    scores = [score for score in told.scores if set(score.recipients) & set(entry.recipients)] if told else []
    may = may_deliver(console, session.account, entry.check)
    asked = requests.of_entry(console.store, entry.ref, entry.user)
    against, in_favour = evidence_of(scores, language_of(request))
    return shown(
        request, "message.html", entry=entry, message=message, scores=scores if session.account.sees_all else [],
        why=why(entry.check), against=against, in_favour=in_favour, State=State,
        may_deliver=may, may_ask=not may and asked is None and entry.state is State.KEPT, asked=asked,
    )  # fmt: skip


def message_html(request: Request) -> Response:
    session, console = logged_in(request), console_of(request)
    entry = entry_of(console, session.account, request.path_params["ref"], request.query_params.get("user", ""))
    source = readable(quarantine.content(console.store, entry.ref)).html
    return HTMLResponse(inert.page(source), headers={"Content-Security-Policy": inert.POLICY})


async def act(request: Request) -> Response:
    """Do the button's action on the chosen entries."""
    session, form = await form_of(request)
    do, word = ACTIONS.get(text_of(form, "do")), text_of(form, "do")
    if do is None:
        raise Forbidden(marked("There is no such action."))
    console, names = console_of(request), _names(form)

    def done_with(name: str) -> bool:
        entry = chosen(console, session.account, name)
        if entry is None or not do(console, session.account, entry):
            return False
        if session.account.sees_all:
            acted(console, session, _TOLD[word] % f"{entry.ref} of {entry.user}")
        return True

    done = await run_in_threadpool(lambda: sum(map(done_with, names)))
    asked = Asked.of(dict(parse_qsl(text_of(form, "back")[:2000])))
    where = asked.query(done=f"{word}-{done}-{len(names)}", after="")
    return RedirectResponse(f"{request.app.url_path_for('quarantine')}?{where}", 303)


def _names(form: FormData) -> list[str]:
    """The entries that a form selects: the ticked ones, or all on its page."""
    field = "listed" if text_of(form, "all") else "ref"
    names = dict.fromkeys(name for name in form.getlist(field) if isinstance(name, str))
    return list(names)[:MAX_CHOSEN]
