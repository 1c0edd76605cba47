"""What the header of a message says about its sender, as short byte strings ("facts").

Times, queue identifiers and the verdicts of other filters are left out: a classifier that leans on them looks good on a
collection of old mail, where each folder has its own dates and tools, and fails on tomorrow's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from _mimetree import Field, decode_words

MAX_FIELDS = 150
_MAX_VALUE = 1000
_MAX_HOPS = 12

_IGNORED = re.compile(
    rb"(?:x-)?(?:original-|delivery-|resent-)*date|thread-index|x-uidl?|(?:x-)?status|x-keywords|lines|content-length"
    rb"|x-(?:mozilla|spam|dspam|bogosity|antispam|virus|evolution|imapbase|gmail|google|ms-exchange|pmx|ironport|barracuda"
    rb"|scanned|mailscanner|amavis|crm114|spambayes|tm-as|forefront|microsoft-antispam).*|x-originalarrivaltime"
    rb"|authentication-results|received-spf|(?:dkim|domainkey)-signature|arc-.*"
)
_ADDRESS = re.compile(rb"([A-Za-z0-9_.+=#&*-]{1,64}+)@([A-Za-z0-9.-]{1,100}+)")
_IP = re.compile(rb"(?<![\d.])(\d{1,3})\.(\d{1,3})\.\d{1,3}\.\d{1,3}(?![\d.])")
_FROM = re.compile(
    rb"from\s+(?:\(?HELO\s+)?([^\s;()\[\]]{1,100})(?:\s*\(([^()]{0,200})(?:\([^()]*\))?)?", re.IGNORECASE
)
_BY = re.compile(rb"\bby\s+([^\s;()]{1,100})", re.IGNORECASE)
_FOR = re.compile(rb"\bfor\s+<?([^\s<>;]{3,100})", re.IGNORECASE)
_WITH = re.compile(rb"\bwith\s+([A-Za-z]{1,12})")
_HOST = re.compile(rb"[a-z0-9_-]++(?:\.[a-z0-9_-]++)*\.[a-z]{2,20}+(?![a-z0-9.])")
_NAME_WORDS = re.compile(rb"\w[\w .,']*+")
_QUOTED = re.compile(rb'"[^"]*"')
_ADDRESS_FIELDS = frozenset({b"from", b"reply-to", b"return-path", b"sender", b"to", b"cc"})
_SHAPE = bytes(
    65 if 65 <= c <= 90 else 97 if 97 <= c <= 122 else 57 if 48 <= c <= 57 else 56 if c >= 128 else c
    for c in range(256)
)
_DIGITS = bytes(57 if 48 <= c <= 57 else c for c in range(256))
_RUNS = (b"aa", b"AA", b"99", b"88")


def shape(text: bytes) -> bytes:
    """The form of a text: "A" for capitals, "a" for small letters, "9" for digits; runs count once."""
    return _shape(text[:120])


@lru_cache(maxsize=8192)  # a mail system meets the same hosts and programs again and again
def _shape(text: bytes) -> bytes:
    text = text.translate(_SHAPE)
    for twice in _RUNS:
        while twice in text:  # each round halves the runs
            text = text.replace(twice, twice[:1])
    return text[:40]


@lru_cache(maxsize=8192)
def parents(host: bytes) -> tuple[bytes, ...]:
    """A host's name and the domains above it, without the top-level domain; at most four."""
    labels = host.lower().strip(b".").split(b".")[-5:]
    return tuple(b".".join(labels[at:]) for at in range(max(0, len(labels) - 4), len(labels) - 1))


@lru_cache(maxsize=8192)
def owner(host: bytes) -> bytes:
    """A guess at the organizational domain: two labels, three below such as co.uk."""
    labels = host.lower().strip(b".").split(b".")
    return b".".join(labels[-3 if len(labels) > 2 and len(labels[-2]) <= 3 and len(labels[-1]) == 2 else -2 :])


