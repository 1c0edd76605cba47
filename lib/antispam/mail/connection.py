"""The data of an SMTP session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from antispam.mail.decisions import Decision
from antispam.mail.findings import Findings


@dataclasses.dataclass(slots=True)
class Connection:
    """One SMTP session. Only the session writes it; checks read.

    ref       names the connection in the log
    ip        the client's address in text form, "" if the MTA has none (a local pipe)
    port      its port, 0 if unknown
    name      the client's host name as the MTA verified it, "" if reverse and forward look-ups disagree
    ptr       the unverified name from the reverse look-up, "" if there is none or the MTA does not report it
    resolve   the MTA's {client_resolve}: "OK", "FAIL", "FORGED", "TEMP" or ""
    receiver  our MTA's own name (macro j)
    helo      the argument of HELO or EHLO, "" before that
    helos     number of HELO or EHLO commands
    macros    other macros that the MTA sent at connect, by name
    messages  number of messages begun
    demerits  offences found on the connection so far
    """

    ref: str
    ip: str = ""
    port: int = 0
    name: str = ""
    ptr: str = ""
    resolve: str = ""
    receiver: str = ""
    macros: Mapping[str, str] = dataclasses.field(default_factory=dict)
    helo: str = ""
    helos: int = 0
    messages: int = 0
    demerits: int = 0
    findings: Findings = dataclasses.field(default_factory=Findings)
    decisions: list[Decision] = dataclasses.field(default_factory=list)
    helo_decisions: list[Decision] = dataclasses.field(default_factory=list)
