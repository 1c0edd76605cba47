"""The formats of a map: text, a Berkeley DB hash, or lmdb."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from antispam.mail.access_map.lmdb_file import LmdbError, read_lmdb
from antispam.mail.access_map.table import AccessTable, from_pairs, parse_text
from antispam.settings import SettingsError
from antispam.text import from_wire
from Milter.berkeleydb import MAX_FILE_BYTES, BerkeleyDBError, read_hash


class AccessMapError(SettingsError):
    """The map cannot be read. The message names the file and is for the administrator."""


@dataclasses.dataclass(frozen=True, slots=True)
class MapFile:
    """The place and format of a map: `form` is text, hash or lmdb."""

    path: str
    form: str

    @classmethod
    def named(cls, name: str) -> MapFile:
        """The file of a name as written in milter.cfg and main.cf: a path whose suffix gives the format (.db, .lmdb,
        otherwise text), or `hash:/etc/mail/access`, `lmdb:...`, `text:...`, whose suffix is added if it is missing.
        """
        form, colon, path = name.partition(":")
        if colon and form in _ENDINGS:
            ending = _ENDINGS[form]
            return cls(path if path.endswith(ending) else path + ending, form)
        if colon and re.fullmatch(r"[a-z]+", form):
            raise AccessMapError(f"{name}: type {form!r} is not supported; use {', '.join(_ENDINGS)} or a plain path")
        return cls(name, {".db": "hash", ".lmdb": "lmdb"}.get(os.path.splitext(name)[1], "text"))

    def load(self) -> AccessTable:
        """Read the whole map. Raises AccessMapError."""
        try:
            with _read_locked(self.path) as fd:
                before = signature(os.fstat(fd))
                if before[2] > MAX_FILE_BYTES:
                    raise AccessMapError(f"{self.path}: larger than {MAX_FILE_BYTES} octets")
                table = self._read()
                if signature(os.stat(self.path)) != before:
                    raise AccessMapError(f"{self.path}: changed while it was read")
                return table
        except BlockingIOError:
            raise AccessMapError(f"{self.path}: locked, it is being built just now") from None
        except OSError as error:
            raise AccessMapError(f"{self.path}: {error.strerror or error}") from None
        except (BerkeleyDBError, LmdbError) as error:
            raise AccessMapError(str(error)) from None

    def _read(self) -> AccessTable:
        if self.form == "hash":
            return from_pairs(read_hash(self.path), self.path)
        if self.form == "lmdb":
            return from_pairs(read_lmdb(self.path), self.path)
        raw = Path(self.path).read_bytes()
        if b"\0" in raw:
            # Read as text it would yield no entries, and a map without entries lets everything pass.
            raise AccessMapError(f"{self.path}: damaged, or not a text file")
        return parse_text(from_wire(raw, MAX_FILE_BYTES), self.path)


_ENDINGS = {"text": "", "hash": ".db", "lmdb": ".lmdb"}


@contextlib.contextmanager
def _read_locked(path: str) -> Iterator[int]:
    """Open the file with the shared lock that keeps makemap and postmap from rewriting it meanwhile. Some builds use
    flock, others fcntl. Raises BlockingIOError while one of them is at work.
    """
    with Path(path).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield file.fileno()


Signature = tuple[int, int, int, int, int]


def signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
