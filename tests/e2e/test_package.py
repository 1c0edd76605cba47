"""What an administrator installs: the source archive builds a wheel, and the wheel runs far from any checkout."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.places import REPOSITORY
from support.processes import RunDirectory, end_session, wait_until
from support.sources import extract_all

MESSAGE = b"From: Ann <ann@example.org>\r\nTo: joe@example.com\r\nSubject: Hello\r\n\r\nHow are you?\r\n"
# No variable of ours (VIRTUAL_ENV, PYTHONPATH) may help what was installed to find the checkout.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def _run(*command: str | Path, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source archive."""
    folder = tmp_path_factory.mktemp("sdist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=REPOSITORY)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        extract_all(opened, folder)
    return Path(str(archive).removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """The wheel that the source archive builds, with the tools of this environment."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    _run(*pip, "--wheel-dir", sources.parent, sources, cwd=sources.parent)
    (built,) = sources.parent.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bms(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as installed from the wheel, in an environment that shares only the libraries with ours."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install", "--quiet"]
    _run(*pip, "--no-deps", "--no-index", "--no-compile", wheel, cwd=place)
    (packages,) = place.glob("lib/python3*/site-packages")
    # A .pth that is found by way of another .pth is not read: our editable installation stays out.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "bms"


@pytest.fixture
def run_directory() -> Iterator[RunDirectory]:
    with RunDirectory("package") as run:
        place = f"socket = local:{run.path}/bms.sock\ndatadir = {run.path}/state"
        run.write("milter.cfg", f"[milter]\n{place}\nworkers = 1\n")
        yield run


def _files_below(folder: Path, prefix: str = "") -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {prefix + str(path.relative_to(folder)) for path in found if path.suffix not in (".so", ".c", ".h", ".o")}


def test_the_wheel_holds_all_of_lib_the_program_and_its_data(sources: Path, wheel: Path) -> None:
    """A module added to lib, or a migration to sql, is in the wheel without being named anywhere."""
    with zipfile.ZipFile(wheel) as opened:
        packed = set(opened.namelist())
    building = {"_libmilter/build.py", "_libmilter/hatch_build.py", "dspam/build.py"}
    assert _files_below(sources / "lib") - packed == building
    assert _files_below(sources / "sql", "antispam/shipped/sql/") <= packed
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    programs = {"bms.py", "spfmilter.py", "dkim_milter.py"}
    assert {
        *programs,
        "antispam/shipped/milter.cfg",
        "_libmilter/_binding" + suffix,
        "dspam/_cutting" + suffix,
    } <= packed
    top = {name.partition("/")[0] for name in packed}
    assert top == {path.name for path in (sources / "lib").iterdir()} | {*programs, _metadata_folder(packed)}


def _metadata_folder(packed: set[str]) -> str:
    (metadata,) = (name for name in packed if name.endswith(".dist-info/METADATA"))
    return metadata.partition("/")[0]


def test_what_is_imported_is_what_was_installed(bms: Path) -> None:
    modules = ["milter", "mime", "Milter", "_libmilter", "antispam", "bms"]
    show = f"import {', '.join(modules)}; print(*(m.__file__ for m in ({', '.join(modules)})), sep='\\n')"
    files = _run(bms.with_name("python"), "-c", show, cwd=bms.parent).stdout.split()
    assert len(files) == len(modules)
    assert all(Path(file).is_relative_to(bms.parents[1]) for file in files)


def test_the_installed_program_shows_its_settings(bms: Path, run_directory: RunDirectory) -> None:
    shown = _run(bms, "-c", run_directory.path / "milter.cfg", "check-config", cwd=run_directory.path).stdout
    assert "The configuration is correct." in shown


@pytest.mark.parametrize("name", ["bms", "spfmilter", "dkim-milter"])
def test_each_program_is_installed_as_a_command(bms: Path, name: str) -> None:
    assert _run(bms.with_name(name), "--version", cwd=bms.parent).stdout.startswith(f"{name}, version ")


def test_the_default_configuration_in_the_wheel_is_accepted(bms: Path, run_directory: RunDirectory) -> None:
    (default,) = bms.parents[1].glob("lib/python3*/site-packages/antispam/shipped/milter.cfg")
    _run(bms, "-c", default, "check-config", cwd=run_directory.path)


def test_the_installed_program_scans_a_message(bms: Path, run_directory: RunDirectory) -> None:
    message = run_directory.path / "hello.eml"
    message.write_bytes(MESSAGE)
    options = ["--ip", "127.0.0.1", "--from", "", "--rcpt", "joe@example.com", "--json"]
    config = run_directory.write("offline.cfg", "[dns]\nnameservers = 127.0.0.1@9\ntimeout = 0.2\n")
    shown = _run(bms, "-c", config, "scan", message, *options, cwd=run_directory.path).stdout
    assert json.loads(shown)


def test_the_installed_program_makes_its_store_serves_and_ends_well(bms: Path, run_directory: RunDirectory) -> None:
    """A fresh SQLite store gets the newest schema from the wheel's migrations; TERM ends with 0 and without a socket."""
    path = run_directory.path
    with (path / "log").open("wb") as log:
        program = subprocess.Popen(
            [bms, "-c", path / "milter.cfg"], cwd=path, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: program.poll() is not None or _log_says(path, "bms serves"), "bms serves", 30)
        assert program.poll() is None, (path / "log").read_text()
        with contextlib.closing(sqlite3.connect(path / "state" / "bms.sqlite")) as store:
            (revision,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0, (path / "log").read_text()
    finally:
        end_session(program.pid, polite=0)
        program.wait()
    assert revision == max(migration.name[:4] for migration in (REPOSITORY / "sql" / "versions").glob("[0-9]*.py"))
    assert not os.path.lexists(path / "bms.sock")


def _log_says(folder: Path, text: str) -> bool:
    return text in (folder / "log").read_text()
