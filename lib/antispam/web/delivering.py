"""Delivering a quarantined message and learning from it, for the console's buttons and the digests' links."""

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
    """Whether an account may itself deliver what the check of that name quarantined; None stands for the holder of a
    link.
    """
    if account is not None and account.sees_all:
        return True
    return check not in console.settings[QuarantineSettings].users_may_not_release


def ask(console: Console, entry: Entry) -> bool:
    """Ask the helpdesk to deliver a message; False if there is nothing to ask: a request exists, delivery is under way,
    or the user has too many open requests. Raises StoreError.
    """
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
    """Queue the message for the user, without its dangerous parts, and learn it as ham. Does nothing if it was queued
    before. Raises NoEntry, BadName and StoreError.
    """
    if release(console.store, entry, console.clock(), protect=console.protect).outcome is not Outcome.POSTED:
        return
    try:
        console.teach(entry.user, entry.ref)
    except (StoreError, LookupError, ValueError) as error:  # the message is delivered all the same
        log.warning("console: %s was released, but taught nothing: %s", entry.ref, for_log(str(error)))
