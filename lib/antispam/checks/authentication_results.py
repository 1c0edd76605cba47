"""Authentication-Results (RFC 8601): write the results, and remove fields that falsely claim to be ours."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, ClassVar

from antispam.checks._shared.broken_signatures import broken_by
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import (
    ArcFinding,
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    DmarcFinding,
    OwnMailFinding,
    SpfFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict
from antispam.net.host_name import own_host_name
from antispam.protocols.arc import ArcResult
from antispam.protocols.authentication_results import (
    FIELD_NAME,
    arc_clause,
    auth_result,
    check_authserv_id,
    dkim_results,
    dmarc_result,
    field_value,
    forged,
    iprev_clause,
    spf_clause,
)
from antispam.protocols.dkim import SignatureResult
from antispam.protocols.dmarc import DmarcResult
from antispam.protocols.spf import SpfResult
from antispam.settings import CheckSettings, option, section

NAME = "authentication_results"
_FIELD_KEY = FIELD_NAME.encode("ascii")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The name under which results are written.

    authserv_id  our name in the field
    aliases      further names that nobody else may use
    forged       number of received fields that claim one of these names
    ip           the client's address
    """

    check: ClassVar[str] = NAME
    authserv_id: str
    aliases: tuple[str, ...] = ()
    forged: int = 0
    ip: str = ""


def _optional_name(text: str) -> None:
    if text:
        check_authserv_id(text)


def _names(names: tuple[str, ...]) -> None:
    for name in names:
        check_authserv_id(name)


@section("authentication_results")
class Settings(CheckSettings):
    """[authentication_results]: the Authentication-Results field, RFC 8601."""

    authserv_id: str = option(
        "", "our name in the field; empty uses the MTA's own name (macro j)", check=_optional_name
    )
    aliases: tuple[str, ...] = option(
        (),
        "other names of ours (of other MX hosts, or former ones); fields under these names are removed, too",
        check=_names,
    )
    write: bool = option(True, "write the field; with no, forged fields are still removed")
    show_login: bool = option(False, "include the login of authenticated senders, which all recipients can read")


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    if message is None:
        return None
    own = message.findings.get(OwnMailFinding)
    if own is not None and own.unmodified:
        return None
    settings = services.settings[Settings]
    name = settings.authserv_id or own_host_name(connection.receiver)
    found = forged(message.fields(_FIELD_KEY), (name, *settings.aliases))
    return Finding(authserv_id=name, aliases=settings.aliases, forged=len(found), ip=connection.ip)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """Forged fields are removed, not refused: a message that legitimately returns to us carries one, too."""
    reason = f"{finding.forged} Authentication-Results under our name removed" if finding.forged else ""
    return Verdict(Action.CONTINUE, reason=reason)


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Remove forged fields, the last one first, then put ours on top."""
    for header in forged(draft.message.fields(_FIELD_KEY), (finding.authserv_id, *finding.aliases)):
        draft.change_header(header, None)
    broken = broken_by(draft, services)
    if broken:
        domains = ", ".join(dict.fromkeys(one.domain for one in broken))
        log.warning("[%s] our changes break the DKIM signature of %s", draft.message.ref, domains)
    settings = services.settings[Settings]
    own = draft.message.findings.get(OwnMailFinding)
    if settings.write and (own is None or not own.outbox_id):  # our own messages need no results
        results = _results(finding, draft.message.findings, settings, broken)
        draft.insert_header(FIELD_NAME, field_value(finding.authserv_id, results))


def _results(
    finding: Finding, findings: Findings, settings: Settings, broken: tuple[SignatureResult, ...]
) -> list[Any]:
    results = []
    auth = findings.get(AuthFinding)
    if auth is not None and auth.login:
        results.append(auth_result("pass", auth.login if settings.show_login else ""))
    client = findings.get(ConnectionFinding)
    if client is not None and client.client is ClientClass.EXTERNAL and not client.error:
        results.append(iprev_clause(client.iprev, finding.ip))
    spf = findings.get(SpfFinding)
    if spf is not None:
        results += [_spf(outcome) for outcome in (spf.mailfrom, spf.helo) if outcome is not None]
    dkim = findings.get(DkimFinding)
    if dkim is not None and not dkim.error:
        results += dkim_results(dkim.signatures, broken)
    arc = findings.get(ArcFinding)
    if arc is not None and not arc.error:
        results.append(arc_clause("pass" if arc.result is ArcResult.PASS else "fail", reason=arc.reason))
    dmarc = findings.get(DmarcFinding)
    if dmarc is not None:
        results.append(_dmarc(dmarc))
    return results


def _dmarc(finding: DmarcFinding) -> Any:
    """One clause, for the author domain that decides: with several, many readers pick any one."""
    worst = finding.worst
    if worst is None:
        return dmarc_result(finding.result, reason="no author domain in From")
    found = worst.found
    reason = worst.overridden or found.problem
    if not reason and finding.result is not found.result:
        reason = "several From fields" if finding.ambiguous else "From cannot be examined"
    policy = worst.applied if finding.result is DmarcResult.FAIL else ""
    return dmarc_result(finding.result, author=found.domain, policy=policy, reason=reason)


def _spf(outcome: SpfResult) -> str:
    """The SPF clause. The null reverse path has no identity but the HELO name (RFC 7208 section 2.4)."""
    if outcome.identity == "helo" or not outcome.mailfrom:
        return spf_clause(outcome.result, helo=outcome.helo)
    return spf_clause(outcome.result, mailfrom=outcome.mailfrom)
