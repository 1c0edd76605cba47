"""A defect in each of libmilter's callbacks, one at a time: the mail meets the configured policy, and the next is served."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from support.filter_process import FilterProcess
from support.milter_client import MilterClient, Reply
from support.network import Network
from support.processes import wait_until

STEPS = ("connect", "helo", "mail", "rcpt", "data", "headers", "body", "end")
QUIET = ("abort", "close")  # nobody waits for an answer to these
CONFIG = "[greylist]\nmode = off\n[helo]\nmode = off\n[spf]\nmode = off\n[dkim]\nmode = off\n"
HEADERS = [(b"From", b" ann@example.org"), (b"Subject", b" lunch")]
SPOKEN = {"tempfail": ("t", "y"), "reject": ("r", "y"), "continue": ("c",)}


@pytest.fixture(scope="module", params=[(policy, at) for policy in SPOKEN for at in ("now", "data")], ids="-".join)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[FilterProcess, str]]:
    """The program, which answers connect, HELO and MAIL or (rejecting at DATA) only what follows, and what it does about
    defects."""
    policy, reject_at = request.param
    config = f"untrapped_exception = {policy}\nreject_at = {reject_at}\n{CONFIG}"
    with FilterProcess(Network(), config, program="tests/e2e/failing_bms.py") as program:
        yield program, policy


def _send(program: FilterProcess) -> Reply:
    with MilterClient(str(program.socket)) as client:
        greeted = client.greet()
        if not greeted.goes_on:
            return greeted
        return client.message(HEADERS, b"Shall we?\r\n", b"<ann@example.org>", [b"<bob@example.com>"])


@contextlib.contextmanager
def _failing(program: FilterProcess, step: str) -> Iterator[None]:
    """That step has a defect; it lasts until it was met."""
    fail = program.directory / "fail"
    before = program.log().count("made to fail")
    fail.write_text(step)
    try:
        yield
        wait_until(lambda: program.log().count("made to fail") > before, f"the defect in {step} is met")
    finally:
        fail.unlink()


@pytest.mark.parametrize("step", STEPS)
def test_a_defect_in_a_step_meets_the_policy(step: str, running: tuple[FilterProcess, str]) -> None:
    program, policy = running
    if step == "data" and "reject_at = now" in program.config.read_text():
        return  # that step is not asked for then
    with _failing(program, step):
        action = _send(program).action
    assert action in SPOKEN[policy]
    assert _send(program).action == "c"


@pytest.mark.parametrize("step", QUIET)
def test_a_defect_at_the_end_of_a_connection_harms_nobody(step: str, running: tuple[FilterProcess, str]) -> None:
    program, _ = running
    with _failing(program, step), MilterClient(str(program.socket)) as client:
        client.greet()
        client.mail(b"<ann@example.org>")
        client.rcpt(b"<bob@example.com>")
        client.abort()
    assert _send(program).action == "c"
