"""DMARC (RFC 9989): whether a message may use the domain in its From, and what the domain's owner requests if not.

Pure except for look-ups by the given resolver. The organizational domain is found by a walk up the DNS tree, never by a
list of public suffixes. Records are written by strangers: parsing is linear in their length and never raises.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Iterable, Iterator
from typing import TypeVar
from urllib.parse import unquote

from antispam.deadline import Deadline
from antispam.net.resolver import DNSTemporaryError, Lookup, RdType
from antispam.text import for_log

MAX_QUERIES = 8  # per walk (RFC 9989 section 4.10)
_EXISTENCE: tuple[RdType, ...] = ("A", "AAAA", "MX")
_TAG = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=([\t\x20-\x7e]+)")
_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_REPORT_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s,!]+")
_MAILTO = re.compile(r"mailto:([^?!\s]+)(?:![0-9]+[kmgt]?)?", re.IGNORECASE)
_ADDRESS = re.compile(
    r"[A-Za-z0-9#$&'*+/=^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}"
)  # needs no quotes in a header or in SMTP
MAX_DESTINATIONS = 5
_USUAL = 1000  # octets of the largest record that is cached
E = TypeVar("E", bound=enum.StrEnum)


class Disposition(enum.StrEnum):
    """The domain owner's wish for mail that does not pass, the mildest first."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        return list(Disposition).index(self)

    @property
    def milder(self) -> Disposition:
        """One step milder, as the test mode `t=y` requests (RFC 9989 section 4.7)."""
        return list(Disposition)[max(0, self.severity - 1)]


class DmarcResult(enum.StrEnum):
    """The results, as written in Authentication-Results."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Suffix(enum.StrEnum):
    """The values of `psd`: whether strangers can register domains below the domain."""

    YES = "y"
    NO = "n"
    UNKNOWN = "u"


class _Alignment(enum.StrEnum):
    RELAXED = "r"
    STRICT = "s"


class _Testing(enum.StrEnum):
    YES = "y"
    NO = "n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The content of a DMARC record, without the tags that RFC 9989 removed (pct, rf, ri) and those for failure
    reports.

    policy       p
    subdomains   sp; None if absent
    missing      np, for names that do not exist; None if absent
    strict_dkim  adkim=s
    strict_spf   aspf=s
    suffix       psd
    testing      t=y
    rua          the destinations of aggregate reports: addresses of mailto URIs, the first MAX_DESTINATIONS
    problem      why the record's policy cannot be used; "" if it can
    """

    policy: Disposition = Disposition.NONE
    subdomains: Disposition | None = None
    missing: Disposition | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    suffix: Suffix = Suffix.UNKNOWN
    testing: bool = False
    rua: tuple[str, ...] = ()
    problem: str = ""


def parse_record(text: bytes) -> Record | None:
    """The record in a TXT string (RFC 9989 section 4.8); None if it is not a DMARC record of this version.

    Unknown tags and tags with syntax errors are ignored. If a tag occurs twice, the first counts.
    """
    if not _VERSION.match(text):
        return None
    return _remembered(text) if len(text) <= _USUAL else _parsed(text)


def _parsed(text: bytes) -> Record:
    tags: dict[str, str] = {}
    for part in text.decode("latin-1").split(";")[1:]:
        if match := _TAG.fullmatch(part):
            tags.setdefault(match[1].lower(), match[2].strip(" \t"))
    given = {tag: _one_of(Disposition, tags.get(tag)) for tag in ("p", "sp", "np")}
    wrong = next((tag for tag in given if tag in tags and given[tag] is None), "")
    record = Record(
        policy=given["p"] or Disposition.NONE,
        subdomains=given["sp"],
        missing=given["np"],
        strict_dkim=_one_of(_Alignment, tags.get("adkim")) is _Alignment.STRICT,
        strict_spf=_one_of(_Alignment, tags.get("aspf")) is _Alignment.STRICT,
        suffix=_one_of(Suffix, tags.get("psd")) or Suffix.UNKNOWN,
        testing=_one_of(_Testing, tags.get("t")) is _Testing.YES,
        rua=_destinations(tags.get("rua", "")),
    )
    if not wrong:
        return record
    # Section 4.10.1: an invalid policy requests nothing; without a report address it is not a policy at all.
    usable = any(_REPORT_URI.match(uri.strip()) for uri in tags.get("rua", "").split(","))
    problem = "" if usable else f"the tag {wrong} has none of the values none, quarantine and reject"
    return dataclasses.replace(record, policy=Disposition.NONE, subdomains=None, missing=None, problem=problem)


_remembered = functools.lru_cache(maxsize=1024)(_parsed)  # a domain's record is read for each of its messages


