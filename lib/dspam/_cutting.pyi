from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

def prepare(table: Buffer, base: int, classes: Buffer, fold: Buffer, odd: Buffer) -> None: ...
def walk(
    source: bytes,
    lists: tuple[
        list[bytes], list[bytes], list[bytes], list[bytes], list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]
    ],
    look: tuple[object, ...],
    sets: tuple[object, ...],
    styles: dict[Any, Any],
    callbacks: tuple[Callable[..., object], ...],
    no_style: object,
    max_tags: int,
    remembered: int,
) -> tuple[int, int, int, bool]: ...
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
