"""The ids of our signatures in a message, and the limits for finding them.

Anybody can write such mail: everything is bounded by `Limits`, linear in its size, and nothing raises. An id found here
is only a claim; the store knows whose message it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from _mimetree import Part, TreeLimits, decode_transfer, parse
from dspam import html
from dspam.tags import LONGEST_ID, extract_signature_tags

SIGNATURE_FIELD = b"x-dspam-signature"
_ID = re.compile(rf"[0-9A-Za-z,._]{{1,{LONGEST_ID}}}")
_REFERENCE = re.compile(r"[a-z2-7]{12}(?=[,._])")  # our reference, followed by an older system's text
_OUTLOOK = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x78\x9f\x3e\x22")  # beginnings of a compound file and TNEF
_SIGNATURE_LINE = re.compile(rb"\bX-DSPAM-Signature:[ \t]{0,9}+([0-9A-Za-z,._]{1,64}+)[\r\n]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits: reports per mail, ids per report, levels of nesting, parts, octets of the mail, total characters of
    text.
    """

    reports: int = 100
    signatures: int = 20
    depth: int = 20
    parts: int = 2_000
    octets: int = 64 << 20
    text: int = 8 << 20


def parse_mail(raw: bytes, limits: Limits) -> Part:
    """The parts of a mail, within the limits."""
    return parse(raw, TreeLimits(max_parts=limits.parts, max_depth=limits.depth))


def own_parts(message: Part) -> Iterator[Part]:
    """The parts of a message itself, in order. Of an attached message, only the part that contains it."""
    pending = [message]
    while pending:
        part = pending.pop()
        yield part
        if not part.media_type.startswith("message/"):
            pending.extend(reversed(part.children))


def is_attachment(part: Part) -> bool:
    """Whether clients show the part as a file."""
    if any(value.strip()[:10].lower() == b"attachment" for value in part.values(b"content-disposition")):
        return True
    return part.media_type == "application/octet-stream"


def signatures_of(message: Part, limits: Limits) -> tuple[str, ...]:
    """The ids in a message itself, the likeliest first: that of its field, then those of tags from last to first (ours
    follows any quoted text), then those in attached text files.
    """
    ids = [id_text(value) for value in message.values(SIGNATURE_FIELD)[: limits.signatures]]
    shown: list[str] = []
    filed: list[str] = []
    left = limits.text
    for part in own_parts(message):
        if part.children or not part.media_type.startswith("text/") or left <= 0:
            continue
        content = decode_transfer(part.content[: left * 4], part.transfer_encoding)[:left]
        left -= len(content)
        (filed if is_attachment(part) else shown).extend(_tags(content, part.media_type == "text/html"))
    return likeliest([*ids, *reversed(shown), *reversed(filed)], set(), limits)


def _tags(content: bytes, is_html: bool) -> list[str]:
    ids = extract_signature_tags(content)[1]
    if b"\0" in content:  # UTF-16: tags are ASCII, so without the zeros they are readable
        ids += extract_signature_tags(content.replace(b"\0", b""))[1]
    if is_html and b"&#" in content:
        ids += extract_signature_tags(html.unescape(content.decode("latin-1")))[1]
    return ids


def id_text(value: bytes) -> str:
    """The id in the value of a field. Non-ASCII octets make it an id that was never assigned."""
    return value.strip().decode("ascii", "replace")


def readings_of(identifier: str) -> list[str]:
    """The forms of an id in the store: our reference alone, if text follows it, and the whole id."""
    if not _ID.fullmatch(identifier):
        return []
    reference = _REFERENCE.match(identifier)
    return [reference[0], identifier] if reference else [identifier]


def likeliest(ids: list[str] | tuple[str, ...], mine: set[str], limits: Limits) -> tuple[str, ...]:
    """The readings of these ids, in order and each once, without those of the reporter's own mail."""
    readings = dict.fromkeys(reading for one in ids for reading in readings_of(one))
    return tuple([one for one in readings if one not in mine][: limits.signatures])


def stored_ids(part: Part, limits: Limits) -> list[str]:
    """The ids in an Outlook file (.msg or winmail.dat), which contains the header and the text in UTF-16 or ASCII."""
    if not part.media_type.startswith("application/") or part.children:
        return []
    if not decode_transfer(part.content[:100], part.transfer_encoding).startswith(_OUTLOOK):
        return []
    content = decode_transfer(part.content[: limits.text * 4], part.transfer_encoding)[: limits.text].replace(
        b"\0", b""
    )
    named = [id_text(found) for found in _SIGNATURE_LINE.findall(content)[: limits.signatures]]
    return named + _tags(content, is_html=False)[::-1]
