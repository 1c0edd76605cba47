"""Reads configuration files into typed settings and remembers where each value came from."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from antispam.settings import ini
from antispam.settings.declare import ANY, Option, options_of
from antispam.settings.errors import Contradiction, SettingsError
from antispam.settings.manners import defaults_of
from antispam.settings.values import names, show

T = TypeVar("T")

Defaults = Mapping[tuple[str, str], Any]
"""Values by section and option."""

_NO_DEFAULTS: Defaults = {}

Translation = Callable[[list[ini.Entry], Collection[tuple[str, str]]], list[ini.Entry]]
"""Turns the entries of the files, given the options that exist, into entries for these options (see settings.dialects)."""


def _as_written(entries: list[ini.Entry], known: Collection[tuple[str, str]]) -> list[ini.Entry]:
    return entries


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """One effective option, as check-config prints it."""

    section: str
    option: str
    value: Any
    shown: str  # the value as it would be written in the file
    where: str  # "file:line" or "default"
    help: str


class Settings:
    """All settings of a program: `settings[SpfSettings].best_guess`. Immutable, compared by value."""

    __slots__ = ("_by_class", "_hash", "_listed", "origins")

    def __init__(self, by_class: Mapping[type, Any], origins: tuple[Origin, ...]) -> None:
        self._by_class = dict(by_class)
        self._hash = hash(tuple(self._by_class))  # what was made of the settings is found by it for each message
        self.origins = origins
        self._listed: dict[tuple[str, ...], tuple[Any, ...]] = {}  # cache of listed(), which is called for each message

    def __getitem__(self, cls: type[T]) -> T:
        return typing.cast(T, self._by_class[cls])

    def __contains__(self, cls: type) -> bool:
        return cls in self._by_class

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._by_class == other._by_class

    def __hash__(self) -> int:
        return self._hash

    def listed(self, section: str, *names: str) -> tuple[Any, ...]:
        """The combined items of these list options of a section, whichever class declares them: for code that needs
        another check's list. Unknown options count as empty.
        """
        found = self._listed.get((section, *names))
        if found is None:
            lists = (one.value for one in self.origins if one.section == section and one.option in names)
            found = self._listed[section, *names] = tuple(item for items in lists for item in items)
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        """Settings that are valid but probably a mistake, as sentences for the administrator: `warnings` of each class."""
        return tuple(warning for value in self._by_class.values() for warning in getattr(value, "warnings", ()))

    @property
    def values(self) -> tuple[Any, ...]:
        """The instances of all settings classes."""
        return tuple(self._by_class.values())

    def replaced(self, *values: Any) -> Settings:
        """A copy with `values` in place of those of their classes; for tests and command-line options."""
        return Settings({**self._by_class, **{type(value): value for value in values}}, self.origins)


def load(
    paths: Iterable[Path],
    classes: Iterable[type],
    defaults: Defaults = _NO_DEFAULTS,
    translate: Translation = _as_written,
) -> Settings:
    """Read the files, later ones winning, into the given settings classes. `defaults` go before those that the classes declare.

    Raises SettingsError at the first unknown section or option, with file, line and the nearest known name, and at a value
    that doesn't fit.
    """
    entries = [entry for path in paths for entry in ini.read(path)]
    return _build(entries, tuple(classes), defaults, translate)


def load_text(
    text: str, classes: Iterable[type], file: str = "milter.cfg", translate: Translation = _as_written
) -> Settings:
    """The same from a string."""
    return _build(list(ini.parse(text, file)), tuple(classes), translate=translate)


def default_settings(classes: Iterable[type]) -> Settings:
    return _build([], tuple(classes))


def _build(
    entries: list[ini.Entry],
    classes: tuple[type, ...],
    defaults: Defaults = _NO_DEFAULTS,
    translate: Translation = _as_written,
) -> Settings:
    options = [option for cls in classes for option in options_of(cls)]
    known = {
        (option.section, option.name): option for option in options if not option.named_by and not option.sections_of
    }
    entries = translate(entries, known)
    declared = _declared(entries, [option for option in options if option.named_by], known)
    declared |= _in_sections(entries, [option for option in options if option.sections_of])
    given: dict[tuple[str, str], ini.Entry] = {}
    for entry in entries:
        if (entry.section, entry.option) not in declared:
            _demand_known(entry, {**known, **declared})
        given[entry.section, entry.option] = entry
    manner = given.get(("milter", "manner"))
    otherwise = defaults_of(manner.value if manner is not None else "")
    by_class: dict[type, Any] = {}
    origins: list[Origin] = []
    for cls in classes:
        values = {}
        for option in options_of(cls):
            if option.sections_of:
                values[option.field], found = _sections(option, given)
                origins += found
                continue
            if option.named_by:
                values[option.field], found = _values(option, declared, given)
                origins += found
                continue
            key = option.section, option.name
            usual = option.read(otherwise[key]) if key in otherwise else option.default
            values[option.field], origin = _value(option, given.get(key), defaults.get(key, usual))
            origins.append(origin)
        by_class[cls] = _made(cls, getattr(cls, "SECTION", ""), values, given)
    return Settings(by_class, tuple(origins))


def _declared(
    entries: Iterable[ini.Entry], options: Iterable[Option], known: Mapping[tuple[str, str], Option]
) -> dict[tuple[str, str], Option]:
    """The options that the configuration itself declares by listing names. Existing options stay as they are; a file
    (`file:...`) is not an option.
    """
    found: dict[tuple[str, str], Option] = {}
    for option in options:
        for entry in entries:
            if option.named_by == ANY and entry.section == option.section:
                keys = iter([(entry.section, entry.option)])
            elif (entry.section, entry.option) == (option.section, option.named_by):
                keys = ((option.section, name.lower()) for name in names(entry.value) if ":" not in name)
            else:
                continue
            found |= {key: dataclasses.replace(option, name=key[1]) for key in keys if key not in known}
    return found


def _in_sections(entries: Iterable[ini.Entry], options: Iterable[Option]) -> dict[tuple[str, str], Option]:
    """The options of the sections [SECTION NAME] that the configuration has."""
    found: dict[tuple[str, str], Option] = {}
    for option in options:
        names = {entry.section for entry in entries if _name_in(entry.section, option)}
        for section in names:
            assert option.sections_of is not None
            found |= {(section, one.name): one for one in options_of(option.sections_of)}
    return found


def _name_in(section: str, option: Option) -> str:
    """The NAME of a section [SECTION NAME] of this option, "" for another section."""
    head, _, name = section.partition(" ")
    return name.strip() if head == option.section else ""


def _sections(option: Option, given: Mapping[tuple[str, str], ini.Entry]) -> tuple[dict[str, Any], list[Origin]]:
    """The values of an option made of sections, by name, and the origins of those in the file."""
    values, origins = dict(option.shipped), []
    assert option.sections_of is not None
    for section in dict.fromkeys(section for section, _ in given if _name_in(section, option)):
        name = _name_in(section, option)
        fields = {}
        for one in options_of(option.sections_of):
            default = getattr(option.shipped[name], one.field) if name in option.shipped else one.default
            entry = given.get((section, one.name))
            fields[one.field], origin = _value(dataclasses.replace(one, section=section), entry, default)
            origins.append(origin)
        values[name] = _made(option.sections_of, section, fields, given)
    return values, origins


def _made(cls: type[T], section: str, values: Mapping[str, Any], given: Mapping[tuple[str, str], ini.Entry]) -> T:
    """The settings with these values. Raises SettingsError if they contradict each other."""
    try:
        return cls(**values)
    except Contradiction as error:
        entry = given.get((section, error.option))
        where = entry or next((entry for (one, _), entry in given.items() if one == section), None)
        raise SettingsError(f"{where.where + ': ' if where else ''}[{section}] {error.option}: {error}") from error


def _values(
    option: Option, declared: Mapping[tuple[str, str], Option], given: Mapping[tuple[str, str], ini.Entry]
) -> tuple[dict[str, Any], list[Origin]]:
    values, origins = {}, []
    for key, one in declared.items():
        if one.field == option.field and key in given:
            values[one.name], origin = _value(one, given[key], None)
            origins.append(origin)
    return values, origins


def _value(option: Option, entry: ini.Entry | None, default: Any) -> tuple[Any, Origin]:
    if entry is None:
        return default, _origin(option, default, "default")
    try:
        value = option.read(entry.value)
        if option.check is not None:
            option.check(value)
    except ValueError as error:
        raise SettingsError(
            f"{entry.where}: [{entry.section}] {entry.option} = {_short(entry.value)}: {error}"
        ) from error
    return value, _origin(option, value, entry.where, entry.value)


def _origin(option: Option, value: Any, where: str, text: str = "") -> Origin:
    """The origin of a value. `text` from the file is shown if the value (a key or a policy) cannot be written back."""
    items = value if isinstance(value, tuple) else (value,)
    mute = any(dataclasses.is_dataclass(item) and type(item).__str__ is object.__str__ for item in items)
    shown = ", ".join(text.splitlines()) if mute else show(value, option.read)
    return Origin(option.section, option.name, value, shown, where, option.help)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def _demand_known(entry: ini.Entry, known: Mapping[tuple[str, str], Option]) -> None:
    if (entry.section, entry.option) in known:
        return
    sections = {section for section, _ in known}
    if entry.section not in sections:
        hint = nearest(entry.section, sections)
        raise SettingsError(
            f"{entry.where}: there is no section [{entry.section}]{hint and f'; did you mean [{hint}]?'}"
        )
    here = {name for section, name in known if section == entry.section}
    elsewhere = sorted(f"[{section}]" for section, name in known if name == entry.option)
    hint = nearest(entry.option, here)
    if elsewhere and (len(elsewhere) == 1 or not hint):  # the whole name of one is nearer than what only looks like it
        advice = f"; it belongs into {' or '.join(elsewhere)}"
    elif hint:
        advice = f"; did you mean {hint}?"
    else:
        advice = ""
    raise SettingsError(f"{entry.where}: [{entry.section}] has no option {entry.option}{advice}")


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that is most likely meant; "" for none."""
    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)), "")
