"""The contents of an archive of any format: names, octets, and what cannot be read.

Nothing is written to disk.  What each format costs is bounded by the budget that all of a message shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from _unpacking import Budget
from antispam.protocols.attachments import kinds
from antispam.protocols.attachments.archives import foreign, streams, tar, tnef, zips
from antispam.protocols.attachments.archives.item import Item

Reader = Callable[[bytes, Budget], Iterator[Item]]

_READERS: dict[str, Reader] = {
    kinds.ZIP: zips.items,
    kinds.TAR: tar.items,
    kinds.GZIP: streams.gzip_items,
    kinds.BZIP2: streams.bzip2_items,
    kinds.XZ: streams.xz_items,
    kinds.TNEF: tnef.items,
}
# One compressed stream each, which is an archive only if what comes out of it is one.
STREAMS = frozenset({kinds.GZIP, kinds.BZIP2, kinds.XZ, kinds.ZSTD, kinds.LZ4, kinds.COMPRESS})


def items(kind: str, content: bytes, budget: Budget) -> Iterator[Item]:
    """What is in an archive of this kind (one of `kinds.ARCHIVES`).  Never raises on content; `budget` is used up."""
    reader = _READERS.get(kind)
    return reader(content, budget) if reader else foreign.items(kind, content, budget)
