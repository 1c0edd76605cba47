"""A worker that has run out of something says so, and another takes its place."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import pytest

from antispam.net.sockets import SocketSpec
from antispam.service import exhaustion
from antispam.service.activity import Activity, Pulse
from antispam.service.channel import Channel
from antispam.service.children import Child, Generation
from antispam.service.plan import Limits, ProcessPlan
from antispam.service.supervisor import Supervisor


def in_a_child(what):
    """What it returns in a process of its own, whose limits are nobody else's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(what()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        answer = told.read().decode()
    os.waitpid(child, 0)
    return answer


def test_all_is_well_usually():
    assert exhaustion.exhausted() == ""


def test_descriptors_that_are_used_up_are_named_with_their_limit():
    def run():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return exhaustion.exhausted()

    assert in_a_child(run) == "no descriptors are left of 64 (ulimit -n, LimitNOFILE=)"


def test_the_look_itself_leaves_no_descriptor_behind():
    before = len(os.listdir("/proc/self/fd"))
    exhaustion.exhausted()
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_that_is_used_up_is_named():
    def run():
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20), resource.RLIM_INFINITY))
        return exhaustion.exhausted()

    assert in_a_child(run).startswith("no memory is left")


def test_threads_that_can_not_be_started_are_named(monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert exhaustion.exhausted().startswith("no thread can be started")


def test_a_worker_takes_as_many_descriptors_as_it_may():
    def run():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
        exhaustion.raise_limits()
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    assert in_a_child(run) == "256"


@pytest.fixture
def worker(tmp_path):
    """A supervisor with one worker that is only a pipe: the supervisor, the worker, the worker's end."""
    plan = ProcessPlan(
        socket=SocketSpec.parse(f"unix:{tmp_path}/s"), serve=lambda context: None, limits=Limits(silence=30)
    )
    supervisor = Supervisor(plan)
    ours, theirs = Channel.pair()
    child = Child(0, ours, Generation.of(1, plan, None), 0, 0.0, 0.0, ready=True)
    supervisor._children[0] = child
    yield supervisor, child, theirs
    ours.close()
    theirs.close()
    supervisor._selector.close()


def test_a_worker_that_ran_out_of_something_is_replaced_and_the_log_says_why(worker, caplog):
    supervisor, child, theirs = worker
    supervisor._understand(child, "exhausted no descriptors are left of 64")
    assert child.leaving
    assert theirs.receive().startswith("drain sessions")
    assert "no descriptors are left of 64" in caplog.text


def test_who_runs_out_of_it_again_does_not_pile_up_processes(worker):
    supervisor, child, _ = worker
    predecessor = Child(1, child.channel, child.generation, 0, 0.0, 0.0, leaving=True)
    supervisor._children[1] = predecessor
    supervisor._understand(child, "exhausted no memory is left")
    assert not child.leaving


def test_a_worker_that_says_nothing_but_serves_is_left_alone(worker):
    _, child, _ = worker
    activity = Activity(pulse=child.pulse)
    with activity.callback():
        pass
    assert child.overdue(31.0) == ""
    assert child.overdue(60.0) == ""
    assert "it hung" in child.overdue(62.0)


def test_a_pulse_is_seen_by_the_parent():
    pulse = Pulse()
    assert in_a_child(lambda: [pulse.beat() for _ in range(3)] and pulse.count()) == "3"
    assert pulse.count() == 3
