"""Mail of our own outbox, which the MTA shows us like any other: policy was applied before. What protects is still asked."""

from __future__ import annotations

from typing import Any

from antispam.checks._shared.own_letters import OwnMailSettings, read_pass
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, let_pass
from antispam.settings.outbox import OutboxSettings
from antispam.store import StoreError
from antispam.store.outbox import PASS_FIELD, Kind, known_pass, purge, use_pass

NAME = "own_mail"
Finding = OwnMailFinding
Settings = OwnMailSettings
ALSO_READS = (OutboxSettings,)

NAMES_KEPT = 30 * 86400.0  # seconds for which the name of a letter that was sent keeps another one from being posted

_AS_IT_IS = frozenset({Kind.REST, Kind.ORIGINAL})
_FIELD = PASS_FIELD.encode()


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for a message without the field.

    Ours is on top of the message, and all that counts in it is the first word: a letter may be a stranger's message, with his
    fields, and must pass all the same.
    """
    assert message is not None
    fields = message.fields(_FIELD)
    if not fields:
        return None
    words = fields[0].value.split(maxsplit=1)
    shown = read_pass(words[0]) if words else None
    if shown is None:
        return Finding()
    if services.store is None:
        return Finding(error="there is no store")
    try:
        letter = known_pass(services.store, shown.letter, shown.secret, services.clock(), services.deadline)
    except StoreError as error:
        return Finding(error=f"outbox: {error}")
    if letter is None:
        return Finding()
    message.memo[NAME] = shown.secret
    return Finding(letter=shown.letter, kind=letter.kind, ref=letter.ref, as_it_is=letter.kind in _AS_IT_IS)


def perform(finding: Finding, message: Message | None, recipient: Recipient | None, services: Services) -> Finding:
    """Use the pass up: it lets one message through, once."""
    if not finding.letter:
        return finding
    assert message is not None
    assert services.store is not None
    secret: str = message.memo[NAME]
    try:
        used = use_pass(services.store, finding.letter, secret, services.clock(), services.deadline)
    except StoreError as error:
        return Finding(error=f"outbox: {error}")
    return finding if used else Finding()


def tidy(services: Services) -> bool:
    """Forget the names of letters that were sent long ago, a slice of them."""
    return services.store is not None and purge(services.store, services.clock() - NAMES_KEPT) > 0


def decide(finding: Finding, findings: Findings, settings: OwnMailSettings, policy: Any) -> Verdict:
    if not finding.letter:
        return Verdict(Action.CONTINUE, reason=f"{PASS_FIELD} of a stranger, or used before; removed")
    return let_pass(f"letter {finding.letter} of our outbox ({finding.kind} of {finding.ref})")
