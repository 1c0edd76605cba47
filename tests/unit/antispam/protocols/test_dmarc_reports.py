"""Aggregate reports: the XML that we write, where it may be sent, and those of others, which are hostile until read."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email
import email.policy
import gzip
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from antispam.deadline import Deadline
from antispam.net.resolver import DNSTemporaryError
from antispam.protocols.dmarc import parse_record
from antispam.protocols.dmarc_reports import (
    Published,
    Record,
    Report,
    ReportMail,
    UnreadableReport,
    compose,
    destinations,
    read_file,
    reading,
    write,
)
from support.dns import TIMEOUT, ScriptedResolver

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("dmarc-report.xsd")))

RECORD = Record(
    source_ip="192.0.2.1",
    disposition="reject",
    dkim=False,
    spf=False,
    header_from="bank.example",
    envelope_from="evil.example",
    signatures=(("evil.example", "s1", "pass"), ("bank.example", "s2", "fail")),
    spf_domain="evil.example",
    spf_result="softfail",
)
REPORT = Report(
    org_name="Example",
    email="dmarc@example.com",
    report_id="abc123@example.com",
    begin=1_700_006_400,
    end=1_700_092_799,
    published=Published(domain="bank.example", p="reject", sp="none", adkim="s"),
    rows=(
        (RECORD, 7),
        (dataclasses.replace(RECORD, disposition="none", dkim=True, reason="local_policy", comment="x"), 2),
    ),
    contact="https://example.com/dmarc",
    generator="bms",
)

OLD = b"""<?xml version="1.0"?>
<feedback>
  <report_metadata>
    <org_name>big.example</org_name><email>x@big.example</email><report_id>42</report_id>
    <date_range><begin>1700006400</begin><end>1700092799</end></date_range>
  </report_metadata>
  <policy_published><domain>example.com</domain><adkim>r</adkim><p>none</p><pct>100</pct></policy_published>
  <record>
    <row><source_ip>2001:db8::1</source_ip><count>3</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>
        <reason><type>forwarded</type></reason></policy_evaluated></row>
    <identifiers><header_from>example.com</header_from></identifiers>
    <auth_results><spf><domain>example.com</domain><result>fail</result></spf></auth_results>
  </record>
