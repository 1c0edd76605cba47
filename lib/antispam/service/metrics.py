"""Metrics in a file in Prometheus's text format, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from antispam.chores import failures
from antispam.learning.upkeep import last_taught
from antispam.service import logs
from antispam.store import Store, StoreError, outbox
from antispam.store.schema import quarantine_entry
from dspam.schema import State, dspam_training, dspam_user

EVERY = 60.0  # seconds
_THREADS = ("courier", "heart", "history", "housekeeping")


class Figure(NamedTuple):
    """One value, of what its name and labels say."""

    name: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Metrics:
    """Writes the file, whole or not at all: a task of the housekeeper.

    lost   how many rows of the history this worker could not write down
    clock  seconds since the epoch
    """

    def __init__(self, store: Store, path: Path, *, lost: Callable[[], int], clock: Callable[[], float]) -> None:
        self._store = store
        self._path = path
        self._lost = lost
        self._clock = clock

    def __call__(self) -> bool:
        """Raises OSError where it can't be written, StoreError where the database gave no figures; then the file says so."""
        lost = Figure(
            "bms_history_rows_lost", "history rows that the worker writing this file had to drop", self._lost()
        )
        own = [lost, *_of_process()]
        try:
            figures = list(self._of_store())
        except StoreError:
            self._write([_up(0), *own])
            raise
        self._write([_up(1), *own, *figures])
        return False

    def _of_store(self) -> Iterator[Figure]:
        """Raises StoreError."""
        if (last := last_taught(self._store)) is not None:
            yield Figure("bms_last_training_timestamp_seconds", "when the filter was last taught", last)
        pending = sa.select(sa.func.count()).where(dspam_training.c.state.in_((State.PENDING, State.FOLDING)))
        size = sa.func.coalesce(sa.func.sum(quarantine_entry.c.size), 0)
        kept = sa.select(sa.func.count(), size).where(quarantine_entry.c.released_at.is_(None))
        with self._store.read() as connection:
            count, octets = connection.execute(kept).one()
            waiting = connection.scalar(pending) or 0
            users = connection.execute(sa.select(dspam_user)).all()
        yield Figure("bms_trainings_pending", "trainings not yet folded into the tokens", waiting)
        yield Figure("bms_quarantine_messages", "messages in the quarantine that were not released", count)
        yield Figure("bms_quarantine_bytes", "their size", float(octets))
        for user in users:
            of = ("dictionary", user.name)
            yield Figure("bms_dictionary_tokens", "tokens of a dictionary, without pending ones", user.tokens, (of,))
            for kind, learned in (("spam", user.spam_learned), ("ham", user.ham_learned)):
                help_text = "messages that a dictionary has learned, without pending ones"
                yield Figure("bms_dictionary_messages", help_text, learned, (of, ("kind", kind)))
        queued_messages = {"waiting": 0, "failed": 0} | outbox.counts(self._store, self._clock())
        for state, number in queued_messages.items():
            yield Figure(
                "bms_outbox_messages", "the filter's own messages that are not sent yet", number, (("state", state),)
            )

    def _write(self, figures: Iterable[Figure]) -> None:
        registry = CollectorRegistry()
        gauges: dict[str, Gauge] = {}
        for name, about, value, labels in figures:
            if name not in gauges:
                gauges[name] = Gauge(name, about, [label for label, _ in labels], registry=registry)
            (gauges[name].labels(*[text for _, text in labels]) if labels else gauges[name]).set(value)
        write_to_textfile(str(self._path), registry)


def _of_process() -> Iterator[Figure]:
    """Of the worker that writes the file."""
    help_text = "log lines that the worker writing this file could not write"
    yield Figure("bms_log_lines_dropped", help_text, logs.dropped())
    for name in sorted({*_THREADS, *failures}):
        help_text = "unexpected exceptions in the background threads of the worker writing this file"
        yield Figure("bms_thread_failures", help_text, failures[name], (("thread", name),))


def _up(value: int) -> Figure:
    return Figure("bms_store_up", "1 if the database answered", value)
