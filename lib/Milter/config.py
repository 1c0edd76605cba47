"""A configuration parser whose missing options are None, with lists of addresses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser
from typing import Any

__all__ = ["MilterConfigParser"]


class MilterConfigParser(ConfigParser):
    """ConfigParser for milters. Lists are separated by commas; ``file:NAME`` in one stands for the words of a file."""

    def __init__(self, defaults: Mapping[str, str] | None = None) -> None:
        super().__init__(defaults)

    def get(self, sect: str, opt: str, fallback: Any = None, **kwds: Any) -> Any:  # type: ignore[override]
        """Return the option's text, or ``fallback`` where the section or the option is missing."""
        if not self.has_option(sect, opt):
            return fallback
        return super().get(sect, opt, **kwds)

    def getlist(self, sect: str, opt: str) -> list[str]:
        """Return the comma-separated words of an option; none where it is missing."""
        text = self.get(sect, opt)
        return [] if text is None else [word.strip() for word in text.split(",")]

    def getaddrset(self, sect: str, opt: str, dir: str = "") -> dict[str, list[str]]:
        """Return the addresses of an option as {domain in lower case: [local parts]}.

        ``file:example.com`` reads the local parts for that domain from the file of that name in ``dir``. Raises
        ValueError for a word that is no address, and OSError for a file.
        """
        users: dict[str, list[str]] = {}
        for word in filter(None, self.getlist(sect, opt)):
            if word.startswith("file:"):
                name = word.removeprefix("file:")
                users.setdefault(os.path.basename(name).lower(), []).extend(_words_of(_path(dir, name)))
                continue
            local, at, domain = word.rpartition("@")
            if not at:
                raise ValueError(f"[{sect}] {opt}: not an address: {word}")
            users.setdefault(domain.lower(), []).append(local)
        return users

    def getaddrdict(self, sect: str, opt: str, dir: str = "") -> dict[str, str]:
        """Return {address: name} for each name in an option, whose addresses stand in the option of that name.

        With ``users = joe,ann``, ``joe = joe@example.com, joe@example.org`` and ``ann = file:ann.txt`` the addresses
        of both lists come back with their user. Raises OSError for a file, which is looked for in ``dir``.
        """
        owners: dict[str, str] = {}
        for name in filter(None, self.getlist(sect, opt)):
            for word in filter(None, self.getlist(sect, name)):
                is_file = word.startswith("file:")
                addresses = _words_of(_path(dir, word.removeprefix("file:"))) if is_file else [word]
                owners.update(dict.fromkeys(addresses, name))
        return owners

    def getdefault(self, sect: str, opt: str, default: Any = None) -> Any:
        """Return the option's text, or ``default`` where it is missing."""
        return self.get(sect, opt, default)

    def getintdefault(self, sect: str, opt: str, default: Any = None) -> Any:
        """Return the option as a number, or ``default`` where it is missing. Raises ValueError."""
        text = self.get(sect, opt)
        return default if text is None else int(text)


def _path(directory: str, name: str) -> str:
    """Return the path of a named file; pymilter folded the name to lower case, so such a file is found as well."""
    path = os.path.join(directory, name)
    folded = os.path.join(directory, name.lower())
    return folded if not os.path.exists(path) and os.path.exists(folded) else path


def _words_of(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [word for line in file if not line.lstrip().startswith("#") for word in line.split()]
