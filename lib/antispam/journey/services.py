"""The services that checks may use: everything that does I/O or tells the time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.mail.score import Test
from antispam.mail.score_table import TABLE
from antispam.settings import Settings

if TYPE_CHECKING:
    from antispam.learning.people import People
    from antispam.learning.teacher import Dictionaries
    from antispam.mail.access_map import AccessTable
    from antispam.net.resolver import Lookup
    from antispam.store import Store


def _forget(table: sa.Table, row: Mapping[str, object]) -> None:
    pass


def _unsigned(queued: bytes, services: Services) -> bytes:
    return queued


def _unchanged(raw: bytes, ref: str) -> bytes:
    return raw


@dataclasses.dataclass(frozen=True, kw_only=True)  # without slots: until() copies the dictionary as a whole
class Services:
    """The services passed to collect().

    settings  all settings; a check reads its own with settings[Settings]
    resolver  the one resolver of this worker, with its shared cache
    store     the SQL store, None if the program runs without one
    access    the administrator's access map as it stood when the session began (empty if none is configured)
    dictionaries  what was learned, None if the program does not learn
    read_only    nothing may be learned, posted or stored: this is only a trial
    sign      adds DKIM signatures to a message of our own (all its octets), if we have a key for its author
    protect   removes dangerous and forged parts from a quarantined message (journey/protection.py)
    write_later  takes a row for a table of the store; it is written after the reply, best effort
    tests     those of the score by name, with the ones that the configuration declares
    people    users, their addresses and preferences; None if the program does not need them
    clock     seconds since the epoch
    deadline  the time by which this step of the message must end; pass it to every look-up
    """

    settings: Settings
    resolver: Lookup
    store: Store | None
    access: AccessTable
    clock: Callable[[], float]
    deadline: Deadline
    dictionaries: Dictionaries | None = None
    people: People | None = None
    tests: Mapping[str, Test] = dataclasses.field(default_factory=lambda: TABLE)
    read_only: bool = False
    write_later: Callable[[sa.Table, Mapping[str, object]], None] = _forget
    sign: Callable[[bytes, Services], bytes] = _unsigned
    protect: Callable[[bytes, str], bytes] = _unchanged

    def until(self, deadline: Deadline) -> Services:
        """The same with another deadline."""
        # As dataclasses.replace() would do it, in a tenth of the time: each step of each message asks for it.
        other = object.__new__(Services)
        other.__dict__.update(self.__dict__, deadline=deadline)
        return other
