"""Dangerous attachments: replaced with a notice or refused, however deeply they are nested. Scripts are removed from
HTML.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import ClassVar

from antispam.journey import saved
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Header, Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.verdicts import Action, Verdict, hold, reject
from antispam.net.addresses import host_list, parse_mailbox
from antispam.protocols import attachments as engine
from antispam.settings import CheckSettings, option, section
from antispam.settings.program import ProgramSettings
from antispam.text import from_wire

NAME = "attachments"
OTHERWISE = "`[defang] banned_exts` and its other options say what counts as dangerous, `remedy` what is done about it."
_LEAST_TIME = 5.0  # seconds

log = logging.getLogger(__name__)


def _extensions(names: tuple[str, ...]) -> None:
    for name in names:
        if not name.isascii() or not name.strip(".") or "." in name.strip("."):
            raise ValueError(f"{name!r} is no file name extension")


@section("defang")
class Settings(CheckSettings):
    """[defang]: dangerous attachments."""

    banned_exts: tuple[str, ...] = option(
        tuple(sorted(engine.DEFAULT_BANNED)), "extensions of file names that are dangerous to open", check=_extensions
    )
    scan_zip: bool = option(
        True,
        "look into archives of all kinds (zip, tar, gz, bz2, xz, 7z, rar, cab, iso, winmail.dat), and into archives "
        "inside them",
    )
    scan_rfc822: bool = option(True, "look into attached messages")
    scan_html: bool = option(
        True,
        "remove scripts, event handlers and javascript: links from HTML; signed parts are left alone, because a change "
        "would break the signature",
    )
    html_attachments: engine.Markup = option(
        engine.Markup.CLEAN,
        "HTML attached as a file: accept, clean (as scan_html does; dangerous if the scripts cannot be removed, as in an "
        "archive), or ban (treat it like banned_exts)",
    )
    svg_attachments: engine.Markup = option(engine.Markup.CLEAN, "the same for SVG images, which can hold scripts")
    macros: engine.Treatment = option(
        engine.Treatment.REPORT,
        "documents with macros, recognised by content or by macro_exts: accept, report (deliver and log), or ban (treat "
        "them like banned_exts)",
    )
    macro_exts: tuple[str, ...] = option(
        tuple(sorted(engine.DEFAULT_MACRO)), "extensions of documents that exist to hold macros", check=_extensions
    )
    remedy: Remedy = remedy_option(
        Remedy.REPLACE,
        "replace the attachment with a notice (the original is kept in tempdir), reject, quarantine, or hold",
        allowed=(Remedy.REPLACE, Remedy.REJECT, Remedy.QUARANTINE, Remedy.HOLD),
    )
    reject_virus_from: tuple[str, ...] = option(
        (),
        "domains of MAIL FROM (example.com or *.example.com) whose dangerous attachments are refused instead of "
        "replaced: our own users should learn of them",
        section="scrub",
        check=host_list,
    )
    unreadable_archives: bool = option(
        False,
        "treat archives and documents that cannot be examined (password, damage, unknown format) like dangerous "
        "attachments; encrypted_zip is an older name of this option",
    )

    @functools.cached_property
    def rules(self) -> engine.Rules:
        return engine.Rules(
            banned=frozenset(name.strip(".").lower() for name in self.banned_exts),
            macro_names=frozenset(name.strip(".").lower() for name in self.macro_exts),
            scan_zip=self.scan_zip,
            scan_rfc822=self.scan_rfc822,
            scan_html=self.scan_html,
            html=self.html_attachments,
            svg=self.svg_attachments,
            macros=self.macros,
            unreadable=engine.Treatment.BAN if self.unreadable_archives else engine.Treatment.REPORT,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The dangerous parts. A part that exceeded a limit during the search counts as dangerous, too.

    too_large  the message was not kept whole, so that nothing is known about it
    sender     the domain of MAIL FROM
    """

    check: ClassVar[str] = NAME
    found: tuple[engine.Finding, ...] = ()
    too_large: bool = False
    sender: str = ""

    @property
    def dangerous(self) -> tuple[engine.Finding, ...]:
        return tuple(one for one in self.found if one.remedy == engine.REPLACE)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if no attachment can be dangerous, as in most mail."""
    assert message is not None
    settings = services.settings[Settings]
    own = message.findings.get(OwnMailFinding)
    if own is not None and own.unmodified:
        return None
    if not message.body.complete:
        return Finding(too_large=True)
    try:
        # Other look-ups may have used up the message's time; the search gets a minimum all the same.
        deadline = services.deadline.at_least(_LEAST_TIME)
        found = engine.inspect(message.headers, message.body.content(), settings.rules, deadline)
    except engine.OutOfTime:
        return Finding(error="examining the attachments took too long")
    return Finding(found=tuple(found), sender=from_wire(parse_mailbox(message.mail_from).domain)) if found else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.too_large:
        return _too_large(settings)
    reason = _reason(finding)
    if not finding.dangerous:
        return Verdict(Action.CONTINUE, reason=reason)
    own = findings.get(OwnMailFinding)
    if own is not None and own.outbox_id:
        return Verdict(Action.CONTINUE, reason=reason)  # it was released: deliver it without the dangerous parts
    remedy = settings.remedy
    if remedy is Remedy.REPLACE and finding.sender in host_list(settings.reject_virus_from):
        remedy = Remedy.REJECT
    names = ", ".join(dict.fromkeys(one.name or "without a name" for one in finding.dangerous[:5]))
    text = (
        f"The message has an attachment that is not accepted here because it may be dangerous: {names}.\n"
        "Please send the file in another way, or ask the recipient for one."
    )
    return verdict_for(remedy, text, reason)


def _too_large(settings: Settings) -> Verdict:
    """Refuse permanently: it will be as large the next time. Only the MTA's queue can hold it."""
    reason = "larger than [milter] max_message: not examined"
    if settings.remedy is Remedy.HOLD:
        return hold(reason)
    text = (
        "The message is too large to be checked for dangerous attachments.\n"
        "Please send a smaller one, or share the file in another way."
    )
    return reject(text, reason, code=552, enhanced="5.3.4")


def _reason(finding: Finding) -> str:
    """The reason for the log: what was found, and in which part."""
    done = {engine.REPLACE: "dangerous", engine.STRIP: "scripts removed", engine.REPORT: "noticed"}
    described = [f"{done[one.remedy]}: {one.name or 'part'} ({one.detail or one.reason})" for one in finding.found[:10]]
    more = len(finding.found) - len(described)
    return "; ".join(described) + (f"; {more} more" if more > 0 else "")


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Replace dangerous parts once the original is safe on disk. A held message goes into the MTA's queue unchanged."""
    changes = [one for one in finding.found if one.remedy != engine.REPORT]
    if not changes or verdict.action is Action.HOLD:
        return
    message = draft.message
    path = saved.save(message, "original", services.settings[ProgramSettings])
    log.info("[%s] CHANGED %s: the original is kept as %s", message.ref, NAME, path)
    rewritten = engine.rewrite(message.headers, draft.body, changes, reference=message.ref)
    draft.replace_body(rewritten.body)
    names = {change.name for change in rewritten.headers}
    fields = {name: message.fields(name.encode()) for name in names}
    for change in rewritten.headers:
        _change_header(draft, change, fields[change.name])


def _change_header(draft: Draft, change: engine.HeaderChange, fields: list[Header]) -> None:
    """Apply a change to the header; `fields` are the existing ones of that name."""
    if change.index <= len(fields):
        draft.change_header(fields[change.index - 1], change.value)
    elif change.value is not None:
        draft.append_header(change.name, change.value)
