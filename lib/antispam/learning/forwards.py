"""What a user reports with mail to a training address: which messages, and the ids of our signatures on them.

Users send what they report as their client can: as an attachment (or several), in the text of a mail of their own, or
resent as it is. Of each reported message come the ids that were found with it, and its octets if there are any. What the
user wrote is no part of a report, and neither is the signature of their own outgoing mail.

Anybody can send such mail: everything is bounded by `Limits`, linear in its size, and nothing raises. An id found here is a
claim. The caller must check in the store whose message it names.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import _charsets
from _mimetree import (
    LIMIT_DEPTH,
    LIMIT_PARTS,
    Field,
    Part,
    decode_transfer,
    decode_words,
    header_text,
    name_readings,
    parameter,
    read_header,
)
from antispam.learning import inline
from antispam.learning.carried_ids import (
    SIGNATURE_FIELD,
    Limits,
    id_text,
    is_attachment,
    likeliest,
    own_parts,
    parse_mail,
    readings_of,
    signatures_of,
    stored_ids,
)
from antispam.learning.rebuilding import rebuild
from antispam.protocols.mailboxes import identity
from antispam.text import from_wire


class Form(enum.StrEnum):
    """How a message was reported.

    ATTACHED  as an attachment; its octets are those that were attached
    RESENT    resent (redirected, bounced) as it is; its octets are without the Resent fields and what is above them
    REBUILT   in the text; its octets are made from what the client left of it
    TAG       in a form that is not known, in the text or in a file; there are ids but no octets
    STORED    not by mail: it lies in the user's mailbox, and its octets are those that lie there
    """

    ATTACHED = "attached"
    RESENT = "resent"
    REBUILT = "rebuilt"
    TAG = "tag"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Report:
    """One reported message.

    signatures  ids, the likeliest first: the first that the store knows is that of this message, others may belong to mail
                that it quotes
    octets      the message, None if only its ids are known
    """

    form: Form
    signatures: tuple[str, ...]
    octets: bytes | None = None

    @property
    def subject(self) -> str:
        """The subject of the message, decoded; "" if there is none."""
        return subject(self.octets) if self.octets else ""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """All that one mail reports; nothing if no forwarded message could be recognised. `more` says that there was more than
    `Limits` let through."""

    reports: tuple[Report, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.reports)

    def first(self, number: int) -> Forwarded:
        """So many of the reports, and a word that there were more."""
        return self if len(self.reports) <= number else Forwarded(self.reports[:number], more=True)


_AUTHORS = frozenset({b"from", b"subject", b"date", b"message-id"})
_TRACE = frozenset(
    {b"received", b"return-path", b"delivered-to", b"x-original-to", b"authentication-results", b"received-spf"}
)
_USUAL = _AUTHORS | {b"received", b"return-path", b"to", b"cc", b"mime-version", b"content-type", b"delivered-to"}
_OPAQUE = frozenset({"application/octet-stream", "text/plain"})
_BEFORE_MESSAGE = b"\xef\xbb\xbf\r\n \t"


def reported(raw: bytes, limits: Limits | None = None) -> Forwarded:
    """What the mail that came to a training address reports, given its octets. Never raises."""
    limits = limits or Limits()
    top = parse_mail(raw[: limits.octets], limits)
    if _is_bounce(top):
        return Forwarded()
    if resent := _resent(top):
        return _once(
            [Report(Form.RESENT, signatures_of(parse_mail(resent, limits), limits), resent)], limits, more=False
        )
    mine = {found for value in top.values(SIGNATURE_FIELD) for found in readings_of(id_text(value))}
    attached = [report for part in own_parts(top) if (report := _attached(part, limits))]
    texts = _texts(top, limits)
    forwards = _inline_forwards(texts)
    if inline.is_reply(_subject_of(top)) and not any(one.explicit for one in forwards):
        forwards = []  # an answer to somebody, who is quoted
    if attached and not _belongs_to_inline(attached, forwards, top):
        reports = attached[: limits.reports]
    elif forwards:
        reports = [
            Report(Form.REBUILT, likeliest(forward.signatures, mine, limits), rebuild(forward))
            for forward in forwards[: limits.reports]
        ]
    else:
        reports = _tagged(top, texts, mine, limits)
    cut = len(raw) > limits.octets or len(attached) > limits.reports or len(forwards) > limits.reports
    return _once(
        reports, limits, more=cut or any({LIMIT_DEPTH, LIMIT_PARTS} & set(part.defects) for part in top.walk())
    )


def stored(raw: bytes, limits: Limits | None = None) -> Forwarded:
    """A message out of a user's mailbox, which they moved into their Junk folder or out of it. Never raises."""
    limits = limits or Limits()
    raw = raw[: limits.octets]
    return Forwarded((Report(Form.STORED, signatures_of(parse_mail(raw, limits), limits), raw),))


