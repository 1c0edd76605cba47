"""What became of a message: a search in the history, and one message's way."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from antispam.journey.account import account as account_of
from antispam.store.accounts import Account
from antispam.store.history_search import Search, Transaction, search
from antispam.web.answers import console_of, logged_in, shown

_MAX_FOUND = 50  # messages


def explain_page(request: Request) -> Response:
    session, console, asked = logged_in(request), console_of(request), request.query_params
    wanted = Search(
        name=asked.get("ref", "").strip(), message_id=asked.get("message_id", "").strip(),
        sender=asked.get("from", "").strip(), recipient=asked.get("to", "").strip(),
    )  # fmt: skip
    found: Sequence[Transaction] = []
    if wanted != Search():
        found = [one for one in search(console.store, wanted, _MAX_FOUND) if _may_see(session.account, one)]
    told = account_of(console.store, console.journey, found[0], console.clock()) if len(found) == 1 else None
    return shown(
        request, "explain.html", asked=wanted, found=found, told=told, nothing=wanted != Search() and not found
    )


def _may_see(account: Account, found: Transaction) -> bool:
    """A user sees messages of which they are the only recipient: others' names and scores are none of their business."""
    return account.sees_all or {one.address.lower() for one in found.recipients} <= set(account.mailboxes)
