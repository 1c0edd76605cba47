"""One thing in an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from _unpacking import Fault

NAME = "name"


def _nothing() -> tuple[bytes, Fault | None]:
    return b"", None


@dataclass(frozen=True, slots=True)
class Item:
    """A name in an archive with the octets that it stands for, or a fault of the archive.

    reason     NAME, or why something could not be read or is wrong (a reason of a Finding), with `detail` in words
    head       the first octets, some thousand of them; empty if they can't be read
    whole      unpacks all of the octets, as far as the budget allows, and says why that is not all
    unwrapped  the archive's reader has found the headers of an archive in here already
    """

    reason: str = NAME
    name: str = ""
    detail: str = ""
    head: bytes = b""
    whole: Callable[[], tuple[bytes, Fault | None]] = _nothing
    unwrapped: bool = False
