"""Metrics by HTTP from the running program: all workers together, and over the death of one of them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from support.filter_process import FilterProcess
from support.milter_client import MilterClient
from support.network import Network
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.ports import free_port
from support.processes import wait_until

HEADERS = [(b"From", b" ann@example.org"), (b"Subject", b" Lunch")]


def _figures(port: int) -> dict[tuple[str, ...], float]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            text = answer.read().decode()
    except (OSError, http.client.HTTPException):  # between a server and its successor
        return {}
    families = text_string_to_metric_families(text)
    return {(sample.name, *sample.labels.values()): sample.value for one in families for sample in one.samples}


def _send(path: Path) -> None:
    with MilterClient(str(path)) as mta:
        mta.negotiate()
        mta.connect(b"mail.example.org", "4", b"192.0.2.1")
        mta.helo(b"mail.example.org")
        assert mta.message(HEADERS, b"Shall we?\r\n", b"<ann@example.org>", [b"<bob@example.com>"]).action == "c"


def _assert_well(program: FilterProcess) -> None:
    """What monitoring hears of a filter that serves."""
    command = [sys.executable, REPOSITORY / "bms.py", "-c", program.config, "health", "--verbose", "--skip", "disk"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the filter answers at unix:" in result.stdout
    assert "2 workers serve" in result.stdout


def test_counts_are_those_of_all_workers_and_survive_the_death_of_one() -> None:
    port = free_port()
    config = (
        f"internal_connect = 192.0.2.1\n[metrics]\nlisten = {port}\n[greylist]\nmode = off\n[health]\ntimeout = 60s\n"
    )
    with FilterProcess(Network(), config, workers=2) as program:
        for _ in range(3):
            _send(program.socket)
        wait_until(lambda: _figures(port).get(("bms_message_seconds_count",)) == 3, "three are counted")
        _assert_well(program)
        before = _figures(port)
        assert before["bms_workers", "wanted"] == before["bms_workers", "ready"] == 2
        assert before["bms_check_seconds_count", "connection"] >= 3
        assert before["bms_messages_total", "continue"] == 3  # counted before the seconds that it took
        assert before["bms_store_up",] == 1
        victim = next(
            int(line.split("(pid ")[1].rstrip(")")) for line in program.log().splitlines() if "worker 0" in line
        )
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: _figures(port).get(("bms_worker_restarts_total", "ended")) == 1, "it is replaced")
        wait_until(lambda: _figures(port).get(("bms_workers", "ready")) == 2, "both work")
        _send(program.socket)
        wait_until(lambda: _figures(port).get(("bms_messages_total", "continue")) == 4, "the fourth is added")
        assert "Traceback" not in program.log()


def test_a_reload_goes_on_counting_and_another_server_takes_the_port() -> None:
    port = free_port()
    config = f"internal_connect = 192.0.2.1\n[metrics]\nlisten = {port}\n[greylist]\nmode = off\n"
    with FilterProcess(Network(), config) as program:
        _send(program.socket)
        wait_until(lambda: _figures(port).get(("bms_messages_total", "continue")) == 1, "it is counted")
        os.kill(program.pid, signal.SIGHUP)
        wait_until(lambda: _figures(port).get(("bms_reloads_total", "done")) == 1, "the reload is counted")
        _send(program.socket)
        wait_until(lambda: _figures(port).get(("bms_messages_total", "continue")) == 2, "both are counted")
        assert "ERROR" not in program.log()
