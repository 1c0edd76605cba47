"""Numbers for Prometheus: a file that node_exporter's textfile collector reads. All are of the store, and so of all workers and
nodes together."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from antispam.learning.upkeep import last_taught
from antispam.settings import option, section
from antispam.store import Store
from antispam.store.schema import outbox, quarantine_entry
from dspam.schema import State, dspam_training, dspam_user

EVERY = 60.0  # seconds
_MOST_DICTIONARIES = 1000


@section("metrics")
class MetricsSettings:
    """[metrics]: numbers for Prometheus, by way of a file that its node_exporter reads (textfile collector)."""

    file: Path | None = option(None, "the file, rewritten every minute; empty is off")


def write(path: Path, store: Store, now: float) -> None:
    """Replace the file. Raises StoreError, and OSError where the file can't be written."""
    registry = CollectorRegistry()
    Gauge("bms_metrics_timestamp_seconds", "When these numbers were taken.", registry=registry).set(now)
    _learning(registry, store)
    _letters(registry, store)
    write_to_textfile(str(path), registry)


def _learning(registry: CollectorRegistry, store: Store) -> None:
    taught = Gauge("bms_last_training_timestamp_seconds", "When anybody last taught the filter.", registry=registry)
    taught.set(last_taught(store) or 0.0)
    pending = Gauge("bms_trainings_pending", "Trainings that are not folded into the tokens yet.", registry=registry)
    tokens = Gauge("bms_dictionary_tokens", "Tokens of a dictionary.", ["dictionary"], registry=registry)
    messages = Gauge(
        "bms_dictionary_messages", "Messages that a dictionary was taught.", ["dictionary", "kind"], registry=registry
    )
    user = dspam_user.c
    with store.read() as connection:
        waiting = sa.select(sa.func.count()).where(dspam_training.c.state == State.PENDING)
        pending.set(connection.scalar(waiting) or 0)
        rows = sa.select(user.name, user.tokens, user.spam_learned, user.ham_learned).order_by(user.tokens.desc())
        for row in connection.execute(rows.limit(_MOST_DICTIONARIES)):
            tokens.labels(row.name).set(row.tokens)
            messages.labels(row.name, "spam").set(row.spam_learned)
            messages.labels(row.name, "ham").set(row.ham_learned)


def _letters(registry: CollectorRegistry, store: Store) -> None:
    kept = Gauge("bms_quarantine_messages", "Messages kept from somebody.", ["state"], registry=registry)
    letters = Gauge("bms_outbox_letters", "Mail of our own.", ["state"], registry=registry)
    released, sent = quarantine_entry.c.released_at, outbox.c.sent_at
    numbers = (
        (kept.labels("kept"), quarantine_entry, released.is_(None)),
        (kept.labels("released"), quarantine_entry, released.is_not(None)),
        (letters.labels("waiting"), outbox, outbox.c.next_at.is_not(None)),
        (letters.labels("failed"), outbox, sa.and_(outbox.c.failed_at.is_not(None), sent.is_(None))),
    )
    with store.read() as connection:
        for gauge, table, condition in numbers:
            gauge.set(connection.scalar(sa.select(sa.func.count()).select_from(table).where(condition)) or 0)
