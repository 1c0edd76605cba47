"""Mail from one sender to one recipient, redirected or copied to others."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import WiretapFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import as_compared, parse_mailbox
from antispam.settings import ANY, CheckSettings, option, section
from antispam.settings.program import ProgramSettings
from antispam.settings.values import names
from antispam.text import from_wire

NAME = "smart_alias"
OTHERWISE = "The entries of `[smart_alias]`."

_MOST_LOGGED = 10


def _alias(text: str) -> tuple[str, ...]:
    """Parse an alias: sender, recipient, optional destinations. Raises ValueError."""
    parts = names(text)
    if len(parts) < 2 or not all(part.isprintable() and " " not in part for part in parts):
        raise ValueError("expected sender, recipient[, destination...]")
    if "@" not in parts[0] and parts[0] != "<>":
        raise ValueError("the sender is an address, a domain (@example.com), or <> for bounces")
    return tuple(part if part == "<>" else part.removeprefix("<").removesuffix(">") for part in parts)


@section("smart_alias")
class Settings(CheckSettings):
    """[smart_alias]: one line per alias, `NAME = sender, recipient[, destination...]`."""

    aliases: Mapping[str, tuple[str, ...]] = option(
        {},
        "mail from this sender (an address, or @domain) to this recipient goes to the destinations instead, or to NAME "
        "if there are none",
        parse=_alias,
        named_by=ANY,
    )
    old_names: tuple[str, ...] = option(
        (), "the names of the smart aliases in this section, as in older configurations", section="wiretap",
        name="smart_alias",
    )  # fmt: skip
    old_aliases: Mapping[str, tuple[str, ...]] = option(
        {}, "an alias as in [smart_alias]", section="wiretap", parse=_alias, named_by="smart_alias"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Redirect:
    """A recipient of an alias, and the destinations of their mail."""

    alias: str
    recipient: str
    destinations: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The aliases that apply to the message."""

    check: ClassVar[str] = NAME
    redirects: tuple[Redirect, ...] = ()


_Key = tuple[str, str]  # sender and recipient


@functools.lru_cache(maxsize=8)
def _table(aliases: tuple[tuple[str, tuple[str, ...]], ...], fold: bool) -> dict[_Key, tuple[str, tuple[str, ...]]]:
    """The alias and its destinations, by sender and recipient. For the same pair, the last one counts."""
    return {
        (as_compared(sender, fold), as_compared(recipient, fold)): (name, tuple(destinations) or (name,))
        for name, (sender, recipient, *destinations) in aliases
    }


def applies(settings: Settings) -> bool:
    return bool(settings.aliases or settings.old_aliases)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if no alias applies. They also apply to recipients added by the wiretap, but not to each other's
    destinations, so that there are no loops.
    """
    assert message is not None
    settings = services.settings[Settings]
    fold = not services.settings[ProgramSettings].case_sensitive_localpart
    table = _table((*settings.old_aliases.items(), *settings.aliases.items()), fold)
    sender = as_compared(message.mail_from, fold)
    senders = [sender, f"@{parse_mailbox(message.mail_from).domain}"] if message.mail_from else [sender]
    tapped = message.findings.get(WiretapFinding)
    addresses = [*(one.address for one in message.accepted_recipients), *(tapped.copies if tapped else ())]
    redirects = []
    for address in dict.fromkeys(addresses):
        found = [table[key] for one in senders if (key := (one, as_compared(address, fold))) in table]
        if found:
            destinations = dict.fromkeys(destination for _, those in found for destination in those)
            redirects.append(
                Redirect(alias=found[0][0], recipient=from_wire(address), destinations=tuple(destinations))
            )
    return Finding(redirects=tuple(redirects)) if redirects else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    described = [f"<{one.recipient}> to {', '.join(one.destinations)}" for one in finding.redirects[:_MOST_LOGGED]]
    more = len(finding.redirects) - len(described)
    return Verdict(Action.CONTINUE, reason="; ".join(described) + (f"; {more} more" if more else ""))


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    by_address = {one.recipient: one.destinations for one in finding.redirects}
    for address in draft.addresses:
        destinations = by_address.get(from_wire(address))
        if destinations is not None:
            draft.redirect(address, destinations)
