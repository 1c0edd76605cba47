from __future__ import annotations


class SettingsError(ValueError):
    """The configuration can't be used. Its text names file, line and what to do; it is written for an administrator."""


class Contradiction(ValueError):
    """Raised by a settings class whose values contradict each other: `option` is at fault, the text says what would be
    right. The loader adds file and line.
    """

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option
