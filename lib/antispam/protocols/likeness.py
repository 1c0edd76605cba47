"""Look-alike names and domains, which forgers use when they cannot use the real ones.

Pure, linear in the length of the input; never raises.
"""

from __future__ import annotations

import enum
import functools
import re

import idna

from dspam.disguise import readings
from dspam.letters import plain, without_invisible

MAX_NAME = 200  # characters of a name that are read
LEAST_LABEL = 5  # letters of a label; changing one letter of a shorter label gives another honest domain
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_VIA = re.compile(r"\b(?:via|über|on behalf of)\b.*", re.IGNORECASE | re.DOTALL)
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_TITLES = frozenset(
    {"dr", "prof", "mr", "mrs", "ms", "ing", "dipl", "herr", "frau", "mag", "sir", "phd", "mba", "jr", "sr"}
)


class Likeness(enum.StrEnum):
    """The way in which a domain resembles one of ours."""

    SIGHT = "looks the same"  # examp1e.com, exаmple.com
    EDIT = "one letter apart"  # exampel.com


def name_key(text: str) -> str:
    """The canonical form of a person's full name: `Dr. Smith, Ann` and `ANN SMITH via List` are "ann smith". "" if it
    is not a full name, with fewer than two words of two letters. Look-alike letters of other scripts are replaced by
    the letters they resemble.
    """
    return _name_key(text[:MAX_NAME])


@functools.lru_cache(maxsize=4096)  # the same authors recur
def _name_key(text: str) -> str:
    text = _BRACKETS.sub(" ", without_invisible(text)[0])
    words = [_spelt(word) for word in _WORD.findall(plain(_VIA.sub("", text)).casefold())]
    words = [word for word in words if word not in _TITLES and not word.isdigit()]
    if sum(len(word) >= 2 for word in words) < 2:
        return ""
    return " ".join(sorted(words))


def is_relayed_name(text: str) -> bool:
    """Whether a name says that somebody relays the mail, as lists write: `Ann via Hikers`."""
    return _VIA.search(text[:MAX_NAME]) is not None


def _spelt(word: str) -> str:
    if word.isascii():
        return word
    found = readings(word.encode("utf-8", "replace"))
    return found[0].decode("ascii") if found else word


@functools.lru_cache(maxsize=4096)  # the same domains recur
def likeness(domain: str, ours: str) -> Likeness | None:
    """The likeness of `domain` to `ours`, both in A-labels; None if it is unlike, equal, or below ours. Only the last
    labels, as many as ours has, are compared: mail.examp1e.com is like example.com.
    """
    if domain == ours or domain.endswith("." + ours):
        return None
    theirs = domain.split(".")[-len(ours.split(".")) :]
    wanted = ours.split(".")
    if len(theirs) != len(wanted) or len(wanted) < 2:
        return None
    shown = [_shown(label) for label in theirs]
    if all(a == b or _same_sight(a, b) for a, b in zip(shown, map(_shown, wanted), strict=True)):
        return Likeness.SIGHT
    different = [(a, b) for a, b in zip(shown, map(_shown, wanted), strict=True) if a != b]
    if len(different) == 1 and shown[-1] == _shown(wanted[-1]):
        a, b = different[0]
        if len(b) >= LEAST_LABEL and _one_edit(a, b):
            return Likeness.EDIT
    return None


@functools.lru_cache(maxsize=4096)
def _shown(label: str) -> str:
    """A label as mail programs display it."""
    if not label.startswith("xn--"):
        return label
    try:
        return str(idna.decode(label))
    except (idna.IDNAError, UnicodeError):
        return label


def _same_sight(one: str, other: str) -> bool:
    return not _sights(one).isdisjoint(_sights(other))


@functools.lru_cache(maxsize=4096)
def _sights(label: str) -> frozenset[str]:
    """The possible visual readings of a label: look-alike letters and digits, and two letters that look like a third."""
    found = {label, *(one.decode("ascii") for one in readings(label.encode("utf-8", "replace")))}
    return frozenset(one.replace("rn", "m").replace("vv", "w").replace("cl", "d") for one in found)


def _one_edit(one: str, other: str) -> bool:
    """Whether one letter was changed, added or removed, or two neighbours were swapped."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    a, b = one[start:], other[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[1:2] + a[:1] == b[:2] and a[2:] == b[2:])
    return a[1:] == b if len(a) > len(b) else a == b[1:]
