"""Runs the rows of the table: collect evidence, then decide; at the end, act."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

from antispam.journey.plan import Asked, Plan
from antispam.journey.services import Services
from antispam.journey.table import Accepted, Journey, NotDone, Row, Scope, Stage
from antispam.journey.watch import Watch
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision, accepted_by, passed_by
from antispam.mail.draft import Draft
from antispam.mail.findings import Finding, Findings
from antispam.mail.message import Message
from antispam.mail.score import Hit
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import CONTINUE, Action, Verdict, reject, tempfail
from antispam.settings import CheckSettings, OnError, Settings
from antispam.text import for_log

log = logging.getLogger(__name__)

TICK_SECONDS = 4.0  # sendmail gives a filter up that is silent for 10 s


class Runner:
    """Runs the rows of a stage. One object a worker, shared by all its sessions.

    pool     where look-ups wait for the network beside one another; None runs them one after the other
    slots    how many may wait in the pool; beyond that, a look-up runs in the thread of its own message, so that slow name
             servers of some senders never delay the mail of others
    watch    counts what the checks do, if given
    waiting  a context in which a message waits for the network, so that others may go on
    failed   called with the subject after an unexpected exception, to keep the message that caused it
    """

    def __init__(
        self,
        journey: Journey,
        *,
        pool: concurrent.futures.Executor | None = None,
        slots: int = 32,
        watch: Watch | None = None,
        waiting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        failed: Callable[[Subject], None] = lambda subject: None,
    ) -> None:
        self.journey = journey
        self._pool = pool
        self._slots = threading.BoundedSemaphore(slots)
        self._watch = watch
        self._waiting = waiting
        self._failed = failed
        self._plan: Plan | None = None

    def run(
        self,
        stage: Stage,
        subject: Subject,
        services: Services,
        *,
        tick: Callable[[], None] | None = None,
    ) -> Iterator[Decision]:
        """The decisions of a stage, in the table's order, as they are made; they are also noted with the subject. The caller
        stops where one is final.

        tick  called every few seconds while look-ups are awaited, to tell the MTA that work goes on
        """
        passed = passed_by(all_decisions(subject)) is not None
        for wave in self._planned(services.settings).waves[stage]:
            rows = wave.rows
            if passed:
                rows = [asked for asked in rows if asked.protects]
            elif wave.skips and accepted_by(all_decisions(subject)) is not None:
                rows = [asked for asked in rows if asked.row.accepted is not Accepted.SKIP]
            if wave.reads_hits and rows:
                yield from self._gather(subject, services)
            questions = _questions(rows, subject)
            results = self._collect_all(questions, services, tick, wave.looks_up)
            for question, result in zip(questions, results, strict=True):
                if result is None or (passed and not question.asked.protects):
                    continue  # the question did not arise, or does not any more
                decision = self._decide(question, result, services)
                _decisions(question).append(decision)
                if self._watch is not None:
                    self._watch.decided(decision)
                passed = passed or (decision.verdict.action is Action.PASS and decision.counts)
                yield decision

    def _planned(self, settings: Settings) -> Plan:
        """The plan under these settings. They change with a new worker only, so that it is made once."""
        if self._plan is None or self._plan.settings is not settings:
            self._plan = Plan(self.journey, settings)
        return self._plan

    def _collect_all(
        self, questions: list[_Question], services: Services, tick: Callable[[], None] | None, looks_up: bool
    ) -> list[Finding | Exception | None]:
        looking = looks_up and [place for place, one in enumerate(questions) if _may_wait(one, services)]
        if not looking:
            return self._in_turn(questions, services, tick)
        # The thread that we are on takes one itself, unless it has to say meanwhile that work goes on.
        futures = {place: self._beside(questions[place], services) for place in (looking if tick else looking[1:])}
        own = [place for place in range(len(questions)) if futures.get(place) is None]
        found = {place: self._collect(questions[place], services) for place in own if place not in looking}
        pending = {future for future in futures.values() if future is not None}
        with self._waiting():
            found |= {place: self._collect(questions[place], services) for place in own if place in looking}
            while pending:
                pending = concurrent.futures.wait(pending, timeout=TICK_SECONDS).not_done
                if pending and tick:
                    tick()
        found |= {place: future.result() for place, future in futures.items() if future is not None}
        return [found[place] for place in range(len(questions))]

    def _in_turn(
        self, questions: list[_Question], services: Services, tick: Callable[[], None] | None
    ) -> list[Finding | Exception | None]:
        """Ask one after the other, with signs of life: for ten thousand recipients this takes longer than an MTA waits."""
        found = []
        ticked = time.monotonic()
        for question in questions:
            if tick and time.monotonic() - ticked >= TICK_SECONDS:
                tick()
                ticked = time.monotonic()
            found.append(self._collect(question, services))
        return found

    def _beside(
        self, question: _Question, services: Services
    ) -> concurrent.futures.Future[Finding | Exception | None] | None:
        """A row's collect() running in the pool, or None if there is no room."""
        if self._pool is None or not self._slots.acquire(blocking=False):
            return None
        future = self._pool.submit(self._collect, question, services)
        future.add_done_callback(lambda _: self._slots.release())
        return future

    def _collect(self, question: _Question, services: Services) -> Finding | Exception | None:
        asked, (connection, message, recipient) = question
        result: Finding | Exception | None
        began = time.perf_counter()
        try:
            result = asked.row.check.collect(connection, message, recipient, services)
        except Exception as error:  # noqa: BLE001 - a defect in a check must cost neither the mail nor the process
            result = error
        if result is not None and self._watch is not None:
            self._watch.collected(asked.name, time.perf_counter() - began)
        return result

    def _decide(self, question: _Question, result: Finding | Exception, services: Services) -> Decision:
        asked, subject = question
        settings = asked.settings
        if asked.performs and asked.enforced and isinstance(result, Finding) and not services.read_only:
            result = _performed(question, result, services)
        if isinstance(result, Finding):
            _home(question).add(result)
            if asked.readdresses and asked.enforced:
                _readdress(question, result)
            if result.error:
                self._count_failure(asked.name)
                return _decision(asked, _on_error(settings, result.error))
            try:
                verdict = asked.row.check.decide(result, subject.findings, settings, services.access)
            except Exception as error:  # noqa: BLE001 - as above
                result = error
            else:
                return _decision(asked, verdict)
        self._count_failure(asked.name)
        self._report(asked.name, result, subject)
        return _decision(asked, _on_error(settings, "internal error"))

    def _count_failure(self, check: str) -> None:
        if self._watch is not None:
            self._watch.failed(check)

    def _gather(self, subject: Subject, services: Services) -> Iterator[Decision]:
        """Ask every row that has found something, in any stage, which tests of the score the message meets; each row once."""
        found, rows = subject.findings, self._planned(services.settings).scoring
        if subject.recipient is None:  # of most rows nothing is known
            rows = [
                one
                for one in rows
                if one.of_recipients or (not found.noted(one.name) and found.get(one.finding) is not None)
            ]
        for question in _questions(rows, subject):
            if _of_message(question).noted(question.asked.name):
                continue
            finding = question.subject.findings.get(question.asked.finding)
            if finding is not None and not finding.error:
                decision = self._score(question, finding)
                if decision is not None:
                    yield decision

    def _score(self, question: _Question, finding: Finding) -> Decision | None:
        """Note the tests of the score that a row's evidence meets. Returns a decision only after a defect."""
        asked, subject = question
        points: Callable[..., tuple[Hit, ...]] = asked.row.check.points  # type: ignore[attr-defined]
        try:
            hits = points(finding, subject.findings, asked.settings)
            # With the message, even where the evidence is of its connection: what that is worth depends on the rest.
            _of_message(question).note(asked.name, hits, counts=asked.enforced)
        except Exception as error:  # noqa: BLE001 - as above
            self._report(asked.name, error, subject)
            verdict = _on_error(asked.settings, "internal error")
            if verdict is not CONTINUE:
                decision = Decision(asked.name, verdict)
                _decisions(question).append(decision)
                return decision
        return None

    def contents(self, subject: Subject, services: Services) -> tuple[Hashable, ...]:
        """What distinguishes this recipient's version of the message from others. After a defect it counts as different from
        all."""
        found: list[Hashable] = []
        for row, content, finding in self._having("content", subject, services):
            if row.scope is not Scope.RECIPIENT:
                continue
            try:
                found.append(content(finding))
            except Exception as error:  # noqa: BLE001 - as above
                self._report(row.check.NAME, error, subject)
                found.append(id(subject.recipient))
        return tuple(found)

    def act(self, subject: Subject, draft: Draft, services: Services) -> Decision | None:
        """Let every check with findings for this message queue its edits, in the order of the table. Returns the decision that
        follows from a defect, or None."""
        verdicts = {decision.check: decision.verdict for decision in all_decisions(subject)}
        for row, act, finding in self._having("act", subject, services):
            settings = services.settings[row.check.Settings]
            try:
                act(finding, verdicts.get(row.check.NAME, CONTINUE), draft, services)
            except NotDone as error:
                log.error("[%s] ERROR %s: %s", subject.ref, row.check.NAME, for_log(str(error)))
                verdict = _on_error(settings, str(error))
                if verdict is not CONTINUE:
                    return Decision(row.check.NAME, verdict, settings.mode)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(row.check.NAME, error, subject)
                verdict = _on_error(settings, "internal error")
                if verdict is not CONTINUE:
                    return Decision(row.check.NAME, verdict, settings.mode)
        return None

    def afterwards(self, subject: Subject, services: Services) -> None:
        """The message is accepted: call every check with findings that acts afterwards."""
        for row, afterwards, finding in self._having("afterwards", subject, services):
            try:
                afterwards(finding, subject.message, services)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(row.check.NAME, error, subject)

    def asks(self, stage: Stage, settings: Settings) -> bool:
        """Whether any row of that stage is active."""
        return bool(self._planned(settings).waves[stage])

    def has(self, method: str, settings: Settings) -> bool:
        """Whether any active row has that optional method. If not, its arguments need not be computed."""
        return bool(self._planned(settings).having(method))

    def offended(self, subject: Subject, verdict: Verdict, services: Services) -> None:
        """The client has collected demerits: call every check with findings that reacts to them."""
        self._each("offended", subject, verdict, services)

    def concluded(self, subject: Subject, verdict: Verdict, services: Services) -> None:
        """The transaction is over: call every check with findings that concludes, whatever was decided."""
        self._each("concluded", subject, verdict, services)

    def _each(self, method: str, subject: Subject, verdict: Verdict, services: Services) -> None:
        for row, conclude, finding in self._having(method, subject, services):
            try:
                conclude(finding, subject.connection, subject.message, verdict, services)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(row.check.NAME, error, subject)

    def _having(
        self, method: str, subject: Subject, services: Services
    ) -> Iterator[tuple[Row, Callable[..., Any], Finding]]:
        """The rows in force whose check has the method and found something, with both."""
        for row in self._planned(services.settings).having(method):
            finding = subject.findings.get(row.check.Finding)
            if finding is not None and not finding.error:
                yield row, getattr(row.check, method), finding

    def _report(self, check: str, error: Exception, subject: Subject) -> None:
        log.error("[%s] ERROR %s: unexpected %s", subject.ref, check, type(error).__name__, exc_info=error)
        try:
            self._failed(subject)
        except OSError as failure:
            log.error("[%s] ERROR the message could not be saved: %s", subject.ref, failure)


