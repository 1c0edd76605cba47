"""What the header of a message says about its sender, as short byte strings ("facts").

Times, queue identifiers and the verdicts of other filters are left out: a classifier that leans on them looks good on a
collection of old mail, where each folder has its own dates and tools, and fails on tomorrow's.
"""

from __future__ import annotations

import enum
import re
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

from _mimetree import Field, decode_words
from dspam.shapes import owner, parents, shape

try:
    from dspam import _cutting
except ImportError:  # see features
    _cutting = None  # type: ignore[assignment]

MAX_FIELDS = 150
_MAX_VALUE = 1000
_MAX_HOPS = 12
_REMEMBERED = 250  # octets of a value that may be remembered: a mail system reads the same ones again and again

_IGNORED = re.compile(
    rb"(?:x-)?(?:original-|delivery-|resent-)*date|thread-index|x-uidl?|(?:x-)?status|x-keywords|lines|content-length"
    rb"|x-(?:mozilla|spam|dspam|bogosity|antispam|virus|evolution|imapbase|gmail|google|ms-exchange|pmx|ironport|barracuda"
    rb"|scanned|mailscanner|amavis|crm114|spambayes|tm-as|forefront|microsoft-antispam).*|x-originalarrivaltime"
    rb"|authentication-results|received-spf|(?:dkim|domainkey)-signature|arc-.*"
)
_ADDRESS = re.compile(rb"([A-Za-z0-9_.+=#&*-]{1,64}+)@([A-Za-z0-9.-]{1,100}+)")
# Written so that the search skips what is no digit.
_IP = re.compile(rb"([0-9](?<![0-9.][0-9])[0-9]{0,2})\.([0-9]{1,3})\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")
_FROM = re.compile(
    rb"from\s+(?:\(?HELO\s+)?([^\s;()\[\]]{1,100})(?:\s*\(([^()]{0,200})(?:\([^()]*\))?)?", re.IGNORECASE
)
# Written so that the search for them skips what begins with another letter.
_BY = re.compile(rb"[bB](?<=\b[bB])[yY]\s+([^\s;()]{1,100})")
_FOR = re.compile(rb"[fF](?<=\b[fF])[oO][rR]\s+<?([^\s<>;]{3,100})")
_WITH = re.compile(rb"with(?<=\bwith)\s+([A-Za-z]{1,12})")
# Letters and digits, one digit at least: nothing else that is looked for can begin, end or stand in it.
_QUEUE_ID = re.compile(
    rb"id (?<=\bid )([A-Za-z]*[0-9][A-Za-z0-9]*+)(?=[\s;)]|$)"
)  # what it begins with is searched fast
_ZEROS = b"0" * _MAX_VALUE
_HOST = re.compile(rb"[a-z0-9_-]++(?:\.[a-z0-9_-]++)*\.[a-z]{2,20}+(?![a-z0-9.])")
_NAME_WORDS = re.compile(rb"\w[\w .,']*+")
_QUOTED = re.compile(rb'"[^"]*"')
_ADDRESS_FIELDS = frozenset({b"from", b"reply-to", b"return-path", b"sender", b"to", b"cc"})
_DIGITS = bytes(57 if 48 <= c <= 57 else c for c in range(256))


class HeaderRead:
    """What is read of a header before anybody asks for facts: the subject, the author's name, and `domain`, the organizational
    domain of the author for comparing with links."""

    def __init__(self, fields: list[Field]) -> None:
        self.subject = self.name = self.domain = b""
        self._fields = fields
        author: _FieldRead | None = None
        for name, value, _ in fields[:MAX_FIELDS]:
            if len(name) == len(b"from") and author is None and name.lower() == b"from":
                author = _read_field(b"from", value) if len(value) <= _REMEMBERED else _read_new_field(b"from", value)
            elif len(name) == len(b"subject") and name.lower() == b"subject":
                self.subject = _value_of(value)[0]
        if author is not None:
            self.domain = author.owner
            self.name = author.value.partition(b"<")[0] if b"<" in author.value else b""

    @property
    def facts(self) -> list[bytes]:
        """All facts of the header."""
        return facts_of(self._fields) if _cutting else self._told.facts

    def below(self, hop: Field) -> list[bytes]:
        """The facts of this header below one more Received field."""
        return facts_of([hop, *self._fields]) if _cutting else self._told.below(hop)

    @cached_property
    def _told(self) -> HeaderFacts:
        return HeaderFacts(self._fields)


