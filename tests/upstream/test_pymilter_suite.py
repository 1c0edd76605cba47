"""pymilter 1.0.5's own tests, unchanged, on our modules.

Its source archive is fetched from PyPI when the tests run, checked against its known digest and kept in .cache/; none
of it is in this repository. The archive lacks three of the modules that its test.py names (testgrey, testcfg,
testpolicy) and one that testsample imports (template): what the former ask is asked in tests/unit/milter_layer, the
latter has a stand-in here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from Milter.policy import MTAPolicy
from support.pymilter import fetch, unpack

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]

# How many tests each module has, doctests of our own modules not counted; one that is lost must be noticed.
MODULES = {"testmime": 13, "testsample": 6, "testutils": 4}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive without the modules that ours replace."""
    if problem := fetch():
        if os.environ.get("CI") == "true":
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
    unpacked = unpack(tmp_path_factory.mktemp("pymilter"))
    shutil.rmtree(unpacked / "Milter")
    (unpacked / "mime.py").unlink()
    return unpacked


@pytest.mark.parametrize("module", MODULES)
def test_pymilters_own_tests_pass_unchanged(source: Path, module: str) -> None:
    """Every test of the module runs and passes, none is skipped."""
    places = [str(REPOSITORY / "lib"), str(source), str(HERE / "stand_in")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(HERE / "run_suite.py"), module],
        cwd=source,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["failed"] == counts["skipped"] == 0
    assert counts["run"] >= MODULES[module]


def test_the_modules_under_test_are_ours(source: Path) -> None:
    """Neither the archive's own modules nor an installed pymilter are imported by mistake."""
    script = "import Milter, milter, mime; print(Milter.__file__, milter.__file__, mime.__file__, sep='\\n')"
    found = subprocess.check_output(
        [sys.executable, "-c", script],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "lib")},
        text=True,
    )
    assert all(Path(line).is_relative_to(REPOSITORY / "lib") for line in found.splitlines())


def test_the_access_map_of_the_archive_is_read(source: Path) -> None:
    """A real Berkeley DB hash as makemap wrote it, keys with "!" and a trailing NUL."""
    config = SimpleNamespace(access_file=str(source / "test" / "access.db"), access_file_nulls=True)
    found = {}
    for sender in ("good@example.com", "bad@example.com", "bad@bad.example.com"):
        with MTAPolicy(sender, conf=config) as policy:
            found[sender] = policy.getPolicy("smtp-auth")
    assert found == {"good@example.com": "OK", "bad@example.com": "REJECT", "bad@bad.example.com": None}