def _performed(question: _Question, finding: Finding, services: Services) -> Finding | Exception:
    """The finding after a check has done what it has to do before it decides. In mode log nothing is done."""
    if finding.error:
        return finding
    perform: Callable[..., Finding] = question.asked.row.check.perform  # type: ignore[attr-defined]
    subject = question.subject
    try:
        return perform(finding, subject.message, subject.recipient, services)
    except Exception as error:  # noqa: BLE001 - as in the runner
        return error


def _may_wait(question: _Question, services: Services) -> bool:
    """Whether collect() may have to wait for the network. Only then is it worth another thread, which costs more than most
    checks."""
    if not question.asked.looks_up:
        return False
    connection, message = question.subject.connection, question.subject.message
    ready: Callable[[Connection, Message, Services], bool] | None = getattr(question.asked.row.check, "ready", None)
    return ready is None or message is None or not ready(connection, message, services)


class _Question(NamedTuple):
    """A row that is asked about a subject."""

    asked: Asked
    subject: Subject


_as_question = functools.partial(tuple.__new__, _Question)  # without the call of a Python function for each row


def _questions(rows: list[Asked], subject: Subject) -> list[_Question]:
    """The questions of the rows: at the end of a message, a row about recipients asks about each of them."""
    message = subject.message
    if subject.recipient is not None or message is None:
        return [_as_question((asked, subject)) for asked in rows]
    found = []
    for asked in rows:
        if asked.of_recipients:
            found += [
                _Question(asked, Subject(subject.connection, message, one)) for one in message.accepted_recipients
            ]
        else:
            found.append(_as_question((asked, subject)))
    return found