def subject(message: bytes) -> str:
    """The subject of a message as text that can be stored; "" if there is none. Never raises."""
    values = read_header(message, 0, min(len(message), 1 << 18)).values(b"subject")
    return from_wire(" ".join(decode_words(header_text(values[0][:2_000])).split()), 500) if values else ""


def _once(reports: list[Report], limits: Limits, *, more: bool) -> Forwarded:
    """Without reports of the same message: the same likeliest id, or the same octets."""
    kept: list[Report] = []
    ids: set[str] = set()
    octets: set[str] = set()
    for report in reports:
        key = identity(report.octets) if report.octets is not None else ""
        if key in octets or (report.signatures and report.signatures[0] in ids):
            continue
        octets |= {key} - {""}
        ids.update(report.signatures[:1])
        kept.append(report)
    return Forwarded(tuple(kept[: limits.reports]), more)


def _is_bounce(top: Part) -> bool:
    """Whether an MTA returns a message (RFC 3464): nobody reports the message that comes with it."""
    return top.media_type == "multipart/report" and any(
        part.media_type in {"message/delivery-status", "message/disposition-notification"} for part in top.children
    )


# --- resent ---


def resent_block(fields: list[bytes]) -> tuple[int, int] | None:
    """Where the newest Resent fields stand among these (lower case) names of header fields: the first of them, and the one
    after the last. A name that comes again belongs to an earlier resending (RFC 5322 section 3.6.6)."""
    first = next((at for at, name in enumerate(fields) if name.startswith(b"resent-")), None)
    if first is None:
        return None
    seen: set[bytes] = set()
    end = first
    while end < len(fields) and fields[end].startswith(b"resent-") and fields[end] not in seen:
        seen.add(fields[end])
        end += 1
    return first, end


def _resent(top: Part) -> bytes | None:
    """The octets of the message that was resent; None if none was."""
    names = [item.name.lower() for item in top.fields]
    block = resent_block(names)
    if block is None:
        return None
    above, below = top.fields[: block[0]], top.fields[block[1] :]
    if _AUTHORS & set(names[: block[0]]):  # a client that writes a new header, with its Resent fields last
        below = _without_trace(above) + below
    if not _AUTHORS & {item.name.lower() for item in below}:
        return None
    return b"".join(item.raw for item in below) + top.source[top.fields_end : top.end]


def _without_trace(fields: list[Field]) -> list[Field]:
    first = next((at for at, item in enumerate(fields) if item.name.lower() not in _TRACE), len(fields))
    return fields[first:]


# --- attached ---


def _attached(part: Part, limits: Limits) -> Report | None:
    """The message that a part carries; None if it carries none."""
    if octets := _octets(part):
        return Report(Form.ATTACHED, signatures_of(parse_mail(octets, limits), limits), octets)
    if ids := likeliest(stored_ids(part, limits), set(), limits):
        return Report(Form.TAG, ids)
    return None


