"""Rewriting a message: notices replace dangerous parts, scripts are removed from HTML, and all other octets are
unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from string import Template

import _mimetree
from _mimetree import Field, Part
from _sgmlfilter import strip_scripts
from antispam.protocols.attachments import kinds, names
from antispam.protocols.attachments.findings import REPLACE, STRIP, Finding
from antispam.protocols.attachments.parsing import Headers, octets_of, parsed
from antispam.protocols.attachments.rules import Limits

NOTICE = """\
An attachment of this message was removed because it may be dangerous.

Name:      $name
Reason:    $reason
Reference: $reference

If you need it, ask the sender to send it in another way, or ask your administrator and quote the reference.
"""


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """A change of field number `index` (from 1, among those of its name): set it to `value`, or delete it if that is
    None. Changes must be applied in order. An index beyond the existing ones adds the field, as smfi_chgheader does.
    """

    name: str
    index: int
    value: str | None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The new body, and the changes of the message's own header (only if the whole message was replaced)."""

    body: bytes
    headers: tuple[HeaderChange, ...] = ()


def rewrite(
    headers: Headers,
    body: bytes,
    findings: Iterable[Finding],
    notice: str = NOTICE,
    reference: str = "",
    limits: Limits | None = None,
) -> Rewritten:
    """The message without the parts in the findings; every byte outside these parts is unchanged.

    `notice` is a string.Template with $name, $reason and $reference. `limits` must be those of the inspection: they
    decide where a part ends. Findings with an unknown path are ignored.
    """
    top = parsed(headers, body, limits or Limits())
    edits = _Edits(findings, notice, reference)
    if edits.replaces(()):
        content, fields = edits.notice_for((), top)
        return Rewritten(content, tuple(_header_changes(top, fields)))
    return Rewritten(edits.body(top, ()))


class _Edits:
    """The edits for findings, by path."""

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
        """The body of a part that changes. The parser's limits bound the nesting."""
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
        return b"".join(kept) + b"".join(octets_of(f"{name}: {value}") + end for name, value in fields) + end + content

    def notice_for(self, path: tuple[int, ...], part: Part) -> tuple[bytes, list[tuple[str, str]]]:
        """The notice as the content of a part, and its header fields."""
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
    """Whether a field may stay on a part with replaced content. A field with a bare CR may hide another."""
    return item.name.lower() not in _DESCRIBES_CONTENT and b"\r" not in item.raw.replace(b"\r\n", b"")


def _without_scripts(part: Part) -> bytes:
    encoding = part.transfer_encoding
    octets = _mimetree.decode_transfer(part.content, encoding)
    decoded = octets.decode("latin-1")
    clean = strip_scripts(decoded, kinds.is_svg(octets, names.of_part(part)[0], part.media_type))
    if clean == decoded:
        return part.content
    return _mimetree.encode_transfer(clean.encode("latin-1"), encoding, part.line_end())


def _header_changes(top: Part, fields: list[tuple[str, str]]) -> Iterator[HeaderChange]:
    new = {name.lower(): (name, value) for name, value in fields}
    for name in sorted(_DESCRIBES_CONTENT):
        count = len(top.values(name))
        key = name.decode("ascii")
        title, value = new.get(key, (key.title(), None))
        # From the highest index down: deleting the first would renumber the others.
        for index in range(count, 1 if value is not None else 0, -1):
            yield HeaderChange(title, index, None)
        if value is not None:
            yield HeaderChange(title, 1, value)
