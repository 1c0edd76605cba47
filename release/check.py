"""`make release-check`: whether this commit can be released. Usage: python -m release.check

Prints what is left to do; without anything left the exit status is 0. `make release VERSION=` does the first part of it.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from release import dist

STABLE = "Development Status :: 5 - Production/Stable"
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)


def in_the_files(repository: Path, version: str) -> Iterator[str]:
    """What the files lack that tell of a release."""
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    if unreleased_text(changelog):
        yield f"CHANGELOG.md has lines under Unreleased: make release VERSION={version}"
    dated = [heading for heading in _HEADING.findall(changelog) if heading.startswith(f"{version} - ")]
    if not dated or not _is_day(dated[0].removeprefix(f"{version} - ")):
        yield f"CHANGELOG.md has no heading '## {version} - YYYY-MM-DD'"
    if STABLE not in (repository / "pyproject.toml").read_text(encoding="utf-8") and not version.startswith("0."):
        yield f"pyproject.toml does not say '{STABLE}'"
    series = ".".join(version.split(".")[:2])
    if f" to {series}" not in (repository / "docs" / "upgrading.md").read_text(encoding="utf-8"):
        yield f"docs/upgrading.md has no section about the way to {series}"
    if f"{version.split('.')[0]}.x" not in (repository / "SECURITY.md").read_text(encoding="utf-8"):
        yield f"SECURITY.md does not say how long {version.split('.')[0]}.x gets fixes"


def unreleased_text(changelog: str) -> str:
    """What stands under Unreleased."""
    after = changelog.partition("## Unreleased\n")[2]
    return _HEADING.split(after)[0].strip()


def _is_day(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def in_git(repository: Path, version: str) -> Iterator[str]:
    """What is not committed, or not tagged."""
    if _git(repository, "status", "--porcelain"):
        yield "there are changes that are not committed"
    tag = f"v{version}"
    make = f"git tag -s {tag} -m 'bms {version}'"
    if tag not in _git(repository, "tag", "--points-at", "HEAD").split():
        yield f"this commit has no tag {tag}: {make}"
    elif "-----BEGIN" not in _git(repository, "cat-file", "-p", tag):
        yield f"the tag {tag} is not signed: git tag -d {tag}; {make}"


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> None:
    version = dist.version()
    problems = [*in_the_files(dist.REPOSITORY, version), *in_git(dist.REPOSITORY, version)]
    for problem in problems:
        print(f"- {problem}")
    if problems:
        sys.exit(f"{version} is not ready to be released.")
    print(f"{version} can be released: make dist, and publish what is in dist/.")


if __name__ == "__main__":
    main()
