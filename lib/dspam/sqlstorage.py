"""Contexts over the token store that all workers and nodes share."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping

import numpy as np

from . import store
from .algorithms import Hits, Totals
from .memory import down_to_zero, is_spam

PREFIX = "libdspam:"
"""Before the names of the users whose tokens are those of DSPAM's algorithms: the default classifier counts other tokens, and
who taught both under one name would have totals that are true of neither."""


class SqlStorage:
    """A `memory.Storage` over the SQL store: each change by a context is one training in the log.

    A context may process the same message twice on purpose, so only named trainings are done once.  Raises
    ValueError for a name that no user can have, and what the database raises.
    """

    def __init__(self, database: store.Database, tokens: store.TokenStore | None = None) -> None:
        self._database = database
        self._tokens = tokens or store.TokenStore(database)

    def counts(self, user: str, keys: Collection[int]) -> dict[int, Hits]:
        number = store.find_user(self._database, PREFIX + user)
        if number is None or not keys:
            return {}
        wanted = np.fromiter(keys, dtype=np.int64, count=len(keys))
        found = self._tokens.counts(number, wanted)
        known = np.flatnonzero(found[:, :2].any(axis=1))
        return {
            key: Hits(spam, innocent)
            for key, (spam, innocent, _) in zip(wanted[known].tolist(), found[known].tolist(), strict=True)
        }

    def totals(self, user: str) -> Totals:
        number = store.find_user(self._database, PREFIX + user)
        return Totals() if number is None else Totals(*self._tokens.totals(number).values())

    def train(self, user: str, deltas: Mapping[int, Hits], totals: Totals, once: str = "") -> bool:
        number = store.user_id(self._database, PREFIX + user)
        keys = np.fromiter(deltas, dtype=np.int64, count=len(deltas))
        counts = np.array([(*hits, 0) for hits in deltas.values()], dtype=np.int32).reshape(len(deltas), 3)

        def down_to(present: store.Counts, _totals: store.Totals) -> store.Counts:
            return np.asarray(np.maximum(0, np.maximum(0, present) + counts) - present, dtype=np.int32)

        more = store.Totals(*down_to_zero(self._tokens.totals(number).values(), totals))
        name = once or secrets.token_bytes(16)
        taught = self._tokens.train(number, name, is_spam(deltas), keys, down_to, totals=more)
        return taught != store.Taught.REPLAY

    def get_signature(self, user: str, signature: str) -> bytes | None:
        number = store.find_user(self._database, PREFIX + user)
        found = None if number is None else store.get_signature(self._database, number, signature)
        return found.content if found else None

    def set_signature(self, user: str, signature: str, content: bytes) -> None:
        store.put_signature(self._database, store.user_id(self._database, PREFIX + user), signature, content)

    def delete_signature(self, user: str, signature: str) -> bool:
        number = store.find_user(self._database, PREFIX + user)
        return number is not None and store.delete_signature(self._database, number, signature)
