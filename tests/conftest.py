"""What all tests share: real servers, started once where a test asks for them, and databases."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.network import PrivateNetwork
from support.places import ENOUGH_MEMORY, MEMORY, missing_servers, room_in_memory

# Imported where they are used: tests of the core must run where the application's own dependencies are not installed.
if TYPE_CHECKING:
    from antispam.store import Store
    from support.databases import MariaDB, PostgreSQL
    from support.dialogue import Runner
    from support.mta import NameServer
    from support.mta_runner import MtaRunner
    from support.pgbouncer import PgBouncer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--mutations", type=int, default=1500, help="messages on which compiled code is compared with its reference"
    )
    parser.addoption("--pictures", action="store_true", help="take pictures of all pages of the console, for people")


def pytest_configure() -> None:
    _work_in_memory()
    _give_examples_time()
    # A shell that runs the tests in the background has them, and every program that they start, ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _give_examples_time() -> None:
    """No example of a property test fails for being slow: on a busy machine any may be."""
    with contextlib.suppress(ImportError):
        from hypothesis import settings

        settings.register_profile("no deadline", settings(), deadline=None)
        settings.load_profile("no deadline")


def _work_in_memory() -> None:
    """Keep temporary files in memory, where there is room: on a disk, each commit and each message accepted waits for it."""
    if "TMPDIR" not in os.environ and room_in_memory(MEMORY) >= ENOUGH_MEMORY:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # it is looked for anew


def _group(item: pytest.Item) -> str:
    """Tests of one group run in one process (--dist=loadgroup): they share what takes long to start, or a folder in .cache."""
    runner = (
        item.callspec.params.get("runner") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if folder == "journeys":
        return str(runner) if runner in ("postfix", "sendmail") else ""
    if item.path.stem in ("test_fresh_debian", "test_debian_package", "test_service_files_e2e"):
        return "debian"  # all fill one folder of packages, which apt locks
    return "" if folder == "unit" else item.path.stem


@pytest.hookimpl(tryfirst=True)  # xdist, which otherwise comes first, looks for groups only once
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those that share something into groups, and skip what needs servers that this machine cannot have; under CI=true let
    it fail instead."""
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    wanting = [item for item in items if item.get_closest_marker("servers")]
    if not wanting or os.environ.get("CI") == "true":
        return
    if reason := missing_servers():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long octets name no test: they may hold the time, or noise, and two test processes must collect the same names. Pytest
    numbers what has the same name."""
    return argname if isinstance(val, bytes) and len(val) > 60 else None


def pytest_collection_finish() -> None:
    """What stays for the whole run is no garbage: looking through it, in the midst of tests, took up to half a second."""
    gc.collect()
    gc.freeze()


def _skipped(config: pytest.Config) -> dict[str, list[str]]:
    """What was skipped so far: reason to names of tests."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reasons: dict[str, list[str]] = {}
    for report in reporter.stats.get("skipped", []) if reporter else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple | list) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    return reasons


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI=true a test that was skipped counts as one that failed."""
    if os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def servers() -> None:
    """Demand real servers: fail with one line that says what to install where they are missing."""
    if reason := missing_servers():
        pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def postgresql(servers: None) -> Iterator[PostgreSQL]:
    """A PostgreSQL server for the whole run."""
    from support.databases import PostgreSQL

    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(servers: None) -> Iterator[MariaDB]:
    """A MariaDB server for the whole run."""
    from support.databases import MariaDB

    with MariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgresql: PostgreSQL) -> Iterator[PgBouncer]:
    """A PgBouncer before that PostgreSQL, for the whole run."""
    from support.pgbouncer import PgBouncer

    with PgBouncer(postgresql) as pool:
        yield pool


_DATABASES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.servers),
    pytest.param("mariadb", marks=pytest.mark.servers),
]
_POOLED = pytest.param("pgbouncer", marks=pytest.mark.servers)


@pytest.fixture
def _database(request: pytest.FixtureRequest) -> str:
    """Which kind of database a test has: SQLite, or each in turn where it is marked `every_database`; with pooled=True also
    PostgreSQL behind PgBouncer."""
    return str(getattr(request, "param", "sqlite"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("every_database")
    if "_database" in metafunc.fixturenames and marker:
        pooled = [_POOLED] if marker.kwargs.get("pooled") else []
        metafunc.parametrize("_database", [*_DATABASES, *pooled], indirect=True)


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, _database: str, tmp_path: Path) -> str:
    """The SQLAlchemy URL of a database without tables."""
    if _database == "sqlite":
        return f"sqlite:///{tmp_path / 'bms.sqlite'}"
    return str(request.getfixturevalue(_database).new_database())


@pytest.fixture
def database_url(request: pytest.FixtureRequest, _database: str, tmp_path: Path) -> str:
    """The SQLAlchemy URL of a database with the newest tables, which are empty. An SQLite file stands where a program whose
    datadir is the test's folder looks for it."""
    from support.stores import make_store

    if _database == "sqlite":
        return make_store(tmp_path / "bms.sqlite")
    return str(request.getfixturevalue(_database).new_store())


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store."""
    from antispam.store import Store

    with contextlib.closing(Store(database_url)) as made:
        yield made


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in an SQLite file, for a test whose neighbours have each kind."""
    from antispam.store import Store
    from support.stores import make_store

    with contextlib.closing(Store(make_store(tmp_path / "bms.sqlite"))) as made:
        yield made


