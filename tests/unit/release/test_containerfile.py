"""The Containerfile does what docs/debian-postfix.md says; its commands are typed in a fresh Debian (test_fresh_debian.py)."""

from __future__ import annotations

import json
import re

from support.fresh_debian import blocks_of
from support.places import REPOSITORY

STEPS = re.findall(r"^RUN (.*)$", (REPOSITORY / "Containerfile").read_text(), re.MULTILINE)
TYPED = [line for block in blocks_of(REPOSITORY / "docs" / "debian-postfix.md") for line in block.commands.splitlines()]
# The MTA is in another container, which has no file of ours.
_SOCKET = re.compile(r"socket = (local|inet):\S+\|")


def _packages(step):
    return set(step.removeprefix("apt-get install -y --no-install-recommends ").split())


def _alike(step):
    """The command of the page that the step repeats."""
    if step.startswith("apt-get install"):
        return next(line for line in TYPED if line.startswith("apt-get install") and _packages(step) <= _packages(line))
    return next(line for line in TYPED if _SOCKET.sub("", line) == _SOCKET.sub("", step))


def test_each_step_is_a_command_of_the_page_and_in_its_order():
    places = [TYPED.index(_alike(step)) for step in STEPS]
    assert len(places) > 5
    assert places == sorted(places)


def test_no_step_of_the_installation_is_missing():
    """What concerns systemd, cron, logs in files and the MTA has no place there."""
    installing = TYPED[: TYPED.index("systemctl daemon-reload")]
    left_out = [line for line in installing if line not in map(_alike, STEPS)]
    assert [line for line in left_out if not re.search("systemd|/etc/cron.d|logrotate|/var/spool/postfix", line)] == []


def test_it_runs_the_filter_as_the_filters_user():
    text = (REPOSITORY / "Containerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["milter"]
    assert json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0]) == ["bms", "run"]
