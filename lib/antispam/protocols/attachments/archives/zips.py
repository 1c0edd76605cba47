"""Zip archives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import _zipscan
from _unpacking import Budget
from antispam.protocols.attachments.archives.item import Item


def items(content: bytes, budget: Budget) -> Iterator[Item]:
    """The entries, by every header that some reader believes."""
    for seen in _zipscan.level(content, budget):
        if seen.kind != _zipscan.NAME:
            yield Item(seen.kind, seen.name, seen.detail)
        elif seen.entry is None or seen.entry.encrypted:
            yield Item(name=seen.name)
        else:
            yield Item(
                name=seen.name,
                head=_zipscan.first_bytes(content, seen.entry),
                whole=partial(_zipscan.unpacked, content, seen.entry, budget),
                unwrapped=seen.entry.stored,
            )
