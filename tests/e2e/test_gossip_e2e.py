"""Nodes as processes of their own that ask one another over real sockets, alone and beside the filter."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from antispam.store import Store, migrate
from gossip import HAM, SPAM, Records
from gossip.client import Client, NoAnswer, Opinion
from gossip.records import vote_row
from support.filter_process import FilterProcess
from support.milter_client import MilterClient
from support.network import Network
from support.patience import ATTEMPT, PATIENCE, quickest, took
from support.places import REPOSITORY
from support.ports import free_port
from support.processes import wait_until

NAME = "example.org:SPF"


def remember(database: str, vote: int, number: int, name: str = NAME) -> None:
    """As many messages, over the last hour."""
    migrate(database)
    now = time.time()
    with contextlib.closing(Store(database)) as store:
        for at in range(number):
            Records(store).note(vote_row(f"old{at}{name}", name, now - 3600 + at * 3600 / number, vote=vote))
        Records(store).fold(now)


def counts(database: str, name: str = NAME) -> tuple[int, int]:
    with contextlib.closing(Store(database)) as store:
        found = Records(store).get(name)
    return (0, 0) if found is None else (found.spam_count, found.ham_count)


class Asking(Client):
    """A client as a node has one, but as patient as tests are."""

    def query(self, umis: str, id: str, qual: str, ttl: int = 1, *, timeout: float = PATIENCE) -> Opinion:
        return super().query(umis, id, qual, ttl, timeout=timeout)

    def feedback(self, umis: str, vote: int, *, timeout: float = PATIENCE) -> None:
        super().feedback(umis, vote, timeout=timeout)

    def reset(self, id: str, qual: str, *, timeout: float = PATIENCE) -> None:
        super().reset(id, qual, timeout=timeout)


class Node:
    """`bms reputation serve` on a port, with a store of its own."""

    def __init__(self, folder: Path, port: int, options: str) -> None:
        self.port = port
        self.database = f"sqlite:///{folder}/bms.sqlite"
        folder.mkdir(exist_ok=True)
        self._log = (folder / "log").open("w")
        config = folder / "milter.cfg"
        config.write_text(f"[milter]\ndatadir = {folder}\n[gossip]\nlisten = 127.0.0.1:{port}\n{options}")
        command = [sys.executable, "-W", "error", str(REPOSITORY / "bms.py"), "-c", str(config), "reputation", "serve"]
        self.process = subprocess.Popen(command, stderr=self._log, stdout=self._log)

    def wait(self) -> None:
        wait_until(lambda: Network().accepts("127.0.0.1", self.port), "the node listens")

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self._log.close()
        return Path(self._log.name).read_text()


@contextlib.contextmanager
def nodes(folder: Path, *options: str) -> Iterator[list[Node]]:
    """Nodes that know one another's ports: {0}, {1} in their options."""
    ports = [free_port() for _ in options]
    made: list[Node] = []
    try:
        for number, text in enumerate(options):
            made.append(Node(folder / str(number), ports[number], text.format(*ports)))
        for one in made:
            one.wait()
        yield made
    finally:
        logs = [one.end() for one in made]
    assert "Traceback" not in "".join(logs)


def test_two_nodes_answer_each_other(tmp_path: Path) -> None:
    with nodes(tmp_path, "peers = 127.0.0.1:{1}\ntimeout = 60s", "peers = 127.0.0.1:{0}\ntimeout = 60s") as (
        one,
        other,
    ):
        remember(other.database, SPAM, 512)
        asked = Asking("127.0.0.1", one.port)
        value, confidence = asked.query("u1", "example.org", "SPF", 1)
        assert value == -76.0  # the other's, for the first knows nothing
        assert 45 <= confidence <= 50
        assert asked.query("u2", "example.org", "SPF", 0) == (0.0, 0.0)
        # And the other way round.
        remember(one.database, HAM, 512, "honest.example:DKIM")
        value, confidence = Asking("127.0.0.1", other.port).query("u3", "honest.example", "DKIM", 3)
        assert (value, confidence >= 45) == (76.0, True)


def test_what_became_of_a_message_is_told_to_the_node_that_was_asked(tmp_path: Path) -> None:
    with nodes(tmp_path, "") as (node,):
        client = Asking("127.0.0.1", node.port)
        for number in range(3):
            client.query(f"u{number}", "example.org", "SPF", 1)
            client.feedback(f"u{number}", SPAM)
            client.feedback(f"u{number}", SPAM)
        assert counts(node.database) == (3, 0)
        client.feedback("u0", HAM)
        assert counts(node.database) == (2, 1)
        client.reset("example.org", "SPF")
        assert counts(node.database) == (0, 0)


def test_a_node_whose_peer_is_gone_answers_by_itself(tmp_path: Path) -> None:
    with nodes(tmp_path, "peers = 127.0.0.1:{1}\ntimeout = 1s", "") as (one, other):
        remember(one.database, SPAM, 256)
        other.process.kill()

        def ask() -> None:
            value, _ = Asking("127.0.0.1", one.port).query("u", "example.org", "SPF", 1)
            assert value == -76.0

        assert quickest(lambda: took(ask), limit=5) < 5


def test_a_circle_of_nodes_ends(tmp_path: Path) -> None:
    both = "peers = 127.0.0.1:{0}, 127.0.0.1:{1}, 127.0.0.1:{2}\nttl = 3\ntimeout = 3s"
    with nodes(tmp_path, both, both, both) as (one, *_):
        remember(one.database, SPAM, 256)
        value, confidence = Asking("127.0.0.1", one.port).query("u", "example.org", "SPF", 999)
        assert value <= -70
        assert confidence <= 25


CONFIG = "[greylist]\nmode = off\n[spf]\nmode = off\n[gossip]\nlisten = 127.0.0.1:{port}\n"


def deliver(program: FilterProcess) -> None:
    with MilterClient(str(program.socket)) as mta:
        mta.greet()
        assert mta.message().action in ("c", "a")


def server_pid(program: FilterProcess) -> int:
    return int(re.findall(r"started GOSSiP server of generation \d+ \(pid (\d+)\)", program.log())[-1])


def answers(port: int) -> bool:
    try:
        Asking("127.0.0.1", port).query("u", "probe.example", "SPF", 0, timeout=ATTEMPT)
    except NoAnswer:
        return False
    return True


def test_the_server_beside_the_filter_is_replaced_and_mail_goes_on() -> None:
    port = free_port()
    with FilterProcess(Network(), CONFIG.format(port=port)) as program:
        wait_until(lambda: answers(port), "the server answers")
        remember(program.database, SPAM, 256)
        assert Asking("127.0.0.1", port).query("u1", "example.org", "SPF", 1)[0] == -76.0
        wait_until(lambda: "bms serves with" in program.log(), "it has started")  # who dies before ends the start
        first = server_pid(program)
        os.kill(first, signal.SIGKILL)
        deliver(program)
        wait_until(lambda: server_pid(program) != first and answers(port), "a new server answers")
        os.kill(program.pid, signal.SIGHUP)
        wait_until(lambda: "generation 2" in program.log() and answers(port), "the server of the new settings")
        deliver(program)
        assert program.stop() == 0
        assert "Traceback" not in program.log()
    assert not answers(port)


def test_a_port_that_is_taken_keeps_no_mail_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with FilterProcess(Network(), CONFIG.format(port=port)) as program:
            deliver(program)
            wait_until(lambda: f"cannot listen on 127.0.0.1:{port}" in program.log(), "the log says so")
            assert program.stop() == 0
