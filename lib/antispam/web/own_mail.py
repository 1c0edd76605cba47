"""The part of a message in the history that an account may see."""

from __future__ import annotations

from antispam.journey.account import Part, part_of
from antispam.net.addresses import parse_mailbox
from antispam.store import own_history
from antispam.store.accounts import Account
from antispam.store.hidden import hidden_local, is_hidden
from antispam.store.history_search import Transaction
from antispam.web.console import Console


def own_part(console: Console, user: str, found: Transaction) -> Part | None:
    """The user's part of a message; None if it was not addressed to them. If several recipients have hashed addresses,
    it may be unknown which one the user is: then the part says only that the message came. Raises StoreError.
    """

    # A hash keeps the domain of its address: to a user who has the rest of the domain, all hashes would look like
    # theirs.
    def named(address: str) -> bool:
        return not is_hidden(address) and console.addresses.mailbox_of(address) == user

    part = part_of(found, named)
    if part.recipients:
        return part
    if not any(is_hidden(one.address) for one in found.recipients):
        return None
    whose = console.addresses.whose(user)
    if own_history.of_ref(console.store, whose, found.ref, found.received_at) is None:
        return None
    own = [parse_mailbox(address) for address in whose.addresses if "@" in address]
    forms = {f"{hidden_local(console.store, one)}@{one.domain}" for one in own if one.local}
    alone = len(found.recipients) == 1
    return part_of(found, lambda address: alone or address in forms)


def is_all_theirs(console: Console, account: Account, found: Transaction) -> bool:
    """Whether the message was addressed only to the account's own mailboxes. Raises StoreError."""
    parts = [own_part(console, mailbox, found) for mailbox in account.mailboxes]
    theirs = {address for part in parts if part is not None for address in part.recipients}
    return bool(theirs) and theirs == {one.address for one in found.recipients}