def _readdress(question: _Question, finding: Finding) -> None:
    recipient = question.subject.recipient
    if recipient is None or finding.error:
        return
    meant = question.asked.row.check.readdress(finding)  # type: ignore[attr-defined]
    if meant and meant != recipient.address:
        recipient.address, recipient.readdressed = meant, True


def _home(question: _Question) -> Findings:
    asked, subject = question
    if asked.of_recipients and subject.recipient is not None:
        return subject.recipient.findings
    if subject.message is not None and not asked.of_connection:
        return subject.message.findings
    return subject.connection.findings


def _of_message(question: _Question) -> Findings:
    """The findings of the recipient or message that a row was asked about at the end."""
    asked, subject = question
    assert subject.message is not None
    if asked.of_recipients and subject.recipient is not None:
        return subject.recipient.findings
    return subject.message.findings


def _decisions(question: _Question) -> list[Decision]:
    """The list in which a row's decision is kept. It lives as long as its evidence."""
    asked, subject = question
    if asked.of_recipients and subject.recipient is not None:
        return subject.recipient.decisions
    if subject.message is not None and not asked.of_connection:
        return subject.message.decisions
    connection = subject.connection
    return connection.decisions if asked.row.stage is Stage.CONNECT else connection.helo_decisions


def _decision(asked: Asked, verdict: Verdict) -> Decision:
    return Decision(asked.name, verdict, asked.settings.mode, asked.firm, asked.protects)


def _on_error(settings: CheckSettings, error: str) -> Verdict:
    if settings.on_error is OnError.ACCEPT:
        return CONTINUE
    text = "A check on our side failed"
    if settings.on_error is OnError.REJECT:
        return reject(f"{text}; the message is refused by local policy.", error)
    return tempfail(f"{text}; please try again later.", error, enhanced="4.3.0")
