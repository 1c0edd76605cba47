"""Release requests: a mail to the postmaster about open ones, at most once a day, and deletion of old ones."""

from __future__ import annotations

import email.policy
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate
from gettext import NullTranslations

from antispam.chores import Chore
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.languages import texts
from antispam.learning.people import Addresses
from antispam.learning.preferences import language_of
from antispam.learning.settings import DspamSettings
from antispam.settings import Settings
from antispam.settings.web import WebSettings
from antispam.store import Store, requests
from antispam.store.outbox import Kind, QueuedMessage, post
from antispam.store.quarantine_settings import QuarantineSettings

_POLICY = email.policy.SMTP.clone(max_line_length=998)


def chores(settings: Settings, store: Store, sign: Callable[[bytes], bytes], clock: Callable[[], float]) -> list[Chore]:
    """The chores of housekeeping for release requests.

    sign  puts our DKIM signature on a message, if there is a key
    """

    def purge() -> bool:
        return requests.purge(store, clock() - requests.KEPT) > 0

    def tell() -> bool:
        tell_postmaster(settings, store, sign, clock())
        return False

    return [Chore(purge), *([Chore(tell)] if settings[QuarantineSettings].postmaster else [])]


def tell_postmaster(settings: Settings, store: Store, sign: Callable[[bytes], bytes], now: float) -> None:
    """Queue a mail about open requests, unless there are none or one was queued today. Raises StoreError."""
    number = requests.open_ones(store)
    postmaster, address = settings[QuarantineSettings].postmaster, settings[WebSettings].address
    if not number or not postmaster:
        return
    name = f"release requests {datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    user = Addresses(settings[DspamSettings]).user_of(postmaster)
    language = language_of(settings[LanguageSettings], store, user)
    content = sign(_letter(postmaster, number, f"{address}/requests" if address else "", name, now, texts(language)))
    with store.write() as connection:
        post(store, connection, QueuedMessage(Kind.ANSWER, "", "", (postmaster,), content, once=name), now)


def _letter(postmaster: str, number: int, url: str, name: str, now: float, texts: NullTranslations) -> bytes:
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = mail["To"] = postmaster
    mail["Subject"] = texts.ngettext(
        "%(count)d message waits in the quarantine for your decision",
        "%(count)d messages wait in the quarantine for your decision",
        number,
    ) % {"count": number}
    mail["Date"] = formatdate(now)
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    mail["Message-ID"] = f"<requests.{digest}@{postmaster.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"  # Exchange
    content = "\n".join(
        [
            texts.gettext(
                "Users ask for messages that they may not deliver themselves ([quarantine] users_may_not_release)."
            ),
            "",
            texts.gettext("Decide in the console: %(url)s") % {"url": url}
            if url
            else texts.gettext("Decide in the console, under Requests."),
            "",
            texts.gettext("You get one such mail a day at most."),
            "",
        ]
    )
    mail.set_content(content, cte="7bit" if content.isascii() else "quoted-printable")
    return mail.as_bytes()
