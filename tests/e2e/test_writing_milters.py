"""The listings of docs/writing-milters.md are the files of docs/examples, and each does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.dns import loopback_nameserver
from support.milter_client import MilterClient, Reply
from support.patience import ATTEMPT, PATIENCE
from support.places import REPOSITORY
from support.processes import end_session, wait_until
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

EXAMPLES = REPOSITORY / "docs" / "examples"
PAGE = (REPOSITORY / "docs" / "writing-milters.md").read_text()
OUTSIDE, HERE = b"203.0.113.9", b"127.0.0.1"

Start = Callable[..., "Running"]


class Running:
    """An example at work. Its process, and a client to talk to it."""

    def __init__(self, folder: Path, file: str, arguments: list[str]) -> None:
        self.socket = folder / "sock"
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, EXAMPLES / file, *arguments],
                env={**os.environ, "PYTHONPATH": str(REPOSITORY / "lib"), "PYTHONWARNINGS": "error"},
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: self.process.poll() is not None or self._answers(), f"{file} answers")
        assert self.process.poll() is None, self.output.read_text()

    def _answers(self) -> bool:
        try:
            with MilterClient(str(self.socket), timeout=ATTEMPT) as client:
                client.negotiate()
        except OSError:
            return False
        return True

    def send(
        self,
        headers: list[tuple[bytes, bytes]],
        body: bytes = b"Hello.\r\n",
        address: bytes = OUTSIDE,
        login: str = "",
        sender: bytes = b"<ann@example.com>",
    ) -> Reply:
        with MilterClient(str(self.socket)) as client:
            client.negotiate()
            client.macros(b"C", {"j": "mx.example.com"})
            client.connect(address=address)
            client.helo()
            client.macros(b"M", {"i": "ABC", **({"{auth_authen}": login} if login else {})})
            reply = client.message(headers, body, sender)
            client.quit()
        return reply

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Running] = []
    with tempfile.TemporaryDirectory(prefix="milters-") as folder:

        def run(file: str, *arguments: str, files: dict[str, str] | None = None) -> Running:
            for name, text in (files or {}).items():
                Path(folder, name).write_text(text.replace("{dir}", folder))
            words = [word.replace("{dir}", folder) for word in arguments or ("{dir}/sock",)]
            running.append(Running(Path(folder), file, words))
            return running[-1]

        yield run
        for one in running:
            end_session(one.process.pid, polite=0.0)
            one.process.wait()
            assert "Traceback" not in one.output.read_text()


def changes(reply: Reply) -> list[tuple[object, ...]]:
    return [(change.name, *change.arguments) for change in reply.changes]


SUBJECT = [(b"Subject", b" Lunch"), (b"Content-Type", b" text/plain")]


@pytest.mark.parametrize("file", ["twenty_lines.py", "bare_module.py"])
def test_the_smallest_milters_add_a_field(start: Start, file: str) -> None:
    assert changes(start(file).send(SUBJECT)) == [("addheader", b"X-Seen", b"yes")]


def test_a_message_as_our_own_domain_needs_a_login(start: Start) -> None:
    milter = start("own_domain.py", "{dir}/sock", "Example.com")
    refused = milter.send(SUBJECT)
    assert (refused.action, refused.text[:9]) == ("y", b"550-5.7.1")
    assert milter.send(SUBJECT, login="ann").action == "c"
    assert milter.send(SUBJECT, address=HERE).action == "c"
    assert milter.send(SUBJECT, sender=b"<joe@example.org>").action == "c"
    assert milter.send(SUBJECT, sender=b"<>").action == "c"


def test_a_footer_goes_below_plain_text_only(start: Start) -> None:
    milter = start("footer.py")
    marked = ("chgheader", 1, b"Subject", b" [outside] Lunch")
    body = b"Hello.\r\n-- \r\nThis came from outside.\r\n"
    assert changes(milter.send(SUBJECT)) == [marked, ("replacebody", body)]
    assert changes(milter.send([SUBJECT[0], (b"Content-Type", b" text/html")])) == [marked]
    assert changes(milter.send(SUBJECT, b"x" * 78 + b"\r\n" * 1_000_001)) == [marked]
    assert changes(milter.send([(b"Subject", b" \xff\xfe")])) == [
        ("chgheader", 1, b"Subject", " [outside] \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}".encode()),
        ("replacebody", body),
    ]


def test_the_log_of_another_process_is_complete_when_the_milter_has_ended(start: Start) -> None:
    milter = start("log_queue.py", "{dir}/sock", "{dir}/log")
    milter.send(SUBJECT, sender=b"<ann@example.com>\r\nforged")
    assert milter.stop() == 0
    lines = (milter.socket.parent / "log").read_text().splitlines()
    told = [re.sub(r"^\S+ \S+ \[\d+\] ", "", line) for line in lines]
    assert r"mail from <ann@example.com>\r\nforged" in told
    assert told[-1] == "close"


def test_a_program_on_our_checks_refuses_who_calls_himself_one_of_us(start: Start) -> None:
    zones = [Zone("example.org", '@ TXT "v=spf1 ip4:203.0.113.9 -all"')]
    with loopback_nameserver(ZoneResponder(complete(zones, {}))) as port:
        text = (
            "[milter]\nsocket = local:{dir}/sock\ndatadir = {dir}/state\nworkers = 1\n"
            f"[dns]\nnameservers = 127.0.0.1@{port}\n[display_name]\nours = Ann Boss\n"
        )
        milter = start("with_checks.py", "--config", "{dir}/cfg", files={"cfg": text})
        boss = [(b"From", b' "Ann Boss" <x@example.org>')]
        refused = milter.send(boss, sender=b"<x@example.org>")
        assert (refused.action, refused.text[:9]) == ("y", b"550 5.7.1")
        other = milter.send([(b"From", b" Joe <x@example.org>")], sender=b"<x@example.org>")
        assert other.action == "c"
        assert milter.send(boss, sender=b"<x@example.org>", address=HERE).action == "c"


def test_every_listing_is_a_file_and_every_file_is_listed() -> None:
    listed = r"`docs/examples/(\w+\.py)`(?:(?!\n\n).)*\n\n```python\n(.*?)```"
    listings = dict(re.findall(listed, PAGE, re.DOTALL))
    assert listings == {file.name: file.read_text() for file in EXAMPLES.glob("*.py")}
