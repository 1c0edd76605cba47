"""The message as it will leave. Checks edit a draft; the differences are sent to the MTA in one place."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

from antispam.mail.message import Header, Message, Recipient, as_octets
from antispam.net.addresses import as_compared
from antispam.protocols.dsn_parameters import of_mail, of_recipient
from antispam.text import with_crlf

LONGEST_LINE = 990
"""Octets of a header line as it leaves: sendmail's limit for SMTP; Postfix has 998."""


class InsertHeader(NamedTuple):
    """Put a header field at the very top, above the MTA's own Received field."""

    name: str
    value: str


class AppendHeader(NamedTuple):
    """Put a header field at the end of the header section."""

    name: str
    value: str


class ChangeHeader(NamedTuple):
    """Change the value of the `occurrence`-th field (from 1) of that name; None removes the field."""

    name: str
    occurrence: int
    value: str | None


class ReplaceBody(NamedTuple):
    content: bytes


class ChangeSender(NamedTuple):
    address: str


class AddRecipient(NamedTuple):
    """`params` are those of RCPT (RFC 5321), such as NOTIFY=NEVER."""

    address: str
    params: str = ""


class DeleteRecipient(NamedTuple):
    """`path` is Recipient.path, the address as the client wrote it: the MTA knows it by that."""

    path: str


Edit = InsertHeader | AppendHeader | ChangeHeader | ReplaceBody | ChangeSender | AddRecipient | DeleteRecipient


