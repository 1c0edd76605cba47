"""`make demo` shows what it promises, at both MTAs, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dkim
import httpx2
import pytest

import demo
from demo import CASES, Case, Result
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory

pytestmark = pytest.mark.servers
MTAS = ("postfix", "sendmail")


@pytest.fixture(scope="module")
def results(servers: None) -> dict[tuple[str, str], Result]:
    """What became of each case at each MTA."""
    with demo.Stage(lambda what: contextlib.nullcontext()) as stage:
        return {(result.mta, result.case.name): result for result in demo.play_all(stage)}


@pytest.mark.parametrize("mta", MTAS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_goes_as_the_demo_says(results: dict[tuple[str, str], Result], case: Case, mta: str) -> None:
    """The reply and what arrived are what the row promises."""
    result = results[mta, case.name]
    assert result.problem == "", f"{result.reply}\n{result.arrived}"


@pytest.mark.parametrize("mta", MTAS)
def test_refused_messages_do_not_arrive(results: dict[tuple[str, str], Result], mta: str) -> None:
    refused = [result for result in results.values() if result.mta == mta and not result.reply.ok]
    assert {result.case.name for result in refused} == {"forged", "dkim-altered", "greylisted", "virus"}
    assert all(result.delivery is None for result in refused)


@pytest.mark.parametrize("mta", MTAS)
def test_outgoing_signature_verifies_for_others(results: dict[tuple[str, str], Result], mta: str) -> None:
    """The message as it left passes DKIM under an independent verifier, with the record that its name server publishes."""
    delivery = results[mta, "outgoing"].delivery
    assert delivery is not None
    asked = []

    def record(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name.decode().rstrip("."))
        return demo.OUR_KEY.record.encode()

    assert dkim.verify(delivery.raw, dnsfunc=record)
    assert asked == ["mail._domainkey.example.com"]


@pytest.mark.parametrize("mta", MTAS)
def test_executable_never_arrives(results: dict[tuple[str, str], Result], mta: str) -> None:
    delivery = results[mta, "attachment"].delivery
    assert delivery is not None
    assert b"TVqQ" not in delivery.raw
    assert b"Please pay at once." in delivery.raw


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demonstration puts its temporary files; servers of other users may enter it."""
    with RunDirectory("outer") as run:
        yield run.path


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPOSITORY / "tests" / "demo.py"), *arguments]
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _left_behind(folder: Path) -> list[str]:
    """Files in the folder, and processes that mention it on their command lines."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if str(folder) in line] + [str(path) for path in folder.iterdir()]


def _read_until(program: subprocess.Popen[str], text: str) -> str:
    """What it says up to the line with the text."""
    assert program.stdout is not None
    said = ""
    for line in program.stdout:
        said += line
        if text in line:
            break
    return said


def _seen_in_the_console(link: str) -> str:
    """The quarantine and the newest messages, as whoever follows the link of the first login sees them."""
    with httpx2.Client(follow_redirects=True, base_url=link, timeout=PATIENCE) as browser:
        assert browser.post(link).status_code == 200
        return "".join(browser.get(f"{link.partition('/enter/')[0]}{page}").text for page in ("/", "/stream"))


def test_program_shows_a_row_for_each_case(servers: None, folder: Path) -> None:
    """And at its end all of it is in the console, until Enter."""
    with _start(folder, "--stay") as program:
        said = _read_until(program, "/enter/")
        links = re.findall(r"http://127\.0\.0\.1:\d+/enter/\S+", said)
        assert links, said + program.communicate(timeout=PATIENCE)[0]
        seen = _seen_in_the_console(links[0])
        rest, _ = program.communicate("\n", timeout=PATIENCE)
        output = said + rest
    assert "Your parcel is waiting" in seen
    assert program.returncode == 0, output
    assert "Through Postfix" in output
    assert "Through sendmail" in output
    assert "NOT AS IT SHOULD" not in output
    assert output.count("5.7.26") == len(MTAS)
    assert "make run" in output
    assert _left_behind(folder) == []


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["a network", "the filter", "sendmail"])
def test_interruption_leaves_nothing_behind(servers: None, folder: Path, moment: str, sig: signal.Signals) -> None:
    """Whenever Ctrl-C comes: no process and no file stays."""
    with _start(folder) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if moment in line:
                break
        program.send_signal(sig)
        program.communicate(timeout=PATIENCE)
    assert program.returncode == 128 + sig
    assert _left_behind(folder) == []
