"""Prints the figures of the house: how long its modules and functions are, and which of them are longer than they should be.

    python tests/figures.py            # lib/, the programs, and what is too long
    python tests/figures.py --all      # every room

`tests/unit/test_figures.py` holds the limits.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[1]
MODULE_LINES = 400
FUNCTION_LINES = 45


class Length(NamedTuple):
    """How many lines something has, and where it stands (file:line name)."""

    lines: int
    place: str


def modules(folder: Path) -> Iterator[Length]:
    """Every module below the folder."""
    for file in sorted(folder.rglob("*.py")):
        yield Length(len(file.read_text().splitlines()), str(file.relative_to(TOP)))


def functions(folder: Path) -> Iterator[Length]:
    """Every function and method below the folder, from its `def` to its last line, without what is defined inside it."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{file.relative_to(TOP)}:{node.lineno} {node.name}"
                yield Length(_own_lines(node), place)


def _own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    inner = [
        one
        for one in ast.walk(node)
        if one is not node and isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    lines = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for one in inner:
        lines -= set(range(one.lineno, (one.end_lineno or one.lineno) + 1))
    return len(lines)


def too_long(lengths: Iterator[Length], limit: int) -> list[Length]:
    """Those beyond the limit, the longest first."""
    return sorted((one for one in lengths if one.lines > limit), reverse=True)


def _show(name: str, folder: Path) -> None:
    sizes = [one.lines for one in modules(folder)]
    bodies = [one.lines for one in functions(folder)]
    print(
        f"{name:24} {len(sizes):4} modules, median {statistics.median(sizes):4.0f}, longest {max(sizes):4}; "
        f"{len(bodies):5} functions, median {statistics.median(bodies or [0]):3.0f}, longest {max(bodies, default=0):3}"
    )


def main() -> None:
    library = TOP / "lib"
    _show("lib", library)
    for folder in sorted(one for one in library.iterdir() if any(one.glob("*.py"))):
        _show(f"  {folder.name}", folder)
    if "--all" in sys.argv:
        for room in sorted(one for one in (library / "antispam").iterdir() if any(one.glob("*.py"))):
            _show(f"    antispam/{room.name}", room)
    for what, found in (
        (f"modules over {MODULE_LINES} lines", too_long(modules(library), MODULE_LINES)),
        (f"functions over {FUNCTION_LINES} lines", too_long(functions(library), FUNCTION_LINES)),
    ):
        print(f"{what}: {len(found)}")
        for one in found:
            print(f"  {one.lines:4} {one.place}")


if __name__ == "__main__":
    main()
