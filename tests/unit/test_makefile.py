"""`make` and scripts/setup on machines of all kinds, played with a Python that only notes what it is asked to do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory

# Makes an environment in which it stands itself; "installs" the binding by touching a file, unless ./broken exists.
PYTHON = r"""#!/bin/sh
prefix=$(dirname "$(dirname "$0")")
case "$*" in
    "-m venv --clear "*)
        echo "venv" >>asked
        rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; touch "$4/pyvenv.cfg"
        echo "#!$PWD/$4/bin/python" >"$4/bin/pip" ;;
    "-m pip install "*)
        [ ! -e broken ] || { echo "no such package"; exit 1; }
        for last; do :; done; echo "pip $last" >>asked
        echo "Collecting cffi>=1.17"; touch lib/_libmilter/binding.so ;;
    *"import pip, sys"*) [ ! -e upgraded ] && echo "$PWD/$prefix" ;;
    *_libmilter*) [ -e lib/_libmilter/binding.so ] ;;
    --version) echo "Python 3.11.2" ;;
esac
"""
COMPILED = (
    "pyproject.toml",
    "lib/_libmilter/build.py",
    "lib/_libmilter/trampolines.c",
    "lib/_libmilter/turns.c",
    "lib/dspam/build.py",
    "lib/dspam/_cutting.c",
    "lib/dspam/_walking.h",
)
TOOLS = ["sh", "cat", "cksum", "cp", "dirname", "flock", "grep", "head", "ls", "mkdir", "rm", "tail", "touch"]


class Checkout:
    """A copy of what scripts/setup looks at, on a machine with only TOOLS and what a test adds; nobody's, not root's."""

    def __init__(self, run: RunDirectory) -> None:
        self.path = run.folder("checkout")
        self._bin = run.folder("bin")
        for tool in TOOLS:
            (self._bin / tool).symlink_to(str(shutil.which(tool)))
        self.command("id", "echo 1000")
        self.command("apt-get", 'echo "apt-get $*" >>asked')
        for name in ("scripts/setup", *COMPILED):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target)

    def command(self, name: str, script: str) -> None:
        """Put a command on the machine."""
        path = self._bin / name
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def remove_command(self, name: str) -> None:
        (self._bin / name).unlink()

    def setup(self, what: str = "run", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/setup."""
        command = ["sh", "scripts/setup", what]
        environment = {"PATH": str(self._bin), **environment}
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)

    def asked(self, what: str = "run", **environment: str) -> list[str]:
        """Run scripts/setup with success; returns what it made Python and apt do."""
        notes = self.path / "asked"
        notes.write_text("")
        done = self.setup(what, **environment)
        assert done.returncode == 0, done.stderr
        return notes.read_text().splitlines()


@pytest.fixture
def bare() -> Iterator[Checkout]:
    """A machine without Python and compiler."""
    with RunDirectory("setup") as run:
        yield Checkout(run)


@pytest.fixture
def machine(bare: Checkout) -> Checkout:
    """A machine that has what is needed (libmilter's headers: as this one)."""
    bare.command("python3", PYTHON)
    bare.command("cc", "true")
    return bare


def test_without_root_one_command_names_everything_that_is_missing(bare: Checkout) -> None:
    done = bare.setup()
    commands = re.findall(r"^ +(apt-get install .*)$", done.stderr, re.MULTILINE)
    assert done.returncode == 1
    assert len(commands) == 1
    assert {"gcc", "libc6-dev", "python3", "python3-venv", "python3-dev"} <= set(commands[0].split())
    assert not (bare.path / "asked").exists()


def test_root_gets_them_installed(bare: Checkout) -> None:
    bare.command("id", "echo 0")
    done = bare.setup()
    asked = (bare.path / "asked").read_text()
    assert "update" in asked
    assert re.search(r"install --no-install-recommends .*gcc .*python3-venv", asked)
    assert done.returncode == 1  # this apt-get brings no Python
    assert "Python 3.11 or later" in done.stderr


def test_without_apt_the_missing_things_are_named(bare: Checkout) -> None:
    bare.remove_command("apt-get")
    done = bare.setup()
    assert done.returncode == 1
    assert "gcc" in done.stderr
    assert "apt-get" not in done.stderr


