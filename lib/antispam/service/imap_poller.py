"""Reads Junk folders by IMAP and trains with mail that users moved there, for mail servers that cannot call `bms
learn`.

Each folder has a connection and a thread of its own. It learns new messages by UID (RFC 3501 section 2.3.1.1), records
its position in the store, and waits for notifications (IDLE, RFC 2177). It changes nothing in a mailbox.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from antispam.chores import steady
from antispam.deadline import Deadline
from antispam.learning.lessons import Answer, Outcome
from antispam.mail.message import split_message
from antispam.protocols.lesson_wire import LARGEST
from antispam.settings.imap import Mailbox
from antispam.store import Store
from antispam.store.folders_read import Position, advance, position
from antispam.text import for_log

log = logging.getLogger(__name__)

LESSON = 60.0  # seconds for one lesson
FIRST_PAUSE = 2.0  # seconds after a failure, doubled after each further one
LONGEST_PAUSE = 900.0
NOTE_EVERY = 86400.0  # seconds between two records of an unchanged position: unused ones expire (store/folders_read.py)
_END = 1 << 32  # upper limit of UIDVALIDITY and UIDs (RFC 3501 section 2.3.1.1)


class Client(Protocol):
    """The part of imapclient.IMAPClient that is used, after login."""

    def select_folder(self, folder: str, readonly: bool = False) -> dict[bytes, Any]: ...
    def search(self, criteria: list[str]) -> Sequence[int]: ...
    def fetch(self, messages: Sequence[int], data: Sequence[bytes]) -> dict[int, dict[bytes, Any]]: ...
    def has_capability(self, capability: str) -> bool: ...
    def idle(self) -> object: ...
    def idle_check(self, timeout: float | None = None) -> Sequence[object]: ...
    def idle_done(self) -> object: ...
    def shutdown(self) -> None: ...


Connect = Callable[[Mailbox], Client]
"""Makes a client that is logged in."""

Teach = Callable[[str, bool, bytes, Deadline], Answer]


class LaterError(Exception):
    """Training is not possible at the moment; the text says why."""


def is_known_as_spam(raw: bytes) -> bool:
    """Whether the filter itself marked the message as spam, so that finding it in the Junk folder is no news. Forged
    fields were removed when the message arrived.
    """
    return any(
        (header.key == b"x-spam-flag" and header.value.strip().upper() == b"YES")
        or (header.key == b"x-dspam-result" and header.value.strip().upper() == b"SPAM")
        for header in split_message(raw)[0]
    )


@dataclasses.dataclass(slots=True)
class Folder:
    """Watches one folder.

    is_spam   whether its messages are spam
    connect   makes a connection
    teach     called with login, whether it is spam, the message and the deadline
    failures  the exceptions of connection, server and store after which it tries again
    pause     waits for seconds; returns True to end
    clock     seconds since the epoch
    """

    mailbox: Mailbox
    name: str
    is_spam: bool
    store: Store
    teach: Teach
    connect: Connect
    failures: tuple[type[Exception], ...]
    pause: Callable[[float], bool]
    refresh: float
    clock: Callable[[], float] = time.time
    failed: int = 0
    noted: float = -math.inf  # when the position in the folder was last recorded

    def __str__(self) -> str:
        return f"imap: {for_log(self.mailbox.name, 60)}, folder {for_log(self.name, 60)}"

    def watch(self) -> None:
        """Watch the folder until pause() returns True, with growing pauses after failures."""
        while True:
            try:
                self._connected()
                return
            except self.failures as error:
                seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failed, 20))
                self.failed += 1
                log.log(
                    logging.INFO if self.failed == 1 else logging.WARNING,
                    "%s: %s; again in %g s", self, for_log(str(error) or type(error).__name__), seconds,
                )  # fmt: skip
            if self.pause(seconds):
                return

    def _connected(self) -> None:
        client = self.connect(self.mailbox)
        try:
            while True:
                self.look(client)
                self.failed = 0
                if self._wait(client):
                    return
        finally:
            client.shutdown()

    def _wait(self, client: Client) -> bool:
        """Wait until the server notifies or `refresh` has passed. True to end."""
        if not client.has_capability("IDLE"):
            return self.pause(self.refresh)
        client.idle()
        client.idle_check(timeout=self.refresh)
        client.idle_done()
        return self.pause(0)

    def look(self, client: Client) -> int:
        """Train with the new messages of the folder. Returns their number."""
        # Selected each time, so that a replaced folder is noticed by its UIDVALIDITY.
        validity = int(client.select_folder(self.name, readonly=True).get(b"UIDVALIDITY", 0))
        if not 0 < validity < _END:
            raise LaterError("the server numbers its messages anew each time (no UIDVALIDITY)")
        known = position(self.store, self.mailbox.name, self.name)
        last = known.uid if known is not None and known.validity == validity else 0
        taught = 0
        for uid in self._new(client, last):
            taught += self._lesson(client, uid)
            self._note(Position(validity, last := uid))
        if last and self.clock() - self.noted > NOTE_EVERY:
            self._note(Position(validity, last))
        return taught

    def _note(self, to: Position) -> None:
        self.noted = self.clock()
        advance(self.store, self.mailbox.name, self.name, to, self.noted)

    def _new(self, client: Client, last: int) -> Iterator[int]:
        """The UIDs after the last one, ascending. `*` matches the highest even if it is lower (RFC 3501 section 6.4.8)."""
        yield from sorted(uid for uid in client.search(["UID", f"{last + 1}:*"]) if last < uid < _END)

    def _lesson(self, client: Client, uid: int) -> bool:
        """Train with one message. True if it taught something. Raises LaterError."""
        size = client.fetch([uid], [b"RFC822.SIZE"]).get(uid, {}).get(b"RFC822.SIZE", 0)
        if not 0 < size <= LARGEST:
            return False
        raw = client.fetch([uid], [b"BODY.PEEK[]"]).get(uid, {}).get(b"BODY[]")
        if not isinstance(raw, bytes) or (self.is_spam and is_known_as_spam(raw)):
            return False
        try:
            answer = self.teach(self.mailbox.user, self.is_spam, raw, Deadline.after(LESSON))
        except Exception:  # a bug of ours: one message must not block the next ones
            log.exception("ERROR %s: message %d: unexpected; it is passed over", self, uid)
            return False
        if answer.outcome is Outcome.LATER:
            raise LaterError(answer.text)
        if answer.outcome is not Outcome.TAUGHT:
            log.warning("%s: message %d: %s", self, uid, answer.text)
        return answer.outcome is Outcome.TAUGHT


def start(folders: Sequence[Folder], closing: threading.Event) -> None:
    """A thread for each folder; they end with the process."""
    for folder in folders:
        steady(str(folder), folder.watch, closing).start()
