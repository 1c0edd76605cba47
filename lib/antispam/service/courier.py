"""Takes the letters of the outbox to the MTA, one after the other, until each is taken or given up.

A letter is done once the MTA has said 250 and the store has noted it; between the two lies a moment in which a crash
makes a second copy. Delivery is at least once, so that nothing is lost.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from antispam.chores import steady
from antispam.net.host_name import helo_name
from antispam.service.smtp_conversation import Carrier, Result
from antispam.service.undelivered import report_of
from antispam.settings.outbox import OutboxSettings
from antispam.store import Store, StoreError, outbox
from antispam.store.outbox import Claimed
from antispam.text import for_log

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two looks into the outbox: other processes and nodes post letters, too
_NOTING = 10  # how often to try to note what became of a letter
_MAX_LOGGED = 20  # recipients
UNREACHABLE_PAUSE = 15.0  # while the MTA is down, not every letter need find that out


class Courier:
    """Sends what is due, in a thread of its own, until close(). Several are harmless, on one node or on many.

    posted  set by whoever has just posted a letter, so that it need not wait for the next look
    chance  a number from 0 to 1, by which the times of the next tries are spread
    """

    def __init__(
        self,
        store: Store,
        settings: OutboxSettings,
        *,
        posted: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        every: float = EVERY,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._every = every
        self._posted = posted or threading.Event()
        self._carrier = Carrier(settings)
        self._closing = threading.Event()
        self._complaint = ""
        self._thread = steady("courier", self._work, self._closing, pause=UNREACHABLE_PAUSE)

    def start(self) -> None:
        self._thread.start()

    def close(self, grace: float = 2.0) -> None:
        """Stop after the letter at hand; an MTA that takes longer than `grace` seconds is not waited for, and the letter will
        be sent again."""
        self._closing.set()
        self._posted.set()
        if self._thread.is_alive():
            self._thread.join(grace)
            self._carrier.abandon()
            self._thread.join(grace)
        if not self._thread.is_alive():
            self._carrier.close()

    def round(self) -> bool:
        """Every letter that is due; false where the MTA or the store can't be reached, so that more haste is of no use."""
        try:
            while not self._closing.is_set():
                letter = outbox.claim(
                    self._store, self._clock(), self._settings.lease, farthest=self._settings.farthest
                )
                if letter is None:
                    self._complaint = ""
                    return True
                if not self.send(letter).reachable:
                    return False
        except (StoreError, sa.exc.SQLAlchemyError) as error:
            self._complain(str(error))
            return False
        finally:
            self._carrier.close()
        return True

    def send(self, letter: Claimed) -> Result:
        """Try to send a letter that was claimed, and note what became of it. Raises StoreError where that can't be noted."""
        result = self._carrier.send(letter, self._clock())
        for attempt in range(_NOTING):
            try:
                self._note(letter, result)
                break
            except (StoreError, sa.exc.SQLAlchemyError) as error:
                if attempt == _NOTING - 1 or self._closing.wait(self._every):
                    if result.taken:
                        log.error("[%s] ERROR %s was sent, which can't be noted: it may be sent a second time: %s",
                                  letter.ref, _named(letter), for_log(str(error)))  # fmt: skip
                    raise
        return result

    def _note(self, letter: Claimed, result: Result) -> None:
        now = self._clock()
        left = letter.recipients
        if result.taken:
            left = outbox.delivered(self._store, letter, result.taken, now)
            log.info("[%s] SENT %s;%s %s", letter.ref, _named(letter), _to(result.taken), for_log(result.answer))
        if not left:
            return
        if result.more and result.taken:
            outbox.deferred(self._store, letter, result.answer, now)
        elif result.for_good or now - letter.created_at >= self._settings.give_up:
            self._tell_sender(letter, left, result.answer, now)
            outbox.given_up(self._store, letter, result.answer, now)
            log.error("[%s] ERROR %s can't be sent and is given up;%s %s", letter.ref, _named(letter), _to(left),
                      for_log(result.answer))  # fmt: skip
        else:
            pause = self._settings.pause(letter.tries, self._chance())
            outbox.deferred(self._store, letter, result.answer, now + pause)
            log.warning("[%s] %s waits, next try in %d s;%s %s", letter.ref, _named(letter), pause, _to(left),
                        for_log(result.answer))  # fmt: skip

    def _tell_sender(self, letter: Claimed, left: Sequence[str], answer: str, now: float) -> None:
        """Who sent us the message heard that we took it. Raises StoreError."""
        reporter = self._settings.helo or helo_name(socket.getfqdn())
        report = report_of(letter, left, answer, reporter=reporter, now=now)
        if report is not None:
            with self._store.write() as connection:
                outbox.post(self._store, connection, report, now)

    def _complain(self, error: str) -> None:
        """Once for each reason, not once a second."""
        if error != self._complaint:
            self._complaint = error
            log.error("outbox: %s", for_log(error))

    def _work(self) -> None:
        while not self._closing.is_set():
            self._posted.clear()
            pause = self._every
            if not self.round():
                pause = UNREACHABLE_PAUSE
            (self._posted if pause == self._every else self._closing).wait(pause)


def _named(letter: Claimed) -> str:
    return f"letter {letter.id} ({for_log(letter.kind)})"


def _to(recipients: Sequence[str]) -> str:
    more = len(recipients) - _MAX_LOGGED
    named = ",".join(f"<{for_log(address)}>" for address in recipients[:_MAX_LOGGED])
    return f" to={named}" + (f" and {more} more:" if more > 0 else ":")


class NotWaiting(LookupError):
    """There is no such letter, or somebody is just sending it, or it was sent."""


def send_now(
    store: Store,
    settings: OutboxSettings,
    letter_id: int,
    *,
    clock: Callable[[], float] = time.time,
    chance: Callable[[], float] = random.random,
) -> Result:
    """Send one letter at once, whenever its next try would be and even if it was given up, and return what the MTA said.

    Raises NotWaiting and StoreError.
    """
    letter = outbox.claim(store, clock(), settings.lease, letter_id)
    if letter is None:
        raise NotWaiting(f"there is no letter {letter_id} in the outbox that waits to be sent")
    courier = Courier(store, settings, clock=clock, chance=chance)
    try:
        return courier.send(letter)
    finally:
        courier.close()