class Draft:
    """A message with edits applied, for some of its recipients.

    recipients  the recipients that get this version of the message
    headers  the fields as they will leave, top first; values keep the form of Header (leading space, LF folds)
    body     the body as it will leave
    sender   the envelope sender as it will leave

    Values given to insert_header, append_header and change_header are text without the leading space; LF folds them.
    """

    def __init__(
        self, message: Message, recipients: Sequence[Recipient] | None = None, *, fold_case: bool = True
    ) -> None:
        """Without `recipients`, the draft is for all accepted recipients.

        fold_case  Ann@example.com and ann@example.com are one mailbox
        """
        self._fold_case = fold_case
        self.message = message
        self.recipients = tuple(message.accepted_recipients if recipients is None else recipients)
        self.body = message.body.content()
        self._original_body = self.body
        self.sender = message.mail_from
        self._changed: dict[int, str | None] = {}  # place -> its new value
        self._inserted: list[InsertHeader] = []
        self._appended: list[AppendHeader] = []
        self._envelope: list[Edit] = []
        self._added: dict[str, AddRecipient] = {}  # by key()
        self._taken_out: set[str] = set()

    def key(self, address: str) -> str:
        """The form in which addresses are compared: equal for two spellings of one mailbox."""
        return as_compared(address, self._fold_case)

    @property
    def body_changed(self) -> bool:
        return self.body != self._original_body

    @property
    def touched(self) -> frozenset[bytes]:
        """The names, in lower case, of all fields that were changed, removed or added."""
        changed = (self.message.headers[place].name for place in self._changed)
        inserted = (edit.name for edit in self._inserted)
        added = (
            name.encode("ascii", "surrogateescape") for name in (*inserted, *(edit.name for edit in self._appended))
        )
        return frozenset(name.lower() for name in (*changed, *added))

    @functools.cached_property
    def _places(self) -> dict[int, int]:
        """The index of each field in message.headers, by identity: two fields of a message may be equal."""
        return {id(header): place for place, header in enumerate(self.message.headers)}

    @property
    def headers(self) -> list[Header]:
        came = (self._as_it_leaves(place, header) for place, header in enumerate(self.message.headers))
        return [
            *(_as_header(name, value) for name, value in reversed(self._inserted)),
            *(header for header in came if header is not None),
            *(_as_header(name, value) for name, value in self._appended),
        ]

    def _as_it_leaves(self, place: int, header: Header) -> Header | None:
        if place not in self._changed:
            return header
        value = self._changed[place]
        return None if value is None else Header(header.name, _as_header("", value).value)

    def raw(self) -> bytes:
        """The whole message as it will leave, with CRLF between the header fields."""
        return as_octets(self.headers, self.body)

    def to_bytes(self) -> bytes:
        """The whole message as we send it ourselves. Lines end with CRLF only: MTAs refuse a bare LF or CR from a
        client, and servers along the way must agree where a line ends.
        """
        head = (
            Header(header.name, header.value.replace(b"\r\n", b"\n").replace(b"\r", b" ")) for header in self.headers
        )
        return as_octets(head, with_crlf(self.body))

    def insert_header(self, name: str, value: str) -> None:
        self._inserted.append(InsertHeader(name, value))

    def append_header(self, name: str, value: str) -> None:
        self._appended.append(AppendHeader(name, value))

    def change_header(self, header: Header, value: str | None) -> None:
        """Change or (None) remove one of the fields that came with the message; found by identity, so the caller passes an
        element of message.headers. Raises ValueError for any other."""
        place = self._places.get(id(header))
        if place is None or place in self._changed:
            raise ValueError(f"{header.name!r} is not a field of this message, or was changed before")
        self._changed[place] = value

    def tag_subject(self, prefix: str) -> None:
        """Put `prefix` before the subject, also where it was changed before; nothing if it stands there already."""
        subject = next(iter(self.message.fields(b"subject")), None)
        if subject is None:
            if not any(edit.name == "Subject" for edit in self._appended):
                self.append_header("Subject", prefix)
            return
        place = self._places[id(subject)]
        changed = self._changed.get(place)
        text = subject.value.decode("utf-8", "surrogateescape").strip() if changed is None else changed
        if not text.startswith(prefix):
            self._changed[place] = f"{prefix} {text}"

    def fold_long_lines(self) -> None:
        """Fold every header line of more than LONGEST_LINE octets, at a blank if there is one: MTAs break longer ones
        wherever they like (RFC 5322 section 2.1.1 allows 998)."""
        for place, header in enumerate(self.message.headers):
            leaving = self._as_it_leaves(place, header)
            if leaving is not None and _is_long(leaving):
                self._changed[place] = _folded(leaving)
        self._inserted = [_shortened(edit) for edit in self._inserted]
        self._appended = [_shortened(edit) for edit in self._appended]

    def replace_body(self, content: bytes) -> None:
        self.body = content

    def change_sender(self, address: str) -> None:
        self.sender = address
        self._envelope.append(ChangeSender(address))

    def add_recipient(self, address: str, params: str = "") -> None:
        """Add a recipient who was not named at RCPT: once, and only if they do not get the message anyway."""
        self._added.setdefault(self.key(address), AddRecipient(address, params))

    def redirect(self, address: str, destinations: Sequence[str]) -> None:
        """The destinations get it instead of that address, which may have been added, too; the address stays if it is one of
        them."""
        key, params = self.key(address), ""
        if key not in {self.key(destination) for destination in destinations}:
            self._taken_out.add(key)
            params = self._added.pop(key, AddRecipient(address)).params
        for destination in destinations:
            self.add_recipient(destination, params)

    def take_out_all(self) -> None:
        """None of the recipients gets it, only who was or is added."""
        self._taken_out.update(self.key(recipient.address) for recipient in self.recipients)

    @property
    def named(self) -> tuple[Recipient, ...]:
        """The recipients who still get it."""
        return tuple(one for one in self.recipients if not self._is_out(one))

    def _is_out(self, recipient: Recipient) -> bool:
        key = self.key(recipient.address)
        return key in self._taken_out and key not in self._added

    @property
    def addresses(self) -> tuple[str, ...]:
        """Who gets it, once every check has had its way."""
        as_named = [one.address for one in self.named if not one.readdressed]
        return (*as_named, *(one.address for one in self._additions()))

    def _additions(self) -> list[AddRecipient]:
        """Recipients that the MTA does not know yet: added ones, and mailboxes that the client named by another
        address.
        """
        as_named = {self.key(one.address) for one in self.named if not one.readdressed}
        meant = {
            self.key(one.address): AddRecipient(one.address, of_recipient(one.params))
            for one in self.named
            if one.readdressed
        }
        return [added for key, added in (meant | self._added).items() if key not in as_named]

    @property
    def notify(self) -> dict[str, str]:
        """The notifications that the client asked for (RFC 3461), by recipient; those for the message stand under ""."""
        by_address = {one.address: of_recipient(one.params) for one in self.named if not one.readdressed}
        by_address |= {one.address: of_recipient(one.params.split()) for one in self._additions()}
        by_address[""] = of_mail(self.message.params)
        return {address: asked for address, asked in by_address.items() if asked}

    def withdraw(self, keys: Collection[str]) -> None:
        """Remove added recipients, given by their keys, who get the message in another way."""
        for key in keys:
            self._added.pop(key, None)

    def delete_recipient(self, path: str) -> None:
        self._envelope.append(DeleteRecipient(path))

    def edits(self) -> list[Edit]:
        """The edits for the MTA, in an order that means the same to sendmail and to Postfix. Changes of existing fields
        come first, from the last occurrence to the first: an MTA that counts only the remaining fields would otherwise
        change the wrong one (CVE-2022-48521). New fields follow, then the rest.
        """
        occurrences = self._occurrences() if self._changed else []
        changes: list[Edit] = [
            ChangeHeader(self._name(place), occurrences[place], value)
            for place, value in sorted(self._changed.items(), reverse=True)
        ]
        body: list[Edit] = [ReplaceBody(self.body)] if self.body_changed else []
        return [*changes, *self._appended, *self._inserted, *body, *self._recipients_changed(), *self._envelope]

    def _recipients_changed(self) -> list[Edit]:
        if not self._added and not self._taken_out and not any(one.readdressed for one in self.recipients):
            return []  # the usual case
        return [*self._renamed(), *self._additions(), *self._gone()]

    def _renamed(self) -> list[Edit]:
        """Replace the addresses of recipients that a check renamed: all deletions come before the additions. An MTA
        that decodes signed addresses itself (sendmail/srs.m4) takes both addresses for one mailbox. If the client also
        named that mailbox by its own address, it must be added again.
        """
        out: list[Edit] = [DeleteRecipient(one.path) for one in self.recipients if one.readdressed]
        meant = {self.key(one.address) for one in self.named if one.readdressed}
        named = {self.key(one.address): one.address for one in self.named if not one.readdressed}
        return [*out, *(AddRecipient(named[key]) for key in sorted(meant & named.keys()))]

    def _gone(self) -> list[Edit]:
        return [DeleteRecipient(one.path) for one in self.recipients if self._is_out(one) and not one.readdressed]

    def _name(self, place: int) -> str:
        return self.message.headers[place].name.decode("ascii", "surrogateescape")

    def _occurrences(self) -> list[int]:
        """The occurrence number of each field among those of its name, from 1, as MTAs count."""
        seen: Counter[bytes] = Counter()
        numbers = []
        for header in self.message.headers:
            name = header.name.lower()
            seen[name] += 1
            numbers.append(seen[name])
        return numbers


