"""`bms rates`: who is stopped, who sends much, and how a login goes on."""

from __future__ import annotations

import contextlib
import time

import bms
import click.testing
import pytest

from antispam.store import Store, windows
from support.stores import make_store


@pytest.fixture
def run(tmp_path):
    url = f"sqlite:///{tmp_path}/bms.sqlite"
    make_store(url)
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    with contextlib.closing(Store(url)) as store:
        with store.write() as connection:
            windows.stop(store, connection, "ann", "301 recipients within one hour", time.time())
        windows.use(store, {"login ann": 301, "login bob": 3}, time.time(), 3600.0)

    def run(*words):
        return click.testing.CliRunner().invoke(bms.main, ["-c", str(config), "rates", *words])

    return run


def test_show_names_who_is_stopped_and_who_sends_most(run):
    shown = run("show").output
    assert "stopped" in shown
    assert "301 recipients within one hour" in shown
    assert "bob" in shown


def test_release_lets_a_login_go_on_once(run):
    done = run("release", "Ann")
    assert (done.exit_code, done.output) == (0, "1 released\n")
    assert "stopped" not in run("show").output
    done = run("release", "ann")
    assert done.exit_code == 1
    assert "ann is not stopped" in done.output
