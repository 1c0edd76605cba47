"""Declaring settings: a frozen dataclass with a section and documented options."""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

from antispam.settings.values import Reader, reader_for


class Mode(enum.StrEnum):
    """The mode of a check: off, log what it would do, or enforce."""

    OFF = "off"
    LOG = "log"
    ENFORCE = "enforce"


class OnError(enum.StrEnum):
    """What happens to a message if a check fails."""

    ACCEPT = "accept"  # go on without this check's decision
    TEMPFAIL = "tempfail"
    REJECT = "reject"


ANY = "*"


def option(
    default: Any,
    help: str,
    *,
    parse: Reader | None = None,
    section: str = "",
    name: str = "",
    check: Callable[[Any], object] | None = None,
    named_by: str = "",
) -> Any:
    """A documented option of a settings class.

    default  its value if the configuration does not set it
    help     one or two sentences for milter.cfg and check-config
    parse    reads the text if the field's type does not determine how (durations, sizes)
    section  its section if not that of its class: options that upstream puts elsewhere keep their place
    name     its name in the file, if that is not a Python identifier
    check    raises ValueError for a value of the right form that makes no sense
    named_by an option of the same section that lists names: each name is an option, too, and the field maps the given
    ones to their values (`parse` reads one); ANY turns every other name in the section into an option
    """
    metadata = {"help": help, "parse": parse, "section": section, "name": name, "check": check, "named_by": named_by}
    if named_by:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def sections(of: type, help: str, shipped: Mapping[str, Any]) -> Any:
    """An option made of sections: each [SECTION NAME] of the file becomes an instance of the settings class `of`, under
    its name.

    Values missing in such a section come from the `shipped` one of that name, or from the defaults of the class. The
    option's value has all of them by name, including shipped ones that the file does not mention.
    """
    metadata = {"help": help, "parse": str.strip, "section": "", "name": "", "check": None, "named_by": ""}
    return dataclasses.field(
        default_factory=lambda: dict(shipped), metadata={**metadata, "sections_of": of, "shipped": shipped}
    )


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option, sections))
def section(name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: makes it a frozen dataclass whose options are in [name]."""

    def declare(cls: type[T]) -> type[T]:
        declared = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        declared.SECTION = name  # type: ignore[attr-defined]
        return declared

    return declare


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """The settings that every check has. A subclass may redeclare `mode` and `on_error` to change their defaults."""

    mode: Mode = option(Mode.ENFORCE, "off, log (only log what it would do) or enforce")
    on_error: OnError = option(
        OnError.TEMPFAIL, "when the check cannot do its work: accept (go on without it), tempfail or reject"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """A declared option, in the form for the loader."""

    section: str
    name: str
    field: str
    read: Reader
    check: Callable[[Any], object] | None
    default: Any
    help: str
    named_by: str = ""
    sections_of: type | None = None
    shipped: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@functools.cache  # each load uses a hundred classes, and evaluating their annotations takes milliseconds
def options_of(cls: type) -> tuple[Option, ...]:
    """The options that a settings class declares, in order. Raises TypeError for a class without a section."""
    if not hasattr(cls, "SECTION"):
        raise TypeError(f"{cls.__name__} needs @section")
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        meta = field.metadata
        found.append(
            Option(
                section=meta["section"] or cls.SECTION,
                name=meta["name"] or field.name,
                field=field.name,
                read=meta["parse"] or reader_for(hints[field.name]),
                check=meta["check"],
                default={} if meta["named_by"] or "sections_of" in meta else field.default,
                help=meta["help"],
                named_by=meta["named_by"],
                sections_of=meta.get("sections_of"),
                shipped=meta.get("shipped", {}),
            )
        )
    return tuple(found)
