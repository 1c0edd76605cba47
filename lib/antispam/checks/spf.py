"""SPF: is this client allowed to use the domain of MAIL FROM, and the name it gave at HELO?

The access map judges the result (`spf-<result>:`, `helo-<result>:`); without an entry, [spf] does. A fail usually waits
for the end of the message, where checks/spf_fail.py decides.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable

from antispam.checks._shared.dmarc_settings import DmarcSettings
from antispam.checks._shared.spf.judging import judge
from antispam.checks._shared.spf.replies import found
from antispam.checks._shared.spf.settings import SpfSettings
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import author_signed, authors
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Verdict
from antispam.net.addresses import is_hostname, parents, parse_mailbox
from antispam.protocols.dmarc import ask_ahead
from antispam.protocols.spf import (
    BEST_GUESS,
    BEST_GUESS_DYNAMIC,
    BEST_GUESS_HELO,
    Result,
    SpfOptions,
    SpfResult,
    check_host,
    received_spf,
)
from antispam.settings import Mode

NAME = "spf"
OTHERWISE = (
    "An access map entry such as `SPF-Fail:example.org OK` decides for one domain; `[spf] trusted_forwarder` names "
    "servers that forward without rewriting the sender."
)
Settings = SpfSettings
Finding = SpfFinding
LOOKS_UP = True

_PLAIN = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")  # RFC 5322 section 3.2.3


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SpfFinding | None:
    """None for internal clients, trusted relays and authenticated senders."""
    if message is None or not connection.ip or _exempt(message):
        return None
    settings = services.settings[Settings]
    _ask_dmarc_ahead(message, services)
    check = functools.partial(check_host, connection.ip, resolver=services.resolver, deadline=services.deadline)
    forwarder = _forwarder(check, settings)
    if forwarder:
        return SpfFinding(forwarder=forwarder)
    receiver = connection.receiver or "unknown"
    client = message.findings.get(ConnectionFinding, ConnectionFinding())
    named = bool(connection.name) and not client.dynamic
    guess = _assumed(settings, named)
    options = SpfOptions(
        receiver=receiver,
        explain=settings.explain,
        lax=settings.lax_permerror,
        voids=settings.void_lookups,
        best_guess=guess,
        delegate=settings.delegate,
    )
    mailfrom = check("mailfrom", message.mail_from, connection.helo, options=options)
    helo = None
    if mailfrom.result is not Result.PASS and message.mail_from:
        guess = BEST_GUESS_HELO if settings.best_guess and named else ""
        helo = check(
            "helo",
            message.mail_from,
            connection.helo,
            options=dataclasses.replace(options, lax=False, best_guess=guess),
        )
        mailfrom = _vouched(mailfrom, helo) if settings.best_guess else mailfrom
    confirmed = named and connection.name.lower() == connection.helo.lower().removesuffix(".")
    return SpfFinding(mailfrom=mailfrom, helo=helo, helo_confirmed=confirmed, named=named, receiver=receiver)


def _ask_dmarc_ahead(message: Message, services: Services) -> None:
    """Look up the sender domain's DMARC policy in advance: the author is usually in the same domain."""
    domain = parse_mailbox(message.mail_from).domain
    wanted = DmarcSettings in services.settings and services.settings[DmarcSettings].mode is not Mode.OFF
    if wanted and is_hostname(domain):
        ask_ahead(domain, services.resolver, services.deadline)


def _assumed(settings: Settings, named: bool) -> str:
    """The record to assume for senders whose domain publishes none."""
    if isinstance(settings.best_guess, str):
        return settings.best_guess
    return (BEST_GUESS if named else BEST_GUESS_DYNAMIC) if settings.best_guess else ""


def _exempt(message: Message) -> bool:
    client = message.findings.get(ConnectionFinding)
    auth = message.findings.get(AuthFinding)
    known = client is not None and client.client is not ClientClass.EXTERNAL
    return known or bool(message.auth) or (auth is not None and bool(auth.login))


def _forwarder(check: Callable[..., SpfResult], settings: SpfSettings) -> str:
    """The trusted forwarder to which the client belongs, by that domain's own record or a narrow guess."""
    options = SpfOptions(best_guess=BEST_GUESS_HELO)
    for domain in settings.trusted_forwarder:
        if check("helo", "", domain, options=options).effective is Result.PASS:
            return domain
    return ""


def _vouched(mailfrom: SpfResult, helo: SpfResult) -> SpfResult:
    """The result, guessed as a pass for a domain without a record if the HELO name shows the client to be its host."""
    own = helo.domain == mailfrom.domain or helo.domain.endswith("." + mailfrom.domain)
    if mailfrom.result is Result.NONE and mailfrom.domain and own and helo.effective is Result.PASS:
        return dataclasses.replace(mailfrom, guess=Result.PASS)
    return mailfrom


def decide(finding: SpfFinding, findings: Findings, settings: SpfSettings, policy: AccessMap | AccessTable) -> Verdict:
    return judge(finding, settings, policy).verdict


_TESTS = {
    Result.FAIL: "SPF_FAIL",
    Result.SOFTFAIL: "SPF_SOFTFAIL",
    Result.NONE: "SPF_NONE",
    Result.PERMERROR: "SPF_PERMERROR",
}


def points(finding: SpfFinding, findings: Findings, settings: SpfSettings) -> tuple[Hit, ...]:
    """No points for a trusted forwarder, which may use any sender, or if the author's domain signed the message, which
    anybody may have forwarded. For the null sender, the HELO name is judged.
    """
    hits = []
    outcome = finding.mailfrom
    result = outcome.effective if outcome is not None else Result.NEUTRAL
    forwarded = result in (Result.FAIL, Result.SOFTFAIL) and author_signed(findings)
    counts = result in _TESTS and not forwarded
    if outcome is not None and counts and (outcome.mailfrom or result is not Result.NONE):
        hits.append(Hit(_TESTS[result], f"{found(outcome)}, asked about {outcome.ip}."))
    if finding.helo is not None and finding.helo.result is Result.FAIL:
        hits.append(Hit("SPF_HELO_FAIL", f"{found(finding.helo)}, asked about {finding.helo.ip}."))
    return tuple(hits)


def act(finding: SpfFinding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Report the result in a Received-SPF field on top (RFC 7208 section 9.1)."""
    if finding.mailfrom is None:
        return
    more = {"helo_spf": str(finding.helo.result)} if finding.helo is not None else {}
    more |= {"bestguess": str(finding.mailfrom.guess)} if finding.mailfrom.guess else {}
    more |= {"lax": str(finding.mailfrom.lax)} if finding.mailfrom.lax else {}
    draft.insert_header("Received-SPF", received_spf(finding.mailfrom, finding.receiver, **more))
    if services.settings[Settings].supply_sender:
        _supply_sender(finding.mailfrom, draft)


def _supply_sender(outcome: SpfResult, draft: Draft) -> None:
    """Add a Sender field, so that mail programs show "sent by SENDER on behalf of FROM". Nothing is added if an
    author's domain is that of MAIL FROM or a parent of it, or if the sender needs quotes.
    """
    message = draft.message
    above = set(parents(outcome.domain))
    named = any(author.domain in above for author in authors(message))
    sender = parse_mailbox(outcome.mailfrom)
    plain = _PLAIN.fullmatch(sender.local) and is_hostname(sender.domain)
    if plain and not named and not message.fields(b"sender"):
        draft.append_header("Sender", f"<{sender}>")
