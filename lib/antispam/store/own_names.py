"""The full names of our users, as in their From fields. An outsider with such a name may be imitating them."""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Callable

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import SLICE, Store
from antispam.store.schema import own_name

REFRESH = 1.0  # seconds until new names are looked for
RELOAD = 6 * 3600.0  # seconds until all are read again
_DAY = 86400.0
_OVERLAP = 600.0  # seconds by which the clocks of nodes may differ
_MOST = 200_000  # names; with more the database is queried for each message
# Built once: each message runs it, and building it takes longer than the query.
_ADDRESS = sa.select(own_name.c.address).where(own_name.c.digest == sa.bindparam("digest"))


def learn(store: Store, name: str, address: str, now: float, deadline: Deadline | None = None) -> None:
    """Store the name (as returned by protocols.likeness.name_key()) of our user at `address`. Written at most once a
    day. Raises StoreError.
    """
    digest = _digest(name)
    with store.read(deadline) as connection:
        known = connection.execute(sa.select(own_name).where(own_name.c.digest == digest)).one_or_none()
    if known is not None and known.address == address and abs(now - known.seen_at) < _DAY:
        return
    values = {"digest": digest, "name": name[:200], "address": address[:320], "seen_at": now}
    with store.write(deadline) as connection:
        connection.execute(
            store.upsert(own_name, values, key=("digest",), update={"address": address[:320], "seen_at": now})
        )
    filter_of(store).note(digest)


def of_us(store: Store, name: str, deadline: Deadline | None = None) -> str:
    """The address of our user with that name; "" if there is none. Raises StoreError."""
    digest = _digest(name)
    if not filter_of(store).may_have(digest, deadline):
        return ""
    with store.read(deadline) as connection:
        return connection.scalar(_ADDRESS, {"digest": digest}) or ""


class NameFilter:
    """A filter in memory of all names. Nearly all authors have none of them, and need no query.

    It may still contain a deleted name. It lacks a new name for a second at most, until it has read what another worker
    learned. Thread-safe.

    clock  seconds that never run backwards
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = weakref.ref(store)  # the store holds this object
        self._clock = clock
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._known: set[int] = set()
        self._newest = 0.0
        self._next = 0.0
        self._complete = False
        self._reload = self._clock() + RELOAD

    def may_have(self, digest: str, deadline: Deadline | None = None) -> bool:
        """Whether a user may have that name. Raises StoreError."""
        self._refresh(deadline)
        return not self._complete or _short(digest) in self._known

    def note(self, digest: str) -> None:
        """Add a name that this worker has learned, effective at once."""
        with self._lock:
            self._known.add(_short(digest))

    def _refresh(self, deadline: Deadline | None) -> None:
        """Read new names if it is time. If another thread is doing so, do not wait for it."""
        store = self._store()
        if store is None or self._clock() < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            if self._clock() >= self._reload:
                self._forget()
            table = own_name.c
            query = sa.select(table.digest, table.seen_at).where(table.seen_at >= self._newest - _OVERLAP)
            with store.read(deadline) as connection:
                rows = connection.execute(query.limit(_MOST)).all()
            self._known.update(_short(row.digest) for row in rows)
            self._newest = max((self._newest, *(row.seen_at for row in rows)))
            self._complete = len(rows) < _MOST and len(self._known) < _MOST
            self._next = self._clock() + REFRESH
        finally:
            self._lock.release()


_filters: weakref.WeakKeyDictionary[Store, NameFilter] = weakref.WeakKeyDictionary()


def filter_of(store: Store) -> NameFilter:
    """The filter of this store."""
    found = _filters.get(store)
    return found if found is not None else _filters.setdefault(store, NameFilter(store))


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the users who have written nothing since that time. Call again while it returns any. Raises
    StoreError.
    """
    return store.delete_slice(own_name, own_name.c.seen_at < before, slice_size)


def _short(digest: str) -> int:
    return int(digest[:15], 16)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
