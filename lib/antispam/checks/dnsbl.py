"""DNS lists: their answers about the client, the domains and the mailboxes of a message."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.dnsbl.asking import Asking, Listed, wanted
from antispam.checks._shared.dnsbl.settings import About, DnsblSettings
from antispam.checks._shared.dnsbl.subjects import subjects_of
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit, Test
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.dnsbl import Code, read_answer

NAME = "dnsbl"
_MEMO = "dnsbl questions"
LOOKS_UP = True
Settings = DnsblSettings

_WORDS = {
    About.CLIENT: "The client",
    About.SENDER: "The envelope sender's domain",
    About.AUTHOR: "The author's domain",
    About.REPLY_TO: "The domain to which answers go,",
    About.SIGNERS: "The domain of a signature,",
    About.HELO: "The client's HELO name",
    About.LINKS: "A link to",
    About.LINK_ADDRESSES: "A link to the address",
    About.EMAILS: "The mailbox",
    About.HOPS: "The hop",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The answers of the lists.

    listed   subjects that are on a list
    blocked  the names of lists that refuse to serve us, so that their answers are unknown
    silent   the names of lists that did not answer in time
    """

    check: ClassVar[str] = NAME
    listed: tuple[Listed, ...] = ()
    blocked: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


def applies(settings: DnsblSettings) -> bool:
    return bool(settings.lists)


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether nothing is asked, or every answer is in the resolver's cache."""
    if from_our_users(message):
        return True
    asking = message.memo[_MEMO] = _asking(connection, message, services)
    return asking.ready(services)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for our own users' mail, and if all lists answered and nothing is listed."""
    assert message is not None
    if from_our_users(message):
        return None
    asking: Asking = message.memo.pop(_MEMO, None) or _asking(connection, message, services)
    found = asking.answers(services)
    if not (found.listed or found.blocked or found.silent):
        return None
    return Finding(listed=found.listed, blocked=found.blocked, silent=found.silent)


def _asking(connection: Connection, message: Message, services: Services) -> Asking:
    lists = services.settings[DnsblSettings].lists
    return Asking(lists, subjects_of(connection, message, wanted(services.settings)), services)


def declares(settings: DnsblSettings) -> tuple[Test, ...]:
    """The tests for the answers of the lists."""
    return settings.tests


def points(finding: Finding, findings: Findings, settings: DnsblSettings) -> tuple[Hit, ...]:
    """Each test once, with the first subject that meets it."""
    hits: dict[str, Hit] = {}
    for one, domain, code in _met(finding, settings):
        evidence = f"{_WORDS[About(one.about)]} {one.subject} is on the list {domain}."
        hits.setdefault(code.test, Hit(code.test, evidence))
    return tuple(hits.values())


def decide(finding: Finding, findings: Findings, settings: DnsblSettings, policy: AccessMap | AccessTable) -> Verdict:
    """The lists only give points; checks/score.py adds up all tests of a message."""
    told = dict.fromkeys(f"{code.test} ({one.subject})" for one, _, code in _met(finding, settings))
    silent = f"no answer of {', '.join(finding.silent)}" if finding.silent else ""
    return Verdict(Action.CONTINUE, reason="; ".join(filter(None, (*told, silent))))


def _met(finding: Finding, settings: DnsblSettings) -> list[tuple[Listed, str, Code]]:
    """The entries of lists that are still configured, with their codes: a message may be decided again under other
    settings.
    """
    known = ((one, settings.by_name.get(one.list)) for one in finding.listed)
    return [
        (one, dns_list.domain, code)
        for one, dns_list in known
        if dns_list is not None
        for code in read_answer(one.answers, dns_list.codes, dns_list.zone.refusals).codes
    ]
