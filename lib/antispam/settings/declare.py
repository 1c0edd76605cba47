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
    """What happens to a message when a check could not do its work."""

    ACCEPT = "accept"  # go on without this check's opinion
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

    default  its value where the configuration is silent
    help     one or two sentences for milter.cfg and check-config
    parse    reads the text where the field's type doesn't say how (durations, sizes)
    section  where it stands if not in the section of its class: options that upstream put elsewhere keep their place
    name     its name in the file, where that is no Python name
    check    raises ValueError where a value of the right form makes no sense
    named_by an option of the same section that lists names: each of them is an option, too, and the field maps those that
             are given to their values (`parse` reads one); ANY makes an option of every name in the section that is none yet
    """
    metadata = {"help": help, "parse": parse, "section": section, "name": name, "check": check, "named_by": named_by}
    if named_by:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def sections(of: type, help: str, shipped: Mapping[str, Any]) -> Any:
    """An option that is made of sections: each [SECTION NAME] of the file makes one of the settings class `of`, under its name.

    What such a section doesn't say it has from the one that is `shipped` under that name, or from the defaults of the class.
    The value has all of them by name, those that are shipped and that the file does not mention as well.
    """
    metadata = {"help": help, "parse": str.strip, "section": "", "name": "", "check": None, "named_by": ""}
    return dataclasses.field(
        default_factory=lambda: dict(shipped), metadata={**metadata, "sections_of": of, "shipped": shipped}
    )


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option, sections))
def section(name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: makes it a frozen dataclass whose options stand in [name]."""

    def declare(cls: type[T]) -> type[T]:
        declared = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        declared.SECTION = name  # type: ignore[attr-defined]
        return declared

    return declare


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What every check has. A subclass may give `mode` and `on_error` other defaults by declaring them again."""

    mode: Mode = option(Mode.ENFORCE, "off, log (only log what it would do) or enforce")
    on_error: OnError = option(
        OnError.TEMPFAIL, "when the check cannot do its work: accept (go on without it), tempfail or reject"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """A declared option, as the loader needs it."""

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


@functools.cache  # a hundred classes are asked at each load, and to evaluate their annotations takes milliseconds
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
