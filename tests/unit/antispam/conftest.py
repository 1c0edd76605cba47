"""What all tests of the rooms share."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def same_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets that a store makes are those of the last run: they say which marks of a text are kept, so that a random one
    lets a test of near copies fail once in a while.
    """
    numbers = itertools.count()
    made = SimpleNamespace(token_hex=lambda octets: f"{next(numbers):02x}" * octets)
    monkeypatch.setattr("antispam.store.callbacks.secrets", made)
