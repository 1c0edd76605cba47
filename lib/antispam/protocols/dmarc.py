"""DMARC (RFC 9989): may this message use the domain in its From, and what does the domain's owner ask for if not?

Pure but for the look-ups of the resolver that is given. The organizational domain is found by a walk up the DNS tree,
never by a list of public suffixes. Records are written by strangers: parsing is linear in their length and never raises.
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

MAX_QUERIES = 8  # of one walk (RFC 9989 section 4.10)
_EXISTENCE: tuple[RdType, ...] = ("A", "AAAA", "MX")
_TAG = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=([\t\x20-\x7e]+)")
_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_REPORT_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s,!]+")
_MAILTO = re.compile(r"mailto:([^?!\s]+)(?:![0-9]+[kmgt]?)?", re.IGNORECASE)
_ADDRESS = re.compile(
    r"[A-Za-z0-9#$&'*+/=^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}"
)  # that needs no quotes in a header or at SMTP
MAX_DESTINATIONS = 5
_USUAL = 1000  # octets of a record that may be remembered
E = TypeVar("E", bound=enum.StrEnum)


class Disposition(enum.StrEnum):
    """What a domain's owner asks to be done with mail that does not pass, the mildest first."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        return list(Disposition).index(self)

    @property
    def milder(self) -> Disposition:
        """One step down, as the test mode `t=y` asks (RFC 9989 section 4.7)."""
        return list(Disposition)[max(0, self.severity - 1)]


class DmarcResult(enum.StrEnum):
    """Results, as they stand in Authentication-Results."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Suffix(enum.StrEnum):
    """What `psd` says: whether the domain is one below which strangers register domains."""

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
    """What a DMARC record says; the tags that RFC 9989 removed (pct, rf, ri) and those of failure reports are not kept.

    policy       p
    subdomains   sp, None if it is absent
    missing      np: for names that do not exist; None if it is absent
    strict_dkim  adkim=s
    strict_spf   aspf=s
    suffix       psd
    testing      t=y
    rua          where aggregate reports are wanted: addresses of mailto URIs, the first MAX_DESTINATIONS
    problem      why the record's policy cannot be used, "" if it can
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
    """The record in a TXT string (RFC 9989 section 4.8); None if it is no DMARC record of this version.

    An unknown tag and one with a syntax error are ignored; of a tag that occurs twice the first counts.
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
    # Section 4.10.1: a policy that can't be understood asks for nothing; without an address for reports it is no policy.
    usable = any(_REPORT_URI.match(uri.strip()) for uri in tags.get("rua", "").split(","))
    problem = "" if usable else f"the tag {wrong} has none of the values none, quarantine and reject"
    return dataclasses.replace(record, policy=Disposition.NONE, subdomains=None, missing=None, problem=problem)


_remembered = functools.lru_cache(maxsize=1024)(_parsed)  # a domain's record is read for each of its messages


def _destinations(uris: str) -> tuple[str, ...]:
    """The addresses of a list of URIs: mailto is the only scheme that is defined. A limit of the size behind `!`, which RFC
    7489 had, is ignored."""
    found = (_MAILTO.fullmatch(uri.strip()) for uri in uris.split(","))
    addresses = (unquote(match[1], errors="replace") for match in found if match is not None)
    return tuple(dict.fromkeys(one for one in addresses if _ADDRESS.fullmatch(one)))[:MAX_DESTINATIONS]


def _one_of(kind: type[E], text: str | None) -> E | None:
    """The keyword that `text` is, in any case (RFC 5234 section 2.3); None for another text and if there is none."""
    return next((value for value in kind if text is not None and text.lower() == value), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A record and the domain that publishes it."""

    domain: str
    record: Record


@dataclasses.dataclass(frozen=True, slots=True)
class Walk:
    """A walk up the DNS tree from `start`: what was found, from the longest name to the shortest."""

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
        """The record whose policy holds (section 4.10.1): that of the domain itself, else that of its organizational domain,
        else that of the public suffix above it."""
        for name in (self.start, self.organizational):
            for one in self.found:
                if one.domain == name:
                    return one
        return next((one for one in self.found if one.record.suffix is Suffix.YES), None)


