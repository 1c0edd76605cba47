"""The languages of the console: catalogues, the one that somebody reads, and how it writes times and numbers.

A catalogue is a file `locale/LANGUAGE/LC_MESSAGES/console.po`, read when it is first needed; nothing is compiled. English has
none: its texts are the messages.
"""

from __future__ import annotations

import contextlib
import functools
import gettext
import io
import re
from pathlib import Path

from babel import Locale
from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from antispam.text import local_time, utc_time

ENGLISH = "en"
_LOCALE = Path(__file__).with_name("locale")
_CATALOGUE = "LC_MESSAGES/console.po"
_MOST = 20  # languages that a browser lists
_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.ASCII)


@functools.cache
def languages() -> dict[str, str]:
    """Every language that there is: its code, and its name as those who speak it write it."""
    found = sorted(path.parents[1].name for path in _LOCALE.glob(f"*/{_CATALOGUE}"))
    return {code: Locale.parse(code).get_language_name(code) or code for code in (ENGLISH, *found)}


@functools.cache
def texts(language: str) -> gettext.NullTranslations:
    """The catalogue of a language out of languages()."""
    path = _LOCALE / language / _CATALOGUE
    if language not in languages() or not path.is_file():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def preferred(accepted: str) -> str:
    """The language that a browser wants most (Accept-Language, RFC 9110 section 12.5.4) of those that there are; English if it
    wants none of them."""
    wanted = {ENGLISH: 0.0}
    for one in accepted[:1000].split(",")[:_MOST]:
        if (match := _RANGE.fullmatch(one)) and (code := match[1].lower()) in languages():
            wanted[code] = max(wanted.get(code, 0.0), float(match[2] or 1))
    return max(wanted, key=lambda code: wanted[code])


def time_in(language: str, seconds: float) -> str:
    """A time (seconds since the epoch) to the minute. English gets ISO 8601's date: 6/7 is in June, or in July."""
    if language == ENGLISH:
        return local_time(seconds)
    moment = utc_time(seconds).astimezone()
    with contextlib.suppress(KeyError, OverflowError):
        date = format_skeleton("yMMdd", moment, locale=language, tzinfo=moment.tzinfo)
        return f"{date} {format_skeleton('Hm', moment, locale=language, tzinfo=moment.tzinfo)}"
    return local_time(seconds)


def number_in(language: str, value: float, pattern: str = "#,##0") -> str:
    """A number; `pattern` is one of the Unicode CLDR."""
    return format_decimal(value, pattern, locale=language)
