"""The fuzzers' seeds, and every parser with what is no text at all: nothing raises. `make fuzz` goes on from here."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.parsers import PARSERS

SEEDS = Path(__file__).parents[1] / "fuzz" / "seeds"


@pytest.mark.parametrize("seed", sorted(SEEDS.glob("*/*")), ids=lambda seed: f"{seed.parent.name}-{seed.name}")
def test_a_seed_is_read(seed: Path) -> None:
    PARSERS[seed.parent.name](seed.read_bytes())


@pytest.mark.parametrize("octets", [b"", b"\0", b"\xff" * 100, b"\r\n\r\n", bytes(range(256))], ids=range(5))
@pytest.mark.parametrize("parser", PARSERS)
def test_what_is_no_mail_is_read(parser: str, octets: bytes) -> None:
    PARSERS[parser](octets)


def test_every_parser_has_seeds() -> None:
    assert {folder.name for folder in SEEDS.iterdir()} == set(PARSERS)
