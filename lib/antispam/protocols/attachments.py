"""Dangerous attachments: find them whatever reading of a message shows them, and replace exactly those.

Pure: bytes in, findings or bytes out; no milter, no settings, no disk.  A sender who wants to smuggle makes two readers
disagree: two Content-Types, two boundaries, split names, padding in the middle of base64.  So
every reading is looked at, and what a limit kept us from looking at is itself a finding.

    findings = inspect(headers, body, rules)
    changed = rewrite(headers, body, [f for f in findings if ...], NOTICE, reference, rules.limits)

RFC 2045, 2046, 2047, 2183, 2231; RFC 1847 for signed mail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from string import Template
from typing import Any

import _charsets
import _mimetree
import _zipscan
from _mimetree import Field, Part
from _sgmlfilter import has_script, strip_scripts

REPLACE = "replace"
STRIP = "strip"
REPORT = "report"

EXTENSION = "extension"
BIDI = "bidi-override"
SCRIPT = "script"
LIMIT = "limit"
OPAQUE = "opaque"
ENCRYPTED = _zipscan.ENCRYPTED

Headers = Sequence[tuple[str | bytes, str | bytes]]

NOTICE = """\
An attachment of this message was removed because it may be dangerous.

Name:      $name
Reason:    $reason
Reference: $reference

