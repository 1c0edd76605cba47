"""Settings with a few options changed by untrusted text: no file is opened, no server queried, nothing created.

Only options of simple kinds can be changed: numbers, yes and no, words of a choice, points of tests, in some sections lists
of names, and who the users are. Options that name files or servers are refused before their value is read, and so are lists
that stand in a file.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from antispam.settings import ini
from antispam.settings.declare import ANY, Option, options_of
from antispam.settings.errors import Contradiction, SettingsError
from antispam.settings.load import Origin, Settings, nearest
from antispam.settings.values import FROM_FILE, names, show

MOST = 200  # options
LONGEST = 2_000  # characters of a value
_NUMBERS = (bool, int, float, float | None, int | None)
_POINTS = Mapping[str, float]
_USERS = ("dspam", "dspam_users")  # compared with recipients
# Sections whose lists are only compared with messages.
_LISTS = frozenset(
    {
        "spf",
        "dmarc",
        "arc",
        "author_domain",
        "impersonation",
        "words",
        "languages",
        "defang",
        "greylist",
        "authentication",
    }
)


def changed(settings: Settings, text: str, classes: Iterable[type], file: str) -> Settings:
    """The settings with the options that the text sets, in the syntax of milter.cfg. Raises SettingsError for an option
    that cannot be changed here, does not exist or has an invalid value; its message calls the text `file`.
    """
    entries = list(ini.parse(text, file))
    if len(entries) > MOST:
        raise SettingsError(f"{file}: more than {MOST} options")
    fields: dict[type, dict[str, Any]] = {}
    origins = {(one.section, one.option): one for one in settings.origins}
    known = _known(entries, classes)
    for entry in entries:
        cls, option = _option_of(entry, known)
        value = _read(entry, option)
        mine = fields.setdefault(cls, {})
        if option.named_by:
            mine[option.field] = {**mine.get(option.field, getattr(settings[cls], option.field)), entry.option: value}
        else:
            mine[option.field] = value
        shown = show(value, option.read)
        origins[entry.section, entry.option] = Origin(
            entry.section, entry.option, value, shown, entry.where, option.help
        )
    try:
        made: list[Any] = [dataclasses.replace(settings[cls], **values) for cls, values in fields.items()]
    except (ValueError, Contradiction) as error:  # two values contradict each other
        raise SettingsError(f"{file}: {error}") from error
    values = {type(value): value for value in (*settings.values, *made)}
    return Settings(values, tuple(origins.values()))


def _known(entries: Iterable[ini.Entry], classes: Iterable[type]) -> dict[tuple[str, str], tuple[type, Option]]:
    """The class and the option of each name; those of the users whom the text lists among them, for their addresses."""
    users = [entry.value for entry in entries if (entry.section, entry.option) == _USERS]
    found: dict[tuple[str, str], tuple[type, Option]] = {}
    for cls, option in _options(classes):
        if option.named_by == _USERS[1]:
            listed = {name.lower() for value in users for name in names(value)}
            found |= {(option.section, name): (cls, dataclasses.replace(option, name=name)) for name in listed}
    # What is an option anyway stays that one.
    return found | {(one.section, one.name): (cls, one) for cls, one in _options(classes) if one.named_by in ("", ANY)}


def _options(classes: Iterable[type]) -> Iterator[tuple[type, Option]]:
    for cls in classes:
        for option in options_of(cls):
            yield cls, option


def _option_of(entry: ini.Entry, known: Mapping[tuple[str, str], tuple[type, Option]]) -> tuple[type, Option]:
    """Raises SettingsError."""
    named = {section: found for (section, _), found in known.items() if found[1].named_by == ANY}
    found = known.get((entry.section, entry.option)) or named.get(entry.section)
    if found is None:
        near = nearest(entry.option, {name for section, name in known if section == entry.section})
        advice = f"; did you mean {near}?" if near else ""
        raise SettingsError(f"{entry.where}: there is no [{entry.section}] {entry.option} that could be tried{advice}")
    if not _is_simple(*found):
        raise SettingsError(
            f"{entry.where}: [{entry.section}] {entry.option} can't be tried here; `bms replay --config FILE` can"
        )
    return found


def _is_simple(cls: type, option: Option) -> bool:
    kind = typing.get_type_hints(cls)[option.field]
    if kind in _NUMBERS or (option.named_by == ANY and kind == _POINTS):
        return True
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return True
    if (option.section, option.name) == _USERS or (option.section, option.named_by) == _USERS:
        return True
    return kind == tuple[str, ...] and option.section in _LISTS


def _read(entry: ini.Entry, option: Option) -> Any:
    """Raises SettingsError."""
    try:
        if len(entry.value) > LONGEST:
            raise ValueError("it is too long")
        if any(item.startswith(FROM_FILE) for item in names(entry.value)):
            raise ValueError("write the entries themselves: files are not read here")
        value = option.read(entry.value)
        if option.check is not None:
            option.check(value)
    except ValueError as error:
        raise SettingsError(f"{entry.where}: [{entry.section}] {entry.option}: {error}") from error
    return value