class HeaderFacts:
    """Collects the facts of one header; `domain` is the organizational domain of the author for comparing with links."""

    def __init__(self, fields: list[Field]) -> None:
        self.facts: list[bytes] = []
        self.subject = b""
        self.values: dict[bytes, bytes] = {}
        self.hosts: set[bytes] = set()
        self.recipients: set[bytes] = set()
        self.order: list[bytes] = []
        hops: list[bytes] = []
        for item in fields[:MAX_FIELDS]:
            name = item.name.lower()[:40]
            if name == b"received":
                hops.append(item.value[:_MAX_VALUE])
            else:
                self.field(name, item)
        self.hops(hops)
        self.sequence()
        self.domain = self.owner_in(b"from")
        self.relations()

    def field(self, name: bytes, item: Field) -> None:
        """One field that is no trace."""
        if name == b"date":
            self.order.append(item.name[:40])
            value = item.value.strip()
            self.facts += [b"date " + shape(value), b"zone " + value.rpartition(b" ")[2][:12]]
            return
        if _IGNORED.fullmatch(name):
            return
        self.order.append(item.name[:40])
        value = b" ".join(item.value[:_MAX_VALUE].split())
        if b"=?" in value:
            value = decode_words(value.decode("ascii", "surrogateescape")).encode("utf-8", "replace")
            self.facts.append(b"encoded " + name)
        elif not value.isascii():
            self.facts.append(b"8bit " + name)
        self.values.setdefault(name, value)
        if name in _ADDRESS_FIELDS:
            self.addresses(name, value)
        elif name == b"subject":
            self.subject = value
            self.about_subject(value)
        elif name == b"message-id":
            self.message_id(value)
        elif name == b"content-type":
            self.facts += content_type(b"", value)
        elif name not in (b"in-reply-to", b"references", b"delivered-to"):
            value = value.lower()[:60].translate(_DIGITS)
            self.facts += [b"%s: %s" % (name, value), b"%s ~ %s" % (name, shape(value))]

    def addresses(self, name: bytes, value: bytes) -> None:
        found = _ADDRESS.findall(value)
        for local, domain in found[:8]:
            local = local.lower()
            if name in (b"to", b"cc"):
                self.recipients.add(local + b"@" + domain.lower())
            self.facts += [b"%s %s@%s" % (name, local, domain.lower()), b"%s %s@" % (name, shape(local))]
            self.facts += [b"%s @%s" % (name, parent) for parent in parents(domain)]
        self.facts.append(b"%s count %d" % (name, len(found).bit_length()))
        form = _ADDRESS.sub(b"@", value)
        self.facts.append(b"%s form %s" % (name, shape(_NAME_WORDS.sub(b"w", form))[:24]))
        if name == b"from":
            shown = form.partition(b"<")[0].strip(b'" ')
            self.facts += [b"from name " + shape(shown)[:24], b"from named " + shown.lower()[:40]]

    def about_subject(self, value: bytes) -> None:
        self.facts += [b"subject " + shape(value[:20])[:8], b"subject end " + shape(value[-3:])]
        if value.isupper():
            self.facts.append(b"subject capitals")
        if b"   " in value:
            self.facts.append(b"subject gap")
        reply = value[:3].lower() == b"re:"
        if reply or b"in-reply-to" in self.values or b"references" in self.values:
            self.facts.append(b"reply %d" % reply)

    def message_id(self, value: bytes) -> None:
        local, _, domain = value.strip(b"<> ").partition(b"@")
        self.facts += [b"id " + shape(local), b"id length %d" % len(local), b"id domain " + shape(domain)[:16]]
        self.facts += [b"id @" + parent for parent in parents(domain[:100])]

    def hops(self, hops: list[bytes]) -> None:
        """The trace: who handed over to whom. The last one stands next to the sender."""
        self.facts.append(b"hops %d" % min(len(hops), _MAX_HOPS))
        if len(hops) > _MAX_HOPS:
            hops = hops[: _MAX_HOPS - 2] + hops[-2:]
        for place, hop in enumerate(reversed(hops)):
            self.hop(hop, b"origin " if place == 0 else b"hop ")

    def hop(self, value: bytes, place: bytes) -> None:
        value = value.rpartition(b";")[0] or value  # what follows is the date
        sender, receiver = _FROM.search(value), _BY.search(value)
        facts = self.facts
        for first, second in _IP.findall(value)[:3]:
            facts += [b"net %s.%s" % (first, second), b"net %s" % first]
        hosts = set(_HOST.findall(value.lower()))
        for host in hosts:
            facts += [b"via " + parent for parent in parents(host)]
            self.hosts.add(owner(host))
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
        if found := _FOR.search(value):
            facts.append(place + b"for listed %d" % (found[1].lower() in self.recipients))
        facts.append(place + b"form " + _hop_form(value))

    def sequence(self) -> None:
        """Which fields there are, as they are written, and which follows which: every mail program has its own habit."""
        names = self.order
        self.facts += [b"has " + name for name in names]
        lower = [b"^", *(name.lower() for name in names), b"$"]
        self.facts += [b"then %s %s" % pair for pair in pairwise(lower)]
        for name in (b"from", b"to", b"subject", b"message-id", b"mime-version", b"content-type"):
            if name not in self.values:
                self.facts.append(b"no " + name)

    def owner_in(self, name: bytes) -> bytes:
        """The organizational domain of the first address (or identifier) in a field."""
        found = _ADDRESS.search(self.values.get(name, b""))
        return owner(found[2]) if found else b""

    def relations(self) -> None:
        """Whether what should agree agrees."""
        for name in (b"return-path", b"reply-to", b"sender", b"message-id", b"to"):
            if name in self.values:
                domain = self.owner_in(name)
                self.facts.append(b"from and %s %d" % (name, domain == self.domain))
                self.facts.append(b"%s on the way %d" % (name, domain in self.hosts))
        self.facts.append(b"from on the way %d" % (self.domain in self.hosts))
        sender, receiver = (_ADDRESS.search(self.values.get(name, b"")) for name in (b"from", b"to"))
        if sender and receiver:
            if sender[0].lower() == receiver[0].lower():
                self.facts.append(b"from is to")
            local = receiver[1].lower()
            if len(local) > 2 and local in self.subject.lower():
                self.facts.append(b"recipient in subject")


def _hop_form(value: bytes) -> bytes:
    """How the MTA words its trace, without names and numbers."""
    return b" ".join([word if word.strip(b"()<>,").isalpha() else b"*" for word in value[:300].split()])[:80]


_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"([^"]{0,100})|([^\s;"]{0,100}))', re.IGNORECASE)


def content_type(place: bytes, value: bytes) -> list[bytes]:
    """Facts of a Content-Type; its boundary shows which program wrote it."""
    found = _BOUNDARY.search(value)
    rest = _BOUNDARY.sub(b"", value) if found else value
    kept = b" ".join(rest.split())[:60].lower()
    facts = [b"type%s %s" % (place, kept), b"type%s form %s" % (place, shape(_QUOTED.sub(b'""', rest)))]
    if found:
        facts.append(b"boundary " + shape(found[1] or found[2] or b""))
    return facts
