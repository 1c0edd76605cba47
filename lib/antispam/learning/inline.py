"""Finds messages that are forwarded in the text of another mail.

    ---------- Forwarded message ---------        a marker, in many wordings, or none (Outlook)
    From: Ann <ann@example.org>                   the block: labels in the language of the client
    Date: Mon, 3 Feb 2025 at 10:11
    Subject: hello

    Hello,                                        the body, up to the end of the text

All of it may be quoted with "> ", or be HTML. The user's text above is not part of it. Everything after a block belongs
to the forwarded message, including other blocks (a forward of a forward), unless its end is visible: an end marker, as
mutt writes, the end of quoting, or our own tag.

Linear in the length of the text, never raises.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace

from antispam.learning.forward_labels import (
    DATE,
    END_WORDS,
    FORWARD_PREFIX,
    FORWARD_WORDS,
    FROM,
    LABELS,
    MESSAGE_WORDS,
    NAMES_AUTHOR,
    REPLY_PREFIX,
    SUBJECT,
    TO,
)
from antispam.learning.shown_lines import Line, lines_of
from dspam import html
from dspam.tags import LONGEST_ID, extract_signature_tags

_MAX_BLOCK = 200  # lines of a block; "all headers" are about eighty
_SHORT = 12
_MAX_VALUE = 1_000
_MAX_MARKER = 200
_WRAPS_AT = 60  # clients do not wrap shorter lines
_BLANKS_ALLOWED = 3  # between a marker and its block

_LABEL = re.compile(r"[*_ \t\xa0]{0,8}+([^\W\d_][^:：*<>@]{0,30}?)[*_ \t\xa0]{0,4}[:：][*_ \t\xa0]*+(.*)", re.DOTALL)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}+:(?:[ \t]|\Z)")
_ID = re.compile(rf"[0-9A-Za-z,._]{{1,{LONGEST_ID}}}+(?![0-9A-Za-z,._])")
_SIGNATURE_FIELD = "x-dspam-signature"


@dataclass(frozen=True, slots=True)
class Inline:
    """One forwarded message.

    fields      From, To, Cc, Reply-To, Subject, Date, as text, if the block has them
    body        the text or the HTML after the block
    signatures  the ids in it, the likeliest first: of a field in the block, then of tags from the last to the first,
                because the tag of a message follows all its quoted text
    explicit    whether the client marked it as forwarded, and did not only write what replies have, too
    """

    fields: dict[str, str]
    body: str
    is_html: bool
    signatures: tuple[str, ...]
    explicit: bool


@dataclass(slots=True)
class _Block:
    """The place of a forward: its start (marker or first label), the start of its body, and the fields between."""

    start: int
    body: int
    level: int
    fields: dict[str, str] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    explicit: bool = False
    enough: bool = False  # enough labels for a block
    has_end: bool = False  # mutt writes an end marker after this one
    end: int | None = None


def find(source: str, is_html: bool) -> list[Inline]:
    """The messages forwarded in a text, only the outermost ones."""
    lines = lines_of(source, is_html)
    blocks = _Cutter(source, lines, is_html).cut()
    found = [_inline(source, lines, block, is_html) for block in blocks]
    if len(found) == 1 and blocks[0].end is not None:
        # A forwarded message may contain what looks like its end, followed by our tag.
        rest = _tags(source[lines[blocks[0].end].start :], is_html)[::-1]
        found[0] = replace(found[0], signatures=tuple(dict.fromkeys([*found[0].signatures, *rest])))
    return found


def signatures(source: str, is_html: bool) -> tuple[str, ...]:
    """The ids in a text, the likeliest first: of quoted X-DSPAM-Signature fields, then of tags from the last to the first."""
    named = [found for line in lines_of(source, is_html) if (found := _named(line.text))]
    return tuple(dict.fromkeys(named + _tags(source, is_html)[::-1]))


def is_forward(subject: str) -> bool:
    """Whether a client wrote this subject for a forward: "Fwd: hello", "WG: hello"."""
    return FORWARD_PREFIX.match(subject) is not None


def is_reply(subject: str) -> bool:
    """Whether a client wrote this subject for a reply: "Re: hello", "AW: hello"."""
    return REPLY_PREFIX.match(subject) is not None


def _tags(source: str, is_html: bool) -> list[str]:
    ids = extract_signature_tags(source)[1]
    if "\0" in source:  # UTF-16 that did not say so
        ids += extract_signature_tags(source.replace("\0", ""))[1]
    if is_html and "&" in source:  # escaped in other ways (&#60;), or twice
        ids += extract_signature_tags(html.unescape(source))[1]
    return ids


def _named(text: str) -> str | None:
    found = _LABEL.match(text)
    if found and found[1].lower() == _SIGNATURE_FIELD and (value := _ID.match(found[2])):
        return value[0]
    return None


# --- where forwards begin and end ---


class _Cutter:
    """Walks through the lines and tracks the open forward and what is open within it."""

    def __init__(self, source: str, lines: list[Line], is_html: bool) -> None:
        self.source = source
        self.lines = lines
        self.is_html = is_html
        self.found: list[_Block] = []
        self.open: _Block | None = None
        self.inner = 0  # forwards with an end marker that are open within it
        self.blocks = 0  # all blocks within it
        self.tags: set[str] = set()  # in it so far
        self.read_to = 0  # the position in the source up to which tags were searched

    def cut(self) -> list[_Block]:
        """The blocks outside the bodies of others, each with its end."""
        marker: tuple[int, str] | None = None
        at = 0
        while at < len(self.lines):
            line = self.lines[at]
            if self.open and _quoting_ends(self.lines, at, self.open.level):
                self.close(at)
            kind = _marker(line.text)
            if kind == "end":
                self.end_marker(at)
                marker = None
            elif kind:
                marker = (at, line.text)
            elif block := _read_block(self.lines, at, self.is_html, marker):
                if block.enough:
                    self.begin(block)
                    marker, at = None, block.body
                else:  # examined again from its next line, unless it is too long
                    at += 1 if block.body - at <= _SHORT else block.body - at
                continue
            elif marker and not line.blank:
                marker = None
            at += 1
        return self.found

    def close(self, at: int) -> None:
        if self.open:
            self.open.end, self.open = at, None

    def end_marker(self, at: int) -> None:
        if self.inner:
            self.inner -= 1
        elif self.open and self.open.has_end:
            self.close(at)

    def begin(self, block: _Block) -> None:
        if self.open and self.is_complete(block):
            self.close(self.behind_tag(block.start, self.open.body))
        if self.open:
            self.inner += block.has_end
            self.blocks += 1
            return
        self.found.append(block)
        self.open, self.inner, self.blocks, self.tags = block, 0, 0, set()
        self.read_to = self.offset(block.body)

    def is_complete(self, following: _Block) -> bool:
        """Whether the open forward ended before the following block. Our tag is at the end of a message, so then there
        are more tags than messages within it.
        """
        at = self.offset(following.start)
        self.tags.update(_tags(self.source[self.read_to : at], self.is_html))
        self.read_to = max(self.read_to, at)
        return len(self.tags) > self.blocks

    def behind_tag(self, at: int, lowest: int) -> int:
        """The line after the last tag before a line: the text between is the user's."""
        for number in range(at - 1, lowest - 1, -1):
            if "DSPAM:" in self.source[self.lines[number].start : self.lines[number].end]:
                return number + 1
        return at

    def offset(self, number: int) -> int:
        return self.lines[number].start if number < len(self.lines) else len(self.source)


