"""Source archives of other projects, whose tests we run. They are fetched when needed and never committed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from support.places import CACHE


def unpacked_sdist(project: str, version: str) -> Path:
    """The folder of `project`'s unpacked source archive from PyPI, fetched once. Raises CalledProcessError without network."""
    folder = CACHE / "sdist" / f"{project}-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _download(f"{project}=={version}", temporary)
            (archive,) = Path(temporary).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                extract_all(tar, Path(temporary))
            _publish(Path(temporary, archive.name.removesuffix(".tar.gz")), folder)
    return folder


def extract_all(archive: tarfile.TarFile, folder: Path, members: list[tarfile.TarInfo] | None = None) -> None:
    """Unpack into `folder` and nowhere else, as far as this Python can (Debian 12's 3.11.2 knows no filters yet)."""
    if hasattr(tarfile, "data_filter"):
        archive.extraction_filter = tarfile.data_filter
    archive.extractall(folder, members=members)


def _download(requirement: str, folder: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, requirement],
        check=True,
        capture_output=True,
    )


def _publish(unpacked: Path, folder: Path) -> None:
    try:
        unpacked.rename(folder)
    except OSError:
        if not folder.exists():  # else another test process was faster
            raise
