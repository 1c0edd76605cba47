"""The token store: look up a message's keys, teach a message, take a mistake back."""

from __future__ import annotations

import collections
import enum
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from dspam.schema import State, dspam_training, dspam_user
from dspam.store.bulk import Material, Sums
from dspam.store.database import Database
from dspam.store.dictionary import Dictionary, UnknownUserError
from dspam.store.records import Counts, Deltas, Keys, Totals, usable
from dspam.store.table import Table

CACHE_BYTES = 128 << 20  # some three million tokens
IDLE = 600.0  # seconds after which a user's tokens make room for others
POLL = 1.0  # seconds, so that what another worker was taught is known here within two
_TRIES = 20

# Built once, for building them takes longer than SQLite takes to answer.
_LIVE = sa.select(
    dspam_training.c.seq, dspam_training.c.user_id, dspam_training.c.is_spam, dspam_training.c.content
).where(dspam_training.c.user_id == sa.bindparam("of"), dspam_training.c.message == sa.bindparam("for"))
_INSERT = sa.insert(dspam_training)
_NAMED = sa.select(dspam_training.c.seq, dspam_training.c.message, dspam_training.c.is_spam).where(
    dspam_training.c.user_id == sa.bindparam("of"), dspam_training.c.message.in_(sa.bindparam("names", expanding=True))
)

DeltasOf = Callable[[Counts, Totals], npt.NDArray[Any]]
"""From what a message's keys count now to what teaching it adds; shape (n, 3) both."""


class Taught(enum.StrEnum):
    """What a training did."""

    LEARNED = "learned"
    REPLAY = "replay"  # nothing: the message is in force with this verdict already
    RETRAINED = "retrained"  # took the opposite back, and learned


class _OvertakenError(Exception):
    """Another worker trained on the same message meanwhile."""


