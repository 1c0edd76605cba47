"""Queries to all lists at once: the questions about a message, and the answers."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from antispam.checks._shared.dnsbl.settings import DnsblSettings, DnsList
from antispam.checks._shared.dnsbl.subjects import Subject, Wanted
from antispam.checks._shared.dnsbl.zone import About
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.memory import Memory
from antispam.net.addresses import IPAddress, client_list, host_list
from antispam.net.dns_answers import Answer, Question, lookup_all
from antispam.net.resolver import Lookup
from antispam.protocols.dnsbl import read_answer
from antispam.settings import Settings
from antispam.store import StoreError, rates

_DAY = 86400.0
_PAUSE = 60.0  # seconds that a silent list is not asked
_SILENCE = "dnsbl silence"  # the resolver's cache key for silent lists
_SILENCES = 3  # consecutive messages without any answer, before a list is paused

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A list's answer about a subject.

    list     the list's name in the configuration
    about    the kind of subject
    subject  in readable form
    answers  the returned addresses
    """

    list: str
    about: str
    subject: str
    answers: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """The answers of all lists about a message.

    listed   subjects that are on a list
    blocked  the names of lists that refuse to serve us
    silent   the names of lists that did not answer in time
    """

    listed: tuple[Listed, ...] = ()
    blocked: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


_NONE = Answers()


@functools.lru_cache(maxsize=4)
def wanted(everything: Settings) -> Wanted:
    """The subjects to ask about, under these settings."""
    settings = everything[DnsblSettings]
    lists = settings.lists
    about = frozenset(about for one in lists for about in one.zone.about)
    domains = everything.listed("milter", "internal_domains")
    return Wanted(
        about=about,
        hashes=frozenset(one.zone.hash for one in lists if About.EMAILS in one.zone.about),
        hops=settings.hops if about & {About.HOPS} else 0,
        ours=_ours(everything.listed("milter", "internal_connect", "trusted_relay")),
        skipped=host_list(_with_all_below((*settings.except_domains, *domains))),
        own=host_list(_with_all_below(tuple(domains))),
    )


@functools.lru_cache(maxsize=16)
def _with_all_below(domains: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for name in domains for one in (name, name if "*" in name else f"*.{name}")))


def _ours(patterns: tuple[str, ...]) -> Callable[[IPAddress], bool]:
    clients = client_list(patterns)
    return lambda address: clients.match(address)


def questions(
    lists: Sequence[DnsList], subjects: Iterable[Subject], most: int
) -> dict[Question, list[tuple[DnsList, Subject]]]:
    """The questions, with the lists that need them. Two lists in one zone share their questions."""
    asked: dict[Question, list[tuple[DnsList, Subject]]] = {}
    for subject in subjects:
        for one in lists:
            if subject.about not in one.zone.about:
                continue
            label = subject.label
            if subject.about is About.EMAILS:
                form, _, label = subject.label.partition(":")
                if form != one.zone.hash:
                    continue
            question: Question = (f"{label}.{one.domain}", "A")
            if question in asked or len(asked) < most:
                asked.setdefault(question, []).append((one, subject))
    return asked


def ask_ahead(lists: Sequence[DnsList], subjects: Iterable[Subject], services: Services) -> None:
    """Ask without waiting: the answers will be in the cache when they are needed."""
    settings = services.settings[DnsblSettings]
    ahead = getattr(services.resolver, "ask_all_ahead", None)
    asked = questions(_awake(lists, services), subjects, settings.max_queries)
    if ahead is not None and asked:
        # The queries may outlast this step: the message is still to come.
        ahead(list(asked), services.deadline.at_least(settings.timeout))


class Asking:
    """The questions about one message. If ready() finds all answers, answers() does not ask again."""

    def __init__(self, lists: Sequence[DnsList], subjects: Sequence[Subject], services: Services) -> None:
        self._lists = lists
        self._quiet = _Quiet(lists, services)
        most = services.settings[DnsblSettings].max_queries
        self._asked = questions(_awake(lists, services), self._quiet.left(subjects), most)
        self._known: dict[Question, Answer] = {}

    def ready(self, services: Services) -> bool:
        """Whether every answer is in the resolver's cache: with no time left, it answers from the cache only."""
        if self._asked:
            self._known = lookup_all(services.resolver, list(self._asked), Deadline.after(0))
        return len(self._known) == len(self._asked)

    def answers(self, services: Services) -> Answers:
        """The answers of the lists that arrive in time."""
        asked = self._asked
        if not asked:
            return _NONE
        found = self._known
        if len(found) < len(asked):
            deadline = services.deadline.at_most(services.settings[DnsblSettings].timeout)
            found = lookup_all(services.resolver, list(asked), deadline)
        self._quiet.note(asked, found)
        return _said(self._lists, asked, found, services)


