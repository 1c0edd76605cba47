"""What its owner and the postmaster are told of a login that was stopped, each in their language; pure functions."""

from __future__ import annotations

import dataclasses
import email.policy
import hashlib
import shlex
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from gettext import NullTranslations

from antispam.text import for_log

_POLICY = email.policy.SMTP.clone(max_line_length=998)
_WIDTH = 76
ENGLISH = NullTranslations()  # the messages of the catalogue themselves


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A login that was stopped.

    login    as it is compared
    used     recipients in the window
    period   the window, in seconds
    sender   who writes, and whom the owner may ask: an address of ours
    console  where it can be let go on, "" for nowhere
    now      seconds since the epoch
    """

    login: str
    used: int
    period: float
    sender: str
    console: str
    now: float


def period_in(texts: NullTranslations, seconds: float) -> str:
    """3600 as "1 hour", 7200 as "2 hours", in the language of the catalogue."""
    days, hours, minutes = seconds / 86400, seconds / 3600, seconds / 60
    if days >= 1 and days.is_integer():
        return texts.ngettext("%(num)d day", "%(num)d days", int(days)) % {"num": days}
    if hours >= 1 and hours.is_integer():
        return texts.ngettext("%(num)d hour", "%(num)d hours", int(hours)) % {"num": hours}
    if minutes >= 1 and minutes.is_integer():
        return texts.ngettext("%(num)d minute", "%(num)d minutes", int(minutes)) % {"num": minutes}
    return texts.gettext("%(num)s seconds") % {"num": f"{seconds:g}"}


def to_owner(facts: Facts, recipient: str, texts: NullTranslations = ENGLISH) -> bytes:
    """What the owner of the login reads, as octets with CRLF."""
    translate = texts.gettext
    return _mail(
        facts,
        recipient,
        translate("Your login was stopped: it sends unusually much mail"),
        [
            _happened(facts, texts),
            translate(
                "If you did not send so much, somebody else knows your password: change it now, and tell your postmaster."
            ),
            translate("Nothing is lost: mail programs keep what they could not send."),
            translate("Your postmaster, %(address)s, can let the login send again.") % {"address": facts.sender},
        ],
    )


def to_postmaster(facts: Facts, recipient: str, texts: NullTranslations = ENGLISH) -> bytes:
    """What the postmaster reads, as octets with CRLF."""
    translate, shown = texts.gettext, _shown(facts.login)
    console = [f"    {facts.console}"] if facts.console else []
    return _mail(
        facts,
        recipient,
        translate("The login %(login)s was stopped: it sends unusually much mail") % {"login": shown},
        [
            _happened(facts, texts),
            translate("Once its owner has changed the password, or if all is well, let it send again:"),
            *console,
            f"    bms rates release {shlex.quote(shown)}",
            translate("[rates] except_logins names logins that may send as much as they like."),
        ],
    )


def _happened(facts: Facts, texts: NullTranslations) -> str:
    text = texts.ngettext(
        "The mail filter stopped the login %(login)s: it sent to %(count)d recipient within %(period)s.",
        "The mail filter stopped the login %(login)s: it sent to %(count)d recipients within %(period)s.",
        facts.used,
    )
    return text % {"login": _shown(facts.login), "count": facts.used, "period": period_in(texts, facts.period)}


def _mail(facts: Facts, recipient: str, subject: str, paragraphs: Iterable[str]) -> bytes:
    mail = EmailMessage(policy=_POLICY)
    mail["From"], mail["To"], mail["Subject"] = facts.sender, recipient, subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(facts.now, UTC))
    name = hashlib.sha256(f"{facts.login} {recipient}".encode("utf-8", "replace")).hexdigest()[:12]
    mail["Message-ID"] = f"<rates.{facts.now:.0f}.{name}@{facts.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"  # Exchange
    # A command or an address in a line of its own stays in one piece.
    wrapped = (one if one.startswith(" ") else textwrap.fill(one, _WIDTH, break_long_words=False) for one in paragraphs)
    content = "\n\n".join(wrapped) + "\n"
    mail.set_content(content, cte="7bit" if content.isascii() else "quoted-printable")
    return mail.as_bytes()


def _shown(login: str) -> str:
    """The login on one line, whatever it is."""
    return for_log(login).encode("ascii", "backslashreplace").decode()
