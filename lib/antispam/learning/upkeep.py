"""What the learning filter needs now and then, beside the mail: folding, forgetting, and a word when nobody teaches it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from antispam.chores import Chore
from antispam.learning.settings import DspamSettings
from antispam.store import Store
from dspam.schema import dspam_training
from dspam.store import Folding, Forgetting

log = logging.getLogger(__name__)

FOLD_EVERY = 30.0
DAY = 86_400.0


def chores(settings: DspamSettings, store: Store, now: Callable[[], float]) -> list[Chore]:
    """For the housekeeper. `now` is in seconds since the epoch."""
    found = [
        Chore(Folding(store, now=now), FOLD_EVERY),
        Chore(Forgetting(store, settings.retention, now=now), DAY),
    ]
    if settings.alarm:
        found.append(Chore(lambda: _warn(store, settings.alarm, now()), DAY))
    return found


def last_taught(store: Store, deadline: Any = None) -> float | None:
    """When anybody last taught any dictionary something, in seconds since the epoch; None where nobody ever did. Raises
    StoreError."""
    newest = sa.select(dspam_training.c.trained_at).where(dspam_training.c.sign == 1)
    with store.read(deadline) as connection:
        return connection.scalar(newest.order_by(dspam_training.c.seq.desc()).limit(1))


def _warn(store: Store, after: float, now: float) -> bool:
    taught = last_taught(store)
    if taught is not None and now - taught > after:
        log.warning(
            "nobody has taught the filter anything for %d days; what it knows of spam grows old (see [dspam] alarm)",
            (now - taught) / DAY,
        )
    return False
