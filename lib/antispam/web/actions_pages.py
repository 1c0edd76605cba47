"""The log of actions by helpdesk and administrators, for administrators."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from antispam.store import actions
from antispam.web.answers import console_of, shown
from antispam.web.roles import administrator

ROWS = 100


def actions_page(request: Request) -> Response:
    administrator(request)
    before = request.query_params.get("before", "")
    number = int(before) if before.isdecimal() and len(before) < 18 else None
    found = actions.latest(console_of(request).store, ROWS + 1, before=number)
    older = f"before={found[ROWS - 1].number}" if len(found) > ROWS else ""
    return shown(request, "actions.html", found=found[:ROWS], older=older)
