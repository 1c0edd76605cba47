"""`--test FILE`: the outcome for a message, in a few lines. The data that an MTA would pass are read from the message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from antispam.commands.scan import Envelope, Report, scan
from antispam.mail.authors import authors_in
from antispam.mail.message import Header, envelope_address, split_message
from antispam.net.addresses import parse_ip
from antispam.service.application import Program, load_settings
from antispam.service.rehearsal import rehearsal
from antispam.text import for_log

# The format of sendmail and Postfix: `from HELO (NAME [ADDRESS])`.
_RECEIVED = re.compile(r"from\s+(\S{1,255})\s+\((?:([A-Za-z0-9._-]{1,255})\s+)?\[([0-9A-Fa-f:.IPv]{2,60})\]")
_OURSELVES = Envelope("127.0.0.1", "localhost", "localhost", "", ("postmaster@localhost",))


def trial(program: Program, config: Path | None, files: Sequence[BinaryIO]) -> int:
    """Print the outcome for each message. The exit status is 1 if one would not be accepted. Nothing is recorded."""
    refused = False
    with rehearsal(program.journey, load_settings(program, config)) as application:
        for file in files:
            raw = file.read()
            envelope = envelope_of(split_message(raw)[0])
            report = scan(application, getattr(file, "name", "-"), raw, envelope)
            for line in told(report, envelope):
                click.echo(line)
            refused = refused or not report.accepted
    return 1 if refused else 0


def envelope_of(headers: Sequence[Header]) -> Envelope:
    """The client, HELO name and sender of a delivered message, from its topmost Received field with an address, and
    from Return-Path or else From. A message without Received counts as a draft by one of our own users. Never raises.
    """
    sender = next((envelope_address(header.text.strip()) for header in headers if header.key == b"return-path"), None)
    if sender is None:
        sender = next(map(str, authors_in(header for header in headers if header.key == b"from")), "")
    for header in headers:
        match = _RECEIVED.search(header.text[:2000]) if header.key == b"received" else None
        address = parse_ip(match[3]) if match else None
        if match and address is not None:
            name = "" if match[2] in (None, "unknown") else match[2]
            return Envelope(str(address), name, match[1], sender, _OURSELVES.recipients)
    return Envelope(_OURSELVES.ip, _OURSELVES.name, _OURSELVES.helo, sender, _OURSELVES.recipients)


def told(report: Report, envelope: Envelope) -> Iterable[str]:
    """The report, with one line for each important point."""
    client = f"{envelope.ip} {for_log(envelope.name or '(no name)')} helo {for_log(envelope.helo)}"
    yield f"{for_log(report.file)}: as from <{for_log(envelope.mail_from)}> by {client}"
    for decision in report.decisions:
        if decision.verdict.reason:
            mode = "" if decision.counts else " (mode log)"
            yield f"  {decision.check}: {decision.verdict.action}, {for_log(decision.verdict.reason)}{mode}"
    yield from (f"  {edit}" for edit in report.edits)
    verdict = report.verdict
    if verdict.action.refuses:
        yield f"  {verdict.code} {verdict.enhanced} {' / '.join(verdict.reply_lines())}"
    yield f"  {report.outcome}"