def facts_of(fields: list[Field]) -> list[bytes]:
    """The facts of a header."""
    if _cutting:
        return _cutting.header_facts(fields, _KINDS, _coded_kind_of, _decoded)
    return HeaderFacts(fields).facts


class HeaderFacts:
    """Collects the facts of one header. _heading.c does the same; this is the reference, and says what the facts are."""

    def __init__(self, fields: list[Field]) -> None:
        self._facts: list[bytes] = []
        self.subject = b""
        self.values: dict[bytes, bytes] = {}
        self.owners: dict[bytes, bytes] = {}
        self.hosts: set[bytes] = set()
        self.recipients: set[bytes] = set()
        self.order: list[bytes] = []
        self._trace: list[bytes] = []
        self._fields = fields[:MAX_FIELDS]
        for written, value, _ in self._fields:
            kind, name, spelt = _kind_of(written) if len(written) <= 40 else _new_kind_of(written)
            if kind is _READ_AS_TRACE:
                self._trace.append(value[:_MAX_VALUE])
            elif kind is not _NOT_READ:
                self.order.append(spelt)
                self.field(kind, name, value)
        self.domain = self.owners.get(b"from", b"")

    @property
    def facts(self) -> list[bytes]:
        """All of them, as they are."""
        return self._concluded(self._trace)

    def below(self, hop: Field) -> list[bytes]:
        """The facts of this header below one more Received field: what the others said need not be read again."""
        if len(self._fields) == MAX_FIELDS:  # the last of them would have no room
            return HeaderFacts([hop, *self._fields]).facts
        return self._concluded([hop.value[:_MAX_VALUE], *self._trace])

    def _concluded(self, trace: list[bytes]) -> list[bytes]:
        """What the fields say each by itself, what the trace says, and what all say together."""
        other = object.__new__(HeaderFacts)
        other.__dict__.update(self.__dict__)  # as copy() does it, in a tenth of the time
        other._facts, other.hosts = [*self._facts], set()
        other.hops(trace)
        other.sequence()
        other.relations()
        return other._facts

    def field(self, kind: _Kind, name: bytes, value: bytes) -> None:
        """One field that is no trace."""
        if kind is _READ_AS_DATE:
            value = value.strip()
            self._facts += [b"date " + shape(value), b"zone " + value.rpartition(b" ")[2][:12]]
            return
        often = kind is _READ_OFTEN and len(value) <= _REMEMBERED
        told = _read_field(name, value) if often else _read_new_field(name, value)
        self._facts += told.facts
        if name not in self.values:
            self.values[name], self.owners[name] = told.value, told.owner
        if told.recipients:
            self.recipients.update(told.recipients)
        if name == b"subject":
            self.subject = told.value
            self.about_subject(told.value)

    def about_subject(self, value: bytes) -> None:
        self._facts += [b"subject " + shape(value[:20])[:8], b"subject end " + shape(value[-3:])]
        if value.isupper():
            self._facts.append(b"subject capitals")
        if b"   " in value:
            self._facts.append(b"subject gap")
        reply = value[:3].lower() == b"re:"
        if reply or b"in-reply-to" in self.values or b"references" in self.values:
            self._facts.append(b"reply %d" % reply)

    def hops(self, hops: list[bytes]) -> None:
        """The trace: who handed over to whom. The last one stands next to the sender."""
        self._facts.append(b"hops %d" % min(len(hops), _MAX_HOPS))
        if len(hops) > _MAX_HOPS:
            hops = hops[: _MAX_HOPS - 2] + hops[-2:]
        for place, hop in enumerate(reversed(hops)):
            self.hop(hop, b"origin " if place == 0 else b"hop ")

    def hop(self, value: bytes, place: bytes) -> None:
        value = value.rpartition(b";")[0] or value  # what follows is the date
        # Of no identifier is anything looked at but its length: without them the same hosts write the same line again.
        if found := _QUEUE_ID.search(value):
            start, end = found.span(1)
            value = value[:start] + _ZEROS[: end - start] + value[end:]
        told = _read_hop(value, place) if len(value) <= _REMEMBERED else _read_new_hop(value, place)
        self._facts += told.facts
        self.hosts.update(told.owners)
        if told.recipient:
            self._facts.append(place + (b"for listed 1" if told.recipient in self.recipients else b"for listed 0"))

    def sequence(self) -> None:
        """Which fields there are, as they are written, and which follows which: every mail program has its own habit."""
        names = self.order
        self._facts += [b"has " + name for name in names]
        lower = [b"^", *[name.lower() for name in names], b"$"]
        self._facts += [b"then " + first + b" " + second for first, second in pairwise(lower)]
        for name in (b"from", b"to", b"subject", b"message-id", b"mime-version", b"content-type"):
            if name not in self.values:
                self._facts.append(b"no " + name)

    def relations(self) -> None:
        """Whether what should agree agrees."""
        for name in (b"return-path", b"reply-to", b"sender", b"message-id", b"to"):
            if name in self.values:
                domain = self.owners[name]
                self._facts.append(b"from and " + name + (b" 1" if domain == self.domain else b" 0"))
                self._facts.append(name + (b" on the way 1" if domain in self.hosts else b" on the way 0"))
        self._facts.append(b"from on the way %d" % (self.domain in self.hosts))
        sender, receiver = (_ADDRESS.search(self.values.get(name, b"")) for name in (b"from", b"to"))
        if sender and receiver:
            if sender[0].lower() == receiver[0].lower():
                self._facts.append(b"from is to")
            local = receiver[1].lower()
            if len(local) > 2 and local in self.subject.lower():
                self._facts.append(b"recipient in subject")


