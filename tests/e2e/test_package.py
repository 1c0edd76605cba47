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
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.network import Network
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory, end_session, wait_until
from support.sources import extract_all

MESSAGE = b"From: Ann <ann@example.org>\r\nTo: joe@example.com\r\nSubject: Hello\r\n\r\nHow are you?\r\n"
# No variable of ours (VIRTUAL_ENV, PYTHONPATH) may help what was installed to find the checkout.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def _run(*command: str | Path, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def _make_dist(folder: Path) -> dict[str, Path]:
    """What `make dist` makes, by the end of the names, with the tools of this environment."""
    environment = {**ENVIRONMENT, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "release.dist", folder]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    ends = (".tar.gz", ".whl", ".cdx.json", "SHA256SUMS")
    return {end: path for end in ends for path in folder.iterdir() if path.name.endswith(end)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The release."""
    return _make_dist(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def sources(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source archive."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(made[".tar.gz"]) as opened:
        extract_all(opened, folder)
    return folder / made[".tar.gz"].name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(made: dict[str, Path]) -> Path:
    """The wheel, which was built from the source archive."""
    return made[".whl"]


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


def test_the_same_sources_give_the_same_release(made: dict[str, Path], tmp_path: Path) -> None:
    """Octet for octet, compiled modules included, wherever it is built."""
    again = _make_dist(tmp_path)
    assert {end: path.read_bytes() for end, path in again.items()} == {
        end: path.read_bytes() for end, path in made.items()
    }


def test_the_sums_are_those_of_the_files(made: dict[str, Path]) -> None:
    checked = _run("sha256sum", "--check", "--strict", made["SHA256SUMS"].name, cwd=made["SHA256SUMS"].parent).stdout
    assert checked.splitlines() == sorted(f"{made[end].name}: OK" for end in (".whl", ".cdx.json", ".tar.gz"))


def test_the_bill_of_materials_is_that_of_this_release(made: dict[str, Path]) -> None:
    bill = json.loads(made[".cdx.json"].read_text())
    about = bill["metadata"]["component"]
    assert (about["name"], made[".whl"].name.split("-")[1]) == ("bms-antispam", about["version"])
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"


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


def test_the_pages_for_refusals_are_written_by_the_installed_program(bms: Path, tmp_path: Path) -> None:
    _run(bms, "errors-page", tmp_path / "refused", cwd=tmp_path)
    assert "What you can do" in (tmp_path / "refused" / "spf-fail" / "index.html").read_text()


def test_the_installed_console_shows_a_page(bms: Path, run_directory: RunDirectory) -> None:
    """Its templates and its style came with the wheel."""
    port = Network().free_port()
    with (run_directory.path / "milter.cfg").open("a") as config:
        config.write(f"[web]\nlisten = 127.0.0.1:{port}\n")
    with _started(run_directory.path, bms, "web", "serve"):
        page = f"http://127.0.0.1:{port}/"
        wait_until(lambda: b"Log in" in _fetched(page + "login"), "the console")
        assert b"{" in _fetched(page + "static/console.css")


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


@contextlib.contextmanager
def _started(folder: Path, bms: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The installed program, with the configuration in `folder`; what it says goes to the file log there."""
    command = [bms, "-c", folder / "milter.cfg", *arguments]
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
    try:
        yield program
    finally:
        end_session(program.pid, polite=0)
        program.wait()


def test_the_installed_program_makes_its_store_serves_and_ends_well(bms: Path, run_directory: RunDirectory) -> None:
    """A fresh SQLite store gets the newest schema from the wheel's migrations; TERM ends with 0 and without a socket."""
    path = run_directory.path
    with _started(path, bms) as program:
        wait_until(lambda: program.poll() is not None or _log_says(path, "bms serves"), "bms serves")
        assert program.poll() is None, (path / "log").read_text()
        with contextlib.closing(sqlite3.connect(path / "state" / "bms.sqlite")) as store:
            (revision,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE) == 0, (path / "log").read_text()
    assert revision == max(migration.name[:4] for migration in (REPOSITORY / "sql" / "versions").glob("[0-9]*.py"))
    assert not os.path.lexists(path / "bms.sock")


def _log_says(folder: Path, text: str) -> bool:
    return text in (folder / "log").read_text()
