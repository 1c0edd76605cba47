"""Look up policies in an access map in sendmail's manner, built by ``makemap hash`` or ``postmap hash:``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

from Milter.berkeleydb import read_hash

_Identity = tuple[str, int, int, int]

# The last map read, by what identifies that state of the file: a policy is asked for with every message.
_latest: tuple[_Identity, Mapping[bytes, bytes]] | None = None
_latest_lock = threading.Lock()


def dbmopen(fname: str, mode: str = "r") -> Mapping[bytes, bytes]:
    """Return all of the map in ``fname``, keys and values without a trailing NUL. It can be opened for reading only.

    Raises OSError, and ValueError for a file that is no sound Berkeley DB hash.
    """
    if mode != "r":
        raise ValueError(f"{fname}: an access map is written by makemap or postmap, not here")
    global _latest
    status = os.stat(fname)
    identity = (os.path.abspath(fname), status.st_ino, status.st_size, status.st_mtime_ns)
    with _latest_lock:
        if _latest is None or _latest[0] != identity:
            _latest = identity, MappingProxyType(_read(fname))
        return _latest[1]


def _read(fname: str) -> dict[bytes, bytes]:
    return {key.rstrip(b"\0"): value.rstrip(b"\0") for key, value in read_hash(fname)}


class MTAPolicy:
    """The policies for one sender in an access map; use it in a ``with`` statement.

    Keys are built as ``spf-fail!joe@example.com`` or ``spf-fail:joe@example.com`` (both kinds are found, whichever
    the map was built with). The first of these counts: the address; its domain; ``.example.com`` for the domains
    below it, the nearest first; the prefix alone. Case does not matter.
    """

    def __init__(self, sender: str, conf: Any, access_file: str | None = None) -> None:
        """``access_file`` is the map; where it is None, ``conf.access_file`` is taken, and None there is no map."""
        self.sender = sender
        self.domain = sender.rpartition("@")[2].lower()
        self.use_nulls = getattr(conf, "access_file_nulls", False)  # how the map was built shows by itself
        self.access_file = access_file if access_file is not None else conf.access_file
        self.acf: Mapping[bytes, bytes] | None = None

    def __enter__(self) -> Self:
        self.acf = dbmopen(self.access_file) if self.access_file else None
        return self

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None, b: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the map."""
        self.acf = None

    def getPolicy(self, pfx: str) -> str | None:
        """Return the policy (``'OK'``, ``'REJECT'`` ...) for this sender under ``pfx`` (``'spf-fail'``), or None."""
        if self.acf is None:
            return None
        for key in self._keys(pfx.rstrip(":!").lower()):
            value = self.acf.get(key.encode("utf-8", "surrogateescape"))
            if value is not None:
                return value.decode("utf-8", "surrogateescape")
        return None

    def _keys(self, pfx: str) -> Iterator[str]:
        labels = self.domain.split(".")
        parents = [f".{'.'.join(labels[i:])}" for i in range(1, min(len(labels), _MAX_LABELS))]
        for subject in (self.sender.lower(), self.domain, *parents, ""):
            yield f"{pfx}!{subject}"
            yield f"{pfx}:{subject}"
        yield pfx


_MAX_LABELS = 20  # of a domain; more of them only waste time
