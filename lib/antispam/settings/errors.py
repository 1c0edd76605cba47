from __future__ import annotations


class SettingsError(ValueError):
    """The configuration can't be used. Its text names file, line and what to do; it is written for an administrator."""
