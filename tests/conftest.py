"""What all tests share: real servers, started once where a test asks for them, and databases."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import MariaDB, PostgreSQL
from support.dialogue import RUNNERS, Runner
from support.mta import NameServer
from support.mta_runner import MtaRunner
from support.network import PrivateNetwork
from support.places import missing_servers


def pytest_configure() -> None:
    """A shell that runs the tests in the background has them, and every program that they start, ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs servers that this machine cannot have; under CI=true let it fail instead."""
    wanting = [item for item in items if item.get_closest_marker("servers")]
    if not wanting or os.environ.get("CI") == "true":
        return
    if reason := missing_servers():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """What stays for the whole run is no garbage: looking through it, in the midst of tests, took up to half a second."""
    gc.collect()
    gc.freeze()


def _skipped(config: pytest.Config) -> dict[str, list[str]]:
    """What was skipped so far: reason to names of tests."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reasons: dict[str, list[str]] = {}
    for report in reporter.stats.get("skipped", []) if reporter else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
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
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(servers: None) -> Iterator[MariaDB]:
    """A MariaDB server for the whole run."""
    with MariaDB() as server:
        yield server


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.servers),
        pytest.param("mariadb", marks=pytest.mark.servers),
    ]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of an empty database, once for each kind that the store supports."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    server = request.getfixturevalue(request.param)
    return str(server.new_database())


@pytest.fixture
def network(servers: None) -> Iterator[PrivateNetwork]:
    """A private network for one test."""
    with PrivateNetwork() as private:
        yield private


@pytest.fixture(scope="session")
def inprocess_runner() -> Runner:
    """Dialogues with the application in this process."""
    # Imported here: tests of the core must run where the application's own dependencies are not installed.
    from bms import JOURNEY

    from support.inprocess import InProcessRunner

    return InProcessRunner(JOURNEY)


@pytest.fixture(scope="session")
def world(servers: None) -> Iterator[tuple[PrivateNetwork, NameServer]]:
    """The private network, with a name server, that all real MTAs of this run share."""
    with PrivateNetwork() as network, NameServer(network) as nameserver:
        yield network, nameserver


@pytest.fixture(scope="session")
def postfix_runner(world: tuple[PrivateNetwork, NameServer]) -> Iterator[MtaRunner]:
    """Dialogues through real Postfix."""
    with contextlib.closing(MtaRunner("postfix", *world)) as runner:
        yield runner


@pytest.fixture(scope="session")
def sendmail_runner(world: tuple[PrivateNetwork, NameServer]) -> Iterator[MtaRunner]:
    """Dialogues through real sendmail."""
    with contextlib.closing(MtaRunner("sendmail", *world)) as runner:
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
    terminalreporter.section("dialogues")
    width = max(map(len, results))
    for dialogue, by_runner in sorted(results.items()):
        cells = (f"{runner} {by_runner.get(runner, '-')}".ljust(18) for runner in RUNNERS)
        terminalreporter.write_line(f"{dialogue.ljust(width)}  {'  '.join(cells)}".rstrip())
