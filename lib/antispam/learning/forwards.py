"""Reports by mail to a training address: the reported messages, and the ids of our signatures in them.

Users report as their client allows: as one or more attachments, in the text of their own mail, or by resending. Each
reported message comes with the ids found in it, and its octets if available. The user's own text is not part of a
report, and neither is the signature of their own outgoing mail.

Anybody can send such mail: everything is bounded by `Limits`, linear in its size, and nothing raises. An id found here
is only a claim. The caller must check in the store whose message it names.
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
    """The form in which a message was reported.

    ATTACHED  as an attachment, with the attached octets
    RESENT    resent (redirected, bounced); its octets exclude the Resent fields and everything above them
    REBUILT   in the text; its octets are rebuilt from what the client left of it
    TAG       in an unknown form, in the text or in a file, with ids but without octets
    STORED    not by mail: from the user's mailbox, with the octets stored there
    """

    ATTACHED = "attached"
    RESENT = "resent"
    REBUILT = "rebuilt"
    TAG = "tag"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Report:
    """One reported message.

    signatures  ids, the likeliest first: the first known to the store is this message's, others may belong to mail that
                it quotes
    octets      the message; None if only its ids are known
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
    """All reports in one mail; none if no forwarded message was recognised. `more` says that `Limits` excluded some."""

    reports: tuple[Report, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.reports)

    def first(self, number: int) -> Forwarded:
        """The first reports, with `more` set if there are others."""
        return self if len(self.reports) <= number else Forwarded(self.reports[:number], more=True)


_AUTHORS = frozenset({b"from", b"subject", b"date", b"message-id"})
_TRACE = frozenset(
    {b"received", b"return-path", b"delivered-to", b"x-original-to", b"authentication-results", b"received-spf"}
)
_USUAL = _AUTHORS | {b"received", b"return-path", b"to", b"cc", b"mime-version", b"content-type", b"delivered-to"}
_OPAQUE = frozenset({"application/octet-stream", "text/plain"})
_BEFORE_MESSAGE = b"\xef\xbb\xbf\r\n \t"


def reported(raw: bytes, limits: Limits | None = None) -> Forwarded:
    """The reports in a mail to a training address, given its octets. Never raises."""
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
        forwards = []  # a reply that quotes somebody
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
    """The report for a message in a user's mailbox that they moved into or out of their Junk folder. Never raises."""
    limits = limits or Limits()
    raw = raw[: limits.octets]
    return Forwarded((Report(Form.STORED, signatures_of(parse_mail(raw, limits), limits), raw),))


def subject(message: bytes) -> str:
    """The subject of a message as storable text; "" if there is none. Never raises."""
    values = read_header(message, 0, min(len(message), 1 << 18)).values(b"subject")
    return from_wire(" ".join(decode_words(header_text(values[0][:2_000])).split()), 500) if values else ""


def _once(reports: list[Report], limits: Limits, *, more: bool) -> Forwarded:
    """The reports without duplicates, which have the same likeliest id or the same octets."""
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
    """Whether it is a bounce (RFC 3464); the returned message is not a report."""
    return top.media_type == "multipart/report" and any(
        part.media_type in {"message/delivery-status", "message/disposition-notification"} for part in top.children
    )


# --- resent ---


def resent_block(fields: list[bytes]) -> tuple[int, int] | None:
    """The place of the newest Resent fields among these (lower-case) names of header fields: the index of the first,
    and that after the last. A repeated name belongs to an earlier resending (RFC 5322 section 3.6.6).
    """
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
    """The octets of the resent message; None if it is not a resent one."""
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
    """The report of the message in a part; None if it contains none."""
    if octets := _octets(part):
        return Report(Form.ATTACHED, signatures_of(parse_mail(octets, limits), limits), octets)
    if ids := likeliest(stored_ids(part, limits), set(), limits):
        return Report(Form.TAG, ids)
    return None


def _octets(part: Part) -> bytes | None:
    """The octets of the message in a part, declared or not; None for other content."""
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
    """The visible text of a mail of one type, with its parts joined."""

    is_html: bool
    source: str


def _texts(top: Part, limits: Limits) -> list[_Text]:
    """The mail's own HTML and plain text."""
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
    """The forwards in the alternative in which most can be distinguished, by default the HTML, which the sender sent.

    A tag in HTML is a comment, which a client drops when it converts to plain text, and vice versa. So the ids of all
    alternatives of a message are used.
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
    """Whether attached messages belong to the message forwarded in the text, as its own attachments.

    They do if the client says that it forwards, not replies, unless one of them is that message itself, which some
    clients also attach.
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
    """A single report with the ids in the text or in attached texts, because their messages cannot be told apart."""
    ids = [one for text in texts for one in inline.signatures(text.source, text.is_html)]
    kept = likeliest(ids, mine, limits) or tuple(one for one in signatures_of(top, limits) if one not in mine)
    return [Report(Form.TAG, kept)] if kept else []
