"""What is left out of these tests where it has no place."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """CI runs nothing that it fetched from elsewhere: there, what wants it is not even collected."""
    if os.environ.get("CI") != "true":
        return
    fetched = [item for item in items if item.get_closest_marker("fetched")]
    if fetched:
        config.hook.pytest_deselected(items=fetched)
        items[:] = [item for item in items if item not in fetched]
