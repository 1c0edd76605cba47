"""What tests of a single check begin with: settings from a few lines, services, a message, and its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY, AccessMap
from antispam.mail.connection import Connection
from antispam.mail.findings import Finding, Findings
from antispam.mail.message import Auth, Body, Header, Message, Recipient
from antispam.mail.verdicts import Verdict
from antispam.settings import load_text
from antispam.settings.program import ProgramSettings
from support.dns import ScriptedResolver
from support.patience import PATIENCE

NOW = 1_700_000_000.0


def services_of(
    settings: type, section: str = "", config: str = "", *, also: Iterable[type] = (), **changes: Any
) -> Services:
    """Services for a check with these settings and what it `also` reads, and without a store; `config` is what stands in
    [section], or a whole file without a section."""
    text = f"[{section}]\n{config}" if section else config
    given: dict[str, Any] = {
        "settings": load_text(text, list(dict.fromkeys([ProgramSettings, settings, *also]))),
        "resolver": ScriptedResolver({}),
        "store": None,
        "access": AccessMap(),
        "clock": lambda: 1_800_000_000.0,
        "deadline": Deadline.after(PATIENCE),
    }
    return Services(**(given | changes))


def services(check: ModuleType, config: str = "", **changes: Any) -> Services:
    """Services with the settings that `config` gives to the check."""
    also = getattr(check, "ALSO_READS", ())
    return services_of(check.Settings, config=config, also=also, **{"access": EMPTY, "clock": lambda: NOW, **changes})


def message(
    *fields: str | bytes,
    mail_from: str = "a@example.org",
    to: Iterable[str] = ("b@example.com",),
    login: str = "",
    found: Iterable[Finding] = (),
    body: bytes = b"hello\r\n",
) -> Message:
    """A message as a session has it at its end; fields as `Name: value`."""
    it = Message("abcdefghijkl", mail_from, NOW, Body(1 << 20), auth=Auth(login), findings=Findings(None, found))
    for field in fields:
        name, _, value = (field.encode("utf-8", "surrogateescape") if isinstance(field, str) else field).partition(b":")
        it.headers.append(Header(name, value))
    it.body.write(body)
    it.recipients += [Recipient(one, (), f"<{one}>", Findings(it.findings)) for one in to]
    return it


def judge(check: ModuleType, it: Message, config: str = "", **changes: Any) -> tuple[Any, Verdict | None]:
    """The finding and the verdict; None for both where the question does not arise."""
    given = services(check, config, **changes)
    if hasattr(check, "applies") and not check.applies(given.settings[check.Settings]):
        return None, None
    finding = check.collect(Connection("c"), it, None, given)
    if finding is None:
        return None, None
    assert type(finding).from_json(finding.to_json()) == finding
    return finding, check.decide(finding, it.findings, given.settings[check.Settings], EMPTY)
