"""The rooms of lib/antispam: who may import whom. README.md has the table; this test holds it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ANTISPAM = Path(__file__).resolve().parents[2] / "lib" / "antispam"
# Each room may import the loose modules and the rooms above it, never those below.
ROOMS = (
    "settings",
    "net",
    "protocols",
    "mail",
    "store",
    "learning",
    "journey",
    "checks",
    "service",
    "web",
    "commands",
)
LOOSE = {"__init__", "chores", "deadline", "memory", "references", "resources", "text"}  # they know nothing of ours
NO_SETTINGS_CLOCK_STORE = {"antispam.settings", "antispam.store", "sqlalchemy", "time", "datetime"}


def _modules() -> list[Path]:
    return sorted(ANTISPAM.rglob("*.py"))


@functools.cache
def _imports(file: Path) -> list[tuple[int, str]]:
    """Each module that the file imports, inside functions as well, with the line."""
    return list(_found_imports(file))


def _found_imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _room(dotted: str) -> str:
    """The room of a module of ours; "" for a loose one and for the packages beside antispam."""
    first, _, rest = dotted.partition(".")
    room = rest.partition(".")[0]
    return room if first == "antispam" and room in ROOMS else ""


def _place(file: Path) -> str:
    return ".".join(file.relative_to(ANTISPAM.parent).with_suffix("").parts)


@pytest.mark.parametrize("file", _modules(), ids=_place)
def test_a_module_imports_only_what_stands_above_it(file: Path) -> None:
    own = _room(_place(file))
    for line, imported in _imports(file):
        if imported.split(".")[0] != "antispam":
            continue
        room = _room(imported)
        wrong = f"{file}:{line}: {own or 'a loose module'} must not import {imported}"
        if own:
            assert not room or ROOMS.index(room) <= ROOMS.index(own), f"{wrong}: {room} stands below {own}"
        else:
            assert not room, f"{wrong}: the modules in antispam/ itself know nothing of ours"


def test_every_module_has_a_room() -> None:
    loose = {file.stem for file in ANTISPAM.glob("*.py")}
    assert loose <= LOOSE, f"{', '.join(sorted(loose - LOOSE))}: move it into one of {', '.join(ROOMS)}"
    folders = {folder.name for folder in ANTISPAM.iterdir() if any(folder.glob("*.py"))}
    assert folders <= set(ROOMS), f"{', '.join(sorted(folders - set(ROOMS)))} is none of {', '.join(ROOMS)}"


@pytest.mark.parametrize("file", sorted((ANTISPAM / "protocols").rglob("*.py")), ids=_place)
def test_protocols_get_the_clock_the_store_and_settings_as_arguments(file: Path) -> None:
    for line, imported in _imports(file):
        forbidden = [name for name in NO_SETTINGS_CLOCK_STORE if imported == name or imported.startswith(f"{name}.")]
        assert not forbidden, f"{file}:{line}: a protocol must not import {imported}"


@pytest.mark.parametrize("file", sorted((ANTISPAM / "checks").glob("[!_]*.py")), ids=_place)
def test_a_check_is_called_what_its_file_is_called(file: Path) -> None:
    assert f'\nNAME = "{file.stem}"\n' in file.read_text()


@pytest.mark.parametrize("file", sorted((ANTISPAM / "checks").glob("[!_]*.py")), ids=_place)
def test_no_check_imports_another(file: Path) -> None:
    others = {f"antispam.checks.{other.stem}" for other in (ANTISPAM / "checks").glob("[!_]*.py")} - {_place(file)}
    for line, imported in _imports(file):
        assert imported not in others, f"{file}:{line}: checks meet in antispam.mail.evidence, not in one another"
