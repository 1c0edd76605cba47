"""Searching a message for dangerous parts, in every possible reading of its structure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import _charsets
import _mimetree
from _mimetree import Part
from _unpacking import Budget
from antispam.deadline import Deadline
from antispam.protocols.attachments import markup, names, octets
from antispam.protocols.attachments.contents import File, Hit, Looker
from antispam.protocols.attachments.findings import (
    LIMIT,
    OPAQUE,
    PARTIAL,
    REPLACE,
    REPORT,
    Finding,
    printable,
)
from antispam.protocols.attachments.parsing import Headers, parsed
from antispam.protocols.attachments.rules import Limits, Rules

_OPAQUE_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"})
_UU_BEGIN = re.compile(rb"^begin(-base64)? [0-7]{3,4} ([^\r\n]{1,500})\r?\n(?=[!-`])", re.MULTILINE)
_UU_END = re.compile(rb"^(?:end|====)[ \t\r]*$", re.MULTILINE)
_BOUNDARY_SAID = re.compile(rb"boundary[ \t\r\n]*+(?:\*[0-9]*+\*?+)?+[ \t\r\n]*+=", re.IGNORECASE)
_MAX_FINDINGS_A_PART = 20
# Uncertain parts inside uncertain parts are read again at each level; this bounds how often a message is read.
_LOOSE_FACTOR = 8


class OutOfTime(Exception):
    """The deadline passed before the end of the message."""


def inspect(
    headers: Headers, body: bytes, rules: Rules | None = None, deadline: Deadline | None = None
) -> list[Finding]:
    """All dangers in a message, in the order of its parts.

    `headers` are the (name, value) pairs as passed by the MTA, `body` is everything after the empty line.
    Time is linear in the size of the message and bounded by the limits.  Raises only OutOfTime, at the deadline.
    """
    rules = rules or Rules()

    def tick() -> None:
        if deadline is not None and deadline.expired:
            raise OutOfTime

    search = _Search(rules, _Allowance(rules.limits, len(body), tick))
    search.tree(parsed(headers, body, rules.limits), ())
    return list(dict.fromkeys(search.findings))


class _Allowance:
    """The remaining allowance for a message, including attached messages."""

    def __init__(self, limits: Limits, size: int, tick: Callable[[], None]) -> None:
        self.tick = tick
        self.parts = limits.max_parts
        self.loose = _LOOSE_FACTOR * (size + 4096)  # octets left for loose reading
        self.archives = Budget(
            limits.max_archive_entries, limits.max_unpacked_bytes, limits.max_ratio, limits.max_archive_depth, tick
        )


@dataclass(slots=True)
class _Leaf:
    """The state of the examination of a part."""

    part: Part
    path: tuple[int, ...]
    names: list[str] = field(default_factory=list)
    signed: bool = False
    hidden: bool = False  # only some readers see this part, so its container must be replaced as a whole


class _Search:
    """The search in one message. `depth` counts the message files around it."""

    def __init__(self, rules: Rules, allowance: _Allowance, depth: int = 0) -> None:
        self.rules = rules
        self.left = allowance
        self.depth = depth
        self.findings: list[Finding] = []
        # Not a method: the search would refer to itself, and the message would wait for the garbage collector.
        self.message = functools.partial(_message, rules, allowance, depth)
        self.looker = Looker(rules, allowance.archives, self.message)

    def add(self, leaf: _Leaf, name: str, reason: str, detail: str = "", remedy: str = REPLACE) -> None:
        shown = printable(name or (leaf.names[0] if leaf.names else ""))
        self.findings.append(Finding(leaf.path, shown, reason, printable(detail, 300), remedy))

    def tree(self, top: Part, path: tuple[int, ...]) -> None:
        """Examine a part and all parts below it."""
        pending = [(top, path, False)]
        while pending:
            self.left.tick()
            part, at, signed = pending.pop()
            self.left.parts -= 1
            self.one(_Leaf(part, at, signed=signed))
            if part.media_type.startswith("message/") and not self.rules.scan_rfc822:
                continue
            signed = signed or part.media_type == "multipart/signed"
            numbered = [(child, (*at, number), signed) for number, child in enumerate(part.children, 1)]
            pending.extend(reversed(numbered))

    def one(self, leaf: _Leaf) -> None:
        part = leaf.part
        dangerous = self.named(leaf)
        for defect in {_mimetree.LIMIT_DEPTH, _mimetree.LIMIT_PARTS} & set(part.defects):
            self.add(leaf, "", LIMIT, f"too much structure: {defect}")
            dangerous = True
        if part.media_type == "message/partial":
            # RFC 2046 section 5.2.2: only a reader that joins the pieces sees their content.
            self.add(leaf, "", PARTIAL, "a piece of a message can't be looked into")
            dangerous = True
        if dangerous:
            return
        if behind := names.behind_junk(part):
            self.hidden(leaf, behind)
        if _ambiguous(part):
            self.every_block(leaf)
        if not part.children:
            self.content(leaf)
        elif part.media_type.startswith("message/") and self.rules.scan_rfc822:
            self.encoded_message(leaf)

    def named(self, leaf: _Leaf) -> bool:
        """Examine the names in the header. Returns whether one is dangerous."""
        leaf.names, too_many = names.of_part(leaf.part)
        before = len(self.findings)
        for name in leaf.names:
            if verdict := names.dangerous_name(name, self.rules.banned):
                self.add(leaf, name, *verdict)
                break
        if too_many:
            self.add(leaf, "", LIMIT, "too many names")
        dangerous = len(self.findings) > before
        for name in leaf.names if not dangerous else ():
            self.hits(leaf, self.looker.macro_name(name), name)
        return dangerous or any(found.remedy == REPLACE for found in self.findings[before:])

    def hits(self, leaf: _Leaf, found: Iterator[Hit], name: str = "") -> None:
        for hit in found:
            self.add(leaf, hit.name or name, hit.reason, hit.detail, hit.remedy)

    def hidden(self, leaf: _Leaf, part: Part) -> None:
        """Examine a part that only some readers see in the place of `leaf`."""
        block = _Leaf(part, leaf.path, signed=leaf.signed, hidden=True)
        if not self.named(block):
            self.content(block)

    def every_block(self, leaf: _Leaf) -> None:
        """Examine a part whose structure readers disagree on: each line with two hyphens is treated as a delimiter."""
        for content in dict.fromkeys((leaf.part.content, *octets.readings(leaf.part))):
            self.left.loose -= len(content)
            if self.left.loose < 0:
                self.add(leaf, "", LIMIT, "too many parts whose borders are uncertain")
                return
            self.blocks(content, leaf)

    def blocks(self, content: bytes, leaf: _Leaf) -> None:
        for start, end in _delimited(content):
            self.left.tick()
            self.left.parts -= 1
            if self.left.parts < 0:
                self.add(leaf, "", LIMIT, "too many possible parts")
                return
            block = _mimetree.read_header(content, start, end)
            types = block.values(b"content-type")
            block.media_type = _mimetree.media_type(types[0]) if types else "text/plain"
            self.hidden(leaf, block)

    def content(self, leaf: _Leaf) -> None:
        """Examine the content of a part without subparts."""
        part = leaf.part
        types = {_mimetree.media_type(value) for value in part.values(b"content-type")} or {part.media_type}
        readings = octets.readings(part)
        if types & _OPAQUE_TYPES:
            self.add(leaf, "", OPAQUE, "encrypted or signed content cannot be looked at", REPORT)
        certain = len(readings) == len(types) == 1 and not leaf.hidden and octets.can_encode(part)
        for content in readings:
            if types & _OPAQUE_TYPES:
                self.blocks(content, leaf)
            file = File(
                content,
                names=tuple(leaf.names),
                types=frozenset(types),
                charsets=tuple(markup.labels(part)),
                attached=_attached(leaf, types),
                cuttable=certain,
                signed=leaf.signed,
            )
            self.hits(leaf, self.looker.look(file))
        for content in dict.fromkeys((part.content, *readings)):
            self.uuencoded(leaf, content)

    def encoded_message(self, leaf: _Leaf) -> None:
        """Examine an attached message that was read unencoded, but that other readers decode first."""
        if octets.encodings(leaf.part)[1]:
            for content in octets.readings(leaf.part):
                if content != leaf.part.content:
                    self.hits(leaf, self.message(content))

    def uuencoded(self, leaf: _Leaf, content: bytes) -> None:
        """Examine uuencoded lines in a text, which some readers show as an attachment."""
        if b"begin" not in content:
            return
        for number, found in enumerate(_UU_BEGIN.finditer(content)):
            name = _charsets.decode(found[2], None)
            if number >= _MAX_FINDINGS_A_PART:
                self.add(leaf, "", LIMIT, "too many uuencoded files")
                return
            if verdict := names.dangerous_name(name, self.rules.banned):
                self.add(leaf, name, verdict[0], f"uuencoded in the text: {verdict[1]}")
                return
            end = _UU_END.search(content, found.end())
            lines = content[found.end() : end.start() if end else len(content)]
            file = File(_mimetree.decode_transfer(lines, "base64" if found[1] else "uuencode"), (name,))
            hits = (replace(hit, detail=f"uuencoded in the text: {hit.detail}") for hit in self.looker.look(file))
            self.hits(leaf, hits, name)


def _message(rules: Rules, left: _Allowance, depth: int, content: bytes) -> Iterator[Hit]:
    """The dangers in a message inside an attachment; they count for the attachment."""
    if depth >= rules.limits.max_embedded or left.parts <= 0:
        yield Hit(LIMIT, "messages nested too deep")
        return
    inner = _Search(rules, left, depth + 1)
    inner.tree(_mimetree.parse(content, _mimetree.TreeLimits(left.parts, rules.limits.max_depth)), ())
    for found in inner.findings:
        remedy = REPORT if found.remedy == REPORT else REPLACE
        yield Hit(found.reason, found.detail, remedy, found.name)


def _attached(leaf: _Leaf, types: set[str]) -> bool:
    """Whether a part is presented as a file: by its name, its disposition, or a type that no reader displays."""
    if leaf.names or any(
        not value.strip().lower().startswith(b"inline") for value in leaf.part.values(b"content-disposition")
    ):
        return True
    return not types <= {"text/plain", "text/html", "text/enriched", "text/calendar", "text/x-amp-html"}


def _ambiguous(part: Part) -> bool:
    """Whether readers may disagree on the subparts of this part."""
    types = part.values(b"content-type")
    multipart = [value for value in types if b"multipart" in value.lower()]
    if not multipart and not any(b"\r" in item.value.replace(b"\r\n", b"") for item in part.fields):
        return False
    said = sum(len(_BOUNDARY_SAID.findall(value)) for value in types)
    if len({value.strip().lower() for value in types}) > 1 or said != 1 or part.boundary is None:
        return True
    if _mimetree.NO_START in part.defects or octets.is_encoded(part):
        return True
    # RFC 2046 section 5.1.1 lets readers accept a line that only begins with the delimiter.
    delimiter = b"--" + part.boundary
    lines = part.source.count(b"\n" + delimiter, part.body, part.end) + part.source.startswith(delimiter, part.body)
    return lines > len(part.children) + (_mimetree.NO_END not in part.defects)


def _delimited(content: bytes) -> Iterator[tuple[int, int]]:
    at = 0 if content.startswith(b"--") else content.find(b"\n--") + 1
    if at == 0 and not content.startswith(b"--"):
        return
    while 0 <= at < len(content):
        line_end = content.find(b"\n", at)
        if line_end < 0:
            return
        following = content.find(b"\n--", line_end)
        end = following if following >= 0 else len(content)
        yield line_end + 1, max(end, line_end + 1)
        if following < 0:
            return
        at = following + 1
