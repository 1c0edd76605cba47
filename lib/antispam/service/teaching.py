"""Training with the running filter's settings, store and journey."""

from __future__ import annotations

import time
from collections.abc import Callable

from antispam.checks._shared.reputation.asking import reported
from antispam.journey.protection import protector
from antispam.journey.table import Journey
from antispam.learning.feedback import Means
from antispam.learning.lessons import Lessons
from antispam.learning.teacher import Dictionaries
from antispam.settings import Settings
from antispam.store import Store
from gossip import HAM, SPAM


def lessons(journey: Journey, settings: Settings, store: Store, clock: Callable[[], float] = time.time) -> Lessons:
    """The Lessons that train with single messages in this store."""
    return Lessons(means(journey, settings, store, clock), clock)


def means(journey: Journey, settings: Settings, store: Store, clock: Callable[[], float] = time.time) -> Means:
    """The means that every way of training needs."""
    return Means(
        settings=settings,
        store=store,
        dictionaries=Dictionaries(store),
        tell=lambda ref, is_spam: reported(store, ref, SPAM if is_spam else HAM, clock()),
        protect=protector(journey, settings),
    )