def _destinations(uris: str) -> tuple[str, ...]:
    """The addresses in a list of URIs; mailto is the only defined scheme. A size limit after `!`, from RFC 7489, is
    ignored.
    """
    found = (_MAILTO.fullmatch(uri.strip()) for uri in uris.split(","))
    addresses = (unquote(match[1], errors="replace") for match in found if match is not None)
    return tuple(dict.fromkeys(one for one in addresses if _ADDRESS.fullmatch(one)))[:MAX_DESTINATIONS]


def _one_of(kind: type[E], text: str | None) -> E | None:
    """The keyword that equals `text`, ignoring case (RFC 5234 section 2.3); None for other text or None."""
    return next((value for value in kind if text is not None and text.lower() == value), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A record and the domain that publishes it."""

    domain: str
    record: Record


@dataclasses.dataclass(frozen=True, slots=True)
class Walk:
    """A walk up the DNS tree from `start`: the records found, from the longest name to the shortest."""

    start: str
    found: tuple[Found, ...]

    @property
    def organizational(self) -> str:
        """The organizational domain (section 4.10.2)."""
        for one in self.found:
            if one.record.suffix is Suffix.NO:
                return one.domain
            if one.record.suffix is Suffix.YES and one.domain != self.start:
                below = self.start.removesuffix("." + one.domain)
                return f"{below.rpartition('.')[2]}.{one.domain}"
        return self.found[-1].domain if self.found else self.start

    @property
    def policy(self) -> Found | None:
        """The record whose policy applies (section 4.10.1): that of the domain itself, else of its organizational
        domain, else of the public suffix above it.
        """
        for name in (self.start, self.organizational):
            for one in self.found:
                if one.domain == name:
                    return one
        return next((one for one in self.found if one.record.suffix is Suffix.YES), None)


def names_of_walk(domain: str) -> Iterator[str]:
    """The domains queried by a walk from `domain`, at most MAX_QUERIES: after the first query a long name is cut to its
    last seven labels.
    """
    yield domain
    labels = domain.split(".")[1:]
    for start in range(max(0, len(labels) - (MAX_QUERIES - 1)), len(labels)):
        yield ".".join(labels[start:])


def ask_ahead(domain: str, resolver: Lookup, deadline: Deadline) -> None:
    """Request the record of a domain that is probably an author's, without waiting. Does nothing if the resolver cannot
    do that.
    """
    ask = getattr(resolver, "ask_ahead", None)
    if ask is not None and not deadline.expired:
        ask(f"_dmarc.{domain}", "TXT", deadline, lambda _: None)


def walk(domain: str, resolver: Lookup, deadline: Deadline) -> Walk:
    """The walk from `domain` (normalised, a host name). Raises DNSTemporaryError."""
    found = []
    names = list(names_of_walk(domain))
    for name in names[1:]:  # eight slow answers then take the time of one or two
        ask_ahead(name, resolver, deadline)
    for name in names:
        texts = resolver.lookup(f"_dmarc.{name}", "TXT", deadline).texts
        records = [record for record in map(parse_record, texts) if record is not None]
        if len(records) != 1:
            continue  # step 2: if there are several records, none is used
        found.append(Found(name, records[0]))
        if records[0].suffix is not Suffix.UNKNOWN:
            break
    return Walk(domain, tuple(found))


@dataclasses.dataclass(frozen=True, slots=True)
class Identifier:
    """A domain with a result of SPF (for MAIL FROM) or DKIM.

    method  "spf" or "dkim"
    passed  it passed; False: the result is temporarily unknown. A failure is not an identifier.
    """

    method: str
    domain: str
    passed: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The evaluation of one author domain. All strings are printable.

    domain          the author domain
    result          pass, fail, none (no policy is published), temperror or permerror
    asked           the owner's wish for mail that fails, with `t=y` taken into account
    tag             the tag that says so: "p", "sp" or "np"; "" without a record
    publisher       the domain that publishes it; "" without a record
    organizational  the organizational domain; "" if unknown
    aligned         a method that passed and is aligned: "dkim example.org"; "" for none
    testing         t=y made the wish milder
    problem         what is wrong, for temperror and permerror, or why nothing is known
    """

    domain: str
    result: DmarcResult = DmarcResult.NONE
    asked: Disposition = Disposition.NONE
    tag: str = ""
    publisher: str = ""
    organizational: str = ""
    aligned: str = ""
    testing: bool = False
    problem: str = ""


def evaluate(
    domain: str, identifiers: Iterable[Identifier], resolver: Lookup, deadline: Deadline, *, unpublished: bool = False
) -> Evaluation:
    """Evaluate whether one of `identifiers` is aligned with the author domain, by the policy of this domain. Never
    raises.

    unpublished  evaluate a domain without a usable policy as well: it fails if nothing is aligned, and has the result
                 none if something is
    """
    try:
        walked = walk(domain, resolver, deadline)
        policy = walked.policy
        if policy is None and not unpublished:
            return Evaluation(domain=domain)
        if policy is not None and policy.record.problem and not unpublished:
            return Evaluation(
                domain=domain, result=DmarcResult.PERMERROR, publisher=policy.domain, problem=policy.record.problem
            )
        usable = None if policy is None or policy.record.problem else policy
        return _judged(walked, usable, identifiers, resolver, deadline)
    except DNSTemporaryError as error:
        return Evaluation(domain=domain, result=DmarcResult.TEMPERROR, problem=for_log(str(error), 200))


def _judged(
    walked: Walk, policy: Found | None, identifiers: Iterable[Identifier], resolver: Lookup, deadline: Deadline
) -> Evaluation:
    record = policy.record if policy is not None else Record()
    evaluation = Evaluation(
        domain=walked.start,
        organizational=walked.organizational,
        publisher=policy.domain if policy is not None else "",
    )
    undecided = ""
    for one in identifiers:
        strict = record.strict_spf if one.method == "spf" else record.strict_dkim
        try:
            aligned = _is_aligned(one.domain, walked, strict, resolver, deadline)
        except DNSTemporaryError as error:
            undecided = undecided or for_log(str(error), 200)
            continue
        if aligned and one.passed:
            result = DmarcResult.NONE if policy is None else DmarcResult.PASS
            return dataclasses.replace(evaluation, result=result, aligned=f"{one.method} {one.domain}")
        if aligned:
            undecided = undecided or f"{one.method} of {one.domain} could not be looked up"
    if undecided:
        return dataclasses.replace(evaluation, result=DmarcResult.TEMPERROR, problem=undecided)
    tag, asked = _asked(walked.start, policy, resolver, deadline) if policy is not None else ("", Disposition.NONE)
    return dataclasses.replace(
        evaluation,
        result=DmarcResult.FAIL,
        tag=tag,
        asked=asked.milder if record.testing else asked,
        testing=record.testing and asked is not Disposition.NONE,
    )


def aligned_methods(
    domain: str, identifiers: Iterable[Identifier], resolver: Lookup, deadline: Deadline
) -> tuple[Found | None, frozenset[str]]:
    """The record that applies to an author domain, and the methods ("spf", "dkim") that passed and are aligned. Raises
    DNSTemporaryError.
    """
    walked = walk(domain, resolver, deadline)
    policy = walked.policy
    record = policy.record if policy is not None else Record()
    methods = set()
    for one in identifiers:
        strict = record.strict_spf if one.method == "spf" else record.strict_dkim
        if one.passed and one.method not in methods and _is_aligned(one.domain, walked, strict, resolver, deadline):
            methods.add(one.method)
    return policy, frozenset(methods)


def same_organization(domain: str, author: str, resolver: Lookup, deadline: Deadline) -> bool:
    """Whether the two domains are aligned in relaxed mode (section 4.10.2), whatever policy is published. No query is
    made unless one is at or below a possible organizational domain of the other. Raises DNSTemporaryError.
    """
    return _is_aligned(domain, walk(author, resolver, deadline), False, resolver, deadline)


def _is_aligned(domain: str, walked: Walk, strict: bool, resolver: Lookup, deadline: Deadline) -> bool:
    """Whether a domain is aligned (section 4.10.2). A domain outside the author's organizational domain cannot share
    it, and is not queried, so a message with many signatures costs nothing. Raises DNSTemporaryError.
    """
    if domain == walked.start:
        return True
    own = walked.organizational
    if strict or not (domain == own or domain.endswith("." + own)):
        return False
    return walk(domain, resolver, deadline).organizational == own


def _asked(domain: str, policy: Found, resolver: Lookup, deadline: Deadline) -> tuple[str, Disposition]:
    """The tag that applies to the domain, and its value (section 4.7). Raises DNSTemporaryError."""
    record = policy.record
    if policy.domain == domain:
        return "p", record.policy
    if record.missing is not None and not _exists(domain, resolver, deadline):
        return "np", record.missing
    return ("p", record.policy) if record.subdomains is None else ("sp", record.subdomains)


def _exists(domain: str, resolver: Lookup, deadline: Deadline) -> bool:
    """Whether the domain exists in the sense of section 3.2: it has an A, AAAA or MX record. Raises DNSTemporaryError."""
    return any(resolver.lookup(domain, rdtype, deadline).found for rdtype in _EXISTENCE)
