"""Removing dangerous and forged parts from a quarantined message, for an MTA that does not call the filter."""

from __future__ import annotations

import time

from antispam.deadline import Deadline
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.table import Journey, Stage
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision, ruling
from antispam.mail.draft import Draft
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, split_message
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import let_pass
from antispam.net.resolver import DnsSettings, Resolver
from antispam.settings import Settings
from antispam.settings.program import ProgramSettings
from antispam.store import StoreError
from antispam.store.release import Protect


class NotProtected(StoreError):
    """Protection failed, so the message must not be sent now."""


def protector(journey: Journey, settings: Settings) -> Protect:
    """What takes a whole message and our reference for it, and returns it as the rows that protect (Accepted.PROTECT) leave it,
    ready to be sent. It raises NotProtected."""
    runner = Runner(journey)
    services = Services(
        settings=settings,
        resolver=Resolver.from_settings(settings[DnsSettings]),
        store=None,
        access=EMPTY,
        clock=time.time,
        deadline=Deadline.after(0),
    )

    def protect(raw: bytes, ref: str) -> bytes:
        return _protected(raw, ref, runner, services)

    return protect


def _protected(raw: bytes, ref: str, runner: Runner, services: Services) -> bytes:
    headers, content = split_message(raw)
    message = Message(ref, "", services.clock(), Body(len(content)), headers=headers, findings=Findings())
    message.body.write(content)
    message.findings.add(OwnMailFinding(outbox_id=1, kind="release", ref=ref))
    message.decisions.append(Decision("own_mail", let_pass(f"release of {ref}")))
    subject = Subject(Connection(ref, findings=message.findings), message, None)
    services = services.until(Deadline.after(services.settings[ProgramSettings].message_timeout))
    for _ in runner.run(Stage.END, subject, services):
        pass
    draft = Draft(message, ())
    failure = ruling(all_decisions(subject)) or runner.act(subject, draft, services)
    if failure is not None:
        raise NotProtected(f"{ref} cannot be released now: {failure.check}: {failure.verdict.reason}")
    return draft.to_bytes()