def names_of_walk(domain: str) -> Iterator[str]:
    """The domains that a walk from `domain` asks, at most MAX_QUERIES: a long name is cut to its last seven labels after the
    first question."""
    yield domain
    labels = domain.split(".")[1:]
    for start in range(max(0, len(labels) - (MAX_QUERIES - 1)), len(labels)):
        yield ".".join(labels[start:])


def ask_ahead(domain: str, resolver: Lookup, deadline: Deadline) -> None:
    """Ask for the record of a domain that will probably be an author's, and go on; nothing where the resolver can't."""
    ask = getattr(resolver, "ask_ahead", None)
    if ask is not None and not deadline.expired:
        ask(f"_dmarc.{domain}", "TXT", deadline, lambda _: None)


def walk(domain: str, resolver: Lookup, deadline: Deadline) -> Walk:
    """The walk from `domain` (normalised, a host name). Raises DNSTemporaryError."""
    found = []
    names = list(names_of_walk(domain))
    for name in names[1:]:  # so that eight slow answers cost the time of one or two
        ask_ahead(name, resolver, deadline)
    for name in names:
        texts = resolver.lookup(f"_dmarc.{name}", "TXT", deadline).texts
        records = [record for record in map(parse_record, texts) if record is not None]
        if len(records) != 1:
            continue  # step 2: of several records none can be used
        found.append(Found(name, records[0]))
        if records[0].suffix is not Suffix.UNKNOWN:
            break
    return Walk(domain, tuple(found))


@dataclasses.dataclass(frozen=True, slots=True)
class Identifier:
    """A domain for which SPF (of MAIL FROM) or DKIM has an answer.

    method  "spf" or "dkim"
    passed  it passed; False: it could not be found out now. What failed is no identifier.
    """

    method: str
    domain: str
    passed: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What DMARC says of one author domain. All strings are printable.

    domain          the author domain
    result          pass, fail, none (no policy is published), temperror or permerror
    asked           what its owner asks to be done with mail that fails, `t=y` taken into account
    tag             where that stands: "p", "sp" or "np"; "" without a record
    publisher       the domain that publishes it, "" without a record
    organizational  the organizational domain, "" if it is not known
    aligned         what passed and is aligned: "dkim example.org"; "" if nothing is
    testing         t=y made it milder
    problem         what is wrong, with temperror and permerror, or why nothing is known
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
    """Whether one of `identifiers` is aligned with the author domain, by the policy that this domain publishes. Never raises.

    unpublished  find that out for a domain without a usable policy as well: it fails then where nothing is aligned, and has
                 the result none where something is
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
    """The record that holds for an author domain, and which of "spf" and "dkim" passed and are aligned with it. Raises
    DNSTemporaryError."""
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
    """Whether the two domains are aligned in relaxed mode (section 4.10.2), whatever policy is published. Nothing is asked
    where the one is not at or below what could be the organizational domain of the other. Raises DNSTemporaryError."""
    return _is_aligned(domain, walk(author, resolver, deadline), False, resolver, deadline)


def _is_aligned(domain: str, walked: Walk, strict: bool, resolver: Lookup, deadline: Deadline) -> bool:
    """Section 4.10.2. A domain outside the author's organizational domain can't have the same one: of it nothing is asked,
    so that a message with many signatures costs nothing. Raises DNSTemporaryError."""
    if domain == walked.start:
        return True
    own = walked.organizational
    if strict or not (domain == own or domain.endswith("." + own)):
        return False
    return walk(domain, resolver, deadline).organizational == own


def _asked(domain: str, policy: Found, resolver: Lookup, deadline: Deadline) -> tuple[str, Disposition]:
    """The tag that holds for the domain, and what it says (section 4.7). Raises DNSTemporaryError."""
    record = policy.record
    if policy.domain == domain:
        return "p", record.policy
    if record.missing is not None and not _exists(domain, resolver, deadline):
        return "np", record.missing
    return ("p", record.policy) if record.subdomains is None else ("sp", record.subdomains)


def _exists(domain: str, resolver: Lookup, deadline: Deadline) -> bool:
    """Whether there is an A, AAAA or MX record: what section 3.2 calls an existing domain. Raises DNSTemporaryError."""
    return any(resolver.lookup(domain, rdtype, deadline).found for rdtype in _EXISTENCE)
