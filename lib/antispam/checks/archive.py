"""A copy of all delivered mail in a mailbox, written before the client gets 250."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import ClassVar

from antispam.checks._shared.mailbox_files import ArchiveError, Envelope, append
from antispam.journey.services import Services
from antispam.journey.table import NotDone
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.program import ProgramSettings
from antispam.store import StoreError, attempts

NAME = "archive"


def _path(text: str) -> None:
    if "\0" in text or text.endswith(".lock"):
        raise ValueError("expected the path of a mailbox")


@section("wiretap")
class Settings(CheckSettings):
    """[wiretap]: the archive, which shares its section with the copies."""

    archive: str = option(
        "",
        "a file (mbox) or folder (maildir; its name ends in /) that gets a copy of all delivered mail; empty is off "
        "(also: mail_archive)",
        check=_path,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The message is to be archived; `too_large` if it was not kept whole, so that it cannot be."""

    check: ClassVar[str] = NAME
    too_large: bool = False


def applies(settings: Settings) -> bool:
    return bool(settings.archive)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    assert message is not None
    if not applies(services.settings[Settings]):
        return None
    return Finding(too_large=not message.body.complete)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """A message that cannot be archived is refused permanently: it will be as large the next time."""
    if not finding.too_large:
        return CONTINUE
    reason = "larger than [milter] max_message: cannot be archived"
    if settings.on_error is OnError.ACCEPT:
        return CONTINUE._replace(reason=reason)
    return reject("The message is larger than what is accepted here.", reason, code=552, enhanced="5.3.4")


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Write the copy. Raises NotDone if that fails."""
    if finding.too_large or services.read_only or not draft.addresses:
        return
    identity = draft.message.identity() if services.store is not None else ""
    archived = f"archive {' '.join(draft.addresses)}"
    if identity and _was_archived(archived, identity, services):
        return  # a retry: its copy exists
    name = services.settings[Settings].archive
    path = services.settings[ProgramSettings].datadir / Path(name)  # an absolute path stays unchanged
    envelope = Envelope(draft.message.mail_from, draft.addresses, services.clock())
    try:
        append(path, name.endswith(os.sep) or path.is_dir(), draft.raw(), envelope, services.deadline)
    except ArchiveError as error:
        raise NotDone(f"not archived: {error}") from error
    if identity:
        _note(archived, identity, draft.message.ref, services)


def _was_archived(what: str, identity: str, services: Services) -> bool:
    """False if the store can't tell: two copies are better than none."""
    assert services.store is not None
    with contextlib.suppress(StoreError):
        return attempts.done(services.store, what, identity, services.deadline)
    return False


def _note(what: str, identity: str, ref: str, services: Services) -> None:
    """Record that the copy is on disk. If that fails, the message may be copied twice."""
    assert services.store is not None
    with contextlib.suppress(StoreError):
        attempts.note(services.store, what, identity, ref, services.clock(), services.deadline)