def _quoting_ends(lines: list[Line], at: int, level: int) -> bool:
    """Whether the quoting ends and the author continues. A line that continues a quoted one was only wrapped."""
    return lines[at].level < level and not lines[at].blank and at > 0 and lines[at - 1].blank


def _marker(text: str) -> str | None:
    """ "end", "forward", or "other" (words between dashes) for a line that may precede a block."""
    if len(text) > _MAX_MARKER:
        return None
    words = text.strip(" \t\xa0*_")
    if words[:2] in {"--", "==", "—-", "——"} and words[-1:] in {"-", "=", "—"}:
        words = words.strip("-=— \t\xa0")
        if not words:
            return None
        if END_WORDS.match(words) and (FORWARD_WORDS.search(words) or MESSAGE_WORDS.search(words)):
            return "end"
        return "forward" if FORWARD_WORDS.search(words) else "other"
    return "forward" if words[-1:] in {":", "："} and FORWARD_WORDS.search(words) else None


def _read_block(lines: list[Line], at: int, is_html: bool, marker: tuple[int, str] | None) -> _Block | None:
    """The block that begins at a line; None if there is none. A marker replaces one label, and allows any field to be
    first.
    """
    if marker and at - marker[0] > _BLANKS_ALLOWED + 1:
        marker = None
    label = _label(lines[at].text)
    if label is None or not (label[0] or marker):
        return None
    block = _Block(marker[0] if marker else at, at, lines[at].level)
    _read_labels(lines, at, is_html, block)
    others = len(block.fields.keys() & {DATE, TO, SUBJECT})
    block.enough = FROM in block.fields and others >= (1 if marker else 2)
    while block.enough and block.body < len(lines) and lines[block.body].blank:
        block.body += 1
    if marker:
        block.explicit = _marker(marker[1]) == "forward"
        block.has_end = NAMES_AUTHOR.search(marker[1]) is not None
    return block


