"""`bms health`, as monitoring calls it: one line, and the exit status."""

from __future__ import annotations

import contextlib
import json
import os
import time

import click.testing
import pytest
from bms import JOURNEY, main

from antispam.service.board import Board
from antispam.service.families import families
from antispam.service.metrics import Metrics
from antispam.store import Store
from support.stores import make_store


@pytest.fixture
def bms(tmp_path):
    config = tmp_path / "milter.cfg"
    text = f"[milter]\ndatadir = {tmp_path}\nsocket = unix:{tmp_path}/socket\n[metrics]\nfile = {tmp_path}/bms.prom\n"
    config.write_text(f"{text}[health]\ndisk_free = 0\ntimeout = 60s\n")

    def run(*arguments):
        return click.testing.CliRunner().invoke(main, ["-c", str(config), "health", *arguments])

    return run


@pytest.fixture
def well(tmp_path):
    """The store and the metrics of a filter that serves."""
    board = Board(families(JOURNEY))
    for state, workers in (("wanted", 2), ("ready", 2)):
        board.own.set("bms_workers", state, to=workers)
    board.own.set("bms_start_time_seconds", to=time.time())
    with contextlib.closing(Store(make_store(tmp_path / "bms.sqlite"))) as store:
        Metrics(board, store, time.time).write(tmp_path / "bms.prom")


def test_what_is_wrong_stands_in_one_line_and_in_the_exit_status(bms, well):
    result = bms()
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("BMS CRITICAL: the filter does not answer at unix:")


def test_all_is_well_where_it_is(bms, well):
    result = bms("--skip", "filter")
    assert (result.exit_code, result.output) == (0, "BMS OK: 9 questions, all is well\n")


def test_programs_get_every_answer(bms, well):
    found = json.loads(bms("--json").output)
    assert found["state"] == "critical"
    states = {one["name"]: one["state"] for one in found["answers"]}
    names = ["filter", "store", "training", "clock", "outbox", "workers", "housekeeping", "backup", "dkim", "disk"]
    assert list(states) == names
    assert [name for name, state in states.items() if state != "ok"] == ["filter"]


def test_people_get_every_answer_on_a_line(bms, well):
    assert len(bms("--verbose").output.splitlines()) == 11


def test_a_database_that_is_missing_is_critical_and_not_made(bms, tmp_path):
    result = bms("--skip", "filter", "--skip", "workers")
    assert result.exit_code == 2
    assert "there is no database" in result.output
    assert not (tmp_path / "bms.sqlite").exists()


def test_metrics_that_nobody_writes_any_more_are_critical(bms, well, tmp_path):
    os.utime(tmp_path / "bms.prom", (0, 0))
    result = bms("--skip", "filter")
    assert result.exit_code == 2
    assert "minutes old" in result.output


def test_a_mistake_in_the_configuration_is_unknown(bms, tmp_path):
    (tmp_path / "milter.cfg").write_text("[milter]\nsockett = x\n")
    result = bms()
    assert result.exit_code == 3
    assert "did you mean socket?" in result.output
