"""The name that the client gives at HELO or EHLO: does it belong to the client?

The name is examined at once and refused at RCPT: an authenticated client is a person's computer, whose name does not
matter. Internal clients may use any name; printers and scanners do.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Verdict
from antispam.net.addresses import client_list, is_hostname, normalize_domain, parse_ip
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire

NAME = "helo"
OTHERWISE = (
    "Each kind of wrong name has its option in `[helo]` (ignore, quarantine, tempfail, reject); `[milter] "
    "internal_connect` exempts your own clients."
)

_BLACKLISTED = "that name is ours, or another that your server cannot have"
_OWN_NAME = "that is our own name, not yours"
_NUMERIC = "a bare IP address is not a host name"
_INVALID = "that is not a valid host name"
_MISMATCH = "that is not the address you connect from"
_UNQUALIFIED = "the name has no domain"
_LIES = (_BLACKLISTED, _OWN_NAME)
LYING = 4  # demerits: no honest server uses our name
_ADVICE = "Please ask the administrator of your mail server to set its HELO name to its own full host name."


@section("helo")
class Settings(CheckSettings):
    """[helo]: rules for the HELO name. Each is ignore, quarantine, tempfail or reject."""

    hello_blacklist: tuple[str, ...] = option(
        (),
        "names and addresses that no outside client can have, above all our own: example.com, *.example.com, 192.0.2.25",
        section="milter",
        check=client_list,
    )
    blacklisted: Remedy = remedy_option(Remedy.REJECT, "a name of hello_blacklist")
    own_name: Remedy = remedy_option(Remedy.REJECT, "the name or address of our own mail server, sent by another host")
    numeric: Remedy = remedy_option(
        Remedy.REJECT, "an address without brackets, which is not a name (RFC 5321 section 4.1.3)"
    )
    invalid: Remedy = remedy_option(Remedy.REJECT, "characters that no host name has, such as spaces, or empty labels")
    literal_mismatch: Remedy = remedy_option(
        Remedy.IGNORE, "an address in brackets that is not the client's; common behind NAT"
    )
    unqualified: Remedy = remedy_option(
        Remedy.IGNORE, "a name without a dot; common with badly configured but honest servers"
    )


class Form(enum.StrEnum):
    """The kind of name."""

    HOSTNAME = "hostname"
    UNQUALIFIED = "unqualified"
    LITERAL = "literal"  # [192.0.2.1]
    NUMERIC = "numeric"  # 192.0.2.1
    INVALID = "invalid"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The HELO name, its form, and what it is compared with.

    name     in the form for comparison: lower case, without a final dot; an address without brackets
    ip       the client's own address
    own      our MTA's name and address, as far as they are known
    """

    check: ClassVar[str] = NAME
    name: str = ""
    form: Form = Form.HOSTNAME
    ip: str = ""
    own: tuple[str, ...] = ()


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding:
    said = from_wire(connection.helo, 1000)
    form = classify(said)
    address = parse_ip(said) if form in (Form.LITERAL, Form.NUMERIC) else None
    name = normalize_domain(said) if address is None else str(address)
    own = (normalize_domain(connection.receiver), connection.macros.get("{if_addr}", ""))
    ip = parse_ip(connection.ip)
    return Finding(name=name, form=form, ip=str(ip or ""), own=tuple(from_wire(item) for item in own if item))


def classify(helo: str) -> Form:
    """The form of a HELO name (RFC 5321 sections 2.3.5, 4.1.3)."""
    bracketed = helo.startswith("[") and helo.endswith("]")
    if parse_ip(helo) is not None and ("[" in helo) == bracketed:
        return Form.LITERAL if bracketed else Form.NUMERIC
    name = normalize_domain(helo)
    if not is_hostname(name):
        return Form.INVALID
    labels = name.split(".")
    if len(labels) == 4 and all(label.isdigit() for label in labels):
        return Form.NUMERIC  # 300.1.1.1 and 010.0.0.1 are meant as addresses
    return Form.HOSTNAME if len(labels) > 1 else Form.UNQUALIFIED


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The first rule that applies and is not ignored."""
    client = findings.get(ConnectionFinding)
    if client is not None and client.client is not ClientClass.EXTERNAL:
        return CONTINUE
    for answer, fault in _faults(finding, settings):
        if answer is not Remedy.IGNORE:
            text = f"Your mail server ({finding.ip}) said HELO {finding.name}: {fault}.\n{_ADVICE}"
            verdict = verdict_for(answer, text, f"HELO {finding.name}: {fault}")
            return verdict._replace(demerits=LYING if fault in _LIES else 0)
    return CONTINUE


_TESTS = {
    _BLACKLISTED: "HELO_OURS",
    _OWN_NAME: "HELO_OURS",
    _NUMERIC: "HELO_NUMERIC",
    _INVALID: "HELO_INVALID",
    _MISMATCH: "HELO_LITERAL_MISMATCH",
    _UNQUALIFIED: "HELO_NO_DOMAIN",
}


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Each rule that applies to a stranger, even if it is ignored."""
    client = findings.get(ConnectionFinding)
    if client is not None and client.client is not ClientClass.EXTERNAL:
        return ()
    said = f"The client said HELO {finding.name}"
    return tuple(Hit(_TESTS[fault], f"{said}: {fault}.") for _, fault in _faults(finding, settings))


def _faults(finding: Finding, settings: Settings) -> list[tuple[Remedy, str]]:
    """Every rule that applies: its remedy, and the fault in words."""
    faults = []
    if client_list(settings.hello_blacklist).match(parse_ip(finding.name), finding.name):
        faults.append((settings.blacklisted, _BLACKLISTED))
    if _is_ours(finding):
        faults.append((settings.own_name, _OWN_NAME))
    if finding.form is Form.NUMERIC:
        faults.append((settings.numeric, _NUMERIC))
    if finding.form is Form.INVALID:
        faults.append((settings.invalid, _INVALID))
    if finding.form is Form.LITERAL and finding.name != finding.ip:
        faults.append((settings.literal_mismatch, _MISMATCH))
    if finding.form is Form.UNQUALIFIED:
        faults.append((settings.unqualified, _UNQUALIFIED))
    return faults


def _is_ours(finding: Finding) -> bool:
    """Whether an outsider uses our name or address. An unqualified name such as "localhost" proves nothing. Our own
    addresses, loopback included, may use our name.
    """
    client, address = parse_ip(finding.ip), parse_ip(finding.name)
    if client is not None and client.is_loopback:
        return False
    if address is not None:
        return finding.name != finding.ip and any(parse_ip(own) == address for own in finding.own)
    return "." in finding.name and finding.name in finding.own and finding.ip not in finding.own
