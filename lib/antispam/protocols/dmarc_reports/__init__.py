"""Aggregate reports of DMARC (RFC 9990): writing them, finding out where they may be sent, reading those of others.

Pure but for the look-ups of the resolver that is given.
"""

from antispam.protocols.dmarc_reports.destinations import destinations
from antispam.protocols.dmarc_reports.mail import ReportMail, compose
from antispam.protocols.dmarc_reports.reading import Received, Source, UnreadableReport, read_file
from antispam.protocols.dmarc_reports.xml import NAMESPACE, Published, Record, Report, write

__all__ = [
    "NAMESPACE",
    "Published",
    "Received",
    "Record",
    "Report",
    "ReportMail",
    "Source",
    "UnreadableReport",
    "compose",
    "destinations",
    "read_file",
    "write",
]
