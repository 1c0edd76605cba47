"""The pages behind a digest's links: one quarantined message of one user, with one button, without a login.

A program that fetches links, such as a mail scanner, changes nothing: only the button delivers, and invalidates the
link.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from antispam.learning.digest_settings import Often
from antispam.learning.languages import texts
from antispam.mail.kept_because import why
from antispam.mail.reading import readable
from antispam.service.digest.links import Link, Problem
from antispam.store import StoreError, digests, quarantine, requests
from antispam.store.preferences import Preference, Scope, put
from antispam.store.quarantine import BadName, Entry, NoEntry, State, checked_user, of_ref
from antispam.text import for_log
from antispam.web.answers import (
    console_of,
    language_of,
    marked,
    problem,
    shown,
)
from antispam.web.console import Console
from antispam.web.delivering import ask, may_deliver
from antispam.web.delivering import deliver as deliver_entry

log = logging.getLogger(__name__)

_MAX_TEXT = 20_000  # characters


def kept_page(request: Request) -> Response:
    """Show the message and the button. Changes nothing."""
    console, token = console_of(request), request.path_params["token"]
    link = console.links.read(token)
    if (answer := _refused(request, console, link)) is not None:
        return answer
    assert isinstance(link, Link)
    if digests.is_used(console.store, token):
        return _used(request)
    entry = _entry(console, link)
    return _page(request, entry, readable(quarantine.content(console.store, entry.ref)).text)


def deliver(request: Request) -> Response:
    """Deliver the message, once."""
    console, token = console_of(request), request.path_params["token"]
    link = console.links.read(token)
    if (answer := _refused(request, console, link)) is not None:
        return answer
    assert isinstance(link, Link)
    entry = _entry(console, link)
    if not may_deliver(console, None, entry.check):
        ask(console, entry)
        return _page(request, entry, "")
    if not digests.use(console.store, token, link.expires_at):
        return _used(request)
    try:
        deliver_entry(console, entry)
    except (StoreError, NoEntry, BadName):
        digests.unuse(console.store, token)
        raise
    log.info("digest: %s is delivered to %s, by a link", entry.ref, for_log(entry.user))
    return _page(request, entry, "", done=True)


def stop_page(request: Request) -> Response:
    """Show a button that unsubscribes a user from digests."""
    console = console_of(request)
    answer = _refused(request, console, console.links.read_stop(request.path_params["token"]))
    return shown(request, "stop.html", done=False) if answer is None else answer


def stop(request: Request) -> Response:
    """Unsubscribe a user; mail programs may also call this (RFC 8058)."""
    console = console_of(request)
    link = console.links.read_stop(request.path_params["token"])
    if (answer := _refused(request, console, link)) is not None:
        return answer
    assert isinstance(link, Link)
    put(console.store, Preference(Scope.USER, link.user, "digest", str(Often.NEVER)))
    log.info("digest: %s gets no more of them, by a link", for_log(link.user))
    return shown(request, "stop.html", done=True)


def _refused(request: Request, console: Console, link: Link | Problem) -> Response | None:
    """The answer to a link that is invalid or opened too often; None if it is valid."""
    if link is Problem.DAMAGED:
        text = marked("Your mail program may have cut it off. Copy the whole link, or log in to see what is kept.")
        return problem(request, 404, marked("This link is not complete"), text)
    if link is Problem.OVER:
        text = marked("Its time is up. Log in to see what is kept, or wait for the next mail.")
        return problem(request, 410, marked("This link no longer works"), text)
    assert isinstance(link, Link)
    if not console.limiter.admits(link.user):
        return problem(request, 429, marked("That was too often"), marked("Try again in a minute."))
    return None


def _used(request: Request) -> Response:
    text = marked("It was used: the message has been delivered, or is on its way.")
    return problem(request, 410, marked("This link works once"), text)


def _entry(console: Console, link: Link) -> Entry:
    """The entry of exactly that user. Raises NoEntry and BadName."""
    return of_ref(console.store, link.ref, checked_user(link.user))[0]


def _page(request: Request, entry: Entry, text: str, *, done: bool = False) -> Response:
    console, reason = console_of(request), texts(language_of(request)).gettext(why(entry.check))
    return shown(
        request, "kept.html", entry=entry, why=reason, text=text[:_MAX_TEXT], done=done,
        going=entry.state in (State.UNDER_WAY, State.RELEASED), may_deliver=may_deliver(console, None, entry.check),
        asked=requests.of_entry(console.store, entry.ref, entry.user),
    )  # fmt: skip
