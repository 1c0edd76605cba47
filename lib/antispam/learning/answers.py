"""The answer to a report: a short mail that tells the result. A pure function.

It goes to the known sender of the report. From the report it repeats only the subjects of the reported messages,
shortened and without anything that could imitate our text. RFC 3834 defines the form of automatic answers, and who must
not get one.
"""

from __future__ import annotations

import email.policy
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from gettext import NullTranslations

from antispam.learning.forwards import resent_block
from antispam.mail.kept_because import marked
from antispam.text import from_wire
from dspam.tags import extract_signature_tags

LOOP_FIELD = "X-Loop"
MAX_SUBJECT = 80
ENGLISH = NullTranslations()  # the untranslated messages
MAX_LISTED = 20  # subjects, and recipients of released messages
_MAX_REFERENCES = 3
_WIDTH = 76

HOW_TO_FORWARD = (
    marked("Please send it again in one of these ways:"),
    marked(
        '- as an attachment: choose the message, then "Forward as attachment" (Thunderbird: Message, Forward As, Attachment;'
        " Outlook: More, Forward as Attachment; Gmail: More, Forward as attachment; Apple Mail: Message, Forward as "
        "Attachment). Several messages can be attached to one mail."
    ),
    marked('- redirected: "Redirect", "Resend" or "Bounce", which sends it on as it came.'),
    marked(
        '- forwarded in the text: leave everything below "Forwarded message" or "From:" as your mail program inserts it.'
    ),
)
_SPAM, _HAM = marked("spam"), marked("ham")


@dataclass(frozen=True, slots=True)
class Facts:
    """The result of a report.

    learned    messages that were learned for the first time
    corrected  messages that had been learned as the opposite
    known      messages that had already been learned as this and taught nothing new
    missing    messages that were reported but not found; 1 if none was recognised in the report
    released   the recipients of messages that are being released
    subjects   of the reported messages, as received
    banned     the domains and mailboxes that are now banned
    more       whether the report contained more messages than are examined
    seen       messages learned by the user's dictionary, of the `needed` ones before it decides
    reference  of the report, as in the log
    """

    is_spam: bool
    user: str
    seen: int
    needed: int
    reference: str
    learned: int = 0
    corrected: int = 0
    known: int = 0
    missing: int = 0
    released: Sequence[str] = ()
    subjects: Sequence[str] = ()
    banned: Sequence[str] = ()
    more: bool = False


def headline(facts: Facts, texts: NullTranslations = ENGLISH) -> str:
    """The subject of the answer: "learned as spam; 37 of 200 messages seen"."""
    said = {"verdict": texts.gettext(_verdict(facts)), "seen": _seen(facts, texts)}
    if facts.learned or facts.corrected:
        return texts.gettext("learned as %(verdict)s; %(seen)s") % said
    if facts.known:
        return texts.gettext("already learned as %(verdict)s; %(seen)s") % said
    if facts.released:
        return texts.gettext("released; %(seen)s") % said
    return texts.gettext("not found: how to forward a message so that we recognise it")


def text(facts: Facts, texts: NullTranslations = ENGLISH) -> str:
    """The body of the answer, in lines of at most 76 characters, without what a sender could use to forge one."""
    whose = texts.gettext("Dictionary of %(user)s: %(seen)s.") % {
        "user": shown(facts.user),
        "seen": _seen(facts, texts),
    }
    lines = [*_results(facts, texts), "", *_reported(facts, texts), whose]
    if facts.missing:
        lines += ["", *map(texts.gettext, HOW_TO_FORWARD)]
    lines += ["", texts.gettext("Reference: %(reference)s") % {"reference": shown(facts.reference)}]
    wrapped = [
        piece
        for line in lines
        for piece in textwrap.wrap(line, _WIDTH, subsequent_indent="  " if line[:2] in {"- ", "  "} else "") or [""]
    ]
    return "\n".join(wrapped) + "\n"


def _results(facts: Facts, texts: NullTranslations) -> list[str]:
    translate = texts.gettext
    verdict, opposite = translate(_verdict(facts)), translate(_HAM if facts.is_spam else _SPAM)

    def counted(said: str, count: int) -> str:
        return said % {"verdict": verdict, "opposite": opposite, "messages": _messages(count, texts)}

    lines = []
    if facts.learned:
        lines.append(counted(translate("Learned as %(verdict)s: %(messages)s."), facts.learned))
    if facts.corrected:
        lines.append(counted(translate("Corrected from %(opposite)s to %(verdict)s: %(messages)s."), facts.corrected))
    if facts.known:
        lines.append(
            counted(translate("Already learned as %(verdict)s: %(messages)s, not counted again."), facts.known)
        )
    if facts.released:
        names = [shown(one) for one in facts.released[:MAX_LISTED]]
        if (left := len(facts.released) - MAX_LISTED) > 0:
            said = translate("Released to %(names)s and %(number)d more.")
            lines.append(said % {"names": ", ".join(names), "number": left})
        else:
            lines.append(translate("Released to %(names)s.") % {"names": ", ".join(names)})
    if facts.banned:
        names = [shown(one) for one in facts.banned[:MAX_LISTED]]
        lines.append(translate("Banned from now on: %(names)s.") % {"names": ", ".join(names)})
    if facts.missing:
        lines.append(counted(translate("Not found: %(messages)s."), facts.missing))
    if facts.more:
        said = translate(
            "Your mail contained more messages than we process at once: please send the rest in another mail."
        )
        lines.append(said)
    return lines or [translate("We could not find a forwarded message in your mail.")]


