"""Recording the outcome of a message: what must be durable before the reply, and what may follow it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from antispam.journey.history_row import address_rows, row_for
from antispam.mail.message import Message
from antispam.mail.subject import Subject
from antispam.mail.verdicts import Verdict
from antispam.store import Store, StoreError, attempts, outbox, quarantine
from antispam.store.history import HistoryWriter
from antispam.store.outbox import QueuedMessage
from antispam.store.quarantine import NewEntry
from antispam.text import for_log

log = logging.getLogger(__name__)


class NullRecorder:
    """A recorder that writes nothing."""

    def record(self, subject: Subject, verdict: Verdict) -> None:
        pass

    def store(
        self, message: Message, entries: Sequence[NewEntry], queued_messages: Sequence[QueuedMessage] = ()
    ) -> bool:
        return True


class StoreRecorder:
    """The recorder over the store; one a worker. `posted` is set once there is a message to send; `subjects` says whether the
    history keeps what Subject says."""

    def __init__(
        self,
        store: Store,
        history: HistoryWriter,
        clock: Callable[[], float],
        posted: threading.Event | None = None,
        *,
        subjects: bool = True,
    ) -> None:
        self._store = store
        self._history = history
        self._clock = clock
        self._posted = posted
        self._subjects = subjects

    def record(self, subject: Subject, verdict: Verdict) -> None:
        """The finished transaction, for the history; best effort."""
        self._history.record(
            lambda node: row_for(subject, verdict, node, with_subject=self._subjects),
            lambda: address_rows(subject, verdict),
        )

    def store(
        self, message: Message, entries: Sequence[NewEntry], queued_messages: Sequence[QueuedMessage] = ()
    ) -> bool:
        """Store what is kept from some users and what is posted to others: all of it or, returning False, nothing."""
        try:
            with self._store.write() as connection:
                if entries:
                    quarantine.insert(connection, message, entries, self._earlier(connection, message))
                for queued in queued_messages:
                    outbox.post(self._store, connection, queued, self._clock())
        except (StoreError, sa.exc.SQLAlchemyError) as error:
            log.error("[%s] ERROR the message cannot be stored: %s", message.ref, for_log(str(error)))
            return False
        if queued_messages and self._posted is not None:
            self._posted.set()
        return True

    def _earlier(self, connection: sa.Connection, message: Message) -> str:
        """The reference under which an earlier attempt at the message was kept; "" if this is the first."""
        identity = message.identity()
        if not identity:
            return ""
        ref = attempts.first(self._store, connection, "quarantine", identity, message.ref, self._clock())
        if ref == message.ref:
            return ""
        log.info("[%s] the client sent a message again that is in the quarantine as [%s]", message.ref, ref)
        return ref
