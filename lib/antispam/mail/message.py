"""The data of a mail transaction: from MAIL FROM to the end of the message, an abort or the next MAIL FROM."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from antispam.mail.decisions import Decision
from antispam.mail.findings import Findings
from antispam.protocols import encoded_words
from antispam.text import from_wire

SHOWN = 5  # fields of one name at the top, and as many at the bottom, of which a program may show one

# The characters of a plain RFC 5321 path (section 4.1.2). Anything else takes the slower parser.
_PLAIN_PATH = re.compile(r"<?[^\x00-\x20()<>,;:\\\"\[\]!%]*>?")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|\[[^\[\]]*\]?|\\.|[ \t\r\n]+|.', re.DOTALL)
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FROM_LINE = re.compile(rb"From [^\n]*\n")
_COMMENT_PART = re.compile(r"\\.|[()]", re.DOTALL)


def envelope_address(raw: str) -> str:
    """The address in a MAIL or RCPT argument, without angle brackets and source route (RFC 5321 appendix F.2), as the MTA
    will read it.

    sendmail and Postfix take `<ann@example.org (x)>`, `<ann@ example.org>`, `<<ann@example.org>>` and
    `<example.org!ann>` for ann@example.org, yet hand the milter what the client wrote. A look-up of "example.org (x)"
    would find no SPF record, and the forgery would pass. Linear in time, never raises.
    """
    if _PLAIN_PATH.fullmatch(raw):
        return _without_final_dots(raw.removeprefix("<").removesuffix(">"))
    tokens = _path_tokens(raw)
    if "@" not in tokens:
        return _without_final_dots(_swapped("".join(map(_unquoted, tokens))))
    at = len(tokens) - 1 - tokens[::-1].index("@")
    return _without_final_dots("".join([*tokens[: at + 1], *map(_unquoted, tokens[at + 1 :])]))


def _without_final_dots(address: str) -> str:
    return address.rstrip(".") if "@" in address else address


def _path_tokens(raw: str) -> list[str]:
    """The RFC 822 tokens of the innermost, last path, without comments, blanks, route and group."""
    tokens: list[str] = []
    position, closed = 0, False
    while match := _TOKEN.match(raw, position):
        token = match[0]
        position = match.end()
        if token == "(":
            position = _comment_end(raw, position)
        elif token == "<":
            tokens.clear()
            closed = False
        elif token == ":" and not closed:
            tokens.clear()
        elif token == ">":
            closed = True
        elif not closed and token not in ",;" and not token.isspace():
            tokens.append(token)
    return tokens


def _comment_end(raw: str, start: int) -> int:
    """The end of the comment whose text starts at `start`. Quotation marks have no meaning inside."""
    depth = 1
    for match in _COMMENT_PART.finditer(raw, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return len(raw)


def _unquoted(token: str) -> str:
    if token.startswith('"'):
        return token.strip('"')
    return token[-1] if token[0] == "\\" else token


def _swapped(address: str) -> str:
    """The address with a bang path, percent sign or quoted @ resolved. Without an @ outside quotes, both MTAs read
    `example.org!ann` and `ann%example.org` as ann@example.org; Postfix also reads `"ann@example.org"` so.
    """
    if "@" in address:
        return address
    host, bang, local = address.partition("!")
    if not bang:
        local, percent, host = address.rpartition("%")
        if not percent:
            return address
    return f"{local}@{host}"


class Header(NamedTuple):
    """A header field as the MTA handed it over: the value keeps its leading space; folded lines are joined by LF."""

    name: bytes
    value: bytes

    @property
    def key(self) -> bytes:
        """The name for comparisons: lower case, without the white space around it, since some readers take `From :` for
        From.
        """
        return self.name.strip().lower()

    @property
    def text(self) -> str:
        """The unfolded value as text; encoded words stay encoded."""
        return from_wire(b" ".join(self.value.split()), limit=10_000)

    @property
    def decoded(self) -> str:
        """The unfolded value with encoded words (RFC 2047) decoded. Never raises."""
        return encoded_words.decoded(self.text).text


@dataclasses.dataclass(frozen=True, slots=True)
class Auth:
    """SMTP AUTH as the MTA reports it at MAIL FROM; `login` is "" for a client that did not authenticate."""

    login: str = ""
    mechanism: str = ""

    def __bool__(self) -> bool:
        return bool(self.login)


@dataclasses.dataclass(slots=True)
class Recipient:
    """One RCPT TO.

    address  without brackets and source route, as the MTA reads it; or the mailbox that a check found it to stand for
    path     as the client wrote it; identifies the recipient to the MTA
    readdressed  whether `address` differs from what the client named
    refused  the decision that refused it at RCPT, if any
    """

    address: str
    params: tuple[str, ...] = ()
    path: str = ""
    findings: Findings = dataclasses.field(default_factory=Findings)
    decisions: list[Decision] = dataclasses.field(default_factory=list)
    refused: Decision | None = None
    readdressed: bool = False


class Body:
    """The body as it came, in memory up to `limit` octets. The rest is counted but not kept. `complete` is then false,
    and a check that needs the whole body must report that it could not look.
    """

    __slots__ = ("_chunks", "limit", "size")

    def __init__(self, limit: int) -> None:
        self._chunks: list[bytes] = []
        self.limit = limit
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.complete:
            self._chunks.append(chunk)

    @property
    def complete(self) -> bool:
        return self.size <= self.limit

    def content(self) -> bytes:
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0] if self._chunks else b""


@dataclasses.dataclass(slots=True)
class Message:
    """One mail transaction. Only the session writes it; checks read.

    ref         names the message in log, replies and store: unique and unguessable
    mail_from   the envelope sender (RFC 5321 reverse path) without brackets and source route, "" for the null path
    params      the ESMTP parameters of MAIL FROM
    auth        SMTP AUTH; it belongs to the message because a client may authenticate between two messages
    recipients  all recipients named at RCPT, including refused ones
    headers     the list that the MTA handed over; never parse the reassembled text to find a field
    queue_id    the MTA's queue ID (macro i), "" until known
    memo        values that a check computed and needs again at a later step, by name; never stored
    """

    ref: str
    mail_from: str
    received_at: float  # seconds since the epoch
    body: Body
    params: tuple[str, ...] = ()
    auth: Auth = Auth()
    recipients: list[Recipient] = dataclasses.field(default_factory=list)
    headers: list[Header] = dataclasses.field(default_factory=list)
    queue_id: str = ""
    findings: Findings = dataclasses.field(default_factory=Findings)
    decisions: list[Decision] = dataclasses.field(default_factory=list)
    memo: dict[Hashable, Any] = dataclasses.field(default_factory=dict)
    # The number of fields in the index, and the index: one value, because checks use it concurrently.
    _index: tuple[int, dict[bytes, list[Header]]] = dataclasses.field(
        default_factory=lambda: (0, {}), init=False, repr=False, compare=False
    )

    @property
    def accepted_recipients(self) -> list[Recipient]:
        return [recipient for recipient in self.recipients if recipient.refused is None]

    def fields(self, name: bytes) -> list[Header]:
        """All header fields of that name, top first."""
        return [*self.by_name().get(name.lower(), ())]

    def by_name(self) -> Mapping[bytes, Sequence[Header]]:
        """All header fields by their key. Read-only."""
        indexed, by_key = self._index
        if indexed != len(self.headers):
            headers, by_key = tuple(self.headers), {}
            for header in headers:
                key = header[0].strip().lower()  # header.key, without a call for each field of each message
                if key in by_key:
                    by_key[key].append(header)
                else:
                    by_key[key] = [header]
            self._index = len(headers), by_key
        return by_key

    def first_decoded(self, name: bytes) -> str:
        """The value of the first field of a name (in lower case), unfolded and decoded; "" without one. Many checks read the
        subject: it is decoded once."""
        found = self.by_name().get(name)
        if not found:
            return ""
        known = self.memo.get(("decoded", name))
        if known is None or known[0] is not found[0]:
            known = self.memo["decoded", name] = found[0], found[0].decoded
        text: str = known[1]
        return text

    def shown(self, name: bytes) -> list[Header]:
        """The fields of that name that a mail program may show: all, or the first and last few of very many. Programs
        show the first or the last; thousands of others are not worth the time.
        """
        found = self.fields(name)
        return found if len(found) <= 2 * SHOWN else [*found[:SHOWN], *found[-SHOWN:]]

    def identity(self) -> str:
        """An identifier that is the same for every attempt to deliver this message and differs for all others: made of
        the envelope, the Message-ID and a digest of every octet. "" for a message without a Message-ID, which may be a
        new one with the same text (a nightly report), and for one that was not kept whole.
        """
        if not self.body.complete or not any(header.value.strip() for header in self.fields(b"message-id")):
            return ""
        envelope = [self.mail_from, *sorted(one.path or one.address for one in self.accepted_recipients)]
        digest = hashlib.sha256("\0".join(envelope).encode("utf-8", "surrogateescape"))
        digest.update(self.raw())
        return digest.hexdigest()

    def raw(self) -> bytes:
        """The message as octets with CRLF between the header fields, as it came, for storing and for verifying."""
        return as_octets(self.headers, self.body.content())


def as_octets(headers: Iterable[Header], body: bytes) -> bytes:
    """A whole message: its fields, an empty line, its body."""
    head = b"".join([name + b":" + (_folded(value) if b"\n" in value else value) + b"\r\n" for name, value in headers])
    return head + b"\r\n" + body


def _folded(value: bytes) -> bytes:
    return value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def split_message(raw: bytes) -> tuple[list[Header], bytes]:
    """Split a message file as an MTA would hand it over: header fields (folds as LF), and the body with CRLF line ends.

    An mbox "From " line is dropped. A line that is not a field ends the header section, as in sendmail.
    """
    if match := _FROM_LINE.match(raw):
        raw = raw[match.end() :]
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    headers: list[Header] = []
    for number, line in enumerate(lines):
        if line[:1] in (b" ", b"\t") and headers:
            last = headers[-1]
            headers[-1] = Header(last.name, last.value + b"\n" + line)
        elif match := _FIELD.match(line):
            headers.append(Header(match[1], line[match.end() :]))
        else:
            rest = lines[number + 1 :] if not line else lines[number:]
            return headers, b"\r\n".join(rest)
    return headers, b""
