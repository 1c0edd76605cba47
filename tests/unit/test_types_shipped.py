"""Who builds on these packages gets their types, and all of them are checked."""

from __future__ import annotations

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIB = REPOSITORY / "lib"
PACKAGES = {path.parent.name for path in LIB.glob("*/__init__.py")}


def test_every_package_says_that_it_has_types() -> None:
    """PEP 561."""
    assert {path.parent.name for path in LIB.glob("*/py.typed")} == PACKAGES


def test_mypy_checks_all_of_lib() -> None:
    """Strictly: a new package or module is named in pyproject.toml."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"] is True
    assert set(settings["packages"]) >= PACKAGES
    assert {path.stem for path in LIB.glob("*.py")} <= set(settings["modules"])
