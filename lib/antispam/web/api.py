"""The JSON API under /api, for programs: the console's functions, authorised by tokens.

A token belongs to an account and has its rights. Every part of a request is checked against api_values before it is
used; an invalid one is answered with 422 and a sentence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antispam.journey.account import account as account_of
from antispam.journey.account import became
from antispam.mail.reading import readable
from antispam.service.trying import Trial
from antispam.store import StoreError, lists, quarantine
from antispam.store.history_search import Search as HistorySearch
from antispam.store.history_search import Transaction, search
from antispam.store.quarantine import BadName, Entry, NoEntry, Search
from antispam.store.quarantine_order import LOOKED_AT, bounded
from antispam.web import api_own
from antispam.web import api_values as values
from antispam.web.answers import Forbidden, console_of
from antispam.web.api_operations import Asked, Operation, Refused
from antispam.web.console import Console, Session
from antispam.web.entries import ACTIONS, entry_of, last_seen, mailboxes
from antispam.web.roles import acted
from antispam.web.what_if_pages import NotTried, what_if

MAX_BODY = 64 << 10  # octets


def _entry(one: Entry) -> values.Entry:
    return values.Entry(
        one.number, one.ref, one.user, one.received_at, one.mail_from, list(one.recipients), one.subject, one.size,
        one.check, one.reason, one.state.value,
    )  # fmt: skip


def _entries(asked: Asked) -> values.Entries:
    query: values.QuarantineQuery = asked.query
    store = asked.console.store
    wanted = Search(users=mailboxes(asked.account, query.user), text=query.text, check=query.check)
    wanted, limited = bounded(store, wanted, most=LOOKED_AT)
    since = wanted.since if limited else None
    last = last_seen(asked.console, wanted.users, query.after)
    if query.after and last is None:
        return values.Entries([], None, since)
    found = quarantine.find(store, wanted, query.limit + 1, last)
    after = found[query.limit - 1].number if len(found) > query.limit else None
    return values.Entries([_entry(one) for one in found[: query.limit]], after, since)


def _message(asked: Asked) -> values.Message:
    entry = entry_of(asked.console, asked.account, asked.path["ref"], asked.query.user)
    read = readable(quarantine.content(asked.console.store, entry.ref))
    return values.Message(_entry(entry), list(read.fields), read.text, list(read.attachments))


def _act(asked: Asked) -> values.Done:
    action: values.Action = asked.body
    entry = entry_of(asked.console, asked.account, asked.path["ref"], action.user)
    done = ACTIONS[action.do](asked.console, asked.account, entry)
    if done and asked.account.sees_all:
        acted(asked.console, asked.session, f"did by the API: {action.do} {entry.ref} of {entry.user}")
    return values.Done(done)


def _transaction(one: Transaction) -> values.Transaction:
    addresses = [recipient.address for recipient in one.recipients]
    return values.Transaction(
        one.ref, one.received_at, one.client_ip, one.mail_from, addresses, one.subject, became(one), one.reason
    )


def _history(asked: Asked) -> values.Transactions:
    query: values.HistoryQuery = asked.query
    wanted = HistorySearch(
        query.name, query.message_id, query.sender, query.recipient, float(query.since) if query.since else None
    )
    return values.Transactions([_transaction(one) for one in search(asked.console.store, wanted, query.limit)])


def _explain(asked: Asked) -> values.Account:
    console = asked.console
    found = search(console.store, HistorySearch(name=asked.path["ref"]), 1)
    if not found:
        raise Refused(404, "The history has no such message.")
    told = account_of(console.store, console.journey, found[0], console.clock())
    steps = [values.Step(one.check, one.action, one.said, one.effect) for one in told.steps]
    return values.Account(told.ref, told.became, list(told.reply), steps, list(told.now), list(told.otherwise))


def _listed(one: lists.Entry) -> values.Listed:
    return values.Listed(one.kind, one.name, one.reason, lists.author(one.added_by), one.expires_at)


def _list(asked: Asked) -> values.List:
    query: values.ListQuery = asked.query
    found = lists.page(asked.console.store, query.kind, asked.console.clock(), query.limit, query.after)
    return values.List([_listed(one) for one in found])


def _add(asked: Asked) -> values.Done:
    new: values.NewListed = asked.body
    by = lists.administrator(asked.account.name)
    lists.add(asked.console.store, new.kind, new.name, now=asked.console.clock(), by=by, reason=new.reason)
    acted(asked.console, asked.session, f"added to {new.kind} by the API: {new.name}")
    return values.Done(True)


def _remove(asked: Asked) -> values.Done:
    old: values.OldListed = asked.body
    done = lists.remove(asked.console.store, old.kind, old.name)
    if done:
        acted(asked.console, asked.session, f"removed from {old.kind} by the API: {old.name}")
    return values.Done(done)


def _what_if(asked: Asked) -> Trial:
    wanted: values.WhatIf = asked.body
    try:
        trial = what_if(asked.console, wanted.text, wanted.hours, wanted.access)
    except NotTried as error:
        raise Refused(503, str(error)) from None
    if trial.problem:
        raise Refused(422, trial.problem)
    return trial


OPERATIONS: tuple[Operation, ...] = (
    *api_own.OPERATIONS,
    Operation(
        "GET", "/api/quarantine", "The kept messages of your mailboxes", _entries, values.Entries,
        query=values.QuarantineQuery,
    ),
    Operation(
        "GET", "/api/quarantine/{ref}", "A kept message", _message, values.Message, query=values.MailboxQuery
    ),
    Operation(
        "POST", "/api/quarantine/{ref}", "Deliver or delete a kept message", _act, values.Done, body=values.Action
    ),
    Operation(
        "GET", "/api/history", "Messages of the history", _history, values.Transactions, query=values.HistoryQuery,
        role="helpdesk",
    ),
    Operation("GET", "/api/history/{ref}", "What became of a message", _explain, values.Account, role="helpdesk"),
    Operation("GET", "/api/lists", "A list of the site", _list, values.List, query=values.ListQuery, role="helpdesk"),
    Operation(
        "POST", "/api/lists", "Add an entry to a list of the site", _add, values.Done, body=values.NewListed,
        role="administrator",
    ),
    Operation(
        "POST", "/api/lists/remove", "Remove an entry", _remove, values.Done, body=values.OldListed,
        role="administrator",
    ),
    Operation(
        "POST", "/api/what-if", "Try a configuration on the mail of the last hours", _what_if, Trial, body=values.WhatIf,
        role="administrator",
    ),
)  # fmt: skip


def routes() -> list[Route]:
    """The routes, one for each path."""
    by_path: dict[str, dict[str, Operation]] = {}
    for one in OPERATIONS:
        by_path.setdefault(one.path, {})[one.method] = one
    return [Route(path, functools.partial(_answer, of_path), methods=[*_METHODS]) for path, of_path in by_path.items()]


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


async def _answer(operations: dict[str, Operation], request: Request) -> Response:
    """Perform the request, or answer why not. No error becomes an HTML page."""
    try:
        given = await _given(operations, request)
        return _json(200, await run_in_threadpool(given))
    except Refused as error:
        answer = _json(error.status, values.Problem(str(error)))
        if error.status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        if error.status == 405:
            answer.headers["Allow"] = ", ".join(operations)
        return answer
    except Forbidden as error:
        return _json(403, values.Problem(str(error)))
    except (NoEntry, BadName):
        return _json(404, values.Problem("There is nothing of that name that you may see."))
    except lists.BadName as error:
        return _json(422, values.Problem(str(error)))
    except StoreError:
        return _json(503, values.Problem("The database does not answer. Try again soon."))


async def _given(operations: dict[str, Operation], request: Request) -> Callable[[], Any]:
    """The requested work. Raises Refused."""
    operation = operations.get("GET" if request.method == "HEAD" else request.method)
    if operation is None:
        raise Refused(405, "There is no such method here.")
    console = console_of(request)
    session = await run_in_threadpool(_session, console, request.headers.get("authorization", ""))
    account = session.account
    if (operation.role == "helpdesk" and not account.sees_all) or (
        operation.role == "administrator" and not account.acts_for_all
    ):
        raise Refused(403, f"That is for the role {operation.role}.")
    query = _read(dict(request.query_params), operation.query, strict=False)
    body = _read(await _body(request), operation.body) if operation.body is not None else None
    return functools.partial(operation.work, Asked(console, session, dict(request.path_params), query, body))


def _session(console: Console, authorization: str) -> Session:
    """The session of a token. Raises Refused and StoreError."""
    scheme, _, secret = authorization.partition(" ")
    found = console.program(secret.strip()) if scheme.lower() == "bearer" else None
    if found is not None:
        return found
    raise Refused(401, "Send a token: Authorization: Bearer TOKEN. `bms web account token NAME` makes one.")


async def _body(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "Send application/json.")
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY:
            raise Refused(413, "The body is too large.")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:  # RecursionError for deep nesting
        raise Refused(400, f"The body is no JSON: {error}"[:300]) from None


def _read(given: Any, kind: type | None, *, strict: bool = True) -> Any:
    """The values, converted to `kind`. Raises Refused if they do not fit."""
    if kind is None:
        if given:
            raise Refused(422, "This request has no parameters.")
        return None
    try:
        return msgspec.convert(given, kind, strict=strict)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise Refused(422, str(error)[:300]) from None


def _json(status: int, value: Any) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