@pytest.fixture
def network(servers: None) -> Iterator[PrivateNetwork]:
    """A private network for one test."""
    with PrivateNetwork() as private:
        yield private


@pytest.fixture(scope="session")
def inprocess_runner() -> Runner:
    """Dialogues with the application in this process."""
    from bms import JOURNEY

    from support.inprocess import InProcessRunner

    return InProcessRunner(JOURNEY)


@pytest.fixture(scope="session")
def world(servers: None) -> Iterator[tuple[PrivateNetwork, NameServer]]:
    """The private network, with a name server, that all real MTAs of this run share."""
    from support.mta import NameServer

    with PrivateNetwork() as network, NameServer(network) as nameserver:
        yield network, nameserver


@pytest.fixture(scope="session")
def postfix_runner(world: tuple[PrivateNetwork, NameServer]) -> Iterator[MtaRunner]:
    """Dialogues through real Postfix."""
    yield from _mta_runner("postfix", *world)


@pytest.fixture(scope="session")
def sendmail_runner(world: tuple[PrivateNetwork, NameServer]) -> Iterator[MtaRunner]:
    """Dialogues through real sendmail."""
    yield from _mta_runner("sendmail", *world)


def _mta_runner(kind: str, network: PrivateNetwork, nameserver: NameServer) -> Iterator[MtaRunner]:
    from support.mta_runner import MtaRunner

    with contextlib.closing(MtaRunner(kind, network, nameserver)) as runner:
        yield runner


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was skipped, one line a reason, and which runners each dialogue passed in."""
    for reason, names in sorted(_skipped(config).items()):
        terminalreporter.write_line(f"{len(names)} skipped: {reason}", yellow=True)
        if os.environ.get("CI") == "true":
            terminalreporter.write_line(f"  which CI must not: {', '.join(names)}", red=True)
    _show_dialogues(terminalreporter)


def _show_dialogues(terminalreporter: pytest.TerminalReporter) -> None:
    results: dict[str, dict[str, str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            found = dict(getattr(report, "user_properties", []))
            if "dialogue" in found:
                results.setdefault(found["dialogue"], {})[found["runner"]] = outcome
    if not results:
        return
    from support.dialogue import RUNNERS

    terminalreporter.section("dialogues")
    width = max(map(len, results))
    for dialogue, by_runner in sorted(results.items()):
        cells = (f"{runner} {by_runner.get(runner, '-')}".ljust(18) for runner in RUNNERS)
        terminalreporter.write_line(f"{dialogue.ljust(width)}  {'  '.join(cells)}".rstrip())
