"""`make release VERSION=1.0.0`: writes the version, and today's day, into the files that tell of a release.

Usage: python -m release.prepare VERSION [YYYY-MM-DD]. Nothing is committed: look at it with git diff.
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

from release.check import STABLE, unreleased_text
from release.dist import REPOSITORY


def prepare(repository: Path, version: str, day: str) -> None:
    """Raises ValueError for what is no version, and where nothing is there to be released."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version} is no version such as 1.0.0")
    changelog = repository / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if not unreleased_text(text):
        raise ValueError("CHANGELOG.md has nothing under Unreleased")
    changelog.write_text(
        text.replace("## Unreleased\n", f"## Unreleased\n\n## {version} - {day}\n", 1), encoding="utf-8"
    )
    _replace(repository / "lib" / "antispam" / "__init__.py", r'__version__ = ".*"', f'__version__ = "{version}"')
    if not version.startswith("0."):
        _replace(repository / "pyproject.toml", r"Development Status :: [^\"]*", STABLE)


def _replace(file: Path, pattern: str, by: str) -> None:
    file.write_text(re.sub(pattern, by, file.read_text(encoding="utf-8"), count=1), encoding="utf-8")


if __name__ == "__main__":
    try:
        prepare(REPOSITORY, sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else datetime.date.today().isoformat())
    except ValueError as error:
        sys.exit(str(error))
