"""Tests that share a mail server, or a Debian, run in the same process."""

from __future__ import annotations

import re
import subprocess
import sys

from support.patience import PATIENCE
from support.places import REPOSITORY


def test_two_processes_are_told_which_tests_belong_together() -> None:
    """xdist shows a test's group behind its name, if it knows of it."""
    command = [sys.executable, "-m", "pytest", "--numprocesses=1", "--dist=loadgroup", "-v", "-p", "no:cacheprovider"]
    chosen = "tests/e2e/test_fresh_debian.py::test_the_pages_begin_alike"
    done = subprocess.run(
        [*command, chosen], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert re.search(r"test_the_pages_begin_alike@debian", done.stdout), done.stdout + done.stderr
