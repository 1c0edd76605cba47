"""Pages for the helpdesk, who may read, and administrators, who may act. Every action is logged."""

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
    """The session of a request for a page about everybody's mail. Raises NotLoggedIn, Forbidden, StoreError."""
    session = logged_in(request)
    if not session.account.sees_all:
        raise Forbidden(marked("This page is for the helpdesk and administrators."))
    return session


def administrator(request: Request) -> Session:
    """The session of a request for an administrators' page. Raises NotLoggedIn, Forbidden, StoreError."""
    session = logged_in(request)
    if not session.account.acts_for_all:
        raise Forbidden(marked("This page is for administrators."))
    return session


async def helpdesk_form(request: Request) -> Session:
    """The session of a button on such a page that changes nothing. Raises NotLoggedIn, Forbidden."""
    session, _ = await form_of(request)
    if not session.account.sees_all:
        raise Forbidden(marked("This page is for the helpdesk and administrators."))
    return session


async def administrators_form(request: Request) -> tuple[Session, FormData]:
    """The session and form of an administrator's change. Raises NotLoggedIn, Forbidden."""
    session, form = await form_of(request)
    if not session.account.acts_for_all:
        raise Forbidden(marked("Only an administrator may do that."))
    return session, form


def acted(console: Console, session: Session, what: str) -> None:
    """Record an action in the log and the store. `what` completes a sentence and may have any characters. A failure of
    the store is only logged: the action itself was done.
    """
    log.info("console: %s %s", for_log(session.account.name, 100), for_log(what, 1000))
    try:
        actions.note(console.store, session.account.name, what, console.clock())
        actions.purge(console.store, console.clock())
    except StoreError as error:
        log.error("console: that stands in this log alone: %s", for_log(str(error)))


def back_to(request: Request, page: str, done: str) -> Response:
    """Redirect to a page that reports what was done, given as one of its words."""
    return RedirectResponse(f"{request.app.url_path_for(page)}?done={done}", 303)
