"""What unit tests of checks need: services with the settings of one check and without a store."""

from __future__ import annotations

from typing import Any

from antispam.accessmap import AccessMap
from antispam.deadline import Deadline
from antispam.program import ProgramSettings
from antispam.services import Services
from antispam.settings import load_text
from support.dns import ScriptedResolver


def services_of(settings: type, section: str = "", config: str = "", **more: Any) -> Services:
    """Services for a check with these settings; `config` is what stands in [section], or a whole file without a section."""
    text = f"[{section}]\n{config}" if section else config
    return Services(
        settings=load_text(text, [ProgramSettings, settings]),
        **{
            "resolver": ScriptedResolver({}),
            "store": None,
            "access": AccessMap(),
            "clock": lambda: 1_800_000_000.0,
            "deadline": Deadline.after(5),
            **more,
        },
    )