F = TypeVar("F", InsertHeader, AppendHeader)


def _shortened(edit: F) -> F:
    header = _as_header(edit.name, edit.value)
    return edit._replace(value=_folded(header)) if _is_long(header) else edit


def _is_long(header: Header) -> bool:
    """Whether any of its lines is longer than LONGEST_LINE, the first with the name and the colon."""
    if len(header.name) + 1 + len(header.value) <= LONGEST_LINE:
        return False
    first, *others = header.value.split(b"\n")
    return len(header.name) + 1 + len(first) > LONGEST_LINE or any(len(line) > LONGEST_LINE for line in others)


def _folded(header: Header) -> str:
    """The value without the leading space, as change_header() takes it."""
    leading = header.value.startswith(b" ")  # otherwise it gets one
    room, lines = LONGEST_LINE - len(header.name) - (1 if leading else 2), []
    for line in header.value.replace(b"\r\n", b"\n").split(b"\n"):
        lead, start = b"", 0
        while len(line) - start > room - len(lead):
            end = start + room - len(lead)
            cut = max(line.rfind(b" ", start + 1, end), line.rfind(b"\t", start + 1, end))
            blank = cut > start and bool(line[start:cut].strip())
            lines.append(lead + line[start : cut if blank else end])
            lead, start = (b"", cut) if blank else (b" ", end)
            room = LONGEST_LINE
        lines.append(lead + line[start:])
        room = LONGEST_LINE
    return b"\n".join(lines).removeprefix(b" ").decode("utf-8", "surrogateescape")


def _as_header(name: str, value: str) -> Header:
    return Header(name.encode("ascii", "surrogateescape"), b" " + value.encode("utf-8", "surrogateescape"))
