"""Completion in shells."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.shell_completion import get_completion_class
from release import completion
from release.programs import PROGRAMS

from support.patience import PATIENCE
from support.places import REPOSITORY


def _completed(*words):
    program = PROGRAMS[words[0]]
    shell = get_completion_class("zsh")(program, {}, words[0], "_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[1:-1]), words[-1])]


def test_commands_options_and_choices_are_completed():
    assert _completed("bms", "quar") == ["quarantine"]
    assert _completed("bms", "quarantine", "rel") == ["release"]
    assert "--all-users" in _completed("bms", "quarantine", "release", "--all")
    assert _completed("bms", "train", "sp") == ["spam"]
    assert _completed("dkim-milter", "check") == ["check-config"]


def test_no_command_is_imported_to_complete_its_name(monkeypatch):
    monkeypatch.setattr("antispam.commands.program.Command.make", lambda *_: pytest.fail("imported"))
    program = PROGRAMS["bms"]
    monkeypatch.setattr(program, "commands", {})
    items = program.shell_complete(click.Context(program), "q")
    assert [(item.value, item.help) for item in items] == [
        ("quarantine", "View, release and delete quarantined mail,...")
    ]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("shell", completion.PLACES)
def test_a_script_asks_its_program(shell, name):
    variable = f"_{name}_COMPLETE".upper().replace("-", "_")
    assert f"{variable}={shell}_complete" in completion.script(name, shell)


def test_bash_completes_with_what_was_written(tmp_path):
    completion.write(tmp_path)
    program = tmp_path / "bin" / "bms"
    program.parent.mkdir()
    (tmp_path / "bms").symlink_to(REPOSITORY / "bms.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/bms "$@"\n')
    program.chmod(0o755)
    typed = 'COMP_WORDS=(bms quar) COMP_CWORD=1; _bms_completion bms; echo "${COMPREPLY[@]}"; complete -p bms'
    script = f"PATH={program.parent}:$PATH; . {tmp_path}/bash-completion/completions/bms; {typed}"
    shown = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout
    assert shown.splitlines() == ["quarantine", "complete -o nosort -F _bms_completion bms"]
