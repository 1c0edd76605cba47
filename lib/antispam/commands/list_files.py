"""Import of lists and the greylist from upstream's files, and their export."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from antispam.checks._shared.bans import BanSettings
from antispam.checks.auto_whitelist import Settings as WhitelistSettings
from antispam.checks.greylist import Settings as GreylistSettings
from antispam.settings import Settings
from antispam.store import Store, greylist, lists, upstream_lists
from antispam.store.greylist import Record, Triplet
from antispam.store.lists import Kind, Known
from antispam.store.upstream_lists import Listed, Unread

GREYLIST = "greylist"
MAX_COMPLAINTS = 20


@dataclasses.dataclass(slots=True)
class Done:
    """The numbers of names imported, expired and unreadable, and the first error messages."""

    taken: int = 0
    expired: int = 0
    refused: int = 0
    complaints: list[str] = dataclasses.field(default_factory=list)

    def complain(self, what: str) -> None:
        self.refused += 1
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(what)
        elif len(self.complaints) == MAX_COMPLAINTS:
            self.complaints.append("and more of them")


def import_names(
    store: Store, settings: Settings, kind: Kind, file: IO[str], reason: str, period: float | None, now: float
) -> Done:
    """Import names into a list for `period` seconds from the time in the file. None means as long as the filter itself
    would have kept them, or permanently without a time. Raises OSError, StoreError.
    """
    done = Done()
    known = []
    for one in upstream_lists.read_names(file):
        if isinstance(one, Unread):
            done.complain(f"{one.where}: {one.why}")
            continue
        try:
            name = lists.normalized(kind, one.name.removeprefix("@"))  # milter.cfg writes whole domains with an @
        except lists.BadName as error:
            done.complain(f"line {one.line}: {error}")
            continue
        until = _until(settings, kind, one, period, now)
        if until is not None and until <= now:
            done.expired += 1
        else:
            known.append(Known(name, min(one.entered or now, now), until))
    lists.take_over(store, kind, known, reason=reason, by=lists.ADMINISTRATOR, now=now)
    done.taken = len(known)
    return done


def _until(settings: Settings, kind: Kind, one: Listed, period: float | None, now: float) -> float | None:
    if one.entered is None:
        return None if period is None else now + period
    usual = {Kind.WHITELIST: settings[WhitelistSettings].keep, Kind.BLACKLIST: settings[BanSettings].blacklist}
    lasts = usual.get(kind) if period is None else period
    return None if lasts is None else min(one.entered, now) + lasts


def import_greylist(store: Store, settings: Settings, path: Path, now: float) -> Done:
    """Import an upstream greylist. Raises NotReadable, OSError, StoreError."""
    done = Done()
    chosen = settings[GreylistSettings]
    known: list[tuple[Triplet, Record]] = []
    for one in upstream_lists.read_greylist(path):
        if isinstance(one, Unread):
            done.complain(f"{one.where}: {one.why}")
            continue
        triplets = one.triplets(chosen.ipv4_prefix, chosen.ipv6_prefix)
        if not triplets:
            done.complain(f"{one.where}: {one.client} is not an IP address")
        elif one.last_seen < now - (chosen.retain if one.count else chosen.expire):
            done.expired += 1
        else:
            known += ((triplet, _not_later(one.record, now)) for triplet in triplets)
            done.taken += 1
    greylist.take_over(store, known)
    return done


def _not_later(record: Record, now: float) -> Record:
    passed = record.passed_at
    return Record(
        min(record.first_seen, now),
        min(record.last_seen, now),
        None if passed is None else min(passed, now),
        record.attempts,
    )


def exported(store: Store, kind: Kind | None, now: float) -> Iterator[str]:
    """The lines of a list, or of the greylist for None, in upstream's format. Raises StoreError."""
    if kind is None:
        yield from (_csv_line(triplet, record) for triplet, record in greylist.everything(store))
        return
    for entry in lists.everything(store, (kind,), now):
        dated = entry.expires_at is not None and kind in (Kind.WHITELIST, Kind.BLACKLIST)
        yield upstream_lists.line_for(entry.name, entry.seen_at) if dated else entry.name


def _csv_line(triplet: Triplet, record: Record) -> str:
    client = triplet.client if triplet.client.startswith("spf:") else triplet.client.partition("/")[0]
    count = 0 if record.passed_at is None else max(1, record.attempts - 1)
    row = (client, triplet.mail_from, triplet.recipient, record.first_seen, record.last_seen, count, "")
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(row)
    return line.getvalue()
