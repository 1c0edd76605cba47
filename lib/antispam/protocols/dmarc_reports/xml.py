"""The XML of a report (RFC 9990 section 3.1 and appendix A)."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable

from antispam.text import from_wire

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
MAX_SIGNATURES = 100  # per row, RFC 9990 section 3.1.4
_LONGEST = 300
_NO_CHARACTER = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The policy that a domain published; sp and np are "" if absent."""

    domain: str
    p: str = "none"
    sp: str = ""
    np: str = ""
    adkim: str = "r"
    aspf: str = "r"
    testing: str = "n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The common attributes of all messages in a row.

    disposition    none, pass, quarantine or reject
    dkim, spf      whether that method passed and was aligned
    reason         why the policy was not followed, in the schema's terms; "" if it was
    comment        the same in words
    envelope_from  the domain of MAIL FROM; "" for the null sender
    signatures     domain, selector and result of each DKIM signature
    spf_domain     the domain that SPF checked, with its result; "" if SPF was not checked
    """

    source_ip: str
    disposition: str
    dkim: bool
    spf: bool
    header_from: str
    envelope_from: str = ""
    reason: str = ""
    comment: str = ""
    signatures: tuple[tuple[str, str, str], ...] = ()
    spf_domain: str = ""
    spf_result: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report. `begin` and `end` are in seconds since the epoch."""

    org_name: str
    email: str
    report_id: str
    begin: int
    end: int
    published: Published
    rows: tuple[tuple[Record, int], ...]
    contact: str = ""
    generator: str = ""


def write(report: Report) -> bytes:
    """The XML document. Text from mail or DNS is made printable in it."""
    root = ElementTree.Element("feedback", xmlns=NAMESPACE)
    _text(root, "version", "1.0")
    meta = ElementTree.SubElement(root, "report_metadata")
    _text(meta, "org_name", report.org_name)
    _text(meta, "email", report.email)
    _text(meta, "extra_contact_info", report.contact, optional=True)
    _text(meta, "report_id", report.report_id)
    dates = ElementTree.SubElement(meta, "date_range")
    _text(dates, "begin", str(report.begin))
    _text(dates, "end", str(report.end))
    _text(meta, "generator", report.generator, optional=True)
    policy = ElementTree.SubElement(root, "policy_published")
    _text(policy, "domain", report.published.domain)
    for name in ("p", "sp", "np", "adkim", "aspf"):
        _text(policy, name, getattr(report.published, name), optional=name != "p")
    _text(policy, "discovery_method", "treewalk")
    _text(policy, "testing", report.published.testing)
    for record, count in report.rows:
        _record(root, record, count)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode("utf-8", "replace")


def _record(root: ElementTree.Element, record: Record, count: int) -> None:
    element = ElementTree.SubElement(root, "record")
    row = ElementTree.SubElement(element, "row")
    _text(row, "source_ip", record.source_ip)
    _text(row, "count", str(count))
    evaluated = ElementTree.SubElement(row, "policy_evaluated")
    _text(evaluated, "disposition", record.disposition)
    _text(evaluated, "dkim", "pass" if record.dkim else "fail")
    _text(evaluated, "spf", "pass" if record.spf else "fail")
    if record.reason:
        reason = ElementTree.SubElement(evaluated, "reason")
        _text(reason, "type", record.reason)
        _text(reason, "comment", record.comment, optional=True)
    identifiers = ElementTree.SubElement(element, "identifiers")
    _text(identifiers, "header_from", record.header_from)
    _text(identifiers, "envelope_from", record.envelope_from, optional=True)
    results = ElementTree.SubElement(element, "auth_results")
    for domain, selector, result in _preferred(record):
        _all(ElementTree.SubElement(results, "dkim"), (("domain", domain), ("selector", selector), ("result", result)))
    if record.spf_domain:
        named = (("domain", record.spf_domain), ("scope", "mfrom"), ("result", record.spf_result))
        _all(ElementTree.SubElement(results, "spf"), named)


def _preferred(record: Record) -> list[tuple[str, str, str]]:
    """The signatures, the most relevant first: passing ones of the author's domain, then of related ones, then others
    (section 3.1.4).
    """

    def order(one: tuple[str, str, str]) -> tuple[bool, bool, bool]:
        domain, _, result = one
        near = ("." + record.header_from).endswith("." + domain) or ("." + domain).endswith("." + record.header_from)
        return result != "pass", domain != record.header_from, not near

    return sorted(record.signatures, key=order)[:MAX_SIGNATURES]


def _all(parent: ElementTree.Element, named: Iterable[tuple[str, str]]) -> None:
    for name, value in named:
        _text(parent, name, value)


def _text(parent: ElementTree.Element, name: str, value: str, *, optional: bool = False) -> None:
    if value or not optional:
        ElementTree.SubElement(parent, name).text = _NO_CHARACTER.sub("?", from_wire(value, _LONGEST)) or "?"
