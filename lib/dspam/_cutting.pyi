from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from _mimetree import Field

Keys = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]

def prepare(table: Buffer, base: int, classes: Buffer, fold: Buffer, odd: Buffer) -> None: ...
def walk(
    source: bytes,
    lists: tuple[
        list[bytes], list[bytes], list[bytes], list[bytes], list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]
    ],
    look: tuple[object, ...],
    sets: tuple[object, ...],
    callbacks: tuple[Callable[..., object], ...],
    no_style: object,
    max_tags: int,
    remembered: int,
) -> tuple[int, int, int, bool]: ...
def words(text: str, marks: str, dropped: str, limit: int) -> list[str]: ...
def match(
    words: Sequence[str], starts: dict[str, Any], begin: Callable[[str], object], stems: dict[str, Any], gap: int
) -> list[tuple[Any, int, int]]: ...
def match_text(
    text: str,
    marks: str,
    dropped: str,
    limit: int,
    starts: dict[str, Any],
    begin: Callable[[str], object],
    stems: dict[str, Any],
    filter: bytes,
    gap: int,
) -> list[tuple[Any, str]]: ...
def word_filter(words: list[str], pairs: list[tuple[str, str]], stems: list[str]) -> bytes: ...
def keys(
    facts: list[bytes],
    headers: int,
    text: Buffer,
    lengths: Buffer,
    places: Buffer,
    beside: Buffer,
    spans: list[tuple[int, int]],
    max_new: int,
    readings: Callable[[bytes], tuple[bytes, ...]],
    joined: Callable[[bytes, bytes], tuple[bytes, ...]],
) -> bytes: ...
def header_facts(
    fields: list[Field],
    kinds: dict[bytes, tuple[int, bytes, bytes]],
    kind_of: Callable[[bytes], tuple[int, bytes, bytes]],
    decoded: Callable[[bytes], bytes],
) -> list[bytes]: ...
def content_type(place: bytes, value: bytes) -> list[bytes]: ...
def joined(pieces: list[bytes], /) -> bytes: ...
def urls(text: bytes, most: int, /) -> list[bytes]: ...
def take_links(
    links: list[tuple[bytes, bytes]], most: int, targets: list[bytes], seen: list[tuple[bytes, bytes]], /
) -> None: ...
def link_parts(target: bytes, /) -> tuple[bytes, bytes, bytes]: ...
def squeezed(text: bytes, /) -> bytes: ...
def counts(keys: Keys, table_keys: Keys, table_counts: Counts, factor: int, shift: int, found: Counts) -> None: ...
def add(
    keys: Keys,
    table_keys: Keys,
    table_counts: Counts,
    factor: int,
    shift: int,
    deltas: Counts,
    sign: int,
    at: int,
    room: int,
) -> tuple[int, int]: ...
def slots(keys: Keys, table_keys: Keys, factor: int, shift: int, found: Keys) -> None: ...
def opinions(
    keys: Keys,
    counts: Counts,
    all_spam: float,
    all_ham: float,
    unseen: float,
    shy: float,
    telling: float,
    length: float,
    words: int,
    facts: int,
) -> tuple[float, float, float, float, float]: ...
def learn(
    keys: Keys,
    counts: Counts,
    added: Counts,
    is_spam: bool,
    count_all: bool,
    believed: float,
    at_least: float,
    novel: int,
    heard: float,
    header: tuple[float, float, int, float],
    text: tuple[float, float, int, float],
) -> None: ...
def merge(
    tokens: npt.NDArray[np.uint8], keys: Keys, counts: npt.NDArray[np.int64], days: npt.NDArray[np.uint16]
) -> bytes: ...
