"""check_host(), RFC 7208 section 4, and its cache."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from antispam.deadline import Deadline
from antispam.net.addresses import IPAddress, ascii_domain, normalize_domain, parse_ip
from antispam.net.resolver import Lookup, Recorder, Resolver
from antispam.protocols.spf.query import Query, Question
from antispam.protocols.spf.result import Identity, Result, SpfOptions, SpfResult, plain
from antispam.text import for_reply

_SURROGATES = re.compile("[\ud800-\udfff]")  # undecodable octets

_NO_OPTIONS = SpfOptions()


def check_host(
    ip: str | IPAddress,
    identity: Identity,
    mailfrom: str,
    helo: str,
    resolver: Lookup,
    deadline: Deadline,
    options: SpfOptions = _NO_OPTIONS,
) -> SpfResult:
    """Check the MAIL FROM or HELO identity of a client (RFC 7208 section 4).

    mailfrom is the reverse path without angle brackets, "" for the null one, whose identity is postmaster@HELO
    (section 2.4). Takes any text and never raises; running out of time is temperror.
    """
    local, _, domain = mailfrom.rpartition("@") if identity == "mailfrom" and mailfrom else ("", "", helo)
    checked = _checkable(domain)
    client = parse_ip(str(ip))
    if checked is None or client is None:
        problem = "no client address" if client is None else "not a domain name that SPF can be checked for"
        return _result(Result.NONE, identity, checked or "", str(ip), mailfrom, helo, problem=problem)
    asked = Question(client, _unquoted(local) or "postmaster", checked, helo, options)
    found = _remembered(identity, asked, resolver, deadline)
    return _result(
        found.result,
        identity,
        checked,
        str(client),
        mailfrom,
        helo,
        mechanism=found.mechanism,
        problem=found.problem,
        explanation=found.explanation,
        lookups=found.lookups,
        lax=found.lax,
        guess=found.guess,
        sends_nothing=found.sends_nothing,
    )


def _unquoted(local: str) -> str:
    """The local part without quotes, which have no meaning (RFC 5321 section 4.1.2)."""
    if len(local) >= 2 and local[0] == local[-1] == '"':
        return re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
    return local


class _Outcome(NamedTuple):
    """The outcome of an evaluation.

    personal  it may depend on the local part or the HELO name, because macros were expanded
    """

    result: Result
    mechanism: str
    problem: str
    explanation: str
    lookups: int
    lax: Result | None
    guess: Result | None
    sends_nothing: bool
    personal: bool


def _remembered(identity: Identity, asked: Question, resolver: Lookup, deadline: Deadline) -> _Outcome:
    """The outcome, or that of an earlier message from the same client and domain while all DNS answers behind it are
    still valid. Temporary errors are not cached.
    """
    if not isinstance(resolver, Resolver):
        return _evaluate(asked, resolver, deadline)
    memory, now = resolver.conclusions, resolver.now()
    everybodys = ("spf", identity, asked.client, asked.domain, asked.options)
    own = (*everybodys, asked.local, asked.helo)
    found = memory.get(everybodys, now) or memory.get(own, now)
    if found is not None:
        return found  # type: ignore[no-any-return]
    recorder = Recorder(resolver)
    outcome = _evaluate(asked, recorder, deadline)
    if outcome.result is not Result.TEMPERROR and not deadline.expired:
        memory.put(own if outcome.personal else everybodys, outcome, recorder.expires)
    return outcome


def _evaluate(asked: Question, resolver: Lookup, deadline: Deadline) -> _Outcome:
    options = asked.options
    query = Query(asked, resolver, deadline)
    result = query.evaluate()
    explanation = query.explanation() if options.explain and result is Result.FAIL else ""
    lax = query.forgiving().evaluate_lax() if options.lax and result is Result.PERMERROR else None
    guess = query.guess(options.best_guess) if options.best_guess and result is Result.NONE else None
    return _Outcome(
        result,
        query.mechanism or "",
        query.problem(),
        explanation,
        query.lookups,
        lax,
        guess,
        result is Result.FAIL and query.permits_nobody,
        query.personal,
    )


def _result(
    result: Result, identity: Identity, domain: str, ip: str, mailfrom: str, helo: str, **more: Any
) -> SpfResult:
    for name, limit in (("mechanism", 100), ("problem", 200), ("explanation", 300)):
        more[name] = for_reply(more.get(name, ""), limit)
    helo = helo if helo.isascii() else normalize_domain(helo)
    return SpfResult(result, identity, domain, plain(ip, 64), _sender(mailfrom), plain(helo, 255), **more)


def _sender(mailfrom: str) -> str:
    """The reverse path in printable characters, with its domain in A-labels."""
    if mailfrom.isascii():
        return plain(mailfrom, 320)
    local, at, domain = mailfrom.rpartition("@")
    text = _SURROGATES.sub("\ufffd", f"{local}{at}{normalize_domain(domain)}"[:320])
    return "".join(char if char.isprintable() else "?" for char in text)


def _checkable(domain: str) -> str | None:
    """The domain in A-labels, or None if RFC 7208 section 4.3 requires the result "none" without a look-up: malformed,
    a single label or an address literal. No top-level domain is numeric (RFC 3696 section 2), so a bare address is not
    a domain, either.
    """
    name = ascii_domain(domain)
    if name is None or "." not in name or re.search(r"[\[\]@ ]|\.[0-9]+$", name):
        return None
    return name
