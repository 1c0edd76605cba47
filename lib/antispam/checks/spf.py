"""SPF: is this client allowed to use the domain of MAIL FROM, and the name it gave at HELO?

What was found is judged by the access map (`spf-<result>:`, `helo-<result>:`) and, where that is silent, by [spf].
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Callable

from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable, Policy, obey
from antispam.mail.authors import authors
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Callback, Verdict, reject, tempfail
from antispam.net.addresses import Mailbox, host_list, is_hostname, normalize_domain, parents, parse_mailbox
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
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import boolean, not_negative

NAME = "spf"
Finding = SpfFinding
LOOKS_UP = True

_PLAIN = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")  # RFC 5322 section 3.2.3
MAX_FORWARDERS = 20  # each costs an SPF check of its own


def _guess(text: str) -> bool | str:
    """Yes, no, or the record to assume."""
    return " ".join(text.split()) if text.strip().lower().startswith("v=spf1") else boolean(text)


def _forwarders(names: tuple[str, ...]) -> None:
    if len(names) > MAX_FORWARDERS:
        raise ValueError(f"at most {MAX_FORWARDERS}: each is checked for every message")
    for name in names:
        if not is_hostname(normalize_domain(name)):
            raise ValueError(f"{name!r} is not a domain; its SPF record says which servers it has")


class Doubt(enum.StrEnum):
    """What to do about results that are neither good nor refused."""

    NOTHING = "nothing"
    CBV = "cbv"
    DSN = "dsn"


@section("spf")
class Settings(CheckSettings):
    """[spf]: Sender Policy Framework, RFC 7208."""

    best_guess: bool | str = option(
        False,
        "assume 'v=spf1 a/24 mx/24 ptr', or the record given here, for domains that publish nothing; counts for, never against",
        parse=_guess,
    )
    lax_permerror: bool = option(True, "judge a record with an error by what can be understood of it")
    reject_permerror: bool = option(
        False, "refuse mail of domains whose record has an error, where nothing can be understood of it"
    )
    void_lookups: int = option(
        2,
        "how many terms of a record may name what does not exist, before that is an error; counts where lax_permerror does not",
        check=not_negative,
    )
    delegate: str = option("", "our domain that has records for others without one, at THEIRS._spf.OURS")
    reject_neutral: tuple[str, ...] = option(
        (), "domains whose mail must pass: refuse neutral and softfail", check=host_list
    )
    accept_softfail: tuple[str, ...] = option((), "domains whose softfail is taken for good", check=host_list)
    accept_fail: tuple[str, ...] = option(
        (),
        "domains whose fail counts as softfail if the client's HELO name is confirmed: their record is wrong",
        check=host_list,
    )
    reject_noptr: bool = option(
        False, "refuse clients that have neither a PTR record, nor a valid HELO name, nor an SPF record"
    )
    doubtful: Doubt = option(
        Doubt.NOTHING,
        "cbv or dsn, as in the access map, where the options above don't refuse: softfail that is not taken for good, fail "
        "that counts as softfail, clients that reject_noptr would refuse; nothing goes on",
    )
    trusted_forwarder: tuple[str, ...] = option(
        (),
        "domains that forward mail without SRS: their servers, by their own SPF records, may use any MAIL FROM",
        check=_forwarders,
    )
    explain: bool = option(True, "put the domain owner's explanation (exp=) into the refusal")
    supply_sender: bool = option(False, "add MAIL FROM as Sender where there is none and From has another domain")


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SpfFinding | None:
    """Nothing to ask of internal clients, trusted relays and authenticated senders."""
    if message is None or not connection.ip or _exempt(message):
        return None
    settings = services.settings[Settings]
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


def _forwarder(check: Callable[..., SpfResult], settings: Settings) -> str:
    """The trusted forwarder to which the client belongs, by that domain's own record or a narrow guess."""
    options = SpfOptions(best_guess=BEST_GUESS_HELO)
    for domain in settings.trusted_forwarder:
        if check("helo", "", domain, options=options).effective is Result.PASS:
            return domain
    return ""


