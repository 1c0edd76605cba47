"""ARC (RFC 8617): is the chain of seals intact, and did a trusted server see the author proved?

Forwarders and lists break SPF and DKIM. Those that seal report the results that they saw before. A seal proves only who
wrote the report, and anybody can seal anything, so it counts only if this site trusts the sealer.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from antispam.checks._shared.arc import ArcSettings
from antispam.checks._shared.dkim_keys.lookup import BesideOneAnother, key_lookup
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors, from_our_users
from antispam.mail.connection import Connection
from antispam.mail.evidence import ArcFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import host_list, is_hostname, normalize_domain, parents
from antispam.net.resolver import DNSTemporaryError
from antispam.protocols.arc import ArcResult, Chain, Reported, reported, verify_chain
from antispam.protocols.dmarc import same_organization

NAME = "arc"
Settings = ArcSettings
Finding = ArcFinding
LOOKS_UP = True

_FIELDS = (b"arc-seal", b"arc-message-signature", b"arc-authentication-results")
MAX_DOMAINS = 3  # of authors that are checked against a seal; people write one


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether the message has no seals, like most."""
    return not any(message.fields(name) for name in _FIELDS)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> ArcFinding | None:
    """None without seals. Mail that our own users forward is verified only so that it can be sealed again."""
    if message is None or ready(connection, message, services):
        return None
    if not message.body.complete:
        return ArcFinding(result=ArcResult.FAIL, reason="message too large to be verified")
    lookup = key_lookup(services.resolver, services.deadline)
    chain = verify_chain(
        message.headers,
        message.body.content(),
        lookup,
        now=int(services.clock()),
        run_lookups=BesideOneAnother(services.resolver),
    )
    finding = ArcFinding(
        result=chain.result,
        reason=chain.reason,
        sealers=tuple(hop.sealer for hop in reversed(chain.hops)),
        instances=chain.instances,
        ended=chain.ended,
    )
    if chain.result is not ArcResult.PASS or not chain.covers_from or from_our_users(message):
        return finding
    return _believed(finding, chain, message, services)


def _believed(finding: ArcFinding, chain: Chain, message: Message, services: Services) -> ArcFinding:
    """The finding with the results of the first of the trusted sealers at the end of the path. An older seal that says
    pass may be the forger's own, whatever later servers reported.
    """
    trusted = host_list(services.settings[Settings].trusted_sealers)
    at_the_end = list(itertools.takewhile(lambda hop: hop.sealer in trusted, reversed(chain.hops)))
    if not at_the_end:
        return finding
    results = reported(at_the_end[-1].results)
    sender = normalize_domain(message.mail_from.rpartition("@")[2])
    domains = dict.fromkeys(one.domain for one in authors(message)[:MAX_DOMAINS] if is_hostname(one.domain))
    return dataclasses.replace(
        finding,
        trusted=at_the_end[-1].sealer,
        authors=tuple(one for one in domains if _proved(one, results, services, services.deadline)),
        sender=sender if sender and sender in set(_passed(results, "spf", "smtp.mailfrom", "smtp.mfrom")) else "",
    )


def _proved(domain: str, results: tuple[Reported, ...], services: Services, deadline: Deadline) -> bool:
    """Whether the sealer reported a DMARC pass for the author domain or, without any DMARC result, an aligned SPF or
    DKIM pass.
    """
    dmarc = [one for one in results if one.method == "dmarc"]
    if any(one.result not in ("pass", "none", "bestguesspass") for one in dmarc):
        return False
    if any(one.result == "pass" and one.domain("header.from") in ("", domain) for one in dmarc):
        return True
    signers = _passed(results, "dkim", "header.d", "header.i")
    senders = _passed(results, "spf", "smtp.mailfrom", "smtp.mfrom")
    return any(_aligned(one, domain, services, deadline) for one in (*signers, *senders))


def _passed(results: tuple[Reported, ...], method: str, *names: str) -> Iterator[str]:
    return (one.domain(*names) for one in results if one.method == method and one.result == "pass")


def _aligned(proved: str, author: str, services: Services, deadline: Deadline) -> bool:
    if "." in proved and proved in parents(author):
        return True
    try:
        return is_hostname(proved) and same_organization(proved, author, services.resolver, deadline)
    except DNSTemporaryError:
        return False


def decide(finding: ArcFinding, findings: Findings, settings: ArcSettings, policy: AccessMap | AccessTable) -> Verdict:
    """A chain never causes a refusal: a broken one counts like none (RFC 8617 section 5.2.1)."""
    notes = [f"sealed by {', '.join(finding.sealers[:5])}"] if finding.sealers else []
    notes += [finding.reason] if finding.reason else []
    if finding.trusted:
        saw = ", ".join(dict.fromkeys((*finding.authors, *([finding.sender] if finding.sender else ()))))
        notes.append(f"{finding.trusted} is trusted and saw {saw or 'nothing'} proved")
    return Verdict(Action.CONTINUE, reason=f"ARC {finding.result}" + (f" ({'; '.join(notes)})" if notes else ""))


def points(finding: ArcFinding, findings: Findings, settings: ArcSettings) -> tuple[Hit, ...]:
    if not finding.authors:
        return ()
    return (Hit("ARC_TRUSTED", f"{finding.trusted} saw {', '.join(finding.authors)} proved and sealed that."),)
