"""pymilter 1.0.5 as PyPI has it: its source archive, and its modules built from it.

Both are fetched and made when a test asks for them, and kept in .cache/; none of it is in this repository.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from support.places import CACHE
from support.sources import extract_all

FOLDER = CACHE / "pymilter-1.0.5"
ARCHIVE = FOLDER / "pymilter-1.0.5.tar.gz"
DIGEST = "2fac54d5b5ccca87786ad25eb0057a40bee6d5d3f71d7a6d5fe495ab6e460c3f"
BUILT = FOLDER / f"built-{sysconfig.get_config_var('SOABI')}"


def fetch() -> str:
    """Fetch the archive unless it is there; returns why that is impossible, or ""."""
    if not ARCHIVE.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        command += ["--no-deps", "--no-binary", "pymilter", "--dest", str(FOLDER), "pymilter==1.0.5"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return "pymilter's source archive cannot be fetched from PyPI: " + done.stderr.strip().rpartition("\n")[2]
    if hashlib.sha256(ARCHIVE.read_bytes()).hexdigest() != DIGEST:
        return f"{ARCHIVE} is not the archive that PyPI published"
    return ""


def unpack(folder: Path) -> Path:
    """Unpack the archive below `folder`; returns where."""
    with tarfile.open(ARCHIVE) as archive:
        extract_all(archive, folder)
    return folder / "pymilter-1.0.5"


def build() -> str:
    """Build the modules into BUILT unless they are there; returns why that is impossible, or ""."""
    if BUILT.exists():
        return ""
    if problem := fetch():
        return problem
    with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
        source, result = unpack(Path(temporary)), Path(temporary) / "result"
        command = [sys.executable, "setup.py", "--quiet", "build", "--build-lib", str(result)]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return "pymilter cannot be built: " + done.stderr.strip().rpartition("\n")[2]
        try:
            result.rename(BUILT)
        except OSError:
            if not BUILT.exists():  # else another test process was faster
                raise
            shutil.rmtree(result, ignore_errors=True)
    return ""