class _Kind(enum.Enum):
    """How a field is read."""

    IGNORED = enum.auto()
    TRACE = enum.auto()
    DATE = enum.auto()
    OFTEN = enum.auto()  # its value comes again in other messages
    ONCE = enum.auto()


# Python takes longer to find the member of an enumeration than to read a field that came before.
_NOT_READ, _READ_AS_TRACE, _READ_AS_DATE, _READ_OFTEN, _READ_ONCE = _Kind
_ONCE = frozenset({b"subject", b"message-id", b"in-reply-to", b"references"})


def _new_kind_of(name: bytes) -> tuple[_Kind, bytes, bytes]:
    """How a field of this name is read, and the name in lower case and as it is spelt, both cut off."""
    lower = name.lower()[:40]
    if lower == b"received":
        kind = _READ_AS_TRACE
    elif lower == b"date":
        kind = _READ_AS_DATE
    elif _IGNORED.fullmatch(lower):
        kind = _NOT_READ
    else:
        kind = _READ_ONCE if lower in _ONCE else _READ_OFTEN
    return kind, lower, name[:40]


_kind_of = lru_cache(maxsize=1024)(_new_kind_of)


_CODES = {_NOT_READ: 0, _READ_AS_TRACE: 1, _READ_AS_DATE: 2, _READ_OFTEN: 3, _READ_ONCE: 3}
_KINDS: dict[bytes, tuple[int, bytes, bytes]] = {}  # filled by _heading.c, as far as it goes


def _coded_kind_of(name: bytes) -> tuple[int, bytes, bytes]:
    """The same as _heading.c has it."""
    kind, lower, spelt = _new_kind_of(name)
    return _CODES[kind], lower, spelt


class _FieldRead(NamedTuple):
    """A field's value, decoded, what it says, whom it names as recipient, and the organizational domain of the first address
    (or identifier) in it."""

    value: bytes
    facts: list[bytes]
    recipients: list[bytes]
    owner: bytes


def _value_of(value: bytes) -> tuple[bytes, bytes]:
    """A value, unfolded, cut and decoded, and how it was written, if not in ASCII."""
    value = b" ".join(value[:_MAX_VALUE].split())
    if b"=?" in value:
        return decode_words(value.decode("ascii", "surrogateescape")).encode("utf-8", "replace"), b"encoded "
    return value, b"" if value.isascii() else b"8bit "


def _decoded(value: bytes) -> bytes:
    return (_remembered_value if len(value) <= _REMEMBERED else _value_of)(value)[0]


_remembered_value = lru_cache(maxsize=1024)(_value_of)


def _read_new_field(name: bytes, value: bytes) -> _FieldRead:
    value, written = _value_of(value)
    facts = [written + name] if written else []
    recipients: list[bytes] = []
    if name in _ADDRESS_FIELDS:
        _addresses(name, value, facts, recipients)
    elif name == b"message-id":
        _message_id(value, facts)
    elif name == b"content-type":
        facts += reference_content_type(b"", value)
    elif name not in (b"subject", b"in-reply-to", b"references", b"delivered-to"):
        plain = value.lower()[:60].translate(_DIGITS)
        facts += [name + b": " + plain, name + b" ~ " + shape(plain)]
    named = _ADDRESS.search(value) if name in _ADDRESS_FIELDS or name == b"message-id" else None
    return _FieldRead(value, facts, recipients, owner(named[2]) if named else b"")


