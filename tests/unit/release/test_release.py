"""Preparing a release, and whether one is ready."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from release.check import in_git, in_the_files, unreleased_text
from release.prepare import prepare

from support.places import REPOSITORY

FILES = ("CHANGELOG.md", "SECURITY.md", "pyproject.toml", "docs/upgrading.md", "lib/antispam/__init__.py")


@pytest.fixture
def checkout(tmp_path):
    """The files of the project that tell of a release; something is left to be released."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- A change.\n\n## 0.2.0 - 2026-11-27\n")
    return tmp_path


def _git(folder, *arguments):
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_what_is_under_unreleased_becomes_the_release(checkout):
    prepare(checkout, "1.0.0", "2026-12-24")
    changelog = (checkout / "CHANGELOG.md").read_text()
    assert changelog == (
        "# Changelog\n\n## Unreleased\n\n## 1.0.0 - 2026-12-24\n\n- A change.\n\n## 0.2.0 - 2026-11-27\n"
    )
    assert '\n__version__ = "1.0.0"\n' in (checkout / "lib/antispam/__init__.py").read_text()


def test_what_was_prepared_lacks_nothing_in_its_files(checkout):
    prepare(checkout, "1.0.0", "2026-12-24")
    assert list(in_the_files(checkout, "1.0.0")) == []


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0rc1", "", "1.0.0\n"])
def test_what_is_no_version_changes_nothing(checkout, version):
    before = (checkout / "CHANGELOG.md").read_text()
    with pytest.raises(ValueError, match="is no version"):
        prepare(checkout, version, "2026-12-24")
    assert (checkout / "CHANGELOG.md").read_text() == before


def test_nothing_is_released_twice(checkout):
    prepare(checkout, "1.0.0", "2026-12-24")
    with pytest.raises(ValueError, match="nothing under Unreleased"):
        prepare(checkout, "1.0.1", "2026-12-25")


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- Another.\n", "lines under Unreleased"),
        ("CHANGELOG.md", "1.0.0 - 2026-12-24", "1.0.0 - soon", "no heading"),
        ("CHANGELOG.md", "1.0.0 - 2026-12-24", "1.0.1 - 2026-12-24", "no heading"),
        ("pyproject.toml", "5 - Production/Stable", "4 - Beta", "Development Status"),
        ("docs/upgrading.md", " to 1.0", " to 0.9", "docs/upgrading.md"),
        ("SECURITY.md", "1.x", "0.x", "SECURITY.md"),
    ],
)
def test_what_is_missing_in_a_file_is_told(checkout, file, old, new, told):
    prepare(checkout, "1.0.0", "2026-12-24")
    (checkout / file).write_text((checkout / file).read_text().replace(old, new))
    (problem,) = in_the_files(checkout, "1.0.0")
    assert told in problem


def test_a_commit_without_a_tag_is_no_release(checkout):
    _git(checkout, "init")
    _git(checkout, "add", ".")
    _git(checkout, "commit", "-m", "first")
    (problem,) = in_git(checkout, "1.0.0")
    assert "git tag -s v1.0.0" in problem


def test_a_tag_that_nobody_signed_is_told(checkout):
    _git(checkout, "init")
    _git(checkout, "commit", "--allow-empty", "-m", "first")
    _git(checkout, "tag", "-a", "v1.0.0", "-m", "bms 1.0.0")
    (changes, unsigned) = in_git(checkout, "1.0.0")
    assert "not committed" in changes
    assert "not signed" in unsigned


def test_unreleased_ends_at_the_next_release():
    assert unreleased_text("## Unreleased\n\n- One.\n\n## 1.0.0 - 2026-12-24\n\n- Two.\n") == "- One."
