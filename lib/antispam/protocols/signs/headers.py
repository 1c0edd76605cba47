"""Signs in the header: recipients, subject, date, and the form of From."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from antispam.protocols.signs import programs, trace
from antispam.protocols.signs.sign import Sign, shown
from antispam.protocols.signs.trace import Fields, first

_UNDISCLOSED = re.compile(
    r"undisclosed|(?:recipients?|list suppressed|unlisted)[^@]{0,40}:\s*;|^[\"']?recipients?[\"']?\s*(?:<>|:;)?$",
    re.IGNORECASE,
)
_GAPPY = re.compile(r"(?:(?<![A-Za-z])[A-Za-z][ ._*|-]{1,2}){4,}[A-Za-z](?![A-Za-z])")
_MONEY = re.compile(r"[$€£]\s?\d|\d\s?[$€£]|\${2,}|\b(?:usd|eur|euro|gbp|btc)\b", re.IGNORECASE)
_FREE = re.compile(
    r"\b(?:free|gratis|kostenlos\w{0,3}|gratuit\w{0,2})\b(?!\s+(?:software|speech|time|as in))", re.IGNORECASE
)
_TAIL = re.compile(r"\s[A-Z0-9]{0,3}(?=[a-z]*[0-9])[a-z0-9]{6,}$")
_FAR_TAIL = re.compile(rb"[^\s][ \t]{6,}\[?\(?[A-Za-z0-9-]{2,20}\)?\]?\s*$")
_PICTURES = re.compile("[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001faff]")
_PLACEHOLDER = re.compile(
    r"\{\{?\s?[A-Za-z_]{3,30}\s?\}?\}|%%?[A-Z_]{4,30}%%?|\[\[[A-Z_]{4,30}\]\]|\[(?:first|user|last)_?name\]|\$\{[a-z_]{4,20}\}"
)
_MISSPACED = re.compile(r"<\s|\s>|[,_ ]_<|,[_ ]?<")
_GLUED = re.compile(r"[\w.!?]<[^<>]*@")
_ZONE = re.compile(r"([+-])(\d\d)(\d\d)\b")
_LOCAL = re.compile(r"[\w.+-]{1,64}+(?=@[\w-])")
_MAX_SUBJECT = 1000
_LISTED = 5  # the least recipients whose order is significant
READ = frozenset(
    {b"from", b"to", b"cc", b"subject", b"date", b"x-priority", b"importance", b"received", b"message-id", b"x-mimeole"}
    | trace.RETURNING
    | programs.OF_LISTS
    | {*programs.MAILERS}
)
"""The names of the fields that are examined for signs."""


def signs(fields: Fields, subject: str, ours: frozenset[str] = frozenset()) -> Iterator[Sign]:
    """The signs of one header. `subject` is decoded; `ours` are the names of our own mail servers. The trace may start
    with the field that our MTA will add.
    """
    written = first(fields, b"from")
    address = _bare(written)
    author = address.rpartition("@")[2]
    way = trace.Trace(fields)
    yield from _of_recipients(fields, address)
    yield from _of_subject(subject[:_MAX_SUBJECT].strip(), fields.get(b"subject", ()))
    yield from _of_date(first(fields, b"date"))
    yield from _of_from(fields, written)
    yield from _of_importance(fields)
    yield from programs.signs(fields, way, author)
    yield from trace.signs(fields, way, author, ours)


def _bare(text: str) -> str:
    """The single address of a field; "" for none or several."""
    return text.rpartition("<")[2].partition(">")[0].strip().lower() if text.count("@") == 1 else ""


def _of_recipients(fields: Fields, author: str) -> Iterator[Sign]:
    to, copied = first(fields, b"to"), first(fields, b"cc")
    if not to and not copied:
        yield Sign("MISSING_TO", "nobody stands in To or Cc")
    elif _UNDISCLOSED.search(to):
        yield Sign("UNDISCLOSED_RECIPIENTS", f"the recipients are not told: {shown(to)}")
    elif "@" not in to and not copied:
        yield Sign("TO_NO_ADDRESS", f"To has no address: {shown(to)}")
    if author and author == _bare(to):
        yield Sign("TO_IS_FROM", f"author and recipient are the same, {shown(author)}")
    if sum(value.count(b"@") for name in (b"to", b"cc") for value in fields.get(name, ())) < _LISTED:
        return
    names = [one.lower() for name in (b"to", b"cc") for one in _locals(fields, name)]
    if len(set(names)) >= _LISTED:
        alike = sum(one[:3] == other[:3] for one, other in pairwise(names))
        if names == sorted(names) or alike > 0.6 * len(names):
            yield Sign("SORTED_RECIPS", f"its recipients come from a sorted list: {shown(', '.join(names[:4]))}")


def _locals(fields: Fields, name: bytes) -> Iterator[str]:
    for value in fields.get(name, ())[:5]:
        yield from _LOCAL.findall(value[:4000].decode("utf-8", "replace"))


def _of_subject(text: str, written: Sequence[bytes]) -> Iterator[Sign]:
    if not text:
        yield Sign("SUBJECT_EMPTY" if written else "MISSING_SUBJECT", "it has no subject")
        return
    told = shown(text)
    if _is_capitals(text):
        yield Sign("SUBJ_ALL_CAPS", f"the subject is in capitals: {told}")
    if found := _GAPPY.search(text):
        yield Sign("SUBJECT_GAPPY", f"the subject has a word in pieces: {shown(found[0])}")
    if _MONEY.search(text):
        yield Sign("SUBJECT_MONEY", f"the subject talks of money: {told}")
    if _FREE.search(text):
        yield Sign("SUBJECT_FREE", f"the subject offers something for nothing: {told}")
    if text.count("!") > 1 or ("!" in text and "?" in text):
        yield Sign("SUBJECT_SHOUTS", f"the subject shouts: {told}")
    if _TAIL.search(text) or (written and _FAR_TAIL.search(written[0][:_MAX_SUBJECT])):
        yield Sign("SUBJECT_TAIL", f"the subject ends in a mark of a program: {shown(text[-30:])}")
    if len(_PICTURES.findall(text)) > 1:
        yield Sign("SUBJECT_PICTURES", f"the subject has pictures: {told}")
    if found := _PLACEHOLDER.search(text):
        evidence = f"the subject has a mark that a program should have filled in: {shown(found[0])}"
        yield Sign("SUBJECT_PLACEHOLDER", evidence)


def _is_capitals(text: str) -> bool:
    """Whether the text has several words, all in capitals. Scripts without lower case do not count."""
    if text.isascii() and not text.isupper():  # a quick answer
        return False
    letters = [char for char in text if char.isalpha()]
    return len(letters) > 9 and " " in text and all(char.isupper() for char in letters)


def _of_date(date: str) -> Iterator[Sign]:
    """RFC 5322 section 3.3: the zone is between -1200 and +1400, in quarters of an hour."""
    zones = _ZONE.findall(date)
    if zones:
        sign, hours, minutes = zones[-1]
        if int(hours) > (14 if sign == "+" else 12) or minutes not in ("00", "15", "30", "45"):
            yield Sign("INVALID_TZ", f"the Date has a time zone that does not exist: {shown(date)}")


def _of_from(fields: Fields, text: str) -> Iterator[Sign]:
    if _MISSPACED.search(text):
        evidence = f"the address in From has blanks, or its name an end that no name has: {shown(text)}"
        yield Sign("FROM_MISSPACED", evidence)
    elif _GLUED.search(text):
        yield Sign("FROM_GLUED", f"name and address in From are glued together: {shown(text)}")
    for name in (b"subject", b"from"):
        if any(not value.isascii() for value in fields.get(name, ())[:1]):
            yield Sign("NEEDS_ENCODING", f"{name.decode()} has characters beyond ASCII that are not encoded")
            return


def _of_importance(fields: Fields) -> Iterator[Sign]:
    if first(fields, b"x-priority")[:1] in ("1", "2"):
        yield Sign("HIGH_PRIORITY", "it calls itself urgent")
    elif first(fields, b"importance").lower() == "high":
        yield Sign("HIGH_PRIORITY", "it calls itself important")