If you need it, ask the sender to send it in another way, or ask your administrator and quote the reference.
"""

# What Windows runs on a double click: the list that milters have used since 2001, and what became usual after it.
_BANNED = (
    "ade adp asd asx asp bas bat chm cmd com cpl crt dll exe hlp hta inf ins isp js jse lnk mdb mde msc msi msp mst ocx "
    "pcd pif reg scr sct shs url vb vbe vbs wsc wsf wsh ace appref-ms application appx diagcab gadget img iso jar jnlp "
    "library-ms msix ps1 ps1xml ps2 psc1 psc2 scf search-ms settingcontent-ms vhd vhdx website wim ws xll"
)
DEFAULT_BANNED = frozenset(_BANNED.split())


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may cost.  Reaching a limit is a finding."""

    max_parts: int = 2_000
    max_depth: int = 50
    max_embedded: int = 8  # message files attached to message files
    max_archive_entries: int = 5_000
    max_archive_depth: int = 4
    max_unpacked_bytes: int = 64 << 20
    max_ratio: int = 200
    max_html_bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class Rules:
    """What to look for.  `banned` are extensions in lower case, without the dot."""

    banned: frozenset[str] = DEFAULT_BANNED
    scan_zip: bool = True
    scan_rfc822: bool = True
    scan_html: bool = True
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Finding:
    """One dangerous thing: in which part (child numbers from 1, () is the message), under which name, why.

    `remedy` is what `rewrite` does about it: REPLACE the part, STRIP its scripts, or only REPORT.
    """

    path: tuple[int, ...]
    name: str
    reason: str
    detail: str = ""
    remedy: str = REPLACE

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        return asdict(self) | {"path": list(self.path)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Finding:
        """The inverse of `to_json`."""
        return cls(**{**stored, "path": tuple(stored["path"])})


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """Set field number `index` (from 1, among those of its name) to `value`, or delete it if that is None.

    To be applied in the given order; an index beyond the existing ones adds the field, as smfi_chgheader does.
    """

    name: str
    index: int
    value: str | None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The new body, and what changes in the message's own header (only if the message as a whole was replaced)."""

    body: bytes
    headers: tuple[HeaderChange, ...] = ()


def inspect(headers: Headers, body: bytes, rules: Rules | None = None) -> list[Finding]:
    """Everything dangerous in a message, in the order of its parts.

    `headers` are the (name, value) pairs as the MTA handed them over, `body` all that follows the empty line.
    Never raises; time is linear in the size of the message and bounded by the limits.
    """
    rules = rules or Rules()
    search = _Search(rules, _LOOSE_FACTOR * (len(body) + 4096))
    search.tree(_parse(headers, body, rules.limits), ())
    return list(dict.fromkeys(search.findings))


def rewrite(
    headers: Headers,
    body: bytes,
    findings: Iterable[Finding],
    notice: str = NOTICE,
    reference: str = "",
    limits: Limits | None = None,
) -> Rewritten:
    """The message without what the findings name; every byte outside of the parts concerned is as it was.

    `notice` is a string.Template with $name, $reason and $reference.  `limits` are those of the inspection: they decide
    where a part ends.  A finding whose path is not in the message is ignored.
    """
    top = _parse(headers, body, limits or Limits())
    edits = _Edits(findings, notice, reference)
    if edits.replaces(()):
        content, fields = edits.notice_for((), top)
        return Rewritten(content, tuple(_header_changes(top, fields)))
    return Rewritten(edits.body(top, ()))


def _parse(headers: Headers, body: bytes, limits: Limits) -> Part:
    fields = [Field(_bytes(name).strip(), _bytes(value), b"") for name, value in headers]
    return _mimetree.parse(body, _mimetree.TreeLimits(limits.max_parts, limits.max_depth), fields)


def _bytes(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


# Invisible in most fonts, or removed by readers; the override makes "exe.txt" look like "txt.exe".
_INVISIBLE = re.compile("[\x00-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_CLASS_ID = re.compile(r"\.\{[0-9a-f-]{36}\}\Z", re.IGNORECASE)
_AROUND = " \t\r\n.\"'<>;,"
# Far more than any file system takes for a name. An archive may state thousands of names of 64 kB each, all in the same bytes.
_MAX_NAME = 1024


def dangerous_name(name: str, banned: frozenset[str] = DEFAULT_BANNED) -> tuple[str, str] | None:
    """(reason, detail) if a file of this name would run on a click, else None.

    Only the last extension counts, as the system that opens the file sees it: without trailing dots and spaces, without an
    NTFS stream, up to a NUL and without it, without invisible characters, in compatibility characters or not.
    """
    if "\u202e" in name or "\u202d" in name:
        return BIDI, "the name contains a character that reverses what is shown"
    if len(name) > _MAX_NAME:
        name = name[: _MAX_NAME // 2] + name[-_MAX_NAME // 2 :]
    for form in dict.fromkeys((name, unicodedata.normalize("NFKC", name))):
        for candidate in dict.fromkeys((_INVISIBLE.sub("", form), form.split("\0", 1)[0])):
            extension = _last_extension(candidate)
            if extension in banned:
                return EXTENSION, f".{extension} is not accepted"
            # "x.exe:stream" and "x.exe::$DATA" open x.exe.
            if ":" in candidate and (extension := _last_extension(candidate.partition(":")[0])) in banned:
                return EXTENSION, f".{extension} is not accepted"
            if _CLASS_ID.search(candidate.rstrip(_AROUND)):
                return EXTENSION, "a class identifier as extension is not accepted"
    return None


def _last_extension(name: str) -> str:
    base = re.split(r"[/\\]", name.rstrip(_AROUND + "/\\"))[-1].strip().rstrip(_AROUND)
    return base.rpartition(".")[2].strip().lower() if "." in base else ""


_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml"})
_OPAQUE_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"})
_UU_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,500})\r?\n[!-`]", re.MULTILINE)
_BOUNDARY_SAID = re.compile(rb"boundary[ \t\r\n]*+(?:\*[0-9]*+\*?+)?+[ \t\r\n]*+=", re.IGNORECASE)
_MAX_FINDINGS_A_PART = 20
# Uncertain parts inside of uncertain parts are read again on each level: so often may all of a message be read.
_LOOSE_FACTOR = 8


@dataclass(slots=True)
class _Leaf:
    """What is known about a part while it is looked at."""

    part: Part
    path: tuple[int, ...]
    name: str
    signed: bool = False
    hidden: bool = False  # only some readers see this part: what holds it must go as a whole


class _Search:
    def __init__(self, rules: Rules, loose: int) -> None:
        self.rules = rules
        self.loose = loose  # bytes that may yet be read the loose way
        self.findings: list[Finding] = []
        limits = rules.limits
        self.parts = limits.max_parts
        self.budget = _zipscan.Budget(
            limits.max_archive_entries, limits.max_unpacked_bytes, limits.max_ratio, limits.max_archive_depth
        )

    def add(self, leaf: _Leaf, name: str, reason: str, detail: str = "", remedy: str = REPLACE) -> None:
        shown = _printable(name or leaf.name)
        self.findings.append(Finding(leaf.path, shown, reason, _printable(detail, 300), remedy))

    def tree(self, top: Part, path: tuple[int, ...], depth: int = 0) -> None:
        """Look at a part and all below it."""
        pending = [(top, path, False)]
        while pending:
            part, at, signed = pending.pop()
            self.parts -= 1
            leaf = _Leaf(part, at, "", signed)
            self.one(leaf, depth)
            if part.media_type.startswith("message/") and not self.rules.scan_rfc822:
                continue
            signed = signed or part.media_type == "multipart/signed"
            numbered = [(child, (*at, number), signed) for number, child in enumerate(part.children, 1)]
            pending.extend(reversed(numbered))

    def one(self, leaf: _Leaf, depth: int) -> None:
        part = leaf.part
        dangerous = self.names(leaf)
        for defect in {_mimetree.LIMIT_DEPTH, _mimetree.LIMIT_PARTS} & set(part.defects):
            self.add(leaf, "", LIMIT, f"too much structure: {defect}")
            dangerous = True
        if dangerous:
            return
        if _ambiguous(part):
            self.every_block(leaf, depth)
        if not part.children:
            self.content(leaf, depth)

    def names(self, leaf: _Leaf) -> bool:
        """Look at the names that the header gives; whether one is dangerous."""
        names, too_many = _mimetree.name_readings(_name_values(leaf.part))
        leaf.name = names[0] if names else ""
        before = len(self.findings)
        for name in names:
            if verdict := dangerous_name(name, self.rules.banned):
                self.add(leaf, name, *verdict)
                break
        if too_many:
            self.add(leaf, "", LIMIT, "too many names")
        return len(self.findings) > before

    def every_block(self, leaf: _Leaf, depth: int) -> None:
        """Readers disagree on where the parts of this one are: take each line with two hyphens for a delimiter."""
        contents = [leaf.part.content]
        if leaf.part.transfer_encoding in {"base64", "quoted-printable"}:
            contents += _mimetree.transfer_readings(contents[0], leaf.part.transfer_encoding)
        for content in contents:
            self.loose -= len(content)
            if self.loose < 0:
                self.add(leaf, "", LIMIT, "too many parts whose borders are uncertain")
                return
            self.blocks(content, leaf, depth)

    def blocks(self, content: bytes, leaf: _Leaf, depth: int) -> None:
        for start, end in _delimited(content):
            self.parts -= 1
            if self.parts < 0:
                self.add(leaf, "", LIMIT, "too many possible parts")
                return
            block = _Leaf(_mimetree.read_header(content, start, end), leaf.path, "", leaf.signed, True)
            types = block.part.values(b"content-type")
            block.part.media_type = _mimetree.media_type(types[0]) if types else "text/plain"
            if not self.names(block):
                self.content(block, depth)

    def content(self, leaf: _Leaf, depth: int) -> None:
        """Look into the content of a part that has no parts."""
        part = leaf.part
        types = {_mimetree.media_type(value) for value in part.values(b"content-type")} or {part.media_type}
        encodings = [_mimetree.transfer_encoding(value) for value in part.values(b"content-transfer-encoding")]
        readings: dict[bytes, None] = {}
        for encoding in dict.fromkeys(encodings[:4]) or ["7bit"]:
            readings.update(dict.fromkeys(_mimetree.transfer_readings(part.content, encoding)))
        if types & _OPAQUE_TYPES:
            self.add(leaf, "", OPAQUE, "encrypted or signed content cannot be looked at", REPORT)
        for content in readings:
            if types & _OPAQUE_TYPES:
                self.blocks(content, leaf, depth)
            if self.rules.scan_zip:
                self.archive(leaf, content)
            if self.rules.scan_html and types & _HTML_TYPES:
                self.html(leaf, content, len(readings) > 1 or len(types) > 1)
            if self.rules.scan_rfc822 and (leaf.name.lower().endswith(".eml") or "message/rfc822" in types):
                self.message(leaf, content, depth)
            self.uuencoded(leaf, content)

    def archive(self, leaf: _Leaf, content: bytes) -> None:
        named = leaf.name.lower().rstrip(_AROUND).endswith(".zip")
        if not content.strip() or not (named or _zipscan.looks_like_zip(content)):
            return
        found: dict[tuple[str, str], None] = {}
        for seen in _zipscan.scan(content, self.budget):
            inside = "/".join((*seen.where, seen.name))
            if seen.kind != _zipscan.NAME:
                reason = LIMIT if seen.kind == _zipscan.LIMIT else seen.kind
                detail = seen.detail or inside
            elif verdict := dangerous_name(seen.name, self.rules.banned):
                reason, detail = verdict[0], f"in the archive: {inside}: {verdict[1]}"
            else:
                continue
            found[reason, detail] = None
            if len(found) >= _MAX_FINDINGS_A_PART:
                break
        for reason, detail in found:
            remedy = REPORT if reason == ENCRYPTED else REPLACE
            self.add(leaf, "", reason, detail, remedy)

    def html(self, leaf: _Leaf, content: bytes, ambiguous: bool) -> None:
        if len(content) > self.rules.limits.max_html_bytes:
            self.add(leaf, "", LIMIT, f"{len(content)} bytes of HTML")
            return
        charset = _wide_charset(leaf.part, content)
        if charset and has_script(_charsets.decode(content, charset)):
            self.add(leaf, "", SCRIPT, f"a script in {charset}")
        elif has_script(content.decode("latin-1")):
            remedy = REPLACE if ambiguous or leaf.hidden else STRIP
            # To take a script out of signed mail breaks the signature and gains little: it is only reported.
            self.add(leaf, "", SCRIPT, "HTML with a script", REPORT if leaf.signed else remedy)

    def message(self, leaf: _Leaf, content: bytes, depth: int) -> None:
        """A message that hides in an attachment; whatever is in it concerns the attachment."""
        limits = self.rules.limits
        if depth >= limits.max_embedded or self.parts <= 0:
            self.add(leaf, "", LIMIT, "messages nested too deep")
            return
        inner = _Search(replace(self.rules, limits=replace(limits, max_parts=self.parts)), self.loose)
        inner.budget = self.budget
        top = _mimetree.parse(content, _mimetree.TreeLimits(self.parts, limits.max_depth))
        inner.tree(top, (), depth + 1)
        self.parts, self.loose = inner.parts, inner.loose
        for found in inner.findings:
            remedy = REPORT if found.remedy == REPORT else REPLACE
            self.add(leaf, found.name, found.reason, f"in an attached message: {found.detail}", remedy)

    def uuencoded(self, leaf: _Leaf, content: bytes) -> None:
        """Some readers take uuencoded lines in a text for an attachment."""
        if b"begin" not in content:
            return
        for number, found in enumerate(_UU_BEGIN.finditer(content)):
            name = _charsets.decode(found[1], None)
            if number >= _MAX_FINDINGS_A_PART:
                self.add(leaf, "", LIMIT, "too many uuencoded files")
                return
            if verdict := dangerous_name(name, self.rules.banned):
                self.add(leaf, name, verdict[0], f"uuencoded in the text: {verdict[1]}")
                return


def _name_values(part: Part) -> Iterator[str]:
    """The values in which a name may stand: all Content-* fields, and with bare CRs or without a clean end the rest too."""
    for item in part.fields:
        if (
            item.name[:8].lower() == b"content-" or b"\r" in item.value.rstrip(b"\r\n")
        ) and b"name" in item.value.lower():
            yield _charsets.decode(item.value, None)
    if _mimetree.NO_SEPARATOR in part.defects:
        block = part.content[:4096]
        if b"name" in (block := re.split(rb"\n\r?\n", block, maxsplit=1)[0]).lower() and b"content-" in block.lower():
            yield _charsets.decode(block, None)


def _ambiguous(part: Part) -> bool:
    """Whether readers may disagree on what the parts of this part are."""
    types = part.values(b"content-type")
    multipart = [value for value in types if b"multipart" in value.lower()]
    if not multipart and not any(b"\r" in item.value.replace(b"\r\n", b"") for item in part.fields):
        return False
    said = sum(len(_BOUNDARY_SAID.findall(value)) for value in types)
    if len({value.strip().lower() for value in types}) > 1 or said != 1 or part.boundary is None:
        return True
    if _mimetree.NO_START in part.defects or part.transfer_encoding in {"base64", "quoted-printable"}:
        return True
    # RFC 2046 section 5.1.1 lets a reader be content with a line that only begins with the delimiter.
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


_ASCII = bytes(range(0x20, 0x7F))


def _wide_charset(part: Part, content: bytes) -> str | None:
    """The charset of HTML whose tags are not spelled in ASCII, None for all others."""
    for mark, name in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return name
    for value in part.values(b"content-type"):
        charset = _charsets.known(_mimetree.parameter(value, "charset") or "")
        if charset in {"utf_7", "utf7", "unicode_1_1_utf_7"}:
            return charset
        if charset and _charsets.decode(_ASCII, charset) != _ASCII.decode("ascii"):
            return charset
    return None


def _printable(text: str, length: int = 200) -> str:
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text[: length + 1])
    return shown if len(shown) <= length else shown[:length] + "…"


class _Edits:
    """The findings by path, turned into bytes."""

    def __init__(self, findings: Iterable[Finding], notice: str, reference: str) -> None:
        self.by_path: dict[tuple[int, ...], list[Finding]] = {}
        self.touched: set[tuple[int, ...]] = set()
        for found in findings:
            if found.remedy in {REPLACE, STRIP}:
                self.by_path.setdefault(found.path, []).append(found)
                self.touched.update(found.path[:length] for length in range(len(found.path) + 1))
        self.template = Template(notice)
        self.reference = reference

    def replaces(self, path: tuple[int, ...]) -> bool:
        return any(found.remedy == REPLACE for found in self.by_path.get(path, ()))

    def body(self, part: Part, path: tuple[int, ...]) -> bytes:
        """The body of a part of which something changes; nesting is bounded by the limits of the parser."""
        if path in self.by_path and not part.children:
            return _without_scripts(part)
        edited = {}
        for index, child in enumerate(part.children):
            at = (*path, index + 1)
            if at in self.touched:
                edited[index] = self.part(child, at)
        return _mimetree.splice(part, edited)

    def part(self, part: Part, path: tuple[int, ...]) -> bytes:
        if not self.replaces(path):
            return part.header + self.body(part, path)
        content, fields = self.notice_for(path, part)
        end = part.line_end()
        kept = [item.raw for item in part.fields if _survives(item)]
        kept = [raw if raw.endswith(b"\n") else raw + end for raw in kept]
        return b"".join(kept) + b"".join(_bytes(f"{name}: {value}") + end for name, value in fields) + end + content

    def notice_for(self, path: tuple[int, ...], part: Part) -> tuple[bytes, list[tuple[str, str]]]:
        """The notice as the content of a part, and the fields that describe it."""
        found = [item for item in self.by_path[path] if item.remedy == REPLACE]
        text = self.template.safe_substitute(
            name=_listed(item.name or "(no name)" for item in found),
            reason=_listed(f"{item.reason} ({item.detail})" if item.detail else item.reason for item in found),
            reference=self.reference,
        )
        text = "\n".join(text.splitlines()) + "\n"
        encoding = "7bit" if text.isascii() and max(map(len, text.splitlines())) < 998 else "quoted-printable"
        content = _mimetree.encode_transfer(text.encode("utf-8", "replace"), encoding, b"\n").replace(
            b"\n", part.line_end()
        )
        charset = "us-ascii" if text.isascii() else "utf-8"
        fields = [("Content-Type", f'text/plain; charset={charset}; name="WARNING.TXT"')]
        return content, [*fields, ("Content-Transfer-Encoding", encoding)]


def _listed(texts: Iterable[str]) -> str:
    unique = list(dict.fromkeys(texts))
    return ", ".join(unique[:5]) + (f" and {len(unique) - 5} more" if len(unique) > 5 else "")


_DESCRIBES_CONTENT = frozenset(
    (b"content-type", b"content-disposition", b"content-transfer-encoding", b"content-md5", b"content-length")
)


def _survives(item: Field) -> bool:
    """Whether a field may stay on a part whose content was replaced; one with a bare CR may hide another."""
    return item.name.lower() not in _DESCRIBES_CONTENT and b"\r" not in item.raw.replace(b"\r\n", b"")


def _without_scripts(part: Part) -> bytes:
    encoding = part.transfer_encoding
    decoded = _mimetree.decode_transfer(part.content, encoding).decode("latin-1")
    clean = strip_scripts(decoded)
    if clean == decoded:
        return part.content
    return _mimetree.encode_transfer(clean.encode("latin-1"), encoding, part.line_end())


def _header_changes(top: Part, fields: list[tuple[str, str]]) -> Iterator[HeaderChange]:
    new = {name.lower(): (name, value) for name, value in fields}
    for name in sorted(_DESCRIBES_CONTENT):
        count = len(top.values(name))
        key = name.decode("ascii")
        title, value = new.get(key, (key.title(), None))
        # From the highest down: deleting the first would renumber the others.
        for index in range(count, 1 if value is not None else 0, -1):
            yield HeaderChange(title, index, None)
        if value is not None:
            yield HeaderChange(title, 1, value)
