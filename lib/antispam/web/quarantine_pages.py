"""The quarantine: its list, one message, and what is done with those that were chosen.

Each handler reads what it needs in one short transaction and writes through the functions that commands use.
"""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from antispam.journey.account import account as account_of
from antispam.mail.reading import readable
from antispam.net.addresses import parse_mailbox
from antispam.store import StoreError, lists, quarantine, stored_messages
from antispam.store.accounts import Account
from antispam.store.history_search import Search as HistorySearch
from antispam.store.history_search import search
from antispam.store.quarantine import Entry, NoEntry, Search, State, find, of_ref
from antispam.store.release import Outcome, release
from antispam.text import for_log
from antispam.web import inert
from antispam.web.answers import MAX_CHOSEN, Forbidden, console_of, form_of, logged_in, marked, shown, text_of
from antispam.web.console import Console

log = logging.getLogger(__name__)

PAGE = 50  # entries


def _mailboxes(account: Account, wanted: str) -> list[str]:
    """Whose entries are looked at: "" is everybody. Raises Forbidden."""
    if account.sees_all:
        return [wanted]
    if wanted and wanted not in account.mailboxes:
        raise Forbidden(marked("That mailbox is not yours."))
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
    session, asked = logged_in(request), request.query_params
    wanted = Search(user=asked.get("user", ""), text=asked.get("q", "").strip(), check=asked.get("check", ""))
    after = asked.get("after", "")
    found = _entries(console_of(request), session.account, wanted, int(after) if after.isdecimal() else 0)
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
    session, console = logged_in(request), console_of(request)
    entry = _entry(console, session.account, request.path_params["ref"], request.query_params.get("user", ""))
    message = readable(quarantine.content(console.store, entry.ref))
    found = search(console.store, HistorySearch(name=entry.ref), 1)
    told = account_of(console.store, console.journey, found[0], console.clock()) if found else None
    scores = [score for score in told.scores if set(score.recipients) & set(entry.recipients)] if told else []
    return shown(request, "message.html", entry=entry, message=message, scores=scores, State=State)


def message_html(request: Request) -> Response:
    session, console = logged_in(request), console_of(request)
    entry = _entry(console, session.account, request.path_params["ref"], request.query_params.get("user", ""))
    source = readable(quarantine.content(console.store, entry.ref)).html
    return HTMLResponse(inert.page(source), headers={"Content-Security-Policy": inert.POLICY})


async def act(request: Request) -> Response:
    """Release or delete what was chosen."""
    session, form = await form_of(request)
    refs = [ref for ref in form.getlist("ref") if isinstance(ref, str)][:MAX_CHOSEN]
    do = {"release": _release, "allow": _release_and_allow, "delete": _delete}.get(text_of(form, "do"))
    if do is None:
        raise Forbidden(marked("There is no such action."))
    console = console_of(request)
    done = await run_in_threadpool(lambda: sum(do(console, session.account, ref) for ref in refs))
    said = urlencode({"done": f"{text_of(form, 'do')}-{done}-{len(refs)}"})
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
        try:
            console.teach(entry.user, entry.ref)
        except (StoreError, LookupError, ValueError) as error:  # it is delivered all the same
            log.warning("console: %s was released, but taught nothing: %s", entry.ref, for_log(str(error)))
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
    for _ in stored_messages.sweep(console.store, [entry.ref]):
        pass
    return True
