"""Settings are a value: `load(paths, classes) -> Settings`, typed, frozen, strict, without side effects."""

from antispam.settings.declare import ANY, CheckSettings, Mode, OnError, option, section, sections
from antispam.settings.errors import Contradiction, SettingsError
from antispam.settings.load import Origin, Settings, default_settings, load, load_text

__all__ = [
    "ANY",
    "CheckSettings",
    "Contradiction",
    "Mode",
    "OnError",
    "Origin",
    "Settings",
    "SettingsError",
    "default_settings",
    "load",
    "load_text",
    "option",
    "section",
    "sections",
]