</feedback>
"""


# Writing


def test_what_we_write_is_valid_by_the_schema() -> None:
    SCHEMA.assertValid(etree.fromstring(write(REPORT)))


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_mail_and_dns_contain_it_stays_valid(domain: str, comment: str) -> None:
    record = dataclasses.replace(
        RECORD, header_from=domain or "x", reason="other", comment=comment, envelope_from=domain
    )
    SCHEMA.assertValid(etree.fromstring(write(dataclasses.replace(REPORT, rows=((record, 1),)))))


def test_the_signatures_that_say_most_come_first_and_no_more_than_a_hundred() -> None:
    many = tuple((f"d{number}.example", "s", "pass") for number in range(200))
    wanted = (*many, ("bank.example", "s", "fail"), ("mail.bank.example", "s", "pass"), ("bank.example", "s", "pass"))
    root = etree.fromstring(
        write(dataclasses.replace(REPORT, rows=((dataclasses.replace(RECORD, signatures=wanted), 1),)))
    )
    domains = [one.text for one in root.iter("{*}domain") if one.getparent().tag.endswith("dkim")]
    assert domains[:3] == ["bank.example", "mail.bank.example", "d0.example"]
    assert len(domains) == 100


def test_the_message_has_the_subject_and_the_file_name_of_the_standard() -> None:
    content = compose(REPORT, ReportMail("dmarc@example.com", "rua@bank.example", "example.com", 1_700_100_000))
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["Subject"] == "Report Domain: bank.example Submitter: example.com Report-ID: <abc123@example.com>"
    assert message["Message-ID"] == "<abc123@example.com>"
    (part,) = message.iter_attachments()
    assert part.get_content_type() == "application/gzip"
    assert part.get_filename() == "example.com!bank.example!1700006400!1700092799!abc123.xml.gz"
    assert gzip.decompress(part.get_content()) == write(REPORT)
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


# Where it may be sent


def asking(rua: str, **more: object) -> dict[str, object]:
    return {"_dmarc.bank.example": {"TXT": [f"v=DMARC1; p=none; rua={rua}"]}, **more}


def wanted(zones: dict[str, object]) -> tuple[str, ...]:
    return destinations("bank.example", ScriptedResolver(zones), Deadline.after(60))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rua", "expected"),
    [
        ("mailto:rua@bank.example", ("rua@bank.example",)),
        ("mailto:rua@mail.bank.example", ("rua@mail.bank.example",)),
        ("mailto:a@bank.example!10m, mailto:b@bank.example", ("a@bank.example", "b@bank.example")),
        ("MAILTO:a%2Bb@bank.example", ("a+b@bank.example",)),
        ("https://bank.example/rua", ()),
        ('mailto:"a b"@bank.example', ()),
        ("mailto:a@bank.example%0D%0ABcc: x", ()),
        ("mailto:victim@elsewhere.example", ()),
    ],
)
def test_addresses_of_the_same_organization_need_no_consent(rua: str, expected: tuple[str, ...]) -> None:
    assert wanted(asking(rua)) == expected


@pytest.mark.parametrize(
    ("consent", "expected"),
    [
        ("v=DMARC1", ("rua@reports.example",)),
        ("v=DMARC1;", ("rua@reports.example",)),
        ("v=DMARC1; rua=mailto:other@reports.example", ("other@reports.example",)),
        ("v=DMARC1; rua=mailto:victim@elsewhere.example", ()),
        ("v=spf1 -all", ()),
        ("", ()),
    ],
)
def test_another_organization_has_to_agree(consent: str, expected: tuple[str, ...]) -> None:
    name = "bank.example._report._dmarc.reports.example"
    assert wanted(asking("mailto:rua@reports.example", **{name: {"TXT": [consent]}})) == expected


def test_without_an_answer_it_is_not_known() -> None:
    zones = asking("mailto:rua@reports.example", **{"bank.example._report._dmarc.reports.example": TIMEOUT})
    with pytest.raises(DNSTemporaryError):
        wanted(zones)


def test_a_domain_that_publishes_nothing_any_more_gets_nothing() -> None:
    assert wanted({}) == ()


def test_a_record_names_five_addresses_at_most() -> None:
    record = parse_record(
        b"v=DMARC1; p=none; rua=" + b",".join(b"mailto:a%d@x.example" % number for number in range(50))
    )
    assert record is not None
    assert len(record.rua) == 5


# Reading


def zipped(*documents: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, document in enumerate(documents):
            archive.writestr(f"{number}.xml", document)
    return file.getvalue()


def test_what_we_write_can_be_read() -> None:
    (one,) = read_file(write(REPORT))
    assert (one.org_name, one.domain, one.policy, one.begin) == ("Example", "bank.example", "reject", 1_700_006_400)
    assert [(row.ip, row.count, row.disposition, row.passed) for row in one.sources] == [
        ("192.0.2.1", 7, "reject", False),
        ("192.0.2.1", 2, "none", True),
    ]


@pytest.mark.parametrize(
    "content",
    [
        OLD,
        b"\xef\xbb\xbf" + OLD,
        gzip.compress(OLD),
        zipped(OLD),
        b"Subject: Report\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(zipped(OLD)),
        b"Subject: Report\r\nContent-Type: text/xml\r\n\r\n" + OLD,
    ],
    ids=["xml", "byte order mark", "gzip", "zip", "message with zip", "message with xml"],
)
def test_the_older_form_is_read_however_it_comes(content: bytes) -> None:
    (one,) = read_file(content)
    (row,) = one.sources
    assert (one.domain, row.ip, row.count, row.dkim, row.reason) == (
        "example.com",
        "2001:db8::1",
        3,
        "pass",
        "forwarded",
    )


def test_the_message_that_we_send_can_be_read() -> None:
    content = compose(REPORT, ReportMail("dmarc@example.com", "rua@bank.example", "example.com", 1_700_100_000))
    assert read_file(content)[0].report_id == "abc123@example.com"


BOMB = b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><feedback>&b;</feedback>'
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/passwd">]><feedback>&a;</feedback>'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BOMB, "DTD or entities"),
        (OUTSIDE, "DTD or entities"),
        (b"<!DOCTYPE feedback SYSTEM 'http://evil.example/x.dtd'><feedback/>", "DTD or entities"),
        (b"<feedback>", "not well-formed"),
        (b"<html/>", "no feedback"),
        (b"", "no report in it"),
        (b"Subject: hello\r\n\r\nhello\r\n", "no report in it"),
        (gzip.compress(OLD)[:-20], "damaged gzip"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
        (zipped(OLD)[:-40], "damaged or encrypted zip"),
        (b'<?xml version="1.0" encoding="nonsense"?><feedback/>', "not well-formed"),
    ],
)
def test_what_is_no_report_or_not_safe_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(UnreadableReport, match=told):
        read_file(content)


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_XML", 10_000)
    bomb = b"<feedback>" + b" " * 20_000
    for content in (gzip.compress(bomb), zipped(bomb)):
        with pytest.raises(UnreadableReport, match="unpacked"):
            read_file(content)
    monkeypatch.setattr(reading, "MAX_FILE", 100)
    with pytest.raises(UnreadableReport, match="larger than"):
        read_file(OLD)


@pytest.mark.parametrize(
    "inside",
    [b"<a>" * 30 + b"</a>" * 30, b"<record>" + b"<a/>" * 6000 + b"</record>"],
    ids=["deep", "wide"],
)
def test_a_document_that_is_deeper_or_wider_than_any_report_is_refused(inside: bytes) -> None:
    with pytest.raises(UnreadableReport, match="more elements"):
        read_file(b"<feedback>" + inside + b"</feedback>")


def test_more_reports_than_anybody_sends_in_a_file_are_refused() -> None:
    with pytest.raises(UnreadableReport, match="more than 100"):
        read_file(zipped(*[OLD] * 101))


@given(st.binary(max_size=300) | st.sampled_from([OLD, gzip.compress(OLD)]).map(lambda one: one[:-7] + b"xx"))
def test_any_octets_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(UnreadableReport):
        read_file(content)
