"""Files shipped with the program: at the top of a checkout, or inside this package in a wheel."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder or file `name` ("sql", "milter.cfg"). Raises FileNotFoundError if the installation is incomplete."""
    for base in (_HERE / "shipped", _HERE.parent.parent):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(f"{name} is missing from this installation")
