"""Readers from the text of an option to its value. Each raises ValueError with a sentence that says what is expected."""

from __future__ import annotations

import enum
import math
import re
import types
import typing
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

Reader = Callable[[str], Any]

_WORDS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)$", re.IGNORECASE)
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = re.compile(r"(?P<number>\d+)\s*(?P<unit>[kmg]?)i?b?$", re.IGNORECASE)
_URL = re.compile(r"https?://[!-~]+")
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def boolean(text: str) -> bool:
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError("expected yes or no") from None


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected a number") from None


def names(text: str) -> tuple[str, ...]:
    """A list separated by commas or new lines; empty items are dropped."""
    return tuple(item for item in (part.strip() for part in re.split(r"[,\n]", text)) if item)


FROM_FILE = "file:"  # begins an item that stands for the lines of a file


def listed(text: str) -> tuple[str, ...]:
    """A list whose items may be `file:PATH`: the file has one item a line, or several with blanks or commas between them;
    `#` begins a comment. Raises ValueError for a file that can't be read."""
    found: list[str] = []
    for item in names(text):
        found += items_of(Path(item.removeprefix(FROM_FILE).strip())) if item.startswith(FROM_FILE) else [item]
    return tuple(found)


def items_of(file: Path) -> list[str]:
    """The items of a list kept in a file: one a line, or several with blanks or commas between them; `#` begins a comment.
    Raises ValueError if it can't be read."""
    return [item for line in lines_of(file) for item in re.split(r"[\s,]+", line) if item]


def lines_of(file: Path) -> list[str]:
    """The lines of a list kept in a file, without comments and empty ones. Raises ValueError if it can't be read."""
    try:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    return [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]


def path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise ValueError("expected the path of a file or folder")
    return Path(text.strip())


def duration(unit: str) -> Reader:
    """A reader of durations to seconds: `90s`, `5m`, `6h`, `36d`, `2w`; a bare number counts in `unit`."""
    return _Duration(unit)


class _Duration:
    def __init__(self, unit: str) -> None:
        self._unit = unit

    def __call__(self, text: str) -> float:
        match = _DURATION.match(text.strip())
        factor = match and _SECONDS.get(match["unit"].lower() or self._unit)
        if not match or not factor:
            raise ValueError(
                f"expected a duration such as 90s, 5m, 6h, 36d or 2w (a bare number counts in {self._unit})"
            )
        return float(match["number"]) * factor

    @staticmethod
    def show(seconds: float) -> str:
        unit = next((unit for unit in ("d", "h", "m") if seconds and not seconds % _SECONDS[unit]), "s")
        return f"{seconds / _SECONDS[unit]:g}{unit}"


class _Size:
    def __call__(self, text: str) -> int:
        match = _SIZE.match(text.strip())
        if not match:
            raise ValueError("expected a size such as 180000, 64k or 10M")
        return int(match["number"]) * _FACTORS[match["unit"].lower()]

    @staticmethod
    def show(octets: int) -> str:
        unit = next((unit for unit in ("g", "m", "k") if octets and not octets % _FACTORS[unit]), "")
        return f"{octets // _FACTORS[unit]}{unit.upper().replace('K', 'k')}"


size: Reader = _Size()
"""A number of octets: `180000`, `64k`, `10M`."""


class _ModeBits:
    def __call__(self, text: str) -> int:
        try:
            bits = int(text, 8)
        except ValueError:
            bits = -1
        if not 0 <= bits <= 0o777:
            raise ValueError("expected permissions in octal, such as 0660")
        return bits

    @staticmethod
    def show(bits: int) -> str:
        return f"{bits:04o}"


mode_bits: Reader = _ModeBits()
"""File permissions in octal, such as 0660."""


def choice(kind: type[enum.Enum], allowed: Collection[enum.Enum] = ()) -> Reader:
    """Reads one of the members of an enumeration; of those that are `allowed`, if any are given."""
    words = {str(member.value).lower(): member for member in allowed or kind}

    def read(text: str) -> enum.Enum:
        try:
            return words[text.strip().lower()]
        except KeyError:
            raise ValueError(f"expected one of {', '.join(words)}") from None

    return read


def positive(value: float) -> None:
    """Raises ValueError for what is not greater than 0."""
    if value <= 0:
        raise ValueError("must be greater than 0")


def not_negative(value: float) -> None:
    """Raises ValueError for what is less than 0."""
    if value < 0:
        raise ValueError("must not be negative")


def check_url(url: str) -> None:
    """Raises ValueError for a URL that cannot be a link in a reply."""
    if url and not _URL.fullmatch(url):
        raise ValueError("expected a URL such as https://mail.example.com/refused")


class _Threshold:
    def __call__(self, text: str) -> float:
        if text.strip().lower() == "never":
            return math.inf
        value = number(text)
        if not 0 <= value < math.inf:  # rejects NaN as well
            raise ValueError("expected a number from 0 on; 0 or never switches it off")
        return value or math.inf

    @staticmethod
    def show(value: float) -> str:
        return "never" if math.isinf(value) else f"{value:g}"


threshold: Reader = _Threshold()
"""The number of points from which on something is done; infinity for 0 and `never`."""


_READERS: dict[Any, Reader] = {
    bool: boolean,
    int: integer,
    float: number,
    str: str.strip,
    Path: path,
    tuple[str, ...]: names,
}


def reader_for(annotation: Any) -> Reader:
    """The reader that fits a field's type; `X | None` reads an empty value as None. Raises TypeError for a type that needs
    `parse=`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        inner = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        if len(inner) == 1:
            read = reader_for(inner[0])
            return lambda text: read(text) if text.strip() else None
    if annotation in _READERS:
        return _READERS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return choice(annotation)
    raise TypeError(f"no reader for {annotation!r}: give option(parse=...)")


def show(value: Any, read: Reader) -> str:
    """A value as an administrator would write it, so that `read` gives it back."""
    if value is None:
        return ""
    if hasattr(read, "show"):
        return str(read.show(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
