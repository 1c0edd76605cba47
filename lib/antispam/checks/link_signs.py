"""Signs of links that hide their target. Phishing relies on people who follow a link without looking."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.signs import SignsFinding, hits
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors, from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.shown import shown
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.signs import links
from antispam.protocols.signs.lists import brands, owner
from antispam.settings import CheckSettings, section

NAME = "link_signs"


@section("link_signs")
class Settings(CheckSettings):
    """[link_signs]: signs in links. They only give points (docs/score.md)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(SignsFinding):
    """The signs in a message's links."""

    check: ClassVar[str] = NAME


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there are none, and for mail of our own users."""
    assert message is not None
    if from_our_users(message):
        return None
    sight = shown(message).document.sight
    found = links.signs(sight.links, sight.anchors, frozenset(owner(one.domain) for one in authors(message)), brands())
    signs = tuple(found)
    return Finding(signs=signs) if signs else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The signs only give points."""
    return Verdict(Action.CONTINUE, reason=finding.told)


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Every sign is a test."""
    return hits(finding.signs)
