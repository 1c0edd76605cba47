"""Patterns from outside, matched in linear time.

RE2 compiles a pattern to an automaton: unlike Python's `re`, it never backtracks. It rejects what needs backtracking
(references to groups, look-around). This module bounds the size of an automaton, because it is the factor of the linear
time.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import re2

MAX_PATTERN = 2000  # characters
# Instructions of an automaton. The largest takes about 0.3 seconds for 40,000 octets in the worst case.
MAX_PROGRAM = 10_000
_WRITTEN = re.compile(r"/(.*)/([a-z]*)", re.DOTALL)
_FLAGS = "ims"
_BEYOND = re.compile(r"\(\?<?[=!]|\\[1-9]|\(\?P=|\(\?>|\\Z|[*+?}]\+")


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern `/source/flags`, with flags as in Perl: i (ignore case), m (^ and $ match at each line), s (a dot
    matches line ends).
    """

    source: str
    flags: str = ""

    def __str__(self) -> str:
        return f"/{self.source}/{self.flags}"

    def search(self, text: str) -> str | None:
        """The first part of the text that matches; None if there is none."""
        found = _compiled(self).search(text)
        return None if found is None else str(found[0])

    @property
    def fits_nothing(self) -> bool:
        """Whether the pattern matches the empty text, and so every text: it tests nothing."""
        return self.search("") is not None


def pattern(written: str) -> Pattern:
    """Parse `/source/flags`. Raises ValueError, with a sentence for the author."""
    found = _WRITTEN.fullmatch(written.strip())
    if not found:
        raise ValueError("a pattern stands between slashes: /you have won/i")
    source, flags = found.groups()
    if unknown := set(flags) - set(_FLAGS):
        raise ValueError(f"there is no flag {min(unknown)}: the flags of a pattern are {', '.join(_FLAGS)}")
    if not source:
        raise ValueError("the pattern is empty")
    if len(source) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    made = Pattern(source, flags)
    _compiled(made)
    return made


@functools.lru_cache(maxsize=4096)
def _compiled(one: Pattern) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # only whole matches are needed
    prefix = f"(?{one.flags})" if one.flags else ""
    try:
        compiled = re2.compile(prefix + one.source, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(_told(one.source, error)) from error
    if compiled.programsize > MAX_PROGRAM:
        raise ValueError("the pattern is too large: make counts like {500} smaller, or take several rules")
    return compiled


def _told(source: str, error: Exception) -> str:
    if found := _BEYOND.search(source):
        return (
            f"{found[0]} is not known here: patterns are matched in linear time (RE2), which leaves out look-around, "
            "references to groups and possessive counts; several rules and `when` say the same"
        )
    if isinstance(error, UnicodeEncodeError):
        return "the pattern has characters that are no UTF-8"
    detail = error.args[0] if error.args else ""
    return f"no pattern: {detail.decode('utf-8', 'replace') if isinstance(detail, bytes) else detail}"
