"""The filter's own outgoing mail: messages waiting or given up, and actions on them."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.store import outbox
from antispam.web.answers import MAX_CHOSEN, Forbidden, console_of, marked, shown, text_of
from antispam.web.roles import acted, administrators_form, back_to, helpdesk

ROWS = 200
_DONE = {
    "retry": (outbox.retry, "let message %d of the outbox be sent again"),
    "delete": (outbox.delete, "gave up message %d of the outbox"),
}


def outbox_page(request: Request) -> Response:
    helpdesk(request)
    console = console_of(request)
    entries = [
        one for one in outbox.entries(console.store, console.clock(), ROWS) if one.state is not outbox.State.SENT
    ]
    return shown(
        request, "outbox.html", entries=entries, full=len(entries) == ROWS, State=outbox.State,
        done=request.query_params.get("done", ""),
    )  # fmt: skip


async def change_outbox(request: Request) -> Response:
    """Retry messages, or give them up."""
    session, form = await administrators_form(request)
    do = text_of(form, "do")
    if do not in _DONE:
        raise Forbidden(marked("There is no such action."))
    change, told = _DONE[do]
    console = console_of(request)
    chosen = [int(one) for one in form.getlist("id") if isinstance(one, str) and one.isdecimal() and len(one) < 18]

    def each() -> int:
        done = [number for number in chosen[:MAX_CHOSEN] if change(console.store, number, console.clock())]
        for number in done:
            acted(console, session, told % number)
        return len(done)

    done = await run_in_threadpool(each)
    return back_to(request, "outbox", f"{do}-{done}-{len(chosen)}")
