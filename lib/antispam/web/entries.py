"""The quarantine entries that an account may see, and the actions of its buttons.

Everything is written through the functions that the commands use. To an account, entries that it must not see do not
exist.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from antispam.net.addresses import parse_mailbox
from antispam.store import lists, own_lists, quarantine, stored_messages
from antispam.store.accounts import Account
from antispam.store.quarantine import BadName, Entry, NoEntry, of_ref
from antispam.text import for_log
from antispam.web.answers import Forbidden, marked
from antispam.web.console import Console
from antispam.web.delivering import ask, deliver, may_deliver

log = logging.getLogger(__name__)

Do = Callable[[Console, Account, Entry], bool]
"""The action of a button on one entry; returns False if it did nothing."""


def mailboxes(account: Account, wanted: str) -> tuple[str, ...] | None:
    """The mailboxes whose entries are shown; None stands for all. Raises Forbidden."""
    if account.sees_all:
        return (wanted,) if wanted else None
    if wanted and wanted not in account.mailboxes:
        raise Forbidden(marked("That mailbox is not yours."))
    return (wanted,) if wanted else account.mailboxes


def entry_of(console: Console, account: Account, ref: str, user: str) -> Entry:
    """One entry. Raises NoEntry both if it does not exist and if the account must not see it: the two cannot be told
    apart.
    """
    whose = mailboxes(account, user)
    for mailbox in ("",) if whose is None else whose:
        try:
            return of_ref(console.store, ref, mailbox)[0]
        except NoEntry:
            continue
    raise NoEntry(f"nothing is kept under {for_log(ref, 60)}")


def last_seen(console: Console, users: tuple[str, ...] | None, number: int) -> Entry | None:
    """The last entry of the previous page, by its number; None for another user's, whose position must not be revealed."""
    found = quarantine.of_number(console.store, number) if number else None
    return found if found is not None and (users is None or found.user in users) else None


def chosen(console: Console, account: Account, name: str) -> Entry | None:
    """The entry that a form names by reference and user; None if it is gone or belongs to others."""
    ref, _, user = name.partition(" ")
    try:
        return entry_of(console, account, ref, user)
    except (NoEntry, BadName, Forbidden):
        return None


def _release(console: Console, account: Account, entry: Entry) -> bool:
    if not may_deliver(console, account, entry.check):
        return False
    try:
        deliver(console, entry)
    except (NoEntry, BadName) as error:  # somebody was quicker, or no mail can be sent to that address
        log.info("console: %s was not released: %s", entry.ref, for_log(str(error)))
        return False
    return True


def _delete(console: Console, account: Account, entry: Entry) -> bool:
    if not quarantine.remove(console.store, [entry]).entries:
        return False
    for _ in stored_messages.sweep(console.store, [entry.ref]):
        pass
    return True


def _allow(console: Console, account: Account, entry: Entry) -> bool:
    """Allow the sender: for the user, or for everybody if the account sees everybody's mail."""
    if not account.sees_all:
        may = may_deliver(console, account, entry.check)
        return may and _listed(console, entry, own_lists.Kind.ALLOW) and _release(console, account, entry)
    if not entry.mail_from:
        return False
    lists.add(
        console.store, lists.Kind.WHITELIST, str(parse_mailbox(entry.mail_from)), now=console.clock(),
        by=lists.administrator(account.name), reason="allowed in the console",
    )  # fmt: skip
    return _release(console, account, entry)


def _block(console: Console, account: Account, entry: Entry) -> bool:
    """Block the sender and discard the entry. An entry being delivered stays; the sender is blocked all the same."""
    if account.sees_all or not _listed(console, entry, own_lists.Kind.BLOCK):
        return False
    _delete(console, account, entry)
    return True


def _listed(console: Console, entry: Entry, kind: own_lists.Kind) -> bool:
    """Put the sender on the user's own list. False if that is not possible."""
    try:
        own_lists.put(console.store, entry.user, kind, str(parse_mailbox(entry.sender)), console.clock())
    except (own_lists.BadName, own_lists.Full) as error:
        log.info("console: %s is not listed: %s", for_log(entry.sender, 60), for_log(str(error)))
        return False
    return True


def _ask(console: Console, account: Account, entry: Entry) -> bool:
    return not may_deliver(console, account, entry.check) and ask(console, entry)


ACTIONS: Mapping[str, Do] = {"release": _release, "allow": _allow, "block": _block, "delete": _delete, "ask": _ask}
"""The actions by the value of their button."""
