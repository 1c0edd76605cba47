"""`--help` and `--version` are quick: what a command needs is imported when it is given."""

from __future__ import annotations

import subprocess
import sys
import types

import bms
import pytest

from antispam import checks
from antispam.commands.program import Command
from antispam.service.application import Program
from support.places import REPOSITORY

HEAVY = {
    "sqlalchemy",
    "numpy",
    "alembic",
    "cryptography",
    "dns",
    "msgspec",
    "rich",
    "antispam.store",
    "antispam.service",
}
# What a supervisor and its workers would keep for weeks without need.
NOT_KEPT = {
    "alembic",
    "mako",
    "pygments",
    "rich",
    "prometheus_client",
    "sqlalchemy.dialects.postgresql",
}
PROGRAM = Program("bms", bms.JOURNEY, REPOSITORY / "milter.cfg")


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_imported_to_say_it(option: str) -> None:
    code = f"import sys, bms; bms.main([{option!r}], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert HEAVY & set(shown.splitlines()[-1].split()) == set()


def test_a_supervisor_keeps_nothing_that_serving_does_not_need() -> None:
    code = (
        "import sys, bms; from antispam.commands import running; program = bms.main.program(); "
        "running._plan(program, program.read_settings(None), running.board_of(program)); print(*sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert NOT_KEPT & set(shown.splitlines()[-1].split()) == set()


def test_a_python_without_the_packages_is_told_what_to_do() -> None:
    """`./bms.py` in a checkout, by the Python of the system, ended in a traceback."""
    code = "import sys, bms; sys.modules['sqlalchemy'] = None; bms.main(['report'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "lacks the package sqlalchemy" in done.stderr
    assert ".venv/bin/bms" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", bms.main.listed.values(), ids=lambda command: command.name)
def test_a_command_says_of_itself_what_the_list_says_of_it(command: Command) -> None:
    made = command.make(PROGRAM)
    assert made.name == command.name
    assert made.get_short_help_str(1000) == command.help


def test_a_check_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "antispam.checks.words"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(checks, "words", raising=False)
    lazy = checks.words
    assert types.ModuleType.__getattribute__(lazy, "__dict__").get("NAME") is None
    assert lazy.NAME == "words"
    assert sys.modules[name] is lazy


def test_what_is_no_check_is_said() -> None:
    with pytest.raises(AttributeError, match="there is no check shouting"):
        checks.shouting  # noqa: B018  # it is the question
