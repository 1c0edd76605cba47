"""The text of a digest, as a pure function. Quotations from quarantined mail are hostile: they stay plain text that
mail programs do not turn into links.
"""

from __future__ import annotations

import dataclasses
import email.policy
import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import jinja2

from antispam.learning.languages import ENGLISH, texts, time_in
from antispam.mail.kept_because import why
from antispam.store.quarantine import Entry

_POLICY = email.policy.SMTP.clone(max_line_length=998)
MAX_SUBJECT = 100  # characters
MAX_SENDER = 80
_SPACES = re.compile(r"\s+")
# Text that mail programs would turn into a link, which would then come from us.
_LINKS = ((re.compile(r"(?<=\w):(?=//|\\\\)"), "[:]"), (re.compile(r"(?<=[^\W_])\.(?=[^\W\d_]{2})"), "[.]"))
_PLAIN_ADDRESS = re.compile(r"[\w.+=-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE | re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of a digest.

    recipient  the recipient, and `sender` the author: addresses that a header field can hold
    entries    the entries listed, newest first; `count` is the total
    link       makes the address of the page of an entry
    stop       the address of the page that unsubscribes
    console    the address of the console
    days       how long the links work
    name       of the digest: the same for a repetition of the same digest
    now        seconds since the epoch
    """

    recipient: str
    sender: str
    entries: Sequence[Entry]
    count: int
    link: Callable[[Entry], str]
    stop: str
    console: str
    days: int
    name: str
    now: float


def harmless(text: str, limit: int) -> str:
    """A text from mail on one line, without control, format and direction characters, and without anything like a link."""
    shown = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text[: 4 * limit])
    shown = _SPACES.sub(" ", unicodedata.normalize("NFC", shown)).strip()
    for pattern, instead in _LINKS:
        shown = pattern.sub(instead, shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def sender_of(entry: Entry) -> str:
    """The sender of an entry: an address unchanged, anything odd as text."""
    if _PLAIN_ADDRESS.fullmatch(entry.mail_from) and len(entry.mail_from) <= MAX_SENDER:
        return entry.mail_from
    return harmless(entry.mail_from, MAX_SENDER)


@functools.lru_cache(maxsize=32)
def _templates(html: bool, language: str) -> jinja2.Environment:
    """The templates of a language."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        extensions=["jinja2.ext.i18n"],
        autoescape=html,  # the other one is plain text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_translations(texts(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters["time"] = functools.partial(time_in, language)
    return made


def compose(facts: Facts, language: str = ENGLISH) -> bytes:
    """The whole message with CRLF line ends, in the reader's language."""
    message = EmailMessage(policy=_POLICY)
    domain = facts.sender.rpartition("@")[2]
    message["From"] = facts.sender
    message["To"] = facts.recipient
    title = texts(language).ngettext(
        "%(count)d message is kept from you", "%(count)d messages are kept from you", facts.count
    )
    message["Subject"] = title % {"count": facts.count}
    message["Date"] = formatdate(facts.now)
    message["Message-ID"] = f"<digest.{facts.name}@{domain}>"
    message["List-Id"] = f"<quarantine-digest.{domain}>"
    message["List-Unsubscribe"] = f"<{facts.stop}>"
    if facts.stop.startswith("https:"):  # RFC 8058 section 3.1
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
    message["Precedence"] = "bulk"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange
    rows = [_row(entry, facts, language) for entry in facts.entries]
    values = {"rows": rows, "more": facts.count - len(rows), "days": facts.days}
    values |= {"console": facts.console, "stop": facts.stop, "language": language}
    message.set_content(_rendered("digest.txt", values, language), cte="quoted-printable")
    message.add_alternative(_rendered("digest.html", values, language), subtype="html", cte="quoted-printable")
    return message.as_bytes()


def _row(entry: Entry, facts: Facts, language: str) -> dict[str, object]:
    return {
        "subject": harmless(entry.subject, MAX_SUBJECT),
        "sender": sender_of(entry),
        "received_at": entry.received_at,
        "why": texts(language).gettext(why(entry.check)),
        "link": facts.link(entry),
    }


def _rendered(template: str, values: dict[str, object], language: str) -> str:
    return _templates(template.endswith(".html"), language).get_template(template).render(values)
