"""Delivering a kept message and learning from it: what the buttons of the console and the links of digests do."""

from __future__ import annotations

import logging

from antispam.store import StoreError, requests
from antispam.store.accounts import Account
from antispam.store.quarantine import Entry, State
from antispam.store.quarantine_settings import QuarantineSettings
from antispam.store.release import Outcome, release
from antispam.text import for_log
from antispam.web.console import Console

log = logging.getLogger(__name__)


def may_deliver(console: Console, account: Account | None, check: str) -> bool:
    """Whether somebody may deliver themselves what the check of that name kept; None is the holder of a link."""
    if account is not None and account.sees_all:
        return True
    return check not in console.settings[QuarantineSettings].users_may_not_release


def ask(console: Console, entry: Entry) -> bool:
    """Ask the helpdesk to deliver a message; False if nothing is to be asked: it was asked, it is on its way, or too many
    requests of the user are open. Raises StoreError."""
    if entry.state in (State.UNDER_WAY, State.RELEASED):
        return False
    try:
        asked = requests.ask(console.store, entry.ref, entry.user, console.clock())
    except requests.TooMany:
        return False
    if asked:
        log.info("console: %s asks for %s", for_log(entry.user), entry.ref)
    return asked


def deliver(console: Console, entry: Entry) -> None:
    """Post the message to the user, without what is dangerous in it, and learn that it is honest. What was posted before is
    left alone. Raises NoEntry, BadName and StoreError."""
    if release(console.store, entry, console.clock(), protect=console.protect).outcome is not Outcome.POSTED:
        return
    try:
        console.teach(entry.user, entry.ref)
    except (StoreError, LookupError, ValueError) as error:  # it is delivered all the same
        log.warning("console: %s was released, but taught nothing: %s", entry.ref, for_log(str(error)))
