"""What systemd is told, and that it never costs us anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from antispam.net.sd_notify import Notifier
from support.patience import PATIENCE


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(PATIENCE)
        if request.param == "path":
            listening.bind(f"{tmp_path}/notify")
            yield listening, f"{tmp_path}/notify"
        else:
            listening.bind(f"\0{tmp_path}")
            yield listening, f"@{tmp_path}"


def test_each_state_is_told(systemd: tuple[socket.socket, str]) -> None:
    listening, address = systemd
    notifier = Notifier(address)
    notifier.ready("serves")
    notifier.reloading()
    notifier.alive()
    notifier.stopping(75.5)
    told = [dict(line.split("=", 1) for line in listening.recv(4096).decode().split("\n")) for _ in range(4)]
    assert told[0] == {"READY": "1", "STATUS": "serves"}
    assert told[1]["RELOADING"] == "1"
    assert int(told[1]["MONOTONIC_USEC"]) > 0
    assert told[2] == {"WATCHDOG": "1"}
    assert told[3] == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "75500000"}


def test_children_do_not_inherit_the_right_to_speak() -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "PATH": "/bin"}
    assert Notifier.from_environment(environment, pid=7).watchdog == 30.0
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
def test_there_is_no_watchdog_where_none_is_meant_for_us(environment: dict[str, str]) -> None:
    assert Notifier.from_environment(dict(environment), pid=7).watchdog is None


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "@nobody-listens-here", "/" + "x" * 300])
def test_a_service_does_not_fail_because_nobody_listens(address: str) -> None:
    Notifier(address).alive()


def test_an_address_that_systemd_does_not_use_is_ignored() -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"})
    notifier.alive()
