"""The outcome of messages: a search of the history, and the steps of one message."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from antispam.journey.account import account as account_of
from antispam.journey.account import became
from antispam.store import Store
from antispam.store.accounts import Account
from antispam.store.history_search import LOOKED_AT, Cursor, Page, Search, Transaction, page
from antispam.web.answers import console_of, logged_in, marked, shown
from antispam.web.console import Console
from antispam.web.own_mail import is_all_theirs
from antispam.web.stream_pages import cursor_of, following

_MAX_FOUND = 50  # messages on a page
_LOOKED_AT_BY_USERS = 300  # rows examined for one page, nearly all of which may belong to others
_ACTIONS = {
    "delivered": ("continue", "accept", "pass"),
    "refused": ("reject",),
    "deferred": ("tempfail",),
    "quarantined": ("quarantine",),
    "held": ("hold",),
    "dropped": ("discard",),
    "unfinished": ("unfinished",),
}
_WORDS = {
    "delivered": marked("delivered"),
    "refused": marked("refused"),
    "deferred": marked("asked to come again"),
    "quarantined": marked("quarantined"),
    "held": marked("held in the mail server's queue"),
    "dropped": marked("dropped"),
    "unfinished": marked("given up by its client"),
}
_QUOTED = ("author", "subject", "Message-ID")  # facts quoted from the mail itself
_PASSES = _ACTIONS["delivered"]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """The search terms of a form as typed; "" for any."""

    ref: str = ""
    message_id: str = ""
    sender: str = ""
    recipient: str = ""
    since: str = ""
    until: str = ""
    action: str = ""
    check: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> Asked:
        names = ("ref", "message_id", "from", "to", "since", "until", "action", "check")
        return cls(*(query.get(name, "").strip()[:400] for name in names))

    @property
    def query(self) -> dict[str, str]:
        """The query of a link for the same search."""
        names = ("ref", "message_id", "from", "to", "since", "until", "action", "check")
        return {name: value for name, value in zip(names, dataclasses.astuple(self), strict=True) if value}

    @property
    def search(self) -> Search:
        """The part of the search that an index serves; the day of `until` is included."""
        since, until = _midnight(self.since), _midnight(self.until, 1)
        return Search(self.ref, self.message_id, self.sender, self.recipient, since, until)

    def fits(self, found: Transaction) -> bool:
        """The part of the search without an index: the outcome, and the check that stopped it or would have in mode
        enforce.
        """
        if self.action and found.action not in _ACTIONS.get(self.action, ()):
            return False
        return not self.check or self.check in _stopping(found)


def explain_page(request: Request) -> Response:
    session, console, query = logged_in(request), console_of(request), request.query_params
    asked, after = Asked.of(query), cursor_of(query.get("after", ""))
    result = _found(console, session.account, asked, after)
    found = result.found
    alone = len(found) == 1 and after is None and (result.after is None or bool(asked.ref))
    told = account_of(console.store, console.journey, found[0], console.clock()) if alone else None
    return shown(
        request, "explain.html", asked=asked, found=[(one, became(one)) for one in found], told=told, words=_WORDS,
        quoted=_QUOTED, nothing=asked != Asked() and not found, older="" if told else following(result.after, **asked.query),
        short=len(found) < _MAX_FOUND, checks=[row.check.NAME for row in console.journey.rows],
        behind=0 if told or asked == Asked() else console.behind(),
    )  # fmt: skip


def _found(console: Console, account: Account, asked: Asked, after: Cursor | None) -> Page:
    """A page of the messages found that the account may see. A search by reference does not use the replica, because
    the message may be new.
    """
    if asked == Asked():
        return Page([], None)

    def search(store: Store) -> Page:
        return page(
            store, asked.search, _MAX_FOUND, after=after,
            fits=lambda one: _may_see(console, account, one) and asked.fits(one),
            most=LOOKED_AT if account.sees_all else _LOOKED_AT_BY_USERS,
        )  # fmt: skip

    return search(console.store) if asked.ref else console.ask(search)


def _may_see(console: Console, account: Account, found: Transaction) -> bool:
    """A user sees messages of which they are the only recipient: others' names and scores are none of their business."""
    return account.sees_all or is_all_theirs(console, account, found)


def _stopping(found: Transaction) -> set[str]:
    decisions = [*found.decisions, *(one for recipient in found.recipients for one in recipient.decisions)]
    decisions += [recipient.refused for recipient in found.recipients if recipient.refused is not None]
    return {one.check for one in decisions if one.action not in _PASSES}


def _midnight(text: str, days: int = 0) -> float | None:
    """The start of that day in local time, plus `days` days; None for an invalid date."""
    with contextlib.suppress(ValueError, OverflowError):
        day = datetime.date.fromisoformat(text) + datetime.timedelta(days=days)
        return datetime.datetime.combine(day, datetime.time.min).timestamp()
    return None
