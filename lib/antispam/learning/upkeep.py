"""What has to be done for the dictionaries now and then: forget what is too old, tell that nobody teaches any more."""

from __future__ import annotations

import logging
from collections.abc import Callable

import sqlalchemy as sa

from antispam.housekeeping import Chore
from antispam.settings import option, section
from antispam.settings.values import duration
from antispam.store import Store
from dspam.schema import dspam_training
from dspam.store import Forgetting, Retention

log = logging.getLogger(__name__)

DAY = 86400.0


def _positive(value: float) -> None:
    if value <= 0:
        raise ValueError("must be greater than 0")


@section("dspam")
class UpkeepSettings:
    """[dspam]: how long what is kept of the learning filter, and when it complains."""

    retain_signatures: float = option(
        30 * DAY, "how long a message can be reported by its signature alone", parse=duration("d"), check=_positive
    )
    retain_undo: float = option(
        30 * DAY,
        "how long a training can be taken back or corrected; it takes some 10 kB a message",
        parse=duration("d"),
        check=_positive,
    )
    retain_tokens: float = option(
        365 * DAY, "how long a token is kept since it was last taught", parse=duration("d"), check=_positive
    )
    retain_rare: float = option(
        120 * DAY, "the same for a token that was in one message only", parse=duration("d"), check=_positive
    )
    alarm: float = option(
        14 * DAY, "a warning once a day when nothing was taught for so long; 0 is off", parse=duration("d")
    )


def learning_chores(settings: UpkeepSettings, store: Store, clock: Callable[[], float]) -> list[Chore]:
    """Once a day each. `clock` tells seconds since the epoch."""
    retention = Retention(
        signatures=settings.retain_signatures,
        undo=settings.retain_undo,
        tokens=settings.retain_tokens,
        rare=settings.retain_rare,
    )
    forgetting = Chore(Forgetting(store, retention, now=clock), DAY)
    return [forgetting, Chore(Alarm(store, settings.alarm, clock), DAY)] if settings.alarm else [forgetting]


class Alarm:
    """Warns when nothing was taught for `after` seconds. Where nobody ever taught anything, nobody expects it either."""

    def __init__(self, store: Store, after: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._after = after
        self._clock = clock

    def __call__(self) -> bool:
        """Raises StoreError."""
        last = last_training(self._store)
        if last is not None and self._clock() - last >= self._after:
            days = int((self._clock() - last) // DAY)
            log.warning(
                "the filter has not been taught for %d days: do reports of spam still arrive? ([dspam] alarm)", days
            )
        return False


def last_training(store: Store) -> float | None:
    """When the latest training took place, in seconds since the epoch; None where there is none. Raises StoreError."""
    latest = sa.select(dspam_training.c.trained_at).order_by(dspam_training.c.seq.desc()).limit(1)
    with store.read() as connection:
        found = connection.scalar(latest)
    return None if found is None else float(found)
