"""Pages for the helpdesk and administrators: the first read, the second act, and whatever they do is in the log."""

from __future__ import annotations

import logging

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.store import StoreError, actions
from antispam.text import for_log
from antispam.web.answers import Forbidden, form_of, logged_in, marked
from antispam.web.console import Console, Session

log = logging.getLogger(__name__)


def helpdesk(request: Request) -> Session:
    """Who asks for a page that tells of everybody's mail. Raises NotLoggedIn, Forbidden, StoreError."""
    session = logged_in(request)
    if not session.account.sees_all:
        raise Forbidden(marked("This page is for the helpdesk and administrators."))
    return session


def administrator(request: Request) -> Session:
    """Who asks for a page that is for administrators alone. Raises NotLoggedIn, Forbidden, StoreError."""
    session = logged_in(request)
    if not session.account.acts_for_all:
        raise Forbidden(marked("This page is for administrators."))
    return session


async def helpdesk_form(request: Request) -> Session:
    """A button of such a page that changes nothing. Raises NotLoggedIn, Forbidden."""
    session, _ = await form_of(request)
    if not session.account.sees_all:
        raise Forbidden(marked("This page is for the helpdesk and administrators."))
    return session


async def administrators_form(request: Request) -> tuple[Session, FormData]:
    """A form by which an administrator changes something. Raises NotLoggedIn, Forbidden."""
    session, form = await form_of(request)
    if not session.account.acts_for_all:
        raise Forbidden(marked("Only an administrator may do that."))
    return session, form


def acted(console: Console, session: Session, what: str) -> None:
    """Write down what somebody did, in the log and in the store: `what` completes a sentence, and may have any characters. That
    the store can't be written now is no reason to say that it was not done."""
    log.info("console: %s %s", for_log(session.account.name, 100), for_log(what, 1000))
    try:
        actions.note(console.store, session.account.name, what, console.clock())
        actions.purge(console.store, console.clock())
    except StoreError as error:
        log.error("console: that stands in this log alone: %s", for_log(str(error)))


def back_to(request: Request, page: str, done: str) -> Response:
    """To a page that says what was done: one of its words."""
    return RedirectResponse(f"{request.app.url_path_for(page)}?done={done}", 303)
