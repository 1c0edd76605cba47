"""The names that a message's parts, and the archives in them, are known by."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

import _charsets
import _mimetree
import _zipscan
from _mimemessage.text import octets


def name_readings(fields: Iterable[tuple[str, object]]) -> tuple[list[str], bool]:
    """Every file name that some reader might find in these header fields, and whether there were more than are looked at."""
    values = [
        _charsets.decode(octets(str(value)), None)
        for name, value in fields
        if name.lower() in {"content-type", "content-disposition"} and "name" in str(value).lower()
    ]
    return _mimetree.name_readings(values)


def zipnames(txt: bytes) -> list[tuple[str, str]]:
    """("zipname", name) for each entry of the archive and of archives in it.

    Raises zipfile.BadZipFile if the archive cannot be read or is larger than anybody should unpack.
    """
    names = []
    for seen in _zipscan.scan(txt, _zipscan.Budget()):
        if seen.kind in {_zipscan.LIMIT, _zipscan.UNREADABLE}:
            raise zipfile.BadZipFile(seen.detail)
        if seen.kind == _zipscan.NAME:
            names.append(("zipname", seen.name))
    return list(dict.fromkeys(names))


def names_in_archive(content: bytes, names: Iterable[str]) -> list[str]:
    """The names inside of an attachment that is an archive by its content, or by one of its own names."""
    named = any(name.lower().rstrip(". ").endswith(".zip") for name in names)
    if content.strip() and (named or _zipscan.looks_like_zip(content)):
        return [name for _, name in zipnames(content)]
    return []
