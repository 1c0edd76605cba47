"""milter.cfg's syntax: the one of Python's configparser, with the line of every option kept for error messages."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from antispam.settings.errors import SettingsError

log = logging.getLogger(__name__)

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]\s*$")
_OPTION = re.compile(r"(?P<name>[^\s=:][^=:]*?)\s*[=:]\s*(?P<value>.*)$")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One `option = value` as written; `line` counts from 1, continuation lines are joined with a newline."""

    section: str
    option: str
    value: str
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


def read(path: Path) -> list[Entry]:
    """The entries of a file. Raises SettingsError if it can't be read or is not in the syntax."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        log.warning("%s:%d: not UTF-8; the file is read as Latin-1", path, line)
        text = raw.decode("latin-1")
    return list(parse(text, str(path)))


def parse(text: str, file: str) -> Iterator[Entry]:
    """The entries of `text`. Raises SettingsError at the first line that is neither a section, an option, a continuation
    (indented), a comment (# or ;) nor empty, and at an option that is given twice."""
    section = ""
    open_entry: Entry | None = None
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0].isspace() and open_entry is not None:
            open_entry = dataclasses.replace(open_entry, value=f"{open_entry.value}\n{stripped}".strip())
            continue
        if open_entry is not None:
            yield open_entry
            open_entry = None
        if header := _SECTION.match(stripped):
            section = header["name"].strip()
            continue
        match = _OPTION.match(stripped)
        if match is None:
            raise SettingsError(f"{file}:{number}: neither a [section] nor an option = value: {stripped[:60]!r}")
        if not section:
            raise SettingsError(f"{file}:{number}: {match['name']!r} stands before the first [section]")
        name = match["name"].lower()
        if (section, name) in seen:
            raise SettingsError(
                f"{file}:{number}: [{section}] {name} is already given on line {seen[section, name]}; remove one of the two"
            )
        seen[section, name] = number
        open_entry = Entry(section, name, match["value"], file, number)
    if open_entry is not None:
        yield open_entry
