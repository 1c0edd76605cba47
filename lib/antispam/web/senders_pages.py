"""Facts about senders: the reputation of an identity, and the fingerprints of reported spam."""

from __future__ import annotations

import itertools

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.learning.fingerprinting import FingerprintSettings
from antispam.net.addresses import normalize_domain
from antispam.settings import Mode
from antispam.store import fingerprints
from antispam.web.answers import console_of, shown, text_of
from antispam.web.console import Console
from antispam.web.roles import acted, administrators_form, back_to, helpdesk
from gossip import Observations, Records

_MOST = 50  # identities


def reputation_page(request: Request) -> Response:
    helpdesk(request)
    console, asked = console_of(request), request.query_params
    name = asked.get("q", "").strip()[:320]
    found = _known(console, name) if name else []
    return shown(
        request, "reputation.html", q=name, found=found, now=console.clock(), done=asked.get("done", ""),
        fingerprints=_fingerprints(console),
    )  # fmt: skip


def _known(console: Console, name: str) -> list[tuple[str, Observations]]:
    """The identities of that name, including unfolded votes from the log."""
    records, wanted = Records(console.store), identity_of(name)
    found = dict(itertools.islice(records.everything([wanted]), _MOST))
    return [(one, records.get(one) or made) for one, made in found.items()]


def identity_of(name: str) -> str:
    """The stored form of a domain or identity: the domain in lower case and A-labels."""
    domain, colon, how = name.rpartition(":")
    return f"{normalize_domain(domain)}:{how}" if colon else normalize_domain(name)


def _fingerprints(console: Console) -> fingerprints.Known | None:
    """None if they are switched off."""
    if FingerprintSettings not in console.settings or console.settings[FingerprintSettings].mode is Mode.OFF:
        return None
    return fingerprints.known(console.store, console.clock())


async def reset_reputation(request: Request) -> Response:
    session, form = await administrators_form(request)
    console, name = console_of(request), text_of(form, "identity")[:320]

    def forget() -> bool:
        if not Records(console.store).reset(name):
            return False
        acted(console, session, f"deleted the reputation of {name}")
        return True

    done = await run_in_threadpool(forget)
    return back_to(request, "reputation", "forgotten" if done else "gone")