def _vouched(mailfrom: SpfResult, helo: SpfResult) -> SpfResult:
    """A domain without a record, whose own host the client is as its HELO name shows, is guessed to pass."""
    own = helo.domain == mailfrom.domain or helo.domain.endswith("." + mailfrom.domain)
    if mailfrom.result is Result.NONE and mailfrom.domain and own and helo.effective is Result.PASS:
        return dataclasses.replace(mailfrom, guess=Result.PASS)
    return mailfrom


def decide(finding: SpfFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The first that has something to say: the HELO name, then MAIL FROM."""
    if finding.mailfrom is None:
        return _go_on(f"trusted forwarder {finding.forwarder}")
    callback = None
    if finding.helo is not None:
        verdict = _decide_helo(finding.helo, settings, policy)
        if verdict.action is not Action.CONTINUE:
            return verdict
        callback = verdict.callback
    verdict = _decide_mailfrom(finding, finding.mailfrom, settings, policy)
    goes_on = verdict.action is Action.CONTINUE and verdict.callback is None
    return dataclasses.replace(verdict, callback=callback) if callback and goes_on else verdict


def _decide_helo(outcome: SpfResult, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    entry = policy.policy(f"helo-{outcome.result}", outcome.domain or outcome.helo)
    if entry is not None:
        return _obey(entry, outcome, outcome.result)
    return _refuse(outcome, outcome.result) if outcome.result is Result.FAIL else _go_on(_found(outcome))


def _decide_mailfrom(
    finding: SpfFinding, outcome: SpfResult, settings: Settings, policy: AccessMap | AccessTable
) -> Verdict:
    result = outcome.effective
    entry = policy.policy(f"spf-{result}", _sender(outcome))
    if entry is not None:
        return _obey(entry, outcome, result)
    domain = outcome.domain
    if result is Result.FAIL and finding.helo_valid and domain in host_list(settings.accept_fail):
        result = Result.SOFTFAIL
    unknown = result is Result.NONE and not finding.named and not finding.helo_valid
    if result in (Result.SOFTFAIL, Result.NEUTRAL) and domain in host_list(settings.reject_neutral):
        refused = result is Result.NEUTRAL or domain not in host_list(settings.accept_softfail)
    elif result is Result.NONE:
        refused = settings.reject_noptr and unknown
    else:
        refused = result in (Result.FAIL, Result.TEMPERROR)
        refused |= result is Result.PERMERROR and settings.reject_permerror
    if refused:
        return _refuse(outcome, result)
    soft = result is Result.SOFTFAIL and domain not in host_list(settings.accept_softfail)
    verdict = _go_on(_found(outcome))
    if settings.doubtful is not Doubt.NOTHING and (unknown or soft):
        callback = Callback(settings.doubtful.upper(), f"spf-{outcome.effective}")
        return dataclasses.replace(verdict, callback=callback)
    return verdict


def _sender(outcome: SpfResult) -> Mailbox:
    local = parse_mailbox(outcome.mailfrom).local if outcome.mailfrom else "postmaster"
    return Mailbox(local, outcome.domain)


def _go_on(reason: str) -> Verdict:
    return Verdict(Action.CONTINUE, reason=reason)


def _found(outcome: SpfResult) -> str:
    """The result in words for the log."""
    notes = [f"lax {outcome.lax}"] if outcome.lax else []
    notes += [f"guessed {outcome.guess}"] if outcome.guess else []
    notes += [outcome.problem] if outcome.problem else []
    identity = "HELO SPF" if outcome.identity == "helo" else "SPF"
    return f"{identity} {outcome.result} for {outcome.domain or 'no domain'}" + (
        f" ({', '.join(notes)})" if notes else ""
    )


def _obey(entry: Policy, outcome: SpfResult, result: Result) -> Verdict:
    """What an entry of the access map wants done about a result."""
    reason = f"{_found(outcome)}, access map {entry.key} {entry.action}"
    return obey(entry, dataclasses.replace(_refuse(outcome, result), reason=reason))


def _refuse(outcome: SpfResult, result: Result) -> Verdict:
    """A refusal that tells an honest sender what to do. A temporary error is never refused for good (RFC 7208 section 8.6)."""
    text = "\n".join(_told(outcome, result))
    match result:
        case Result.TEMPERROR:
            return tempfail(text, _found(outcome), enhanced="4.7.24")
        case Result.PERMERROR:
            return reject(text, _found(outcome), enhanced="5.7.24")
        case Result.FAIL:
            return reject(text, _found(outcome), enhanced="5.7.23")
        case Result.NONE:  # three strikes: no honest server has no name, no HELO name and no record
            return reject(text, _found(outcome), enhanced="5.7.25", demerits=1)
        case _:
            return reject(text, _found(outcome))


def _told(outcome: SpfResult, result: Result) -> list[str]:
    """What was found and what can be done about it, in sentences of less than a line."""
    domain, ip = outcome.domain or outcome.helo, outcome.ip
    record = f"Ask the administrator of {domain} to add {ip} to its SPF record"
    match result:
        case Result.FAIL if outcome.identity == "helo":
            return [
                f"The mail server at {ip} calls itself {domain}, but the SPF record of {domain} does not permit that.",
                f"{record}, or to correct the name that the server gives at HELO.",
            ]
        case Result.FAIL:
            explained = [f"{domain} explains: {outcome.explanation}"] if outcome.explanation else []
            return [
                f"The SPF record of {domain} does not permit {ip} to send mail with that sender address.",
                *explained,
                f"If the message is yours, send it through the mail server that your provider gave you. {record}.",
            ]
        case Result.SOFTFAIL | Result.NEUTRAL:
            return [
                f"Mail from {domain} is forged often, so that it must pass SPF here; for {ip} the result is {result}.",
                f"Send it through the mail server that your provider gave you. {record}.",
            ]
        case Result.PERMERROR:
            return [
                f"The SPF record of {domain} has an error: {outcome.problem or 'it cannot be understood'}.",
                f"Ask the administrator of {domain} to correct it; until then its mail cannot be told from forgeries.",
            ]
        case Result.TEMPERROR:
            return [
                f"The SPF record of {domain} could not be looked up: {outcome.problem or 'no answer'}.",
                f"The message will be accepted once the name servers of {domain} answer; your server tries again by itself.",
            ]
        case Result.NONE:
            return [
                f"The mail server at {ip} can't be identified: it has no host name that resolves back to it (PTR record),",
                f"no valid HELO name, and {domain} publishes no SPF record. Any one of them would do.",
            ]
        case _:
            return [f"Mail from {domain} is not accepted here, although {ip} is permitted to send it."]


_TESTS = {
    Result.FAIL: "SPF_FAIL",
    Result.SOFTFAIL: "SPF_SOFTFAIL",
    Result.NONE: "SPF_NONE",
    Result.PERMERROR: "SPF_PERMERROR",
}


def points(finding: SpfFinding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """A trusted forwarder may use any sender; the null sender has no record of its own, its HELO name answers for it."""
    hits = []
    outcome = finding.mailfrom
    result = outcome.effective if outcome is not None else Result.NEUTRAL
    if outcome is not None and result in _TESTS and (outcome.mailfrom or result is not Result.NONE):
        hits.append(Hit(_TESTS[result], f"{_found(outcome)}, asked about {outcome.ip}."))
    if finding.helo is not None and finding.helo.result is Result.FAIL:
        hits.append(Hit("SPF_HELO_FAIL", f"{_found(finding.helo)}, asked about {finding.helo.ip}."))
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
    """Mail programs show "sent by SENDER on behalf of FROM" then. Nothing is added where an author's domain is that of MAIL
    FROM, or one above it, and for a sender that can't be written without quotes."""
    message = draft.message
    above = set(parents(outcome.domain))
    named = any(author.domain in above for author in authors(message))
    sender = parse_mailbox(outcome.mailfrom)
    plain = _PLAIN.fullmatch(sender.local) and is_hostname(sender.domain)
    if plain and not named and not message.fields(b"sender"):
        draft.append_header("Sender", f"<{sender}>")
