"""The languages of people: their catalogues, and their formats of times and numbers.

A catalogue is a file `locale/LANGUAGE/LC_MESSAGES/console.po`, read when it is first needed; nothing is compiled.
English has none: its texts are the messages. Babel is imported only for other languages, which a worker of the filter
seldom needs.
"""

from __future__ import annotations

import contextlib
import functools
import gettext
import io
from datetime import date
from pathlib import Path

from antispam.text import local_time, utc_time

ENGLISH = "en"
_LOCALE = Path(__file__).parents[1] / "locale"
_CATALOGUE = "LC_MESSAGES/console.po"


@functools.cache
def codes() -> tuple[str, ...]:
    """The codes of all available languages, English first."""
    return (ENGLISH, *sorted(path.parents[1].name for path in _LOCALE.glob(f"*/{_CATALOGUE}")))


@functools.cache
def languages() -> dict[str, str]:
    """The same, each with its name in the language itself."""
    from babel import Locale

    return {code: Locale.parse(code).get_language_name(code) or code for code in codes()}


def check_language(code: str) -> None:
    """Raises ValueError, with a sentence for people, for an unknown language."""
    if code not in codes():
        raise ValueError(f"there is no such language; there are {', '.join(codes())}")


@functools.cache
def texts(language: str) -> gettext.NullTranslations:
    """The catalogue of a language in codes()."""
    if language == ENGLISH or language not in codes():
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = io.BytesIO()
    with (_LOCALE / language / _CATALOGUE).open("rb") as file:
        write_mo(compiled, read_po(file, language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def time_in(language: str, seconds: float) -> str:
    """A time (seconds since the epoch) to the minute. English uses ISO 8601 dates, because 6/7 may be in June or July."""
    if language == ENGLISH:
        return local_time(seconds)
    from babel.dates import format_skeleton

    moment = utc_time(seconds).astimezone()
    with contextlib.suppress(KeyError, OverflowError):
        date = format_skeleton("yMMdd", moment, locale=language, tzinfo=moment.tzinfo)
        return f"{date} {format_skeleton('Hm', moment, locale=language, tzinfo=moment.tzinfo)}"
    return local_time(seconds)


def day_in(language: str, day: date) -> str:
    """A day without its year, in the style of time_in()."""
    if language == ENGLISH:
        return f"{day:%m-%d}"
    from babel.dates import format_skeleton

    return format_skeleton("MMdd", day, locale=language)


def number_in(language: str, value: float, pattern: str = "#,##0") -> str:
    """A number; `pattern` is one of the Unicode CLDR."""
    from babel.numbers import format_decimal

    return format_decimal(value, pattern, locale=language)


def octets_in(language: str, octets: float) -> str:
    """A size, in decimal units like mail programs: "20.9 kB"."""
    size, unit = float(octets), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{number_in(language, size, '#,##0' if unit == 'B' else '#,##0.0')} {unit}"
