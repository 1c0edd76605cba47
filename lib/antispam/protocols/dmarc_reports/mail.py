"""The message that carries a report (RFC 9990 section 3.5.2)."""

from __future__ import annotations

import dataclasses
import email.policy
import gzip
from email.message import EmailMessage
from email.utils import formatdate

from antispam.protocols.dmarc_reports.xml import Report, write

_POLICY = email.policy.SMTP.clone(max_line_length=998)
SUBJECT = "Report Domain:"  # the beginning of all their subjects


@dataclasses.dataclass(frozen=True, slots=True)
class ReportMail:
    """The sender, the recipients, and our host name; `now` in seconds since the epoch."""

    sender: str
    recipient: str
    submitter: str
    now: float


def compose(report: Report, mail: ReportMail) -> bytes:
    """The whole message, with CRLF line ends. The same report always has the same name."""
    message = EmailMessage(policy=_POLICY)
    domain = report.published.domain
    message["From"] = mail.sender
    message["To"] = mail.recipient
    message["Subject"] = f"{SUBJECT} {domain} Submitter: {mail.submitter} Report-ID: <{report.report_id}>"
    message["Date"] = formatdate(mail.now)
    message["Message-ID"] = f"<{report.report_id}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        f"This is an aggregate report of DMARC (RFC 9990) about mail in the name of {domain},\n"
        f"as {mail.submitter} got it. It is for programs; {domain} asked for it in its DMARC record.\n"
    )
    unique = "".join(char for char in report.report_id.partition("@")[0] if char.isalnum())
    name = f"{mail.submitter}!{domain}!{report.begin}!{report.end}!{unique}.xml.gz"
    packed = gzip.compress(write(report), mtime=0)
    message.add_attachment(packed, maintype="application", subtype="gzip", filename=name)
    return message.as_bytes()
