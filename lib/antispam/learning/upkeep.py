"""Periodic tasks of the learning filter: folding, deleting old data, and a warning if nobody trains it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from antispam.chores import Chore
from antispam.learning.settings import DspamSettings, TrainingMode
from antispam.store import Store
from dspam.schema import dspam_training, dspam_user
from dspam.store import Folding, Forgetting

log = logging.getLogger(__name__)

FOLD_EVERY = 30.0
DAY = 86_400.0


def chores(settings: DspamSettings, store: Store, now: Callable[[], float]) -> list[Chore]:
    """The chores for the housekeeper. `now` is in seconds since the epoch."""
    found = [
        Chore(Folding(store, now=now), FOLD_EVERY),
        Chore(Forgetting(store, settings.retention, now=now), DAY),
    ]
    if settings.alarm:
        found.append(Chore(lambda: _warn(store, settings, now()), DAY))
    return found


def last_taught(store: Store, deadline: Any = None) -> float | None:
    """The time of the last lesson in any dictionary, in seconds since the epoch; None if there was none. Raises
    StoreError.
    """
    newest = sa.select(dspam_training.c.trained_at).where(dspam_training.c.sign == 1)
    with store.read(deadline) as connection:
        return connection.scalar(newest.order_by(dspam_training.c.seq.desc()).limit(1))


def last_taught_by_people(store: Store, settings: DspamSettings) -> float | None:
    """The same without the automatic lessons of dictionaries with teft, of which only corrections by reports count. If
    people have taught nothing yet, the time at which the first of these began. Raises StoreError.
    """
    row, user = dspam_training.c, dspam_user.c
    attended: sa.ColumnElement[bool] = user.name.in_(settings.dspam_screener[:1])  # which also gets every report
    if settings.training_mode is not TrainingMode.TEFT:
        attended = sa.or_(attended, user.name.not_in(settings.dspam_train))
    by_people = row.sign == sa.case((row.user_id.in_(sa.select(user.id).where(attended)), 1), else_=-1)
    with store.read() as connection:
        newest = sa.select(row.trained_at).where(by_people).order_by(row.seq.desc()).limit(1)
        found: float | None = connection.scalar(newest)
        return connection.scalar(sa.select(sa.func.min(row.trained_at))) if found is None else found


def _warn(store: Store, settings: DspamSettings, now: float) -> bool:
    taught = last_taught_by_people(store, settings)
    if taught is not None and now - taught > settings.alarm:
        log.warning(
            "nobody has trained the filter for %d days; its knowledge of spam is getting old (see [dspam] alarm)",
            (now - taught) / DAY,
        )
    return False
