"""The unit file and the logrotate file agree with what the supervisor does."""

from __future__ import annotations

from pathlib import Path

import pytest

from antispam.service.children import GRACE_SECONDS
from antispam.service.plan import ExitCode, Limits

TOP = Path(__file__).parents[4]


@pytest.fixture(scope="module", params=["bms", "spfmilter", "dkim-milter"])
def service(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """Every setting of the unit, with all its values in order."""
    settings: dict[str, list[str]] = {}
    for line in (TOP / "systemd" / f"{request.param}.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            settings.setdefault(name, []).append(value)
    return settings


def test_systemd_signals_the_parent_only(service: dict[str, list[str]]) -> None:
    """libmilter in a worker takes TERM itself and cuts its sessions off."""
    assert service["KillMode"] == ["mixed"]


def test_systemd_waits_for_messages_in_flight(service: dict[str, list[str]]) -> None:
    assert int(service["TimeoutStopSec"][0]) > Limits().messages + GRACE_SECONDS


def test_systemd_waits_for_the_preparation(service: dict[str, list[str]]) -> None:
    assert int(service["TimeoutStartSec"][0]) >= Limits().prepare + Limits().start


def test_systemd_does_not_insist_where_only_an_administrator_can_help(service: dict[str, list[str]]) -> None:
    assert service["RestartPreventExitStatus"] == [str(ExitCode.USER_FAILED.value)]


def test_the_socket_may_be_given_to_a_group(service: dict[str, list[str]]) -> None:
    """The last filter wins, and @privileged contains chown."""
    assert service["SystemCallFilter"][-1] == "@chown"


def test_logrotate_sends_the_signal_that_reopens_logs() -> None:
    assert "--kill-who=main --signal=USR1" in (TOP / "logrotate" / "bms").read_text()


@pytest.mark.parametrize("name", ["spfmilter", "dkim-milter"])
def test_the_units_differ_in_names_only(name: str) -> None:
    """Several programs may run beside one another: /run/milter must outlive the one that stops first."""
    large, small = ((TOP / "systemd" / f"{unit}.service").read_text().splitlines() for unit in ("bms", name))
    different = [line for line in small if line not in large and not line.startswith("#")]
    title = {"spfmilter": "SPF milter", "dkim-milter": "DKIM milter"}[name]
    assert different == [f"Description={title}", f"ExecStart=/opt/bms/bin/{name}"]
    assert "RuntimeDirectoryPreserve=yes" in small
