"""Delivering a kept message and learning from it: what the buttons of the console and the links of digests do."""

from __future__ import annotations

import logging

from antispam.store import StoreError
from antispam.store.quarantine import Entry
from antispam.store.release import Outcome, release
from antispam.text import for_log
from antispam.web.console import Console

log = logging.getLogger(__name__)


def deliver(console: Console, entry: Entry) -> None:
    """Post the message to the user, without what is dangerous in it, and learn that it is honest. What was posted before is
    left alone. Raises NoEntry, BadName and StoreError."""
    if release(console.store, entry, console.clock(), protect=console.protect).outcome is not Outcome.POSTED:
        return
    try:
        console.teach(entry.user, entry.ref)
    except (StoreError, LookupError, ValueError) as error:  # it is delivered all the same
        log.warning("console: %s was released, but taught nothing: %s", entry.ref, for_log(str(error)))