def _reported(facts: Facts, texts: NullTranslations) -> list[str]:
    subjects = [line for one in facts.subjects[:MAX_LISTED] if (line := shown(one))]
    if not subjects:
        return []
    left = len(facts.subjects) - MAX_LISTED
    more = ["  " + texts.gettext("and %(number)d more") % {"number": left}] if left > 0 else []
    return [texts.gettext("Reported:"), *(f'  "{line}"' for line in subjects), *more, ""]


def _verdict(facts: Facts) -> str:
    return _SPAM if facts.is_spam else _HAM


def _seen(facts: Facts, texts: NullTranslations) -> str:
    if facts.seen < facts.needed:
        return texts.gettext("%(seen)d of %(needed)d messages seen") % {"seen": facts.seen, "needed": facts.needed}
    return texts.gettext("%(messages)s seen") % {"messages": _messages(facts.seen, texts)}


def _messages(count: int, texts: NullTranslations) -> str:
    return texts.ngettext("%(count)d message", "%(count)d messages", count) % {"count": count}


def shown(foreign: str, limit: int = MAX_SUBJECT) -> str:
    """Foreign text on one line, without control and format characters (which could start or reverse a line), our tags,
    and quotation marks that would end ours; at most `limit` characters. Never raises.
    """
    plain = extract_signature_tags(from_wire(foreign[: 20 * limit].replace("\0", " "), 20 * limit))[0]
    plain = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in plain)
    plain = " ".join(plain.replace('"', "'").split())
    return plain if len(plain) <= limit else plain[: limit - 3].rstrip() + "..."


# --- the mail ---

_POLICY = email.policy.SMTP
# With shorter lines, long identifiers would be cut into encoded words.
_LONG_LINES = email.policy.SMTP.clone(max_line_length=998)
_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)"
)
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,120}@[!-;=?A-~]{1,120}>")
_NOT_REFERENCE = re.compile(r"[^A-Za-z0-9._-]")


def compose(
    facts: Facts,
    texts: NullTranslations = ENGLISH,
    *,
    training_address: str,
    reporter: str,
    now: float,
    message_id: bytes = b"",
    references: bytes = b"",
) -> bytes:
    """The answer as octets with CRLF.

    texts             the catalogue of the reporter's language
    training_address  the recipient of the report, which is the sender of the answer
    reporter          the recipient, by the envelope or the login
    now               seconds since the epoch
    message_id        the report's Message-ID field, and its References, as received; invalid identifiers are left out

    The same report gets the same Message-ID, so that a repeated answer is recognised. Raises ValueError for an address
    that is not valid in a plain header.
    """
    domain = _checked(training_address)
    _checked(reporter)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = training_address
    mail["To"] = reporter
    mail["Subject"] = headline(facts, texts)
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = f"<answer.{_NOT_REFERENCE.sub('', facts.reference)[:64]}@{domain}>"
    if answered := _identifiers(message_id)[:1]:
        thread = [one for one in _identifiers(references) if one not in answered][-_MAX_REFERENCES:]
        mail["In-Reply-To"] = answered[0]
        mail["References"] = " ".join(thread + answered)
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"  # Exchange
    mail[LOOP_FIELD] = training_address
    content = text(facts, texts)
    mail.set_content(content, cte="7bit" if content.isascii() else "quoted-printable")
    return mail.as_bytes(policy=_LONG_LINES)


def _checked(address: str) -> str:
    """The domain of an address."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"not an address that a header can hold: {shown(address)}")
    return found[1]


def _identifiers(value: bytes) -> list[str]:
    return _MESSAGE_ID.findall(value[:10_000].decode("latin-1"))


# --- who gets one ---

_NOBODY = re.compile(r"mailer-daemon|no-?reply|do-?not-?reply|owner-.*|.*-(?:request|bounces?|owner)", re.IGNORECASE)
_MASS = frozenset({b"bulk", b"list", b"junk"})
_SUPPRESSED = frozenset({b"all", b"autoreply"})


def should_answer(mail_from: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a report may be answered: never the null sender, a program, a list, or an answer of our own (RFC 3834
    section 2).

    mail_from  the envelope sender without brackets; "" for the null path
    headers    names and values, top first. In a resent message only the resender's fields count: the rest belongs to
               the reported message
    """
    local = mail_from.rpartition("@")[0][:300]
    if not mail_from or _NOBODY.fullmatch(local or mail_from[:300]):
        return False
    fields = [(name.strip().lower(), value) for name, value in headers]
    if block := resent_block([name for name, _ in fields]):
        fields = fields[: block[1]]
    return not any(_forbids(name, value) for name, value in fields)


def _forbids(name: bytes, value: bytes) -> bool:
    words = [word.strip().lower() for word in value[:1_000].replace(b";", b",").split(b",")]
    if name == b"auto-submitted":
        return words[0].partition(b"(")[0].strip() != b"no"
    if name == b"precedence":
        return bool(_MASS & set(words))
    if name == b"x-auto-response-suppress":
        return bool(_SUPPRESSED & set(words))
    return name.startswith(b"list-") or name == LOOP_FIELD.lower().encode("ascii")
