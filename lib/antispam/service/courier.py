"""The courier sends the messages of the outbox to the MTA until each is accepted or given up.

A message is done once the MTA has replied 250 and the store has recorded that. A crash between the two leads to a
second copy: delivery is at least once, and nothing is lost.
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

EVERY = 1.0  # seconds between two checks of the outbox: other processes and nodes queue messages, too
_NOTING = 10  # attempts to record the outcome of a message
_MAX_LOGGED = 20  # recipients
UNREACHABLE_PAUSE = 15.0  # seconds; while the MTA is down, not every message needs to try


class Courier:
    """Sends due messages in its own thread until close(). Several couriers may run, on one node or on many.

    posted  set when a message was just queued, so that it need not wait for the next check
    chance  returns a number from 0 to 1 that spreads the times of retries
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
        """Stop after the current message. If the MTA takes longer than `grace` seconds, the message will be sent again."""
        self._closing.set()
        self._posted.set()
        if self._thread.is_alive():
            self._thread.join(grace)
            self._carrier.abandon()
            self._thread.join(grace)
        if not self._thread.is_alive():
            self._carrier.close()

    def round(self) -> bool:
        """Send every due message. False if the MTA or the store is unreachable, so that trying again at once is
        pointless.
        """
        try:
            while not self._closing.is_set():
                queued = outbox.claim(
                    self._store, self._clock(), self._settings.lease, farthest=self._settings.farthest
                )
                if queued is None:
                    self._complaint = ""
                    return True
                if not self.send(queued).reachable:
                    return False
        except (StoreError, sa.exc.SQLAlchemyError) as error:
            self._complain(str(error))
            return False
        finally:
            self._carrier.close()
        return True

    def send(self, queued: Claimed) -> Result:
        """Try to send a claimed message and record the outcome. Raises StoreError if it cannot be recorded."""
        result = self._carrier.send(queued, self._clock())
        for attempt in range(_NOTING):
            try:
                self._note(queued, result)
                break
            except (StoreError, sa.exc.SQLAlchemyError) as error:
                if attempt == _NOTING - 1 or self._closing.wait(self._every):
                    if result.taken:
                        log.error("[%s] ERROR %s was sent, but this cannot be recorded: it may be sent a second time: %s",
                                  queued.ref, _named(queued), for_log(str(error)))  # fmt: skip
                    raise
        return result

    def _note(self, queued: Claimed, result: Result) -> None:
        now = self._clock()
        left = queued.recipients
        if result.taken:
            left = outbox.delivered(self._store, queued, result.taken, now)
            log.info("[%s] SENT %s;%s %s", queued.ref, _named(queued), _to(result.taken), for_log(result.answer))
        if not left:
            return
        if result.more and result.taken:
            outbox.deferred(self._store, queued, result.answer, now)
        elif result.for_good or now - queued.created_at >= self._settings.give_up:
            self._tell_sender(queued, left, result.answer, now)
            outbox.given_up(self._store, queued, result.answer, now)
            log.error("[%s] ERROR %s cannot be sent and is given up;%s %s", queued.ref, _named(queued), _to(left),
                      for_log(result.answer))  # fmt: skip
        else:
            pause = self._settings.pause(queued.tries, self._chance())
            outbox.deferred(self._store, queued, result.answer, now + pause)
            log.warning("[%s] %s waits, next try in %d s;%s %s", queued.ref, _named(queued), pause, _to(left),
                        for_log(result.answer))  # fmt: skip

    def _tell_sender(self, queued: Claimed, left: Sequence[str], answer: str, now: float) -> None:
        """Report the failure to the sender, to whom we had accepted the message. Raises StoreError."""
        reporter = self._settings.helo or helo_name(socket.getfqdn())
        report = report_of(queued, left, answer, reporter=reporter, now=now)
        if report is not None:
            with self._store.write() as connection:
                outbox.post(self._store, connection, report, now)

    def _complain(self, error: str) -> None:
        """Log an error once for each reason, not once a second."""
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


def _named(queued: Claimed) -> str:
    return f"message {queued.id} ({for_log(queued.kind)})"


def _to(recipients: Sequence[str]) -> str:
    more = len(recipients) - _MAX_LOGGED
    named = ",".join(f"<{for_log(address)}>" for address in recipients[:_MAX_LOGGED])
    return f" to={named}" + (f" and {more} more:" if more > 0 else ":")


class NotWaiting(LookupError):
    """The message does not exist, is being sent, or was sent already."""


def send_now(
    store: Store,
    settings: OutboxSettings,
    outbox_id: int,
    *,
    clock: Callable[[], float] = time.time,
    chance: Callable[[], float] = random.random,
) -> Result:
    """Send one message at once, whenever its next try is due and even if it was given up. Returns the MTA's reply.

    Raises NotWaiting and StoreError.
    """
    queued = outbox.claim(store, clock(), settings.lease, outbox_id)
    if queued is None:
        raise NotWaiting(f"message {outbox_id} is not waiting to be sent")
    courier = Courier(store, settings, clock=clock, chance=chance)
    try:
        return courier.send(queued)
    finally:
        courier.close()