def test_a_python_that_was_asked_for_and_will_not_do_is_named(bare: Checkout) -> None:
    bare.command("python2", "exit 1")
    done = bare.setup(PYTHON="python2")
    assert done.returncode == 1
    assert "PYTHON=python2" in done.stderr


def test_the_first_run_installs_and_the_second_does_nothing(machine: Checkout) -> None:
    assert machine.asked() == ["venv", "pip .[web]"]
    assert machine.asked() == []


def test_a_second_run_needs_no_compiler(machine: Checkout) -> None:
    machine.asked()
    machine.remove_command("cc")
    assert machine.asked() == []


def test_what_pip_comes_to_is_shown_while_it_works(machine: Checkout) -> None:
    assert " cffi" in machine.setup().stderr


@pytest.mark.parametrize("changed", COMPILED)
def test_a_change_of_what_is_installed_or_compiled_installs_again(machine: Checkout, changed: str) -> None:
    machine.asked()
    path = machine.path / changed
    path.write_text(path.read_text() + "\n")
    assert machine.asked() == ["pip .[web]"]


def test_a_binding_that_is_gone_is_made_again(machine: Checkout) -> None:
    machine.asked()
    (machine.path / "lib" / "_libmilter" / "binding.so").unlink()
    assert machine.asked() == ["pip .[web]"]


def test_each_purpose_installs_what_it_needs_and_the_larger_serves_the_smaller(machine: Checkout) -> None:
    assert machine.asked("run") == ["venv", "pip .[web]"]
    assert machine.asked("test") == ["pip .[test]"]
    assert machine.asked("run") == []
    assert machine.asked("check") == ["pip .[test,check]"]
    assert machine.asked("test") == []


def test_an_environment_whose_python_was_upgraded_is_made_anew(machine: Checkout) -> None:
    machine.asked()
    (machine.path / "lib" / "_libmilter" / "binding.so").unlink()
    (machine.path / "upgraded").touch()
    assert machine.asked() == ["venv", "pip .[web]"]


def test_an_environment_that_came_with_a_copied_checkout_is_made_anew(machine: Checkout) -> None:
    machine.asked()
    copy = machine.path.with_name("copy")
    shutil.copytree(machine.path, copy)
    machine.path = copy
    assert machine.asked() == ["venv", "pip .[web]"]


def test_a_folder_that_is_no_environment_is_left_alone(machine: Checkout) -> None:
    precious = machine.path / "precious" / "file"
    precious.parent.mkdir()
    precious.touch()
    done = machine.setup(VENV="precious")
    assert done.returncode == 1
    assert "precious is not a virtual environment" in done.stderr
    assert precious.exists()


def test_a_failed_installation_shows_the_end_of_the_log_and_is_tried_again(machine: Checkout) -> None:
    (machine.path / "broken").touch()
    done = machine.setup()
    assert done.returncode == 1
    assert "no such package" in done.stderr
    assert ".venv/install.log" in done.stderr
    (machine.path / "broken").unlink()
    assert machine.asked() == ["pip .[web]"]


def test_make_alone_tells_what_there_is() -> None:
    """Every command of the Makefile is in its list."""
    shown = subprocess.run(["make", "-s", "-C", REPOSITORY], capture_output=True, text=True, check=True).stdout
    declared = re.findall(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    commands = {command for line in declared for command in line.split()}
    assert len(commands) > 15
    assert {line.split()[0] for line in shown.splitlines() if line.split()[1:]} == commands


def test_ctrl_c_reaches_the_program_and_make_ends_well(tmp_path: Path) -> None:
    """In a terminal of its own: make dies of an interrupt, so it must not get it."""
    ends_well = "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(0))"
    (tmp_path / "program").write_text(f"{ends_well}; print('ready', flush=True); signal.pause()")
    foreground = f"{sys.executable} {REPOSITORY}/scripts/foreground {sys.executable} program"
    (tmp_path / "Makefile").write_text(f"run:\n\t@{foreground}\n\t@echo goes on\n")
    terminal = ["script", "--quiet", "--return", "--command", "make -s run", "/dev/null"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with subprocess.Popen(
        terminal, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        try:
            assert session.stdout.readline().strip() == b"ready"
            session.stdin.write(b"\x03")
            session.stdin.flush()
            assert session.stdout.readline().strip() in (b"goes on", b"^Cgoes on")
            assert session.wait(PATIENCE) == 0
        finally:
            if session.poll() is None:
                os.killpg(session.pid, signal.SIGKILL)
