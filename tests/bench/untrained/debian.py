"""Programs of Debian that are unpacked into the cache, and not installed: nothing starts by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.untrained.collections import UnavailableError


def unpacked(package: str, cache: Path) -> Path:
    """The folder with a package and what it depends on and this machine has not. Raises UnavailableError."""
    folder = cache / package
    if (folder / "ready").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        planned = _run(["apt-get", "-s", "-q", "--no-install-recommends", "install", package], folder)
        names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *names], folder)
        for file in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(file), str(folder)], folder)
            file.unlink()
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{package}: {error}") from error
    (folder / "ready").touch()
    return folder


def library(folder: Path) -> Path:
    """Where its shared libraries are."""
    return next(iter(sorted((folder / "usr/lib").glob("*-linux-gnu"))), folder)


def _run(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=600).stdout
