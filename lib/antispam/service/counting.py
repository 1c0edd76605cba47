"""The counters of a worker, named in families.py and fed by the runner, the recorder, the store and the resolver."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from antispam.chores import failures
from antispam.journey.delivery import Recorder
from antispam.mail.decisions import Decision
from antispam.mail.message import Message
from antispam.mail.subject import Subject
from antispam.mail.verdicts import Verdict
from antispam.service import logs
from antispam.service.activity import Load
from antispam.service.board import Page
from antispam.service.families import SECONDS, THREADS
from antispam.store.outbox import QueuedMessage
from antispam.store.quarantine import NewEntry

_PROC = Path("/proc/self")


class Counts:
    """Writes to this process's page. Safe for all its threads; never raises."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._verdicts = page.places("bms_check_verdicts_total")
        self._seconds = {check: place for (check,), place in page.places("bms_check_seconds").items()}

    def collected(self, check: str, seconds: float) -> None:
        """A check has looked for its evidence."""
        place = self._seconds.get(check)
        if place is not None:
            self._page.observe_at(place, SECONDS, seconds)

    def decided(self, decision: Decision) -> None:
        """A check has decided."""
        place = self._verdicts.get((decision.check, decision.verdict.action, decision.mode))
        if place is not None:
            self._page.count_at(place)

    def failed(self, check: str) -> None:
        """A check failed, and its on_error decided."""
        self._page.count("bms_check_errors_total", check)

    def answered(self, seconds: float) -> None:
        """The MTA has the reply to the end of a message."""
        self._page.observe("bms_message_seconds", value=seconds)

    def concluded(self, verdict: Verdict) -> None:
        """A transaction ended."""
        self._page.count("bms_messages_total", str(verdict.action))

    def looked_up(self, well: bool) -> None:
        """A DNS query was answered, or failed."""
        self._page.count("bms_dns_questions_total", "answered" if well else "failed")

    def store_failed(self, busy: bool) -> None:
        """A database operation failed: the database was locked (busy), or in error."""
        self._page.count("bms_store_errors_total", "busy" if busy else "failed")

    def kept_house(self, now: float) -> None:
        """Housekeeping has finished a round."""
        self._page.set("bms_housekeeping_timestamp_seconds", to=now)

    def beat(self, load: Load, waiting: int, lost: int) -> None:
        """Record every few seconds the load and resources of the process; `waiting` and `lost` are rows of the history."""
        page = self._page
        page.set("bms_sessions", to=load.sessions)
        page.set("bms_messages_in_flight", to=load.messages)
        page.set("bms_history_rows_waiting", to=waiting)
        page.set("bms_history_rows_lost_total", to=lost)
        page.set("bms_log_lines_dropped_total", to=logs.dropped())
        for thread in THREADS[:-1]:
            page.set("bms_thread_failures_total", thread, to=failures[thread])
        others = sum(number for name, number in failures.items() if name not in THREADS[:-1])
        page.set("bms_thread_failures_total", THREADS[-1], to=others)
        with contextlib.suppress(OSError, ValueError, IndexError):  # not Linux, or no descriptor left to look
            resident = int((_PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            page.set("bms_memory_bytes", to=resident)
            page.set("bms_threads", to=len(os.listdir(_PROC / "task")))
            page.set("bms_open_descriptors", to=len(os.listdir(_PROC / "fd")))


class CountingRecorder:
    """A recorder that counts and passes everything to another one."""

    def __init__(self, inner: Recorder, counts: Counts) -> None:
        self._inner = inner
        self._counts = counts

    def record(self, subject: Subject, verdict: Verdict) -> None:
        self._counts.concluded(verdict)
        self._inner.record(subject, verdict)

    def store(
        self, message: Message, quarantined: Sequence[NewEntry], queued_messages: Sequence[QueuedMessage] = ()
    ) -> bool:
        return self._inner.store(message, quarantined, queued_messages)
