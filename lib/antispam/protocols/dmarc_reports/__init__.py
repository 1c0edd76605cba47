"""DMARC aggregate reports (RFC 9990): writing them, finding their permitted destinations, and reading those of others.

Pure except for look-ups by the given resolver.
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
