"""tests/README.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
NAMED = re.findall(r"`((?:unit|e2e|journeys)/[^`: ]+\.(?:py|journey))(?:::(\w+))?`", (TESTS / "README.md").read_text())


def test_there_are_many() -> None:
    assert len(NAMED) > 30


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    text = (TESTS / file).read_text()
    assert not name or f"def {name}(" in text
