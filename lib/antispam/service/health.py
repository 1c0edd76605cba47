"""Health checks of the filter. Each result has a sentence that says what is wrong and what to do."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import glob
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from antispam.checks._shared.dkim_keys import published
from antispam.checks._shared.dkim_keys.configured import Configured
from antispam.checks._shared.dkim_keys.published import Published, key_name, look_up
from antispam.checks._shared.dkim_keys.rotation import Stage
from antispam.deadline import Deadline
from antispam.learning.settings import DspamSettings
from antispam.learning.upkeep import last_taught_by_people
from antispam.net.dns_answers import Lookup, lookup_all
from antispam.net.sockets import SocketSpec
from antispam.settings.health import HealthSettings
from antispam.store import Store, StoreError
from antispam.store.schema import history, outbox
from antispam.text import for_log

_OPTIONS = struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)  # SMFIC_OPTNEG: version, actions, steps
_QUIT = struct.pack("!Ic", 1, b"Q")
_CLOCKS = 120.0  # seconds by which the clocks of nodes may differ
_BORN = 1_767_225_600.0  # 2026-01-01: a correct clock is later than this
_HOUSEKEEPING = 1800.0  # seconds within which a round ends
_CRITICAL = 5  # critical is the warning's threshold divided by this
_DAY = 86400.0


class State(enum.IntEnum):
    """The exit codes of monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_ORDER = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The result of one check."""

    name: str
    state: State
    text: str


def worst(results: Iterable[Result]) -> State:
    """The overall state: bad takes precedence over unknown."""
    return max((result.state for result in results), key=_ORDER.index, default=State.UNKNOWN)


def filter_answers(spec: SocketSpec, timeout: float, name: str) -> Result:
    """Start a conversation with the filter as an MTA does (option negotiation)."""
    try:
        with _connected(spec, timeout) as client:
            client.sendall(_OPTIONS)
            reply = client.recv(5)
            with contextlib.suppress(OSError):  # we have the answer
                client.sendall(_QUIT)
    except OSError as error:
        why = error.strerror or str(error)
        advice = f"start it (systemctl start {name}), and look at its log"
        return Result("filter", State.CRITICAL, f"the filter does not answer at {spec}: {why}; {advice}")
    if reply[4:5] != b"O":
        return Result("filter", State.CRITICAL, f"what answers at {spec} is no milter; look who listens there")
    return Result("filter", State.OK, f"the filter answers at {spec}")


def _connected(spec: SocketSpec, timeout: float) -> socket.socket:
    client = socket.socket(spec.family, socket.SOCK_STREAM)
    client.settimeout(timeout)
    try:
        client.connect(spec.path if spec.family == socket.AF_UNIX else spec.dialled)
    except OSError:
        client.close()
        raise
    return client


def store_answers(store: Store, timeout: float, newest: str) -> Result:
    """Whether the database answers, and has the tables of this version (`newest` is its revision)."""
    revision = sa.text("SELECT version_num FROM alembic_version")
    try:
        with store.read(Deadline.after(timeout)) as connection:
            found = connection.scalar(revision)
    except (StoreError, sa.exc.SQLAlchemyError) as error:
        why = for_log(str(error).splitlines()[0], 200)
        return Result("store", State.CRITICAL, f"the database does not answer: {why}; look at it and at [store] url")
    if found != newest:
        text = (
            f"its tables are of version {found}, this program's are {newest}; restart the filter, or finish the upgrade"
        )
        return Result("store", State.WARNING, text)
    return Result("store", State.OK, "the database answers")


def workers(figures: Mapping[str, float], now: float) -> list[Result]:
    """The state of the processes, from metrics given as {name with labels as in the text format: value}."""
    wanted, ready = figures.get('bms_workers{state="wanted"}', 0), figures.get('bms_workers{state="ready"}', 0)
    if ready < wanted or not wanted:
        state = State.WARNING if ready else State.CRITICAL
        found = Result("workers", state, f"{ready:g} of {wanted:g} workers serve; the log says why the others ended")
    else:
        found = Result("workers", State.OK, f"{ready:g} workers serve")
    last, begun = figures.get("bms_housekeeping_timestamp_seconds", 0), figures.get("bms_start_time_seconds", now)
    idle = now - max(last, begun)
    if idle > _HOUSEKEEPING:
        text = f"housekeeping has not finished a round for {_long(idle)}; look for ERROR housekeeping in the log"
        return [found, Result("housekeeping", State.WARNING, text)]
    return [found, Result("housekeeping", State.OK, "housekeeping is at work")]


def training(store: Store, settings: DspamSettings, now: float) -> Result:
    """Whether people still train a filter that was trained before."""
    taught = last_taught_by_people(store, settings)
    if taught is None or not settings.alarm:
        return Result("training", State.OK, "nobody has taught the filter yet" if taught is None else "not looked at")
    silent = now - taught
    if silent > settings.alarm:
        advice = "forward spam and ham to the training addresses, or see whether reports still arrive ([dspam] alarm)"
        return Result("training", State.WARNING, f"nobody has taught the filter for {_long(silent)}; {advice}")
    return Result("training", State.OK, f"last taught {_long(silent)} ago")


def backup(settings: HealthSettings, now: float) -> Result:
    """Whether the newest backup is recent enough."""
    if not settings.backup:
        return Result("backup", State.OK, "not looked at ([health] backup)")
    made = [os.stat(name).st_mtime for name in glob.glob(settings.backup) if os.path.isfile(name)]
    if not made:
        text = f"there is no backup {settings.backup}; make one: bms backup FILE"
        return Result("backup", State.CRITICAL, text)
    age = now - max(made)
    if age > settings.backup_age:
        text = f"the newest backup is {_long(age)} old; see why the job that runs `bms backup` does not"
        return Result("backup", State.WARNING, text)
    return Result("backup", State.OK, f"the newest backup is {_long(age)} old")


def keys(known: Sequence[Configured], resolver: Lookup, timeout: float, now: float) -> list[Result]:
    """Whether the record of each key that signs, or did until recently, is published and matches; and whether the key
    is overdue for replacement.
    """
    used = [one for one in known if one.stage in (None, Stage.SIGNING, Stage.RETIRED)]
    names = [key_name(one.signer.selector, one.signer.domain) for one in used]
    deadline = Deadline.after(timeout)
    lookup_all(resolver, [(name, "TXT") for name in names], deadline)  # concurrently; the single checks use the cache
    found = [
        _key(look_up(name, one.signer.key, resolver, deadline), due=one.is_due(now))
        for name, one in zip(names, used, strict=True)
    ]
    return found or [Result("dkim", State.OK, "no keys sign")]


def _key(one: Published, *, due: bool) -> Result:
    told = f"{one.name}: {one.detail}" if one.detail else one.name
    match one.state:
        case published.State.RIGHT if due:
            text = f"{one.name} signs for more than half a year; replace it: bms dkim rotate DOMAIN --start ALGORITHM"
            return Result("dkim", State.WARNING, text)
        case published.State.RIGHT:
            return Result("dkim", State.OK, f"{one.name} is published")
        case published.State.UNKNOWN:
            return Result("dkim", State.UNKNOWN, f"{told}; see whether the name servers answer")
        case published.State.MISSING:
            advice = "publish it (bms dkim record), or stop to sign with it"
            return Result("dkim", State.CRITICAL, f"{told}: receivers reject these signatures; {advice}")
    return Result("dkim", State.CRITICAL, f"{told}; publish the record that bms dkim record prints, or change the key")


def disk(folder: Path, settings: HealthSettings, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> Result:
    """Whether there is disk space for data."""
    try:
        found = statvfs(folder)
    except OSError as error:
        return Result("disk", State.CRITICAL, f"{folder}: {error.strerror}; the filter cannot store anything there")
    parts = [(found.f_bavail, found.f_blocks, "space"), (found.f_favail, found.f_files, "files")]
    free, what = min(((100 * left / whole, name) for left, whole, name in parts if whole), default=(100.0, "space"))
    if free >= settings.disk_free:
        return Result("disk", State.OK, f"{free:.0f} % is free at {folder}")
    state = State.CRITICAL if free < settings.disk_free / _CRITICAL else State.WARNING
    lack = "of the space is" if what == "space" else "of the files (inodes) are"
    return Result(
        "disk", state, f"only {free:.1f} % {lack} free at {folder}; delete something, or shorten [quarantine] keep"
    )


def clock(store: Store, now: float) -> Result:
    """Whether the clock is right: nothing stored may be from the future."""
    if now < _BORN:
        return Result("clock", State.CRITICAL, "the clock says a time before this program existed; set it (NTP)")
    with store.read() as connection:
        newest = connection.scalar(sa.select(sa.func.max(history.c.received_at)))
    if newest is not None and newest > now + _CLOCKS:
        text = f"mail came {_long(newest - now)} in the future: the clock jumped, here or on another node; set it (NTP)"
        return Result("clock", State.CRITICAL, text)
    return Result("clock", State.OK, "the clock goes with what was stored")


def queue(store: Store, settings: HealthSettings, now: float) -> Result:
    """Whether the filter's own mail gets delivered."""
    waiting = outbox.c.next_at.is_not(None)
    with store.read() as connection:
        query = sa.select(sa.func.count(), sa.func.min(outbox.c.created_at)).where(waiting)
        number, oldest = connection.execute(query).one()
    age = now - oldest if number else 0.0
    if age > settings.outbox_age:
        state = State.CRITICAL if age > _DAY else State.WARNING
        advice = "`bms outbox list` says why; does the MTA answer at [outbox] host?"
        return Result("outbox", state, f"{number} messages wait to be sent, the oldest for {_long(age)}; {advice}")
    return Result("outbox", State.OK, f"{number} messages wait to be sent")


def _long(seconds: float) -> str:
    """A duration in words, rounded down: 3 days, 2 hours, 40 minutes."""
    for unit, of in ((_DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {of}{'s' if number != 1 else ''}"
    return f"{max(0, int(seconds))} s"