class TokenStore:
    """The token store of one worker, made after the fork. Thread-safe. Raises the exceptions of the database.

    cache  octets for the tokens of users; for a user whose tokens do not fit, each message reads the pages it needs
    poll   seconds for which a worker uses its cache without checking for changes
    clock  seconds that never run backwards
    now    seconds since the epoch
    """

    def __init__(
        self,
        database: Database,
        *,
        cache: int = CACHE_BYTES,
        poll: float = POLL,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._cache = cache
        self._poll = poll
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._dictionaries: collections.OrderedDict[int, Dictionary] = collections.OrderedDict()
        self._octets: dict[int, int] = {}  # that each of them takes
        self._asked_at: dict[int, float] = {}
        self._total = 0

    def counts(self, user_id: int, keys: npt.ArrayLike, deadline: Any = None) -> Counts:
        """Spam hits, ham hits and weight of each key, zeros if it is unknown; shape (n, 3), int32.

        Raises UnknownUserError.
        """
        dictionary = self._dictionary(user_id)
        with dictionary.lock:
            counts, octets = dictionary.counts(usable(keys), deadline), dictionary.nbytes
        self._shrink(user_id, octets)
        return counts

    def totals(self, user_id: int, deadline: Any = None) -> Totals:
        """The messages that the user's dictionary was taught. Raises UnknownUserError."""
        dictionary = self._dictionary(user_id)
        with dictionary.lock:
            totals, octets = dictionary.totals(deadline), dictionary.nbytes
        self._shrink(user_id, octets)
        return totals

    def verdict(self, user_id: int, message_id: str | bytes, deadline: Any = None) -> bool | None:
        """Whether the message was taught as spam (True) or as ham (False); None if neither."""
        live = self._live(user_id, name_of(message_id), deadline)
        return None if live is None else bool(live.is_spam)

    def train(
        self,
        user_id: int,
        message_id: str | bytes,
        is_spam: bool,
        keys: npt.ArrayLike,
        deltas: DeltasOf | npt.NDArray[Any],
        *,
        totals: Totals | None = None,
        deadline: Any = None,
    ) -> Taught:
        """Teach a message once; what was taught for it with the opposite verdict is taken back in the same transaction, which
        is committed when this returns.

        message_id  what makes the message this one, for all time; replays are recognised by it
        keys        its features, each once
        deltas      int32 (n, 3) to add to the keys, or what computes them from the keys' present counts and the totals
        totals      what to add to the user's totals, by default one message learned with this verdict

        Where the opposite was taught so long ago that its deltas are gone (compactor.forget), it stays.
        Raises UnknownUserError, and ValueError for deltas of another shape.
        """
        keys, message = usable(keys), name_of(message_id)
        totals = totals or (Totals(spam_learned=1) if is_spam else Totals(ham_learned=1))
        for _ in range(_TRIES):
            live = self._live(user_id, message, deadline)
            if live is not None and bool(live.is_spam) == is_spam:
                return Taught.REPLAY
            mistake = Deltas.unpack(live.content) if live is not None and live.content is not None else None
            lesson = Deltas(keys, self._lesson(user_id, keys, deltas, mistake, deadline), totals)
            try:
                with self._database.write(deadline) as connection:
                    undone = self._take_back(connection, live) if live is not None else None
                    seq = self._append(connection, user_id, message, is_spam, lesson)
            except (_OvertakenError, sa.exc.IntegrityError):
                self._require(user_id, deadline)
                continue
            if undone is not None and mistake is not None:
                self._learned(user_id, undone, -1, mistake)
            self._learned(user_id, seq, 1, lesson)
            return Taught.LEARNED if mistake is None else Taught.RETRAINED
        raise RuntimeError(f"other workers train message {message} all the time")

    def train_together(
        self, user_id: int, material: Sequence[Material], is_spam: bool, deadline: Any = None
    ) -> list[Taught | None]:
        """Teach hundreds of messages one after the other, in one transaction, which is committed when this returns: all or
        none. None for a message of which the opposite was taught: it is left to train().

        Raises UnknownUserError, and ValueError for deltas of another shape.
        """
        names = [name_of(one.message_id) for one in material]
        for _ in range(_TRIES):
            said = {row.message: bool(row.is_spam) for row in self._named(user_id, names, deadline)}
            fresh = {
                name: one for name, one in zip(reversed(names), reversed(material), strict=True) if name not in said
            }
            fresh = dict(reversed(fresh.items()))  # the first of those that are in it twice, in their order
            try:
                if fresh:
                    self._learn_together(user_id, fresh, is_spam, deadline)
            except sa.exc.IntegrityError:  # another worker trained on one of them meanwhile
                self._require(user_id, deadline)
                continue
            taught: list[Taught | None] = []
            for name in names:
                learned = fresh.pop(name, None) is not None
                replay = Taught.REPLAY if said.get(name, is_spam) == is_spam else None
                taught.append(Taught.LEARNED if learned else replay)
            return taught
        raise RuntimeError("other workers train the messages all the time")

    def _learn_together(self, user_id: int, fresh: dict[str, Material], is_spam: bool, deadline: Any) -> None:
        """Raises IntegrityError if any of them was learned meanwhile."""
        sums = Sums(list(fresh.values()))
        before, totals = self.counts(user_id, sums.keys, deadline), self.totals(user_id, deadline)
        each = Totals(spam_learned=1) if is_spam else Totals(ham_learned=1)
        lessons, counts = sums.learn(before, totals, each)
        row = {
            "user_id": user_id,
            "is_spam": int(is_spam),
            "sign": 1,
            "state": State.PENDING,
            "trained_at": self._now(),
        }
        rows = [{**row, "message": name, "content": one.pack()} for name, one in zip(fresh, lessons, strict=True)]
        with self._database.write(deadline) as connection:
            connection.execute(_INSERT, rows)
            seqs = [one.seq for one in connection.execute(_NAMED, {"of": user_id, "names": list(fresh)})]
        together = Totals(*(len(lessons) * number for number in each.values()))
        with self._lock:
            dictionary = self._dictionaries.get(user_id)
        if dictionary is not None:
            with dictionary.lock:
                dictionary.learned_together(seqs, Deltas(sums.keys, counts, together))

    def _named(self, user_id: int, names: Iterable[str], deadline: Any) -> Sequence[Any]:
        """The trainings of these messages that are in force."""
        with self._database.read(deadline) as connection:
            return connection.execute(_NAMED, {"of": user_id, "names": list(names)}).all()

    def undo(self, user_id: int, message_id: str | bytes, deadline: Any = None) -> bool:
        """Take back exactly what the message taught; committed when this returns. False if nothing of it is in force, or
        where its deltas are gone (compactor.forget)."""
        return self.undo_lesson(user_id, name_of(message_id), deadline)

    def undo_lesson(self, user_id: int, message: str, deadline: Any = None) -> bool:
        """The same by name_of() the message, as the log of lessons has it."""
        for _ in range(_TRIES):
            live = self._live(user_id, message, deadline)
            if live is None or live.content is None:
                return False
            try:
                with self._database.write(deadline) as connection:
                    undone = self._take_back(connection, live)
            except _OvertakenError:
                continue
            if undone is not None:
                self._learned(user_id, undone, -1, Deltas.unpack(live.content))
            return True
        raise RuntimeError("other workers train the message all the time")

    def _lesson(
        self,
        user_id: int,
        keys: Keys,
        deltas: DeltasOf | npt.NDArray[Any],
        mistake: Deltas | None,
        deadline: Any,
    ) -> Counts:
        if callable(deltas):
            counts, totals = self.counts(user_id, keys, deadline), self.totals(user_id, deadline)
            if mistake is not None:
                taken_back = Table(len(mistake.keys))
                taken_back.add(mistake.keys, mistake.counts)
                counts, totals = counts - taken_back.get(keys), totals.plus(mistake.totals, -1)
            deltas = deltas(counts, totals)
        return np.asarray(deltas, dtype=np.int32)

    def _live(self, user_id: int, message: str, deadline: Any) -> Any:
        """The row of the training of this message that is in force, or None."""
        with self._database.read(deadline) as connection:
            return connection.execute(_LIVE, {"of": user_id, "for": message}).one_or_none()

    def _take_back(self, connection: sa.Connection, live: Any) -> int | None:
        """Append the opposite of a training and end its force; returns the opposite's number, None if the deltas are gone.

        In this order: an insert may wait for the user's row, which a compactor locks before it locks trainings.
        Raises _OvertakenError where somebody else has done so.
        """
        opposite = None
        if live.content is not None:
            opposite = self._insert(
                connection, user_id=live.user_id, message=None, is_spam=live.is_spam, sign=-1, content=live.content
            )
        ended = sa.update(dspam_training).where(dspam_training.c.seq == live.seq, dspam_training.c.message.is_not(None))
        if connection.execute(ended.values(message=None)).rowcount != 1:
            raise _OvertakenError
        return opposite

    def _append(self, connection: sa.Connection, user_id: int, message: str, is_spam: bool, lesson: Deltas) -> int:
        return self._insert(
            connection, user_id=user_id, message=message, is_spam=int(is_spam), sign=1, content=lesson.pack()
        )

    def _insert(self, connection: sa.Connection, **values: Any) -> int:
        row = {"state": State.PENDING, "trained_at": self._now(), **values}
        key = connection.execute(_INSERT, row).inserted_primary_key
        assert key is not None
        return int(key.seq)

    def _learned(self, user_id: int, seq: int, sign: int, deltas: Deltas) -> None:
        with self._lock:
            dictionary = self._dictionaries.get(user_id)
        if dictionary is not None:
            with dictionary.lock:
                dictionary.learned(seq, sign, deltas)

    def _require(self, user_id: int, deadline: Any) -> None:
        with self._database.read(deadline) as connection:
            if connection.scalar(sa.select(dspam_user.c.id).where(dspam_user.c.id == user_id)) is None:
                raise UnknownUserError(f"there is no user number {user_id}")

    def _dictionary(self, user_id: int) -> Dictionary:
        with self._lock:
            dictionary = self._dictionaries.get(user_id)
            if dictionary is None:
                self._forget_idle()
                room = functools.partial(self._room, user_id)
                dictionary = self._dictionaries[user_id] = Dictionary(
                    self._database, user_id, room=room, poll=self._poll, clock=self._clock
                )
            self._dictionaries.move_to_end(user_id)
            self._asked_at[user_id] = self._clock()
            return dictionary

    def _room(self, user_id: int) -> int:
        """Octets that this user's tokens may take: nobody else's are forgotten for them, or a message to many users would have
        each of them read from one end to the other."""
        with self._lock:
            return self._cache - self._total + self._octets.get(user_id, 0)

    def _forget_idle(self) -> None:
        """Make room: those that nobody has asked for lately go, the least recent first."""
        while self._dictionaries and self._asked_at[user_id := next(iter(self._dictionaries))] < self._clock() - IDLE:
            self._forget(user_id)

    def _forget(self, user_id: int) -> None:
        del self._dictionaries[user_id], self._asked_at[user_id]
        self._total -= self._octets.pop(user_id, 0)

    def _shrink(self, user_id: int, octets: int) -> None:
        """Note what this user takes now, and forget the ones that were asked for least recently, but not this one."""
        with self._lock:
            self._total += octets - self._octets.get(user_id, 0)
            self._octets[user_id] = octets
            for other in list(self._dictionaries) if self._total > self._cache else ():
                if other != user_id:
                    self._forget(other)
                if self._total <= self._cache:
                    return


def name_of(message_id: str | bytes) -> str:
    """The name under which the log of lessons stores the identity of a message."""
    octets = message_id.encode("utf-8", "surrogatepass") if isinstance(message_id, str) else message_id
    return hashlib.blake2b(octets, digest_size=16).hexdigest()
