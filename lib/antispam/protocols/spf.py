"""Sender Policy Framework, RFC 7208: may this host use that domain?

Evaluation is pyspf's. What is added here: DNS goes through our resolver under one deadline, hostile records and
identities are bounded and made safe before anybody reads them, explanations are fetched only when somebody wants them,
and a few places where pyspf departs from the RFC follow it.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import spf  # type: ignore[import-untyped]

from antispam.deadline import Deadline
from antispam.net.addresses import IPAddress, ascii_address, ascii_domain, normalize_domain, parse_ip
from antispam.net.resolver import Answer, DNSTemporaryError, Lookup, Recorder, Resolver, Status
from antispam.text import for_reply, from_wire

Identity = Literal["mailfrom", "helo"]

BEST_GUESS = "v=spf1 a/24 mx/24 ptr"
"""The record assumed for domains that publish none."""
BEST_GUESS_DYNAMIC = "v=spf1 a/24 mx/24"
"""The same for clients whose PTR record is missing or dynamic, and proves nothing."""
BEST_GUESS_HELO = "v=spf1 a mx"
"""The same for HELO names; a provider's PTR record must not vouch for its customers' zombies."""

MAX_RECORD = 8192  # octets of an SPF record; far above what fits the ten look-ups that a record may cost
MAX_TERM = 512  # octets of one term; a domain name has at most 253 and macros only shorten from the left
MAX_LOCAL_PART = 256  # octets that macros see; RFC 5321 section 4.5.3.1.1 allows 64
MAX_QUESTIONS = 200  # DNS questions of one evaluation; ten terms of ten MX or PTR hosts stay below it
MAX_EXPLANATION = 1024  # octets of an explanation before its macros are expanded

_MACRO = re.compile(r"%(?:[%_-]|\{[slodiphcrtv](?!0+\D)[0-9]*r?[-.+,/_=]*\})", re.IGNORECASE)  # RFC 7208 section 7.1
_SURROGATES = re.compile("[\ud800-\udfff]")  # undecodable octets
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class Result(enum.StrEnum):
    """The results of check_host(), RFC 7208 section 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class SpfOptions:
    """What the administrator may choose.

    receiver    our host name, for the macro %{r}
    explain     on fail, fetch the explanation that the domain owner publishes
    lax         on permerror, also tell what a forgiving reading of the record gives
    best_guess  the record to assume where none is published, such as BEST_GUESS; "" assumes none
    delegate    the domain under which others' records are kept, as DOMAIN._spf.DELEGATE; "" for none
    """

    receiver: str = "unknown"
    explain: bool = False
    lax: bool = False
    best_guess: str = ""
    delegate: str = ""


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The outcome for one identity. All text is printable and of bounded length, whatever DNS or the client sent, and all but
    the local part of `mailfrom` is US-ASCII.

    result       what RFC 7208 says; a guess or a lax reading never changes it
    identity     which identity was checked
    domain       its domain in A-labels; "" where there was none to check
    ip           the client's address
    mailfrom     the reverse path, its domain in A-labels; "" for the null one
    helo         the HELO name
    mechanism    the term of the domain's record that matched; "" where none did
    problem      what is wrong, with permerror and temperror
    explanation  the domain owner's words, with fail, if asked for
    lookups      terms that asked the DNS
    lax          with permerror: the result of the forgiving reading
    guess        with none: pass or neutral by the record that was assumed
    """

    result: Result
    identity: Identity
    domain: str
    ip: str
    mailfrom: str
    helo: str
    mechanism: str = ""
    problem: str = ""
    explanation: str = ""
    lookups: int = 0
    lax: Result | None = None
    guess: Result | None = None

    @property
    def effective(self) -> Result:
        """The result that local policy may go by: that of the lax reading, or pass where it was guessed."""
        return self.lax or (Result.PASS if self.guess is Result.PASS else self.result)


def check_host(
    ip: str | IPAddress,
    identity: Identity,
    mailfrom: str,
    helo: str,
    resolver: Lookup,
    deadline: Deadline,
    options: SpfOptions = SpfOptions(),
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
    asked = _Question(client, _unquoted(local) or "postmaster", checked, helo, options)
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
    )


def _unquoted(local: str) -> str:
    """A local part means the same in quotes and without (RFC 5321 section 4.1.2)."""
    if len(local) >= 2 and local[0] == local[-1] == '"':
        return re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
    return local


class _Question(NamedTuple):
    """Everything on which the answer depends, DNS apart. `domain` is in A-labels."""

    client: IPAddress
    local: str
    domain: str
    helo: str
    options: SpfOptions


class _Outcome(NamedTuple):
    """What an evaluation found.

    personal  it may depend on the local part or the HELO name, for macros were expanded
    """

    result: Result
    mechanism: str
    problem: str
    explanation: str
    lookups: int
    lax: Result | None
    guess: Result | None
    personal: bool


def _remembered(identity: Identity, asked: _Question, resolver: Lookup, deadline: Deadline) -> _Outcome:
    """The outcome, or that of an earlier message from the same client and domain while all DNS answers are still good that
    led to it. Temporary errors are forgotten at once."""
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


def _evaluate(asked: _Question, resolver: Lookup, deadline: Deadline) -> _Outcome:
    options = asked.options
    query = _Query(asked, resolver, deadline)
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
        query.personal,
    )


def _result(
    result: Result, identity: Identity, domain: str, ip: str, mailfrom: str, helo: str, **more: Any
) -> SpfResult:
    for name, limit in (("mechanism", 100), ("problem", 200), ("explanation", 300)):
        more[name] = for_reply(more.get(name, ""), limit)
    helo = helo if helo.isascii() else normalize_domain(helo)
    return SpfResult(result, identity, domain, _plain(ip, 64), _sender(mailfrom), _plain(helo, 255), **more)


def _sender(mailfrom: str) -> str:
    """The reverse path in printable characters, its domain in A-labels."""
    if mailfrom.isascii():
        return _plain(mailfrom, 320)
    local, at, domain = mailfrom.rpartition("@")
    text = _SURROGATES.sub("\ufffd", f"{local}{at}{normalize_domain(domain)}"[:320])
    return "".join(char if char.isprintable() else "?" for char in text)


def _plain(text: str, limit: int) -> str:
    """`text` in printable US-ASCII; other characters become escapes, control characters a question mark."""
    text = from_wire(text, limit).encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[^\x20-\x7e]", "?", text)[:limit]


def _checkable(domain: str) -> str | None:
    """The domain in A-labels, or None where RFC 7208 section 4.3 demands "none" without a look-up: malformed, a single
    label or an address literal. No top-level domain is numeric (RFC 3696 section 2), so a bare address is none either."""
    name = ascii_domain(domain)
    if name is None or "." not in name or re.search(r"[\[\]@ ]|\.[0-9]+$", name):
        return None
    return name


class _Query(spf.query):  # type: ignore[misc]
    """One evaluation. Attributes of a single lower-case letter are SPF macros in pyspf; ours have longer names."""

    def __init__(
        self, asked: _Question, resolver: Lookup, deadline: Deadline, strict: bool = True, kin: _Query | None = None
    ) -> None:
        local, domain = from_wire(asked.local, MAX_LOCAL_PART), asked.domain
        helo = from_wire(asked.helo, 255)
        options = asked.options
        super().__init__(str(asked.client), f"{local}@{domain}", helo, receiver=options.receiver, strict=strict)
        # pyspf divides at the first "@", of which a quoted local part may have one too.
        self.l, self.o, self.d = local, domain, domain
        self._asked = asked
        self._kin = kin
        self.personal = False
        self._resolver = resolver
        self._deadline = deadline
        self._delegate = options.delegate
        self._questions = 0
        self._void_noted = True
        self._depth = 0
        self._explanation_at: tuple[str, str] | None = None

    def forgiving(self) -> _Query:
        """The same question under pyspf's lax reading."""
        return _Query(self._asked, self._resolver, self._deadline, strict=False, kin=self)

    def evaluate(self) -> Result:
        return Result(self.check()[0])

    def evaluate_lax(self) -> Result | None:
        """The result in spite of a permanent error; None where even a lax reading finds none."""
        self.check()
        extended = self.perm_error.ext if self.perm_error else None
        return Result(extended[0]) if extended else None

    def guess(self, record: str) -> Result | None:
        """Pass or neutral by an assumed record. Errors are not held against a domain that never published anything."""
        guessed = Result(_Query(self._asked, self._resolver, self._deadline, kin=self).check(record)[0])
        return guessed if guessed in (Result.PASS, Result.NEUTRAL) else None

    def problem(self) -> str:
        return ": ".join([getattr(self, "prob", ""), *map(str, self.mech[:1])]).removeprefix(": ")

    def check(self, record: str | None = None) -> tuple[str, int, str]:
        self._void_noted = True  # the look-up of the record itself is not that of a term
        outcome: tuple[str, int, str] = super().check(record)
        return outcome

    def check1(self, record: str | None, domain: str, recursion: int) -> tuple[str, int, str]:
        """Remember how deep in includes we are, since their explanations don't count (RFC 7208 section 6.2)."""
        outer, self._depth = self._depth, recursion
        if recursion == 0:
            self._explanation_at = None  # nor does that of a record which redirects
        try:
            outcome: tuple[str, int, str] = super().check1(record, domain, recursion)
        finally:
            self._depth = outer
        return outcome

    def get_explanation(self, spec: str) -> None:
        """Called by pyspf for every exp=, though few results need it: note the place and ask later."""
        if self._depth == 0:
            self._explanation_at = (spec, self.d)

    def explanation(self) -> str:
        """The domain owner's explanation with its macros expanded; "" where there is none that can be used."""
        if self._explanation_at is None:
            return ""
        name, self.d = self._explanation_at
        try:
            texts = self.dns_txt(name, ignore_void=True)
            if len(texts) != 1 or len(texts[0]) > MAX_EXPLANATION:
                return ""
            text = texts[0].decode("ascii")
            _demand_macros(text)
            return " ".join(map(self._expand_word, text.split(" ")))
        except (UnicodeError, spf.PermError, spf.TempError):
            return ""
        finally:
            self.d = self.o

    def _expand_word(self, word: str) -> str:
        """One word of an explanation: pyspf would shorten a longer text as if it were a domain name, and does not know
        "%%" at the end."""
        return "%".join(self.expand(part, stripdot=False) for part in word.split("%%"))

    def expand(self, text: str, stripdot: bool = True) -> str:
        """Expand macros. Names of more than 253 octets lose labels from the left until they fit (section 7.3)."""
        if self._deadline.expired:
            raise spf.TempError("time limit exceeded")
        if "%" in text:
            self._note_personal()
        expanded: str = super().expand(text, stripdot)
        if stripdot and len(expanded) > 253:
            cut = expanded.find(".", len(expanded) - 254)
            expanded = expanded[cut + 1 :]
        return expanded

    def _note_personal(self) -> None:
        self.personal = True
        if self._kin is not None:
            self._kin._note_personal()

    def dns_spf(self, domain: str) -> str | None:
        """The record of a domain, its own or the delegated one. Raises PermError for one not fit to be evaluated."""
        record: str | None = super().dns_spf(domain)
        if record is None and self._delegate:
            texts = self.dns_txt(f"{domain}._spf.{self._delegate}", ignore_void=True)
            records = [text for text in texts if spf.RE_SPF.match(text)]
            record = records[0].decode("ascii", "replace") if len(records) == 1 else None
        if record is not None:
            _demand_sane(record)
        return record

    def check_lookups(self) -> None:
        """Called by pyspf once for each term that asks the DNS."""
        self._void_noted = False
        super().check_lookups()

    def dns(self, name: str, qtype: Any, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """pyspf's one way to the DNS. Raises TempError for what may be different later, PermError beyond the limits."""
        self._questions += 1
        if self._questions > MAX_QUESTIONS:
            raise spf.PermError("Too many DNS lookups")
        if not name.isascii():  # from an internationalised local part: never matches (RFC 8616 section 4)
            return []
        try:
            answer = self._resolver.lookup(name, qtype, self._deadline)
        except DNSTemporaryError as error:
            raise spf.TempError(str(error)) from error
        if answer.status in (Status.NODATA, Status.NXDOMAIN) and not ignore_void:
            self._note_void()
        return _records(answer)

    def _note_void(self) -> None:
        """RFC 7208 section 4.6.4 counts terms with void look-ups: one mx with three hosts that have no AAAA is one."""
        if self._void_noted:
            return
        self._void_noted = True
        self.void_lookups += 1
        if self.void_lookups > spf.MAX_VOID_LOOKUPS:
            raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")

    def validated_ptrs(self) -> list[str]:
        """The client's host names that resolve back to it. DNS errors on the way mean "no match" (section 5.5)."""
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError:
            names = []
        valid = [name for name in names if self._resolves_back(name)]
        if self._deadline.expired:
            raise spf.TempError("time limit exceeded")
        return valid

    def _resolves_back(self, name: str) -> bool:
        try:
            return bool(self.cidrmatch(self.dns_a(name, self.A), self.cidrmax))
        except spf.TempError:
            return False


def _records(answer: Answer) -> list[Any]:
    """Records in the form that pyspf expects: texts as tuples of strings."""
    return [(text,) for text in answer.texts] or list(answer.addresses or answer.exchanges or answer.names)


def _demand_sane(record: str) -> None:
    """Raises PermError for a record with control octets, of absurd size or with malformed macros."""
    if not record.isascii() or not record.isprintable():
        raise spf.PermError("Control or non-ASCII characters in the SPF record")
    if len(record) > MAX_RECORD or any(len(term) > MAX_TERM for term in record.split(" ")):
        raise spf.PermError("The SPF record is too long")
    _demand_macros(record)


def _demand_macros(text: str) -> None:
    if "%" in _MACRO.sub("", text):
        raise spf.PermError("Invalid macro in the SPF record")


@functools.lru_cache(1024)
def received_spf(outcome: SpfResult, receiver: str, **more: str) -> str:
    """The value of a Received-SPF header field (RFC 7208 section 9.1) on one line of less than 998 octets. `more` adds
    pairs with the names x-NAME. Nothing that a client or DNS said can end a pair, a comment or the line."""
    comment = _COMMENTS[outcome.result].format(domain=outcome.domain[:100] or "the sender", ip=outcome.ip)
    pairs = {
        "client-ip": outcome.ip,
        "envelope-from": ascii_address(outcome.mailfrom)[:200] or "<>",
        "helo": outcome.helo[:128],
        "receiver": receiver[:128],
        "identity": outcome.identity,
    }
    pairs |= {"mechanism": outcome.mechanism} if outcome.mechanism else {}
    pairs |= {"problem": outcome.problem[:120]} if outcome.problem else {}
    pairs |= {f"x-{name.replace('_', '-')}": value[:64] for name, value in more.items()}
    listed = "; ".join(f"{name}={_quoted(value)}" for name, value in pairs.items())
    return f"{outcome.result} ({_escaped(f'{receiver[:128]}: {comment}', '()')}) {listed}"


_COMMENTS = {
    Result.PASS: "{ip} is permitted by {domain}",
    Result.FAIL: "{ip} is not permitted by {domain}",
    Result.SOFTFAIL: "{ip} is probably not permitted by {domain}",
    Result.NEUTRAL: "{domain} says nothing about {ip}",
    Result.NONE: "{domain} publishes no SPF record",
    Result.TEMPERROR: "the DNS of {domain} did not answer",
    Result.PERMERROR: "the SPF record of {domain} has an error",
}


def _quoted(value: str) -> str:
    """A dot-atom as it is, anything else as a quoted-string (RFC 5322 section 3.2)."""
    return value if _DOT_ATOM.fullmatch(value) else '"' + _escaped(value, '"') + '"'


def _escaped(value: str, special: str) -> str:
    return re.sub(f"[{re.escape(special)}\\\\]", r"\\\g<0>", _plain(value, 400))
