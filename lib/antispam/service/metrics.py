"""Metrics in Prometheus's text format, from the board and the store, as a file or by HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Metric, generate_latest, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from antispam.chores import Chore
from antispam.deadline import Deadline
from antispam.learning.upkeep import last_taught
from antispam.service.board import Board, Figure
from antispam.settings import Settings
from antispam.settings.metrics import MetricsSettings
from antispam.store import Store, StoreError, outbox
from antispam.store.hours import HOUR, Hours, judged
from antispam.store.schema import quarantine_entry
from antispam.text import for_log
from dspam.schema import State, dspam_training, dspam_user
from dspam.store import said_since

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds
PATIENCE = 2.0  # seconds for the database when a load balancer asks
BUDGET = 1.0  # seconds of a scrape for counting hours of the history not counted before
SAID = 20_000  # lessons that are compared with decisions
_JUDGED = 24  # hours
_READY = ("bms_workers", "ready")
DICTIONARIES = 50  # the largest ones get separate figures: a site may have one for each of its users
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kept(NamedTuple):
    """One value from the store, with its name and labels."""

    name: str
    kind: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Metrics(Collector):
    """All figures of a program at the time of collection.

    hours  counts decisions and corrections of a day; None leaves them out, for a process that handles mail
    """

    def __init__(self, board: Board, store: Store, clock: Callable[[], float], hours: Hours | None = None) -> None:
        self._board = board
        self._store = store
        self._clock = clock
        self._hours = hours
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return ()  # otherwise registering would query the store

    def text(self) -> bytes:
        """The text of a scrape. If the database gives no figures, a figure says so."""
        return generate_latest(self._registry)

    def write(self, path: Path) -> None:
        """Write the text to a file atomically. Raises OSError."""
        write_to_textfile(str(path), self._registry)

    def problem(self) -> str:
        """The reason why mail should go to another node now; "" for none."""
        ready = [one.numbers[0] for one in self._board.figures() if (one.family.name, *one.values) == _READY]
        if not any(ready):
            return "no worker serves"
        try:
            with self._store.read(Deadline.after(PATIENCE)) as connection:
                connection.execute(sa.select(1))
        except (StoreError, sa.exc.SQLAlchemyError):
            return "the database does not answer"
        return ""

    def collect(self) -> Iterator[Metric]:
        yield from _families(self._board.figures())
        try:
            kept = [*of_store(self._store, self._clock()), *self._judged()]
        except (StoreError, sa.exc.SQLAlchemyError) as error:
            log.error("metrics: %s", for_log(str(error)))
            kept = []
        yield GaugeMetricFamily("bms_store_up", "1 if the database answered", int(bool(kept)))
        yield from _kept_families(kept)

    def _judged(self) -> Iterator[Kept]:
        """The users' corrections of the last day's decisions. Raises StoreError."""
        if self._hours is None:
            return
        now = self._clock()
        hours = self._hours.last(_JUDGED, now, BUDGET)
        said = said_since(self._store, now - _JUDGED * HOUR, SAID)
        known = [one for one in judged(hours, said) if one is not None]
        yield Kept("bms_decided_messages", "gauge", "messages of the last day", sum(one.of for one in known))
        about = "messages of the last day whose verdict users corrected: what they said it is"
        for kind, number in (("spam", sum(one.missed for one in known)), ("ham", sum(one.lost for one in known))):
            yield Kept("bms_corrected_messages", "gauge", about, number, (("kind", kind),))


def chores(settings: Settings, store: Store, board: Board) -> list[Chore]:
    """The chore that writes the file every minute, if [metrics] asks for one."""
    if MetricsSettings not in settings or (file := settings[MetricsSettings].file) is None:
        return []
    metrics = Metrics(board, store, time.time)

    def write() -> bool:
        metrics.write(file)
        return False

    return [Chore(write, EVERY)]


def of_store(store: Store, now: float) -> Iterator[Kept]:
    """The figures from the database. Raises StoreError."""
    if (last := last_taught(store)) is not None:
        yield Kept("bms_last_training_timestamp_seconds", "gauge", "when the filter was last taught", last)
    size = sa.func.coalesce(sa.func.sum(quarantine_entry.c.size), 0)
    kept = sa.select(sa.func.count(), size).where(quarantine_entry.c.released_at.is_(None))
    pending = sa.select(sa.func.count()).where(dspam_training.c.state.in_((State.PENDING, State.FOLDING)))
    with store.read() as connection:
        count, octets = connection.execute(kept).one()
        waiting = connection.scalar(pending) or 0
    yield Kept("bms_trainings_pending", "gauge", "trainings not yet folded into the tokens", waiting)
    yield Kept("bms_quarantine_messages", "gauge", "messages in the quarantine that were not released", count)
    yield Kept("bms_quarantine_bytes", "gauge", "their size", float(octets))
    yield from _of_dictionaries(store)
    queued_messages = {"waiting": 0, "failed": 0} | outbox.counts(store, now)
    for state, number in queued_messages.items():
        about = "the filter's own messages that are not sent yet"
        yield Kept("bms_outbox_messages", "gauge", about, number, (("state", state),))


def _of_dictionaries(store: Store) -> Iterator[Kept]:
    user = dspam_user.c
    largest = sa.select(dspam_user).order_by(user.tokens.desc(), user.id).limit(DICTIONARIES)
    sums = [sa.func.coalesce(sa.func.sum(column), 0) for column in _LEARNED.values()]
    with store.read() as connection:
        users = connection.execute(largest).all()
        learned = connection.execute(sa.select(*sums)).one()
    for kind, number in zip(_LEARNED, learned, strict=True):
        about = "messages that all dictionaries together have learned, without pending ones"
        yield Kept("bms_trainings_total", "counter", about, float(number), (("kind", kind),))
    for one in users:
        of = ("dictionary", one.name)
        about = "tokens of a dictionary, without pending ones"
        yield Kept("bms_dictionary_tokens", "gauge", about, one.tokens, (of,))
    for one in users:
        for kind, column in _LEARNED.items():
            about = "messages that a dictionary has learned, without pending ones"
            labels = (("dictionary", one.name), ("kind", kind))
            yield Kept("bms_dictionary_messages", "gauge", about, one._mapping[column], labels)


_LEARNED = {"spam": dspam_user.c.spam_learned, "ham": dspam_user.c.ham_learned}
_PLAIN: dict[str, type[CounterMetricFamily | GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def _families(figures: Iterable[Figure]) -> Iterator[Metric]:
    """The board's figures. Verdicts that never occurred are left out: most checks can give only a few."""
    for family, some in groupby(figures, key=lambda figure: figure.family):
        about = (family.name, family.about)
        if family.kind == "histogram":
            bounds = [*(f"{bound:g}" for bound in family.buckets), "+Inf"]
            histogram = HistogramMetricFamily(*about, labels=family.labels)
            for one in some:
                buckets = list(zip(bounds, accumulate(one.numbers[:-1]), strict=True))
                histogram.add_metric(one.values, buckets, one.numbers[-1])
            yield histogram
        else:
            plain = _PLAIN.get(family.kind, GaugeMetricFamily)(*about, labels=family.labels)
            for one in some:
                if one.numbers[0] or family.name != "bms_check_verdicts_total":
                    plain.add_metric(one.values, one.numbers[0])
            yield plain


def _kept_families(kept: Iterable[Kept]) -> Iterator[Metric]:
    for name, some in groupby(kept, key=lambda one: one.name):
        first, *others = some
        family = _PLAIN[first.kind](name, first.about, labels=[label for label, _ in first.labels])
        for one in (first, *others):
            family.add_metric([text for _, text in one.labels], one.value)
        yield family
