"""The names under which a part, or a file in an archive, may be opened, and whether one of them is dangerous."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import _charsets
import _mimetree
from _filenames import opened_as
from _mimetree import Field, Part
from antispam.protocols.attachments.findings import BIDI, EXTENSION
from antispam.protocols.attachments.rules import DEFAULT_BANNED

_CLASS_ID = re.compile(r"\.\{[0-9a-f-]{36}\}\Z", re.IGNORECASE)
_AROUND = " \t\r\n.\"'<>;,"
# Far more than any file system allows. An archive may state thousands of names of 64 kB each, all in the same bytes.
_MAX_NAME = 1024
# Lower-case letters that look like letters of extensions, with those letters below them.
_LOOKALIKES = str.maketrans(
    "авсԁеёѐѕһніїјкӏморԛгтуѵԝхьзαβεηικλμνορτυχωγϲϳɑɡıɩʏƽոսօցյզհӓӽƅᴄᴅᴇᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢʀʟɪʜʙɴᴀ",
    "abcdeeeshhiijklmopqrtyvwxbzabeniklmvoptuxwycjagiiysnuogjqhaxbcdejkmopstuvwzrlihbna",
)


def extensions(name: str) -> list[str]:
    """The extensions, in lower case, that a program may see in this name; "" for none."""
    if len(name) > _MAX_NAME:
        name = name[: _MAX_NAME // 2] + name[-_MAX_NAME // 2 :]
    return list(_extensions(name))


@functools.lru_cache(maxsize=1024)
def _extensions(name: str) -> list[str]:
    if name.isascii() and name.isprintable() and ":" not in name:
        return [_last_extension(name)]  # all forms are equal
    found = {_last_extension(form): None for form in opened_as(name)}
    for extension in list(found):
        if not extension.isascii():
            found[extension.translate(_LOOKALIKES)] = None
    return list(found)


def dangerous_name(name: str, banned: frozenset[str] = DEFAULT_BANNED) -> tuple[str, str] | None:
    """(reason, detail) if a file of this name would run on a click, else None.

    Only the last extension counts, as the operating system sees it: without invisible characters and characters that
    file systems drop at the end, without an NTFS stream, both up to a NUL and without the NUL, and with look-alike
    letters replaced.
    """
    if "\u202e" in name or "\u202d" in name:
        return BIDI, "the name contains a character that reverses what is shown"
    for extension in extensions(name):
        if extension in banned:
            return EXTENSION, f".{extension} is not accepted"
    if _CLASS_ID.search(name[-_MAX_NAME:].rstrip(_AROUND)):
        return EXTENSION, "a class identifier as extension is not accepted"
    return None


def _last_extension(name: str) -> str:
    base = re.split(r"[/\\]", name.rstrip(_AROUND + "/\\"))[-1].strip().rstrip(_AROUND)
    return base.rpartition(".")[2].strip().lower() if "." in base else ""


# A field that describes a part, anywhere in its header.
_CONTENT_FIELD = re.compile(
    rb"^(content-[a-z-]{1,40}+)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+\n?)", re.IGNORECASE | re.MULTILINE
)
_BLANK_LINE = re.compile(rb"\n\r?\n")


def behind_junk(part: Part) -> Part | None:
    """The part as read by programs that skip invalid header lines, if its header ended at such a line; else None."""
    if _mimetree.NO_SEPARATOR not in part.defects:
        return None
    blank = _BLANK_LINE.search(part.source, part.body, part.end)
    stop = blank.start() + 1 if blank else part.end
    more = [Field(found[1], found[2], found[0]) for found in _CONTENT_FIELD.finditer(part.source, part.body, stop)]
    if not more:
        return None
    fields = [*part.fields, *more]
    body = blank.end() if blank else part.end
    types = [item.value for item in fields if item.name.lower() == b"content-type"]
    media_type = _mimetree.media_type(types[0]) if types else part.media_type
    return Part(part.source, part.start, body, part.end, fields, part.depth, media_type)


def of_part(part: Part) -> tuple[list[str], bool]:
    """Every name that some reader finds in the header of a part, and whether there are too many to examine."""
    return _mimetree.name_readings(_values(part))


def _values(part: Part) -> Iterator[str]:
    """The values that may contain a name: all Content-* fields, and all others with bare CRs."""
    for item in part.fields:
        if (
            item.name[:8].lower() == b"content-" or b"\r" in item.value.rstrip(b"\r\n")
        ) and b"name" in item.value.lower():
            yield _charsets.decode(item.value, None)
