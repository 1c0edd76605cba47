"""What the commands' tests share."""

from __future__ import annotations

import pytest

from support.console import Place


@pytest.fixture
def place(tmp_path):
    """A console with accounts."""
    made = Place(tmp_path)
    yield made
    made.store.close()
