from collections.abc import Callable

from typing_extensions import Buffer

def prepare(table: Buffer, base: int, classes: Buffer, fold: Buffer, odd: Buffer) -> None: ...
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
