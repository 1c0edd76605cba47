"""Programs are ended together with whatever they started."""

from __future__ import annotations

import sys

import pytest

from support.network import Network
from support.processes import end_session, family, wait_until

# A parent that ignores TERM and replaces its children, each the leader of a session of its own, as fast as they die.
RESTLESS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(600)
    os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("polite", [0.0, 0.2])
def test_a_parent_that_replaces_its_children_leaves_none_behind(polite: float) -> None:
    process = Network().popen([sys.executable, "-c", RESTLESS])
    wait_until(lambda: len(family(process.pid)) == 2, "the first child")
    end_session(process.pid, polite)
    process.wait()
    assert family(process.pid) == set()
