"""Signs in the author of a message and in its Reply-To."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from antispam.net.addresses import MAX_DOMAIN, Mailbox, is_hostname, normalize_domain
from antispam.protocols.signs.lists import Brand, Brands, cheap, free_mailers, is_below, owner, tenants
from antispam.protocols.signs.sign import Sign, shown
from antispam.protocols.signs.words import words_of

# Next to these a common word is a brand's name: "Chase Support", "Ledger Team".
_OFFICIAL_WORDS = """
support security team service services account accounts alert alerts notification notifications customer customers care bank
online department billing payment payments wallet live help helpdesk desk inc llc official verification rewards reward survey
winner promo gift card cards membership club store prime id update updates info mail kundenservice kundendienst sicherheit
konto banking suporte atendimento soporte servicio securite assistance
"""
_OFFICIAL = frozenset(_OFFICIAL_WORDS.split())
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5})")
_DOMAIN = re.compile(
    r"(?<![\w.@-])((?:[A-Za-z0-9-]{1,63}\.){1,3}(?:com|net|org|de|fr|es|it|nl|br|uk|me|io|info|gov|edu|eu|us|ch|at))(?![\w@-])",
    re.IGNORECASE,
)
_VIA = re.compile(r"\b(?:via|through|on behalf of|by way of|über|por|mediante|ueber)\b|\((?:via|by)\b", re.IGNORECASE)
_REPLY = re.compile(r"\s*(?:re|fwd?|fw|aw|wg|sv|antw|vs|rv|tr|enc|res)\s*(?:\[\d+\])?:", re.IGNORECASE)
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5,}")
_DIGIT_WITHIN = re.compile(r"[a-z]\d{1,3}[a-z]")
_CASE_CHANGE = re.compile(r"[a-z][A-Z]")
_MACHINE = re.compile(r"(?:no|not|do|dont)[-_.]?(?:no|not)?[-_.]?reply|bounce|notif|reply\+|^[0-9a-f]{16,}|[=+]")


_RESERVED = frozenset({"example.com", "example.org", "example.net", "test", "invalid", "localhost"})


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """The claimed author of a message.

    author      the first address in From; `name` is the text beside it, decoded like `subject`
    replies     the addresses for replies
    proved      the domains for which SPF or DKIM passed, of those checked
    recipients  its recipients, in lower case
    """

    author: Mailbox
    name: str
    subject: str
    replies: tuple[Mailbox, ...] = ()
    proved: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()


def compares_recipients(author: Mailbox, subject: str) -> bool:
    """Whether the recipients in To and Cc are needed: for a subject with an address, and for an author in our network."""
    return "@" in subject or "." not in author.domain


def signs(who: Identity, known: Brands) -> Iterator[Sign]:
    """The signs of an author."""
    yield from _of_name(who)
    yield from _of_brand(who, known)
    yield from _of_replies(who)
    yield from _of_address(who)
    subject = who.subject.lower()
    if named := next((address for address in who.recipients if len(address) > 5 and address in subject), ""):
        yield Sign("SUBJECT_HAS_RECIPIENT", f"the subject has the recipient's address {shown(named)}")


def _of_name(who: Identity) -> Iterator[Sign]:
    own = owner(who.author.domain)
    if not own or "." not in who.name or _VIA.search(who.name):
        return
    if found := _ADDRESS.search(who.name):
        named = owner(normalize_domain(found[1]))
        if named not in (own, *map(owner, who.proved)):
            yield Sign(
                "FROM_NAME_OTHER_ADDR",
                f"the author's name is the address {shown(found[0])}, and the mail is from {shown(who.author.domain)}",
            )
    elif found := _DOMAIN.search(who.name):
        named = owner(normalize_domain(found[1]))
        if named.partition(".")[0] != own.partition(".")[0]:
            yield Sign(
                "FROM_NAME_OTHER_DOMAIN",
                f"the author's name has the domain {shown(found[1])}, and the mail is from {shown(who.author.domain)}",
            )


def _of_brand(who: Identity, known: Brands) -> Iterator[Sign]:
    if not who.author.domain:
        return
    places = (("FROM_NAME_BRAND", "name", who.name), ("SUBJECT_BRAND", "subject", who.subject))
    for test, where, text in places:
        if where == "subject" and _REPLY.match(text):
            return
        words = words_of(text)
        for brand in known.named_in(words):
            if not _is_meant(brand, words) or _VIA.search(text):
                continue
            if any(brand.owns(domain) for domain in (who.author.domain, *who.proved)):
                return
            if where == "subject" and brand.weak:
                continue
            yield Sign(test, f"the {where} names {brand.name}, and the mail is from {shown(who.author.domain)}")
            return


def _is_meant(brand: Brand, words: tuple[str, ...]) -> bool:
    """Whether the words of a name or subject mean the brand. Common words may mean something else."""
    return not brand.weak or words == brand.words or not _OFFICIAL.isdisjoint(words)


def _of_replies(who: Identity) -> Iterator[Sign]:
    own, free = who.author.domain, free_mailers()
    for one in who.replies:
        if not one.domain or str(one).lower() == str(who.author).lower():
            continue
        if owner(one.domain) in _RESERVED and owner(own) not in _RESERVED:
            yield Sign("REPLYTO_NOBODY", f"answers go to {shown(one.domain)}, which is nobody's (RFC 2606)")
            return
        if one.domain in free and own in free:
            yield Sign("FREEMAIL_REPLYTO", f"answers go to another free mailbox, {shown(str(one))}")
            return
        if one.domain in free and own:
            yield Sign(
                "REPLYTO_FREEMAIL",
                f"the mail is from {shown(own)}, and answers go to the free mailbox {shown(str(one))}",
            )
            return


def _of_address(who: Identity) -> Iterator[Sign]:
    local, domain = who.author.local, who.author.domain
    if not domain:
        return
    known = _domain(domain) if len(domain) <= MAX_DOMAIN else None
    if (
        known is None
        or not known.possible
        or ("." not in domain and not any(one.endswith(f"@{domain}") for one in who.recipients))
    ):
        yield Sign("FROM_NO_DOMAIN", f"the author's domain can't exist: {shown(domain)}")
        return
    if known.tenant:
        yield Sign("FROM_TENANT", f"the author has a name below {known.tenant} that anybody gets at once")
    random = [part for part in (local, owner(domain).partition(".")[0]) if is_random(part)]
    if len(random) > 1:
        yield Sign("FROM_RANDOM", f"the author's address looks made up by a program: {shown(str(who.author))}")
    elif random:
        yield Sign(
            "FROM_RANDOM_HALF", f"half of the author's address looks made up by a program: {shown(str(who.author))}"
        )
    if known.cheap:
        yield Sign("FROM_CHEAP_DOMAIN", f"the author's domain is of a kind that costs nearly nothing: {shown(domain)}")
    if domain.count(".") > 5 and sum(len(label) == 1 for label in domain.split(".")) > 3:
        yield Sign("FROM_MANY_LABELS", f"the author's domain has many labels of one letter: {shown(domain)}")


class _Domain(NamedTuple):
    """The properties of an author's domain: whether it can exist, the domain above it that gives names to anybody (""
    for none), and whether it is nearly free.
    """

    possible: bool
    tenant: str
    cheap: bool


@functools.lru_cache(maxsize=4096)  # the same domains recur
def _domain(domain: str) -> _Domain:
    low = domain.rpartition(".")[2] in cheap() or bool(is_below(domain, cheap()))
    return _Domain(is_hostname(domain), is_below(domain, tenants("mail")), low)


@functools.lru_cache(maxsize=4096)  # the same, of domains and authors
def is_random(label: str) -> bool:
    """Whether a local part or a label of a domain looks as if a program had chosen its letters at random."""
    if len(label) < 7 or _MACHINE.search(label.lower()) or label.startswith("xn--"):
        return False
    marks = len(_DIGIT_WITHIN.findall(label.lower()))
    marks += len(_CONSONANTS.findall(label.lower()))
    marks += len(_CASE_CHANGE.findall(label)) > 1 if not label.islower() else 0
    return marks > 1 or (marks > 0 and any(char.isdigit() for char in label))