_read_field = lru_cache(maxsize=2048)(_read_new_field)


def _addresses(name: bytes, value: bytes, facts: list[bytes], recipients: list[bytes]) -> None:
    found = _ADDRESS.findall(value)
    for local, domain in found[:8]:
        local = local.lower()
        if name in (b"to", b"cc"):
            recipients.append(local + b"@" + domain.lower())
        facts += [b"%s %s@%s" % (name, local, domain.lower()), b"%s %s@" % (name, shape(local))]
        facts += [b"%s @%s" % (name, parent) for parent in parents(domain)]
    facts.append(b"%s count %d" % (name, len(found).bit_length()))
    form = _ADDRESS.sub(b"@", value)
    facts.append(b"%s form %s" % (name, shape(_NAME_WORDS.sub(b"w", form))[:24]))
    if name == b"from":
        shown = form.partition(b"<")[0].strip(b'" ')
        facts += [b"from name " + shape(shown)[:24], b"from named " + shown.lower()[:40]]


def _message_id(value: bytes, facts: list[bytes]) -> None:
    local, _, domain = value.strip(b"<> ").partition(b"@")
    facts += [b"id " + shape(local), b"id length %d" % len(local), b"id domain " + shape(domain)[:16]]
    facts += [b"id @" + parent for parent in parents(domain[:100])]


class _HopRead(NamedTuple):
    """What a Received field says, the organizational domains of the hosts it names, and for whom it is, if it says so."""

    facts: list[bytes]
    owners: list[bytes]
    recipient: bytes


def _read_new_hop(value: bytes, place: bytes) -> _HopRead:
    sender, receiver = _FROM.search(value), _BY.search(value)
    facts: list[bytes] = []
    for first, second in _IP.findall(value)[:3]:
        facts += [b"net %s.%s" % (first, second), b"net %s" % first]
    hosts = dict.fromkeys(_HOST.findall(value.lower()))
    for host in hosts:
        facts += [b"via " + parent for parent in parents(host)]
    if sender:
        hello, told = sender[1].lower(), (sender[2] or b"").lower()
        known = _HOST.search(told)
        facts.append(place + b"hello " + shape(hello))
        facts.append(
            place + b"hello %s" % (b"same" if known and known[0] == hello else b"other" if known else b"alone")
        )
        if known:
            facts.append(place + b"name " + shape(known[0]))
            facts.append(place + b"owner %d" % (owner(known[0]) == owner(hello)))
    if b"forged" in value:
        facts.append(place + b"may be forged")
    if receiver:
        facts.append(place + b"by " + shape(receiver[1]))
    if found := _WITH.search(value):
        facts.append(place + b"with " + found[1].upper())
    facts.append(place + b"form " + _hop_form(value))
    found = _FOR.search(value)
    return _HopRead(facts, [owner(host) for host in hosts], found[1].lower() if found else b"")


_read_hop = lru_cache(maxsize=2048)(_read_new_hop)


def _hop_form(value: bytes) -> bytes:
    """How the MTA words its trace, without names and numbers."""
    return b" ".join([word if word.strip(b"()<>,").isalpha() else b"*" for word in value[:300].split()])[:80]


_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"([^"]{0,100})|([^\s;"]{0,100}))', re.IGNORECASE)


def content_type(place: bytes, value: bytes) -> list[bytes]:
    """Facts of a Content-Type; its boundary shows which program wrote it."""
    return (_cutting.content_type if _cutting else reference_content_type)(place, value)


def reference_content_type(place: bytes, value: bytes) -> list[bytes]:
    """The same in Python."""
    found = _BOUNDARY.search(value)
    rest = _BOUNDARY.sub(b"", value) if found else value
    kept = b" ".join(rest.split())[:60].lower()
    facts = [b"type%s %s" % (place, kept), b"type%s form %s" % (place, shape(_QUOTED.sub(b'""', rest)))]
    if found:
        facts.append(b"boundary " + shape(found[1] or found[2] or b""))
    return facts
