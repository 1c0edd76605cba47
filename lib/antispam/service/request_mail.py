"""Release requests for the postmaster: a mail about open ones, once a day at most; and forgetting old ones."""

from __future__ import annotations

import email.policy
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate

from antispam.chores import Chore
from antispam.settings import Settings
from antispam.settings.web import WebSettings
from antispam.store import Store, requests
from antispam.store.outbox import Kind, QueuedMessage, post
from antispam.store.quarantine_settings import QuarantineSettings

_POLICY = email.policy.SMTP.clone(max_line_length=998)


def chores(settings: Settings, store: Store, sign: Callable[[bytes], bytes], clock: Callable[[], float]) -> list[Chore]:
    """What housekeeping does about requests.

    sign  puts our DKIM signature on a message, where there is a key
    """

    def purge() -> bool:
        return requests.purge(store, clock() - requests.KEPT) > 0

    def tell() -> bool:
        tell_postmaster(settings, store, sign, clock())
        return False

    return [Chore(purge), *([Chore(tell)] if settings[QuarantineSettings].postmaster else [])]


def tell_postmaster(settings: Settings, store: Store, sign: Callable[[bytes], bytes], now: float) -> None:
    """Post a mail about open requests, unless there are none, or one was posted today. Raises StoreError."""
    number = requests.open_ones(store)
    postmaster, address = settings[QuarantineSettings].postmaster, settings[WebSettings].address
    if not number or not postmaster:
        return
    name = f"release requests {datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    content = sign(_letter(postmaster, number, f"{address}/requests" if address else "", name, now))
    with store.write() as connection:
        post(store, connection, QueuedMessage(Kind.ANSWER, "", "", (postmaster,), content, once=name), now)


def _letter(postmaster: str, number: int, url: str, name: str, now: float) -> bytes:
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = mail["To"] = postmaster
    asked = "1 user asks" if number == 1 else f"{number} users ask"
    mail["Subject"] = f"{asked} for a message in the quarantine"
    mail["Date"] = formatdate(now)
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    mail["Message-ID"] = f"<requests.{digest}@{postmaster.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"  # Exchange
    where = f"Decide in the console: {url}\n" if url else "Decide in the console, under Requests.\n"
    mail.set_content(
        "Users may not deliver these messages themselves ([quarantine] users_may_not_release), and wait for your answer.\n\n"
        f"{where}\nThere is one such mail a day at most.\n"
    )
    return mail.as_bytes()
