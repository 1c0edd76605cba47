"""An evaluation by pyspf with our resolver and limits, corrected where pyspf departs from the RFC."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import spf  # type: ignore[import-untyped]

from antispam.deadline import Deadline
from antispam.net.addresses import IPAddress
from antispam.net.resolver import Answer, DNSTemporaryError, Lookup, RdType, Status
from antispam.protocols.spf.ahead import Ahead, AsksAhead
from antispam.protocols.spf.result import Result, SpfOptions
from antispam.text import from_wire

MAX_RECORD = 8192  # octets of an SPF record; far more than ten look-ups, the maximum, can use
MAX_TERM = 512  # octets of one term; a domain name has at most 253 and macros only shorten from the left
MAX_LOCAL_PART = 256  # octets that macros see; RFC 5321 section 4.5.3.1.1 allows 64
MAX_QUESTIONS = 200  # DNS queries per evaluation; ten terms with ten MX or PTR hosts each need fewer
MAX_EXPLANATION = 1024  # octets of an explanation before its macros are expanded

_BLANKS = re.compile(r"[\t\r\n]+")  # as pasted from a spreadsheet or a web page; RFC 7208 section 12 has spaces only
_MODIFIER = re.compile(r"[a-z][a-z0-9_.-]*=", re.IGNORECASE)  # RFC 7208 section 4.6.1
_MACRO = re.compile(r"%(?:[%_-]|\{[slodiphcrtv](?!0+\D)[0-9]*r?[-.+,/_=]*\})", re.IGNORECASE)  # RFC 7208 section 7.1


class Question(NamedTuple):
    """Everything that the answer depends on, except DNS. `domain` is in A-labels."""

    client: IPAddress
    local: str
    domain: str
    helo: str
    options: SpfOptions


class Query(spf.query):  # type: ignore[misc]
    """One evaluation. Attributes of a single lower-case letter are SPF macros in pyspf; ours have longer names."""

    def __init__(
        self, asked: Question, resolver: Lookup, deadline: Deadline, strict: bool = True, kin: Query | None = None
    ) -> None:
        local, domain = from_wire(asked.local, MAX_LOCAL_PART), asked.domain
        helo = from_wire(asked.helo, 255)
        options = asked.options
        super().__init__(str(asked.client), f"{local}@{domain}", helo, receiver=options.receiver, strict=strict)
        # pyspf splits at the first "@", but a quoted local part may contain one, too.
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
        address: RdType = "AAAA" if asked.client.version == 6 else "A"
        self._ahead = Ahead(resolver, address, deadline) if isinstance(resolver, AsksAhead) else None
        self.permits_nobody = False
        self._to_ask: tuple[str, str] | None = None  # the record and its domain, until one of its terms needs the DNS

    def forgiving(self) -> Query:
        """The same query with pyspf's lax reading."""
        return Query(self._asked, self._resolver, self._deadline, strict=False, kin=self)

    def evaluate(self) -> Result:
        return Result(self.check()[0])

    def evaluate_lax(self) -> Result | None:
        """The result despite a permanent error; None if even the lax reading finds none."""
        result = Result(self.check()[0])
        if self.perm_error:
            return Result(self.perm_error.ext[0]) if self.perm_error.ext else None
        return None if result in (Result.PERMERROR, Result.TEMPERROR) else result

    def guess(self, record: str) -> Result | None:
        """Pass or neutral by an assumed record. Errors do not count against a domain that published nothing."""
        guessed = Result(Query(self._asked, self._resolver, self._deadline, kin=self).check(record)[0])
        return guessed if guessed in (Result.PASS, Result.NEUTRAL) else None

    def problem(self) -> str:
        return ": ".join([getattr(self, "prob", ""), *map(str, self.mech[:1])]).removeprefix(": ")

    def check(self, record: str | None = None) -> tuple[str, int, str]:
        self._void_noted = True  # the look-up of the record itself is not that of a term
        self._to_ask = (record, self.d) if record else None
        outcome: tuple[str, int, str] = super().check(record)
        return outcome

    def check1(self, record: str | None, domain: str, recursion: int) -> tuple[str, int, str]:
        """Track the depth of includes, whose explanations do not count (RFC 7208 section 6.2)."""
        outer, self._depth = self._depth, recursion
        if recursion == 0:
            self._explanation_at = None  # the same for a record that redirects
        try:
            outcome: tuple[str, int, str] = super().check1(record, domain, recursion)
        finally:
            self._depth = outer
        return outcome

    def get_explanation(self, spec: str) -> None:
        """Called by pyspf for every exp=, although few results need it: record the place and query later."""
        if self._depth == 0:
            self._explanation_at = (spec, self.d)

    def explanation(self) -> str:
        """The domain owner's explanation with expanded macros; "" if there is no usable one."""
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
        """Expand one word of an explanation. pyspf would shorten a longer text like a domain name, and does not handle
        a final "%%".
        """
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
        """The record of a domain, its own or the delegated one. Raises PermError for a record that cannot be evaluated."""
        record: str | None = super().dns_spf(domain)
        if record is None and self._delegate:
            texts = self.dns_txt(f"{domain}._spf.{self._delegate}", ignore_void=True)
            records = [text for text in texts if spf.RE_SPF.match(text)]
            record = records[0].decode("ascii", "replace") if len(records) == 1 else None
        if record is not None:
            if not self.strict:
                record = _BLANKS.sub(" ", record)
            _demand_sane(record)
            if domain == self._asked.domain:
                self.permits_nobody = _permits_nobody(record)
            self._to_ask = record, domain
        return record

    def check_lookups(self) -> None:
        """Called by pyspf once for each term that needs the DNS."""
        self._void_noted = False
        super().check_lookups()
        if self._ahead is not None and self._to_ask is not None:
            self._ahead.record(*self._to_ask)
            self._to_ask = None

    def dns(self, name: str, qtype: Any, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """The only access of pyspf to the DNS. Raises TempError for temporary failures, PermError beyond the limits."""
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
        """Count a void look-up. RFC 7208 section 4.6.4 counts terms: an mx with three hosts without AAAA counts once."""
        if self._void_noted:
            return
        self._void_noted = True
        self.void_lookups += 1
        allowed = self._asked.options.voids
        if self.strict and self.void_lookups > allowed:
            raise spf.PermError(f"Void lookup limit of {allowed} exceeded")

    def validated_ptrs(self) -> list[str]:
        """The client's host names that resolve back to it. DNS errors mean "no match" (section 5.5)."""
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
    """Records in pyspf's form, with texts as tuples of strings."""
    return [(text,) for text in answer.texts] or list(answer.addresses or answer.exchanges or answer.names)


def _demand_sane(record: str) -> None:
    """Raises PermError for a record with control octets, excessive size or malformed macros."""
    if not record.isascii() or not record.isprintable():
        raise spf.PermError("Control or non-ASCII characters in the SPF record")
    if len(record) > MAX_RECORD or any(len(term) > MAX_TERM for term in record.split(" ")):
        raise spf.PermError("The SPF record is too long")
    _demand_macros(record)


def _permits_nobody(record: str) -> bool:
    """Whether every term fails for any client, so that no mail from the domain can be genuine. Modifiers other than
    redirect make no difference (RFC 7208 section 6).
    """
    terms = [term for term in record.lower().split()[1:] if not _MODIFIER.match(term) or term.startswith("redirect=")]
    return bool(terms) and all(term.startswith("-") for term in terms)


def _demand_macros(text: str) -> None:
    if "%" in _MACRO.sub("", text):
        raise spf.PermError("Invalid macro in the SPF record")
