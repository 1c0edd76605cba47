"""scripts/install-test-servers tells apart: it is there, it cannot be, it should have been."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.places import INSTALLER
from support.processes import RunDirectory


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """The script in a checkout where nothing is installed yet."""
    with RunDirectory("installer") as run:
        script = run.folder("scripts") / INSTALLER.name
        shutil.copy(INSTALLER, script)
        yield script


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    user = "nobody" if os.geteuid() == 0 else None
    kept = {"PATH": os.environ["PATH"], **environment}
    command = ["sh", str(script), *arguments]
    return subprocess.run(command, env=kept, user=user, capture_output=True, text=True, check=False)


def test_without_root_one_line_says_what_to_type_and_the_status_means_skip(elsewhere: Path) -> None:
    done = run(elsewhere)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (77, "", 1)
    assert "scripts/install-test-servers" in done.stderr


def test_in_ci_the_same_is_a_failure(elsewhere: Path) -> None:
    assert run(elsewhere, CI="true").returncode == 1


def test_check_installs_nothing_and_says_nothing(elsewhere: Path) -> None:
    done = run(elsewhere, "--check", CI="true")
    assert (done.returncode, done.stdout, done.stderr) == (77, "", "")
