"""Remember mail addresses for some days, in memory and in a text file."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from Milter.plock import PLock

_DAY = 24 * 60 * 60


class AddrCache:
    """A map of addresses and domains to results that expires; what holds None or nothing is also kept in a file.

    A domain (``example.com``) answers for each address in it. The file has one line per sender, the address and the
    time it was entered; without a time the line holds for ever, so a list written by hand works too. Case does not
    matter. Several threads may use one cache.
    """

    time_format: ClassVar[str] = "%Y%b%d %H:%M:%S %Z"

    def __init__(self, renew: int = 7, fname: str | None = None) -> None:
        """``renew`` is the life of an entry in days, ``fname`` the file; None keeps all in memory."""
        self.age = renew
        self.cache: dict[str, tuple[float | None, Any]] = {}
        self.fname = fname
        self._lock = threading.RLock()

    def load(self, fname: str, age: int = 0) -> None:
        """Read ``fname``, keep it as the file of this cache, and drop its expired lines.

        ``age`` replaces the life of an entry, in days, unless 0. A file that does not exist is an empty one. An
        update by another process is waited for.
        """
        with self._lock:
            self.fname = fname
            if age:
                self.age = age
            lock = PLock(fname)
            new = lock.wlock()
            try:
                if self._copy_valid_lines(fname, new):
                    lock.commit(fname + ".old")
            finally:
                lock.unlock()

    def _copy_valid_lines(self, fname: str, new: Any) -> bool:
        """Cache the lines of ``fname`` and write them to ``new``; returns False if the file may stay as it is."""
        too_old = time.time() - self.age * _DAY
        dropped = False
        try:
            with open(fname, encoding="utf-8", errors="surrogateescape") as old:
                for line in old:
                    sender, entered = self._parse(line)
                    if entered is not None and entered < too_old:
                        dropped = True
                        continue
                    if sender:
                        self.cache[sender.lower()] = (entered, None)
                    new.write(line)
        except FileNotFoundError:
            return False
        return dropped

    def _parse(self, line: str) -> tuple[str, float | None]:
        """Return (address, time entered); the address is '' for comments and for times that nobody can read."""
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            return "", None
        if len(words) == 1:
            return words[0], None
        try:
            return words[0], time.mktime(time.strptime(words[1].strip(), self.time_format))
        except (ValueError, OverflowError):
            return "", None

    def has_precise_key(self, sender: str) -> bool:
        """Return whether this very address (or domain) is known and not expired."""
        return self._lookup(sender.lower()) is not None

    def has_key(self, sender: str) -> bool:
        """Return whether the address, or its domain, is known and not expired."""
        return self._find(sender) is not None

    __contains__ = has_key

    def __getitem__(self, sender: str) -> Any:
        """Return the result kept for the address, or else for its domain. Raises KeyError."""
        entry = self._find(sender)
        if entry is None:
            raise KeyError(sender)
        return entry[1]

    def _find(self, sender: str) -> tuple[float | None, Any] | None:
        address = sender.lower()
        entry = self._lookup(address)
        if entry is None and "@" in address:
            entry = self._lookup(address.rpartition("@")[2])
        return entry

    def _lookup(self, key: str) -> tuple[float | None, Any] | None:
        with self._lock:
            entry = self.cache.get(key)
            if entry is None:
                return None
            entered = entry[0]
            if entered is not None and entered < time.time() - self.age * _DAY:
                del self.cache[key]
                return None
            return entry

    def addperm(self, sender: str, res: Any = None) -> None:
        """Add an address or domain that never expires; it is written to the file unless it has a result."""
        with self._lock:
            self.cache[sender.lower()] = (None, res)
            if not res:
                self._append(sender)

    def __setitem__(self, sender: str, res: Any) -> None:
        """Add or renew an address; it is written to the file unless it has a result."""
        with self._lock:
            now = time.time()
            self.cache[sender.lower()] = (now, res)
            if not res:
                self._append(f"{sender} {time.strftime(self.time_format, time.localtime(now))}", sender)

    def _append(self, line: str, sender: str | None = None) -> None:
        if self.fname is None or any(c.isspace() for c in sender or line):
            return  # white space inside an address would make another line, or another field, of the rest of it
        with open(self.fname, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(line + "\n")

    def __len__(self) -> int:
        return len(self.cache)
