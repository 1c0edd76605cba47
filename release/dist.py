"""`make dist`: the source archive, the wheel, a bill of materials and SHA256SUMS. Usage: python -m release.dist [FOLDER]

With the same compiler and libmilter, the same commit gives the same octets: every time in them is SOURCE_DATE_EPOCH, by default
the commit's.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from release import sbom

REPOSITORY = Path(__file__).resolve().parents[1]
MADE = ("*.tar.gz", "*.whl", "*.cdx.json")


def epoch(repository: Path = REPOSITORY) -> int:
    """SOURCE_DATE_EPOCH, or the time of the last commit; seconds since 1970. SystemExit where there is neither."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdecimal():
        return int(given)
    command: list[str | Path] = ["git", "-C", repository, "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        sys.exit("Outside of a git checkout, please set SOURCE_DATE_EPOCH to the time of the release.")


def version(repository: Path = REPOSITORY) -> str:
    """The version of the sources."""
    text = (repository / "lib" / "antispam" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def build(folder: Path, repository: Path = REPOSITORY) -> list[Path]:
    """Build into `folder`, which is emptied of earlier builds; returns what was made, SHA256SUMS last."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in (*MADE, "SHA256SUMS"):
        for old in folder.glob(pattern):
            old.unlink()
    when = epoch(repository)
    # The wheel is built from the source archive, as everybody else will build it.
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, repository],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(when)},
    )
    sbom.write(folder, repository, version(repository), when)
    made = sorted(path for pattern in MADE for path in folder.glob(pattern))
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made))
    return [*made, sums]


if __name__ == "__main__":
    for built in build(Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "dist")):
        print(built)
