"""The access map: what to do with a sender, depending on what was found.

    SPF-Neutral:aol.com                REJECT
    SPF-Softfail:                      DSN
    DKIM-Fail:newsletter@example.org   OK
    SMTP-Auth:joe@example.com          OK
    SMTP-Auth:example.com              REJECT "550 5.7.1 Only the postroom sends as example.com"

Any format that the MTA's tools write is accepted: the text itself, the hash that `makemap hash` or `postmap hash:`
builds from it, or the lmdb of `postmap lmdb:`. Entries that are not for this filter (Connect:, From:, plain addresses)
are left alone. docs/access-map.md tells administrators all of this.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Self

from antispam.mail.access_map.apply import apply_entry
from antispam.mail.access_map.files import AccessMapError, MapFile, Signature, signature
from antispam.mail.access_map.policy import Action, Policy, parse_policy
from antispam.mail.access_map.table import AUTHOR, EMPTY, SMTP_AUTH, TAGS, AccessTable, Problem, from_pairs, parse_text
from antispam.net.addresses import Mailbox
from antispam.settings import option, section
from antispam.text import for_log

__all__ = [
    "AUTHOR",
    "EMPTY",
    "SMTP_AUTH",
    "TAGS",
    "AccessMap",
    "AccessMapError",
    "AccessSettings",
    "AccessTable",
    "Action",
    "MapFile",
    "Policy",
    "Problem",
    "apply_entry",
    "from_pairs",
    "parse_policy",
    "parse_text",
]

log = logging.getLogger(__name__)

CHECK_INTERVAL = 5.0  # seconds between two checks of the file
_MAX_PROBLEMS_LOGGED = 20


def _demand_known_form(name: str) -> None:
    if name:
        MapFile.named(name)


@section("spf")
class AccessSettings:
    """The location of the access map. Upstream keeps it among the SPF settings."""

    access_file: str = option(
        "",
        "The access map: a text file, a .db file as built by makemap or postmap, an .lmdb file, or hash:/etc/mail/access "
        "as MTAs write it. Its entries override the defaults of the checks. A changed file takes effect within seconds.",
        check=_demand_known_form,
    )
    access_file_nulls: bool = option(
        False, "No effect: whether keys end with a NUL is detected. Kept for old configurations."
    )
    access_file_colon: bool = option(
        True, "No effect: both `:` and `!` are understood after a tag. Kept for old configurations."
    )


class AccessMap:
    """An access map that follows changes of its file. Safe to use from several threads: a look-up works on one immutable table.

    name      as AccessSettings.access_file; "" is an empty map
    clock     monotonic seconds
    interval  seconds between two checks of the file for changes
    """

    def __init__(
        self, name: str = "", *, clock: Callable[[], float] = time.monotonic, interval: float = CHECK_INTERVAL
    ) -> None:
        """Load the map. Raises AccessMapError if that fails: starting without the configured policy would fail open."""
        self.file = MapFile.named(name) if name else None
        self._clock = clock
        self._interval = interval
        self._turn = threading.Lock()
        self._next_look = clock() + interval
        self._complaint = ""
        self._table = EMPTY
        self._seen: Signature | None = None
        if self.file is not None:
            self._seen = _look(self.file)
            self._table = self.file.load()
            self._announce(self.file, self._table)

    @classmethod
    def from_settings(cls, settings: AccessSettings) -> Self:
        return cls(settings.access_file)

    @property
    def table(self) -> AccessTable:
        """The newest table that could be read."""
        if self.file is not None and self._clock() >= self._next_look and self._turn.acquire(blocking=False):
            try:
                self._refresh(self.file)
            finally:
                self._turn.release()
        return self._table

    def policy(self, tag: str, sender: Mailbox | str) -> Policy | None:
        """See AccessTable.policy."""
        return self.table.policy(tag, sender)

    def login_policy(self, login: str, sender: Mailbox | str) -> Policy | None:
        """See AccessTable.login_policy."""
        return self.table.login_policy(login, sender)

    def _refresh(self, file: MapFile) -> None:
        """Load the file if it changed. If it cannot be read, keep the old table and log each reason once."""
        self._next_look = self._clock() + self._interval
        status = _look(file)
        if status == self._seen and not self._complaint:
            return
        try:
            table = file.load()
        except AccessMapError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error("access map not reloaded, the previous one stays in force: %s", for_log(str(error)))
            return
        self._seen, self._complaint, self._table = status, "", table
        self._announce(file, table)

    def _announce(self, file: MapFile, table: AccessTable) -> None:
        log.info("access map %s: %d entries for this filter", file.path, len(table))
        for problem in table.problems[:_MAX_PROBLEMS_LOGGED]:
            log.warning("access map: %s", for_log(str(problem)))
        if len(table.problems) > _MAX_PROBLEMS_LOGGED:
            log.warning("access map: %d more problems", len(table.problems) - _MAX_PROBLEMS_LOGGED)


def _look(file: MapFile) -> Signature | None:
    try:
        return signature(os.stat(file.path))
    except OSError:
        return None