def _octets(part: Part) -> bytes | None:
    """The octets of the message that a part carries, declared or not; None for all else."""
    if part.media_type in {"message/rfc822", "message/global", "message/news"}:
        octets = part.children[0].raw if part.children else part.content
        return octets if read_header(octets, 0, len(octets)).fields else None
    if part.children or part.boundary or part.media_type.startswith(("multipart/", "message/")):
        return None
    named = _has_message_name(part)
    if not named and not (part.media_type in _OPAQUE and is_attachment(part)):
        return None
    octets = decode_transfer(part.content, part.transfer_encoding).lstrip(_BEFORE_MESSAGE)
    known = {item.name.lower() for item in read_header(octets, 0, len(octets)).fields} & _USUAL
    return octets if len(known) >= (2 if named else 3) else None


def _has_message_name(part: Part) -> bool:
    if part.media_type in {"application/eml", "application/x-eml", "application/rfc822"}:
        return True
    values = [header_text(value) for name in (b"content-disposition", b"content-type") for value in part.values(name)]
    return any(name.lower().rstrip(" .").endswith((".eml", ".rfc822")) for name in name_readings(values)[0])


# --- in the text ---


@dataclass(frozen=True, slots=True)
class _Text:
    """The text that a mail shows, of one kind, its parts joined."""

    is_html: bool
    source: str


def _texts(top: Part, limits: Limits) -> list[_Text]:
    """The HTML and the plain text of the mail's own."""
    pieces: dict[bool, list[str]] = {True: [], False: []}
    left = limits.text
    for part in own_parts(top):
        if part.children or left <= 0 or part.media_type not in {"text/plain", "text/html", "text/enriched"}:
            continue
        if is_attachment(part) or _has_message_name(part):
            continue
        text = _decoded(part, left)
        left -= len(text)
        pieces[part.media_type == "text/html"].append(text)
    return [_Text(is_html, "\n".join(found)) for is_html, found in pieces.items() if found]


def _decoded(part: Part, limit: int) -> str:
    types = part.values(b"content-type")
    charset = parameter(types[0][:1_000], "charset") if types else None
    return _charsets.decode(decode_transfer(part.content[: limit * 4], part.transfer_encoding)[:limit], charset)


def _inline_forwards(texts: list[_Text]) -> list[inline.Inline]:
    """The forwards of the alternative in which most can be told apart, in doubt the HTML, which is what the sender sent.

    A tag in HTML is a comment, which a client drops when it makes plain text of it, and the other way round: of one message
    the ids of all alternatives are taken.
    """
    by_text = [inline.find(text.source, text.is_html) for text in texts]
    best = max(by_text, key=len, default=[])
    for other in by_text:
        if other is not best and len(other) == len(best):
            best = [
                replace(one, signatures=one.signatures + two.signatures) for one, two in zip(best, other, strict=True)
            ]
    if len(best) == 1:
        silent = [text for text, found in zip(texts, by_text, strict=True) if not found]
        ids = tuple(one for text in silent for one in inline.signatures(text.source, text.is_html))
        best = [replace(best[0], signatures=best[0].signatures + ids)]
    return best


def _belongs_to_inline(attached: list[Report], forwards: list[inline.Inline], top: Part) -> bool:
    """Whether attached messages came along with the one that is forwarded in the text, as attachments of its own.

    They did where the client says that it forwards, not replies; unless one of them is that very message, which some clients
    attach as well.
    """
    if not forwards:
        return False
    if not (any(one.explicit for one in forwards) or inline.is_forward(_subject_of(top))):
        return False
    shown = {_plain(one.fields.get("Subject", "")) for one in forwards}
    return not shown & {_plain(report.subject) for report in attached}


def _subject_of(top: Part) -> str:
    values = top.values(b"subject")
    return decode_words(header_text(values[0][:2_000])) if values else ""


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def _tagged(top: Part, texts: list[_Text], mine: set[str], limits: Limits) -> list[Report]:
    """One report of the ids in the text, or of those in attached texts: there is no telling what belongs to which message."""
    ids = [one for text in texts for one in inline.signatures(text.source, text.is_html)]
    kept = likeliest(ids, mine, limits) or tuple(one for one in signatures_of(top, limits) if one not in mine)
    return [Report(Form.TAG, kept)] if kept else []
