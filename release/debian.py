"""`make deb`: a Debian package for the release of Debian on which this runs. Usage: python3 -m release.debian [FOLDER]

Needs only Debian's Python. What is under version control (without git: everything) is copied to build/deb, where
dpkg-buildpackage works.
"""

from __future__ import annotations

import datetime
import email.utils
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from release import dist

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "bms-antispam"
_NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "var", "__pycache__", "*.so")


def package_version(version: str, release: str, commit: str = "", when: int = 0) -> str:
    """The version of the package: what `release` of Debian ("12") gets sorts before what a later one gets. A `commit` that is
    no release adds its time, in seconds since 1970, so that the later of two sorts after the earlier."""
    between = f"+git{datetime.datetime.fromtimestamp(when, datetime.UTC):%Y%m%d%H%M%S}.{commit}" if commit else ""
    return f"{version}{between}-1~deb{release}"


def changelog(version: str, by: str, when: int) -> str:
    """debian/changelog. `by` is the packager: "Name <address>"."""
    day = email.utils.format_datetime(datetime.datetime.fromtimestamp(when, datetime.UTC))
    return (
        f"{NAME} ({version}) unstable; urgency=medium\n\n"
        f"  * Built locally. What changed is in /usr/share/doc/{NAME}/changelog.gz.\n\n"
        f" -- {by}  {day}\n"
    )


def _git(*arguments: str) -> str:
    """What git says; "" without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _packager() -> str:
    name = os.environ.get("DEBFULLNAME") or _git("config", "user.name") or "root"
    return f"{name} <{os.environ.get('DEBEMAIL') or _git('config', 'user.email') or f'root@{platform.node()}'}>"


def _commit() -> str:
    """The short name of the commit; "" for a release, and without git."""
    return (
        ""
        if f"v{dist.version()}" in _git("tag", "--points-at", "HEAD").split()
        else _git("rev-parse", "--short", "HEAD")
    )


def _copy(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    names = [name for name in _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0") if name]
    if not names:
        shutil.copytree(REPOSITORY, target, ignore=_NOT_COPIED)
    for name in names:
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


def _demand_tools(sources: Path) -> None:
    """SystemExit with the command that installs what is missing."""
    if shutil.which("dpkg-buildpackage") is None:
        sys.exit("Something is missing. As root, please type this, then try again:\n    apt-get install dpkg-dev")
    checked = subprocess.run(["dpkg-checkbuilddeps"], cwd=sources, capture_output=True, text=True, check=False)
    if checked.returncode:
        missing = re.sub(r" ?\([^)]*\)|:native", "", checked.stderr.rpartition(": ")[2]).replace(
            "debhelper-compat", "debhelper"
        )
        sys.exit(
            f"Something is missing. As root, please type this, then try again:\n    apt-get install {missing.strip()}"
        )


def build(folder: Path) -> list[Path]:
    """Build the package; returns it as it lies in `folder`."""
    when = dist.epoch()
    release = platform.freedesktop_os_release()["VERSION_ID"]
    version = package_version(dist.version(), release, _commit(), when)
    sources = REPOSITORY / "build" / "deb" / NAME
    _copy(sources)
    _demand_tools(sources)
    (sources / "debian" / "changelog").write_text(changelog(version, _packager(), when), encoding="utf-8")
    subprocess.run(["dpkg-buildpackage", "--build=binary", "--unsigned-changes"], cwd=sources, check=True)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Path(shutil.move(made, folder / made.name)) for made in sorted(sources.parent.glob(f"{NAME}_{version}_*.deb"))
    ]


if __name__ == "__main__":
    for built in build(Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "dist")):
        print(built)