class _Quiet:
    """Subjects that are on none of these lists, remembered until the first of the answers expires. That covers all
    subjects of most messages, so that no cache need be searched for each list.
    """

    def __init__(self, lists: Sequence[DnsList], services: Services) -> None:
        self._lists = lists
        self._names = " ".join([one.name for one in lists])
        self._most = services.settings[DnsblSettings].max_queries
        self._resolver = services.resolver
        self._memory = _memory(services.resolver)
        # While a list is silent, the questions are asked all the same: we must notice when it answers again.
        self._trusted = self._memory is not None and not _any_silent(services.resolver)

    def left(self, subjects: Sequence[Subject]) -> Sequence[Subject]:
        """The subjects that are not known to be unlisted. All of them if they exceed the questions that one message may
        ask: then it asks about the first ones, whether known or not.
        """
        if self._memory is None or not self._trusted:
            return subjects
        now = _now(self._resolver)
        known = self._memory.get_all([(self._names, subject) for subject in subjects], now)
        asked = [number or 0 for number in known]
        left = [subject for subject, number in zip(subjects, asked, strict=True) if not number]
        return left if sum(asked) + len(left) * len(self._lists) <= self._most else subjects

    def note(self, asked: Mapping[Question, list[tuple[DnsList, Subject]]], found: Mapping[Question, Answer]) -> None:
        """Remember the subjects that no list has, and how many questions that took."""
        if self._memory is None or not self._trusted or len(asked) >= self._most:
            return
        until: dict[Subject, tuple[int, float]] = {}
        for question, those in asked.items():
            answer = found.get(question)
            expires = 0.0 if answer is None or answer.found else answer.expires
            for _, subject in those:
                number, first = until.get(subject, (0, math.inf))
                until[subject] = number + 1, min(first, expires)
        for subject, (number, expires) in until.items():
            if expires:
                self._memory.put((self._names, subject), number, expires)


def ask(lists: Sequence[DnsList], subjects: Iterable[Subject], services: Services) -> Answers:
    """The answers of the lists that arrive in time."""
    return Asking(lists, tuple(subjects), services).answers(services)


def _said(
    lists: Sequence[DnsList],
    asked: Mapping[Question, list[tuple[DnsList, Subject]]],
    found: Mapping[Question, Answer],
    services: Services,
) -> Answers:
    listed: list[Listed] = []
    blocked: dict[str, None] = {}
    spoke: dict[str, bool] = {}
    for question, those in asked.items():
        answer = found.get(question)
        for one, subject in those:
            spoke[one.name] = spoke.get(one.name, False) or answer is not None
            if answer is None or not answer.found:
                continue
            if read_answer(answer.addresses, (), one.zone.refusals).blocked:
                blocked[one.name] = None
            else:
                listed += _listed(one, subject, answer)
    silent = tuple(name for name, answered in spoke.items() if not answered)
    _note(lists, silent, tuple(spoke), services.resolver)
    for name in blocked:
        _warn(services.settings[DnsblSettings].by_name[name], services)
    return Answers(tuple(listed), tuple(blocked), silent)


def _listed(one: DnsList, subject: Subject, answer: Answer) -> list[Listed]:
    """One entry, or none if the answers mean nothing: some resolvers answer for every name."""
    if not read_answer(answer.addresses, one.codes, one.zone.refusals).codes:
        return []
    return [Listed(one.name, subject.about, subject.shown, answer.addresses[:10])]


def _memory(resolver: Lookup) -> Memory | None:
    found: Any = getattr(resolver, "conclusions", None)
    return found if isinstance(found, Memory) else None


def _now(resolver: Lookup) -> float:
    """The time by the resolver's own clock, if it caches conclusions."""
    now: float = resolver.now()  # type: ignore[attr-defined] # who has conclusions has a clock
    return now


def _any_silent(resolver: Lookup) -> bool:
    """Whether any list was silent recently."""
    memory = _memory(resolver)
    return memory is not None and memory.get(_SILENCE, _now(resolver)) is not None


def _awake(lists: Sequence[DnsList], services: Services) -> list[DnsList]:
    """The lists without those that were silent recently: nobody waits for these."""
    memory = _memory(services.resolver)
    if memory is None or not _any_silent(services.resolver):
        return list(lists)
    now = _now(services.resolver)
    return [one for one in lists if (memory.get(("dnsbl silent", one.domain), now) or 0) < _SILENCES]


def _note(lists: Sequence[DnsList], silent: Sequence[str], asked: Sequence[str], resolver: Lookup) -> None:
    memory = _memory(resolver)
    if memory is None or not (silent or _any_silent(resolver)):
        return
    now = _now(resolver)
    for one in lists:
        key = ("dnsbl silent", one.domain)
        before = memory.get(key, now) or 0
        if one.name in silent:
            memory.put(key, before + 1, now + _PAUSE)
            memory.put(_SILENCE, True, now + _PAUSE)
            if before + 1 == _SILENCES:
                log.warning("[dnsbl %s]: %s does not answer; it is not asked for a minute", one.name, one.domain)
        elif before and one.name in asked:
            memory.put(key, 0, now + _PAUSE)


def _warn(one: DnsList, services: Services) -> None:
    """Tell the administrator once a day, across all workers and nodes, that a list refuses to serve us."""
    memory = _memory(services.resolver)
    key, now = ("dnsbl blocked", one.domain), services.clock()
    if memory is not None:
        if memory.get(key, now) is not None:
            return
        memory.put(key, True, now + _DAY)
    if services.store is not None and not services.read_only:
        try:
            if rates.use(services.store, f"dnsbl blocked {one.domain}", 1, now, _DAY, services.deadline) > 1:
                return
        except StoreError as error:
            log.debug("whether others know it already can't be found out: %s", error)
    log.warning(
        "[dnsbl %s]: %s does not answer our questions (too many, or by way of a public name server): it gives no points; "
        "read its terms in docs/dnsbl.md",
        one.name,
        one.domain,
    )