def _read_labels(lines: list[Line], at: int, is_html: bool, block: _Block) -> None:
    last: str | None = None  # the field that a wrapped line continues; "" for one that does not matter
    for position in range(at, min(len(lines), at + _MAX_BLOCK)):
        line = lines[position]
        if line.blank:
            if not _goes_on(lines, position + 1, block):
                return
            continue
        if line.level != block.level:
            return
        label = _label(line.text)
        if label and label[0]:
            last, value = label
            if last in block.fields:
                return
            block.fields[last] = value
        elif label:
            last = ""
            if named := _named(line.text):
                block.named.append(named)
            elif is_html:
                continue  # belongs to the block if another label follows
        elif last is not None and _continues(lines[position - 1], line, block.fields.get(last, "-"), is_html):
            if last:
                block.fields[last] = f"{block.fields[last]} {line.text.strip()}"[:_MAX_VALUE]
        else:
            return
        block.body = position + 1


def _goes_on(lines: list[Line], at: int, block: _Block) -> bool:
    """Whether a block continues after an empty line: some clients write one after each label."""
    label = _label(lines[at].text) if at < len(lines) and lines[at].level == block.level else None
    return bool(label and label[0] and label[0] not in block.fields)


def _continues(previous: Line, line: Line, value: str, is_html: bool) -> bool:
    """Whether a line without a label continues the previous one: wrapped, folded, or a value below its label."""
    if not value:
        return True
    if is_html:
        return False
    before = previous.text.rstrip()
    return (
        line.text[:1] in {" ", "\t"}
        or before.endswith(",")
        or len(before) + len(line.text.split(None, 1)[0]) > _WRAPS_AT
    )


def _label(text: str) -> tuple[str, str] | None:
    """The field of a line's label ("" for an unneeded field) and the value; None for other lines."""
    found = _LABEL.match(text)
    if not found:
        return None
    label = " ".join(unicodedata.normalize("NFC", found[1]).lower().split())
    value = found[2].strip(" \t\r\xa0*_")[:_MAX_VALUE]
    if known := LABELS.get(label):
        return known, value
    return ("", value) if _FIELD.match(text) else None


def _inline(source: str, lines: list[Line], block: _Block, is_html: bool) -> Inline:
    stop = len(lines) if block.end is None else block.end
    start = lines[block.start].start
    end = lines[stop].start if stop < len(lines) else len(source)
    body_at = lines[block.body].start if block.body < stop else end
    if is_html:
        body = source[body_at:end]
    else:
        within = lines[block.body : stop]
        level = min((line.level for line in within if not line.blank), default=0)  # some clients quote only the body
        body = "\n".join(_unquoted(source[line.start : line.end], max(level, block.level)) for line in within)
    quoted = [found for line in lines[block.body : stop] if (found := _named(line.text))]
    ids = dict.fromkeys(block.named + _tags(source[start:end], is_html)[::-1] + quoted)
    return Inline(block.fields, extract_signature_tags(body)[0], is_html, tuple(ids), block.explicit)


_ONE_QUOTE = re.compile(r"[ \t\xa0]{0,3}+>")


def _unquoted(text: str, level: int) -> str:
    """A line without `level` quoting marks and the blank after them; deeper ones were in the message itself."""
    at = 0
    for _ in range(level):
        if not (found := _ONE_QUOTE.match(text, at)):
            break
        at = found.end()
    if at and text[at : at + 1] == " ":
        at += 1
    return text[at:].rstrip("\r\n")
