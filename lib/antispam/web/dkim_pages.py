"""The signing keys: their age, whether they should be replaced and, on request, whether the name servers have them."""

from __future__ import annotations

import dataclasses

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.checks._shared.dkim_keys.configured import Configured, configured
from antispam.checks._shared.dkim_keys.published import Published, key_name, look_up, zone_lines
from antispam.checks._shared.dkim_keys.signing import SigningSettings
from antispam.deadline import Deadline
from antispam.text import for_log
from antispam.web.answers import console_of, shown
from antispam.web.console import Console
from antispam.web.roles import helpdesk, helpdesk_form

LOOKUP_SECONDS = 10.0  # for all keys together


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A key for the page: its domain name and its record for a zone file; `found` is the DNS result, None if it was not
    queried.
    """

    key: Configured
    name: str
    record: str
    due: bool
    found: Published | None = None


def keys_page(request: Request) -> Response:
    helpdesk(request)
    return _page(request, _rows(console_of(request)))


async def ask_dns(request: Request) -> Response:
    """The page with the name servers' answers. It changes nothing, but causes queries, so it needs a button."""
    await helpdesk_form(request)
    return await run_in_threadpool(_asked, request)


def _asked(request: Request) -> Response:
    console = console_of(request)
    rows, problem = _rows(console)
    deadline = Deadline.after(LOOKUP_SECONDS)
    found = [
        dataclasses.replace(row, found=look_up(row.name, row.key.signer.key, console.resolver, deadline))
        for row in rows
    ]
    return _page(request, (found, problem))


def _rows(console: Console) -> tuple[list[Row], str]:
    """The keys, and the error if they cannot be read."""
    try:
        keys = configured(console.settings[SigningSettings])
    except (OSError, ValueError) as error:
        return [], for_log(str(error))
    now, rows = console.clock(), []
    for key in keys:
        name = key_name(key.signer.selector, key.signer.domain)
        rows.append(Row(key, name, zone_lines(name, key.signer.key.dns_record), key.is_due(now)))
    return rows, ""


def _page(request: Request, found: tuple[list[Row], str]) -> Response:
    rows, problem = found
    return shown(request, "dkim.html", rows=rows, problem=problem, now=console_of(request).clock())
