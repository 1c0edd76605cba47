"""Reader of reports from others: zip, gzip, XML, or whole messages, by RFC 9990 or the older RFC 7489 appendix C.

They come from strangers: sizes are bounded, and a document with entities or a DTD is refused.
"""

from __future__ import annotations

import dataclasses
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

import _mimetree
from antispam.text import from_wire

# Exceptions of zipfile for archives that are damaged, encrypted, or compressed by an unknown method.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, LookupError, OverflowError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
MAX_FILE = 20 << 20  # octets of a file
MAX_XML = 64 << 20  # octets of a decompressed document
MAX_DOCUMENTS = 100  # per file
MAX_ROWS = 500_000
MAX_DEPTH = 20
MAX_ELEMENTS = 5_000  # per child of the root


class UnreadableReport(ValueError):
    """The file is not a report, or is not safe to read. The text says why and is safe to print."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A row of a report. `disposition`, `dkim` and `spf` are the reporter's evaluation; the last two include alignment."""

    ip: str
    count: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str
    reason: str

    @property
    def passed(self) -> bool:
        return "pass" in (self.dkim, self.spf)


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """A report. `begin` and `end` are in seconds since the epoch; 0 if unreadable."""

    org_name: str
    report_id: str
    domain: str
    policy: str
    begin: int
    end: int
    sources: tuple[Source, ...]


def read_file(content: bytes) -> tuple[Received, ...]:
    """All reports in a file, whatever its name. Raises UnreadableReport."""
    if len(content) > MAX_FILE:
        raise UnreadableReport(f"larger than {MAX_FILE >> 20} MB")
    found: list[Received] = []
    for document in _documents(content):
        if len(found) >= MAX_DOCUMENTS:
            raise UnreadableReport(f"more than {MAX_DOCUMENTS} reports in it")
        found.append(_report(document))
    if not found:
        raise UnreadableReport("there is no report in it")
    return tuple(found)


def _documents(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"\x1f\x8b"):
        yield _gunzipped(content)
    elif content.startswith(b"PK\x03\x04"):
        yield from _unzipped(content)
    elif content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        yield content
    else:
        yield from _attached(content)


def _gunzipped(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(content, MAX_XML + 1)
    except zlib.error:
        raise UnreadableReport("damaged gzip") from None
    if len(text) > MAX_XML or not unpacker.eof:
        raise UnreadableReport(f"larger than {MAX_XML >> 20} MB unpacked" if len(text) > MAX_XML else "damaged gzip")
    return text


def _unzipped(content: bytes) -> Iterator[bytes]:
    for text in _entries(content):
        if len(text) > MAX_XML:
            raise UnreadableReport(f"larger than {MAX_XML >> 20} MB unpacked")
        yield text


def _entries(content: bytes) -> Iterator[bytes]:
    """The files in a zip, each with at most one octet more than MAX_XML."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist()[: MAX_DOCUMENTS + 1]:
                if entry.is_dir():
                    continue
                with archive.open(entry) as file:
                    text = file.read(MAX_XML + 1)
                yield text
    except _DAMAGED as error:
        raise UnreadableReport(f"damaged or encrypted zip: {from_wire(str(error), 100)}") from None


def _attached(content: bytes) -> Iterator[bytes]:
    for part in _mimetree.parse(content).walk():
        if part.children:
            continue
        payload = _mimetree.decode_transfer(part.content, part.transfer_encoding)
        if payload.startswith((b"\x1f\x8b", b"PK\x03\x04")):
            yield from _documents(payload)
        elif part.media_type.endswith("/xml"):
            yield payload


def _report(document: bytes) -> Received:
    """Read a document child by child, so that it needs no more memory than the report itself."""
    kept: dict[str, Element] = {}
    sources: list[Source] = []
    try:
        for child in _children(document):
            name = _name(child)
            if name == "record":
                sources.append(_source(child))
            elif name in ("report_metadata", "policy_published"):
                kept.setdefault(name, child)
            if len(sources) > MAX_ROWS:
                raise UnreadableReport(f"more than {MAX_ROWS} rows")
    except DefusedXmlException:
        raise UnreadableReport("the document has a DTD or entities, which no honest report has") from None
    except (ParseError, LookupError, RecursionError) as error:
        raise UnreadableReport(f"not well-formed XML: {from_wire(str(error), 100)}") from None
    meta, policy = kept.get("report_metadata"), kept.get("policy_published")
    dates = _child(meta, "date_range")
    return Received(
        org_name=_said(meta, "org_name"),
        report_id=_said(meta, "report_id"),
        domain=_said(policy, "domain"),
        policy=_said(policy, "p"),
        begin=_number(dates, "begin"),
        end=_number(dates, "end"),
        sources=tuple(sources),
    )


def _children(document: bytes) -> Iterator[Element]:
    """The children of the root, each complete, one after another. Raises UnreadableReport for a different root, and for
    a child that is deeper or has more elements than an honest one.
    """
    root: Element | None = None
    depth = elements = 0
    for event, element in iterparse(io.BytesIO(document), events=("start", "end"), forbid_dtd=True):
        if event == "start":
            depth += 1
            elements += 1
            if root is None:
                root = element
                if _name(root) != "feedback":
                    raise UnreadableReport("no DMARC report: the document is no feedback")
            if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
                raise UnreadableReport("no DMARC report: it has more elements than any")
        else:
            depth -= 1
            if depth == 1 and root is not None:
                yield element
                del root[:]
                elements = 0


def _source(record: Element) -> Source:
    row, identifiers = _child(record, "row"), _child(record, "identifiers")
    evaluated = _child(row, "policy_evaluated")
    return Source(
        ip=_said(row, "source_ip"),
        count=_number(row, "count"),
        disposition=_said(evaluated, "disposition"),
        dkim=_said(evaluated, "dkim"),
        spf=_said(evaluated, "spf"),
        header_from=_said(identifiers, "header_from"),
        envelope_from=_said(identifiers, "envelope_from"),
        reason=_said(_child(evaluated, "reason"), "type"),
    )


def _name(element: Element) -> str:
    """The name of an element without its namespace: the older form has none, and some reporters use another."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _child(element: Element | None, name: str) -> Element | None:
    return next((one for one in (element if element is not None else ()) if _name(one) == name), None)


def _said(element: Element | None, name: str) -> str:
    child = _child(element, name)
    return from_wire((child.text or "").strip(), 255) if child is not None else ""


def _number(element: Element | None, name: str) -> int:
    text = _said(element, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
