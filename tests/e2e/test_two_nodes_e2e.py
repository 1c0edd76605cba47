"""Two machines with one PostgreSQL: what one of them has seen, kept or learned, the other one knows."""

from __future__ import annotations

import contextlib
import itertools
import json
import mailbox
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest
import sqlalchemy as sa

from antispam.store.schema import history
from support.databases import PostgreSQL
from support.dns import loopback_nameserver
from support.filter_process import FilterProcess
from support.learning import HAM, SPAM, Learned
from support.milter_client import MilterClient, ProtocolError, Reply
from support.network import Network
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import wait_until

pytestmark = pytest.mark.servers

CONFIG = "[helo]\nmode = off\n[spf]\nmode = off\n[defang]\nremedy = quarantine\n"
GREYLIST = CONFIG + "[greylist]\nwhen = always\n"
WITHOUT_GREYLIST = CONFIG + "[greylist]\nmode = off\n"
USERS = "[dspam]\ndspam_users = bob\nbob = bob@example.com\n"
PROGRAM = [(b"MIME-Version", b" 1.0"), (b"Content-Type", b' application/octet-stream; name="game.exe"')]
SENDER, RECIPIENT = b"<ann@example.org>", b"<bob@example.com>"


def _nothing_exists(query: dns.message.Message, by_tcp: bool) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.NXDOMAIN)
    return response


@contextlib.contextmanager
def _nodes(url: str, config: str) -> Iterator[tuple[FilterProcess, FilterProcess]]:
    with loopback_nameserver(_nothing_exists) as port:
        text = f"{config}[dns]\nnameservers = 127.0.0.1@{port}\n"
        with (
            FilterProcess(Network(), text, database=url) as one,
            FilterProcess(Network(), text, database=url) as other,
        ):
            yield one, other


@pytest.fixture
def database(postgresql: PostgreSQL) -> str:
    return postgresql.new_database()


def _send(node: FilterProcess, subject: str = "lunch", text: str = "Shall we?", *fields: tuple[bytes, bytes]) -> Reply:
    """The reply that ends a message, or the refusal of its recipient."""
    with MilterClient(str(node.socket)) as client:
        client.greet()
        headers = [(b"From", b" ann@example.org"), (b"Subject", b" " + subject.encode()), *fields]
        return client.message(headers, text.encode() + b"\r\n", SENDER, [RECIPIENT])


def _bms(node: FilterProcess, *words: str | Path) -> str:
    """What a command writes that is given on that machine."""
    command = [sys.executable, REPOSITORY / "bms.py", "-c", node.config, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _kept(node: FilterProcess) -> list[str]:
    """The subjects of what is in quarantine, as that machine sees it."""
    listed = _bms(node, "quarantine", "list", "--limit", "0", "--json")
    return [json.loads(line)["subject"] for line in listed.splitlines()]


def test_who_was_asked_to_wait_at_one_node_may_come_back_to_the_other(database: str) -> None:
    with _nodes(database, GREYLIST) as (one, other):
        assert _send(one).text.startswith(b"451-4.7.1")
        assert _send(other).text.startswith(b"451-4.7.1"), "too early for both"
        for node in (one, other):
            node.clock.advance(360)
        assert _send(other).action == "c"
        assert _send(one).action == "c"


def test_what_one_node_keeps_the_other_one_shows(database: str) -> None:
    with _nodes(database, WITHOUT_GREYLIST) as (one, other):
        assert _send(one, "the game", "MZ", *PROGRAM).action == "d"
        assert _kept(other) == ["the game"]
        assert _send(other, "another game", "MZ", *PROGRAM).action == "d"
        assert _kept(one) == ["another game", "the game"]


def test_both_write_the_same_history(database: str) -> None:
    with _nodes(database, WITHOUT_GREYLIST) as (one, other):
        _send(one)
        _send(other)
        engine = sa.create_engine(database)
        with engine.connect() as connection:
            wait_until(
                lambda: connection.execute(sa.select(sa.func.count()).select_from(history)).scalar() == 2,
                "both messages are in the history",
            )
        engine.dispose()


def test_a_preference_that_was_set_at_one_node_holds_at_the_other(database: str) -> None:
    Learned(taught=(("site", 120),)).put_into(database)
    with _nodes(database, WITHOUT_GREYLIST + USERS) as (one, other):
        spam = ("WIN 7", SPAM.format(7).partition("\r\n\r\n")[2])
        assert _flagged(_send(other, *spam))
        _bms(one, "preferences", "set", "spamAction", "quarantine", "--user", "bob")
        wait_until(lambda: _send(other, *spam).action == "d", "the preference is heeded")


def _flagged(reply: Reply) -> bool:
    return any(b"X-Spam-Flag" in change.arguments for change in reply.changes)


def test_what_was_taught_at_one_node_the_other_one_recognises(database: str, tmp_path: Path) -> None:
    with _nodes(database, WITHOUT_GREYLIST) as (one, other):
        spam = ("WIN 7", SPAM.format(7).partition("\r\n\r\n")[2])
        assert not _flagged(_send(other, *spam))
        for kind, text in (("spam", SPAM), ("ham", HAM)):
            box = mailbox.mbox(tmp_path / kind)
            for number in range(120):
                box.add(text.format(number).replace("\r\n", "\n").encode())
            box.close()
            _bms(one, "train", kind, tmp_path / kind)
        # Within five seconds of its clock: unit/antispam/learning/test_converging.py; the rest is for a busy machine.
        wait_until(lambda: _flagged(_send(other, *spam)), "the other node has followed")


def test_what_one_node_observes_and_is_told_of_a_domain_the_other_one_knows(database: str, tmp_path: Path) -> None:
    # For five seconds a node believes what it knows. The hundred messages that it accepts meanwhile are votes for the domain.
    config = "[helo]\nmode = off\n[greylist]\nmode = off\n[gossip]\nreject_below = -1\nreject_confidence = 0\n"
    with _nodes(database, config) as (one, other):
        assert _send(one).action == "c"
        assert _send(other).action == "c"
        wait_until(lambda: _reputations(one) == {"example.org:none": (0, 2)}, "both messages are remembered")
        assert _reputations(other) == _reputations(one)
        file = tmp_path / "bad.jsonl"
        now = time.time()  # housekeeping, half a minute after the start, deletes what is too old
        known = {"identity": "example.org:none", "votes": "s" * 1024, "first_seen": now - 86400, "last_seen": now}
        file.write_text(json.dumps(known))
        _bms(other, "reputation", "import", "--replace", file)
        wait_until(lambda: b"publish an SPF record" in _send(one).text, "the one node has heard of it")
        wait_until(lambda: b"publish an SPF record" in _send(other).text, "so has the other")
        _bms(one, "reputation", "reset", "example.org")
        wait_until(lambda: _send(other).action == "c", "it is forgotten everywhere")


def test_whom_one_node_bans_or_lists_the_other_one_refuses_until_it_is_taken_back(database: str) -> None:
    config = WITHOUT_GREYLIST + "[milter]\ncheck_user = bob@example.com\nmax_demerits = 2\n"
    with _nodes(database, config) as (one, other):
        assert _send(other).action == "c"
        with MilterClient(str(one.socket)) as client:
            client.greet()
            client.mail(SENDER)
            for user in (b"al", b"bea"):
                assert b"There is no" in client.rcpt(b"<%s@example.com>" % user).text
        assert b"temporarily blocked" in _send(one).text
        other.clock.advance(6)  # for so long it believes that there are no bans at all
        assert b"temporarily blocked" in _send(other).text
        _bms(other, "lists", "remove", "banned-ip", "192.0.2.1")
        assert _send(one).action == "c"
        _bms(one, "lists", "add", "blacklist", "ann@example.org")
        for node in (one, other):
            node.clock.advance(6)
            assert b"on our blacklist" in _send(node).text


def test_lists_and_reputation_outlive_a_node(database: str) -> None:
    with _nodes(database, "[helo]\nmode = off\n[greylist]\nmode = off\n") as (one, other):
        assert _send(one).action == "c"
        _bms(one, "lists", "add", "blacklist", "ann@example.org")
        wait_until(lambda: _reputations(one) == {"example.org:none": (0, 1)}, "the message is remembered")
        one.kill()
        assert b"on our blacklist" in _send(other).text
        one.start()
        assert b"on our blacklist" in _send(one).text
        assert "example.org:none" in _reputations(one)


def _reputations(node: FilterProcess) -> dict[str, tuple[int, int]]:
    """Of each identity, how many messages of spam and of ham that machine knows."""
    shown = [json.loads(line) for line in _bms(node, "reputation", "show", "--json").splitlines() if line[:1] == "{"]
    return {one["identity"]: (one["spam"], one["ham"]) for one in shown}


def test_a_node_that_dies_and_comes_back_while_mail_flows_loses_nothing(database: str) -> None:
    """A client whose server breaks off tries again, at the other one: whatever was answered for is in the quarantine."""
    acknowledged: list[str] = []
    stop = threading.Event()

    def client(name: str, nodes: tuple[FilterProcess, FilterProcess]) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            subject = f"{name} {number}"
            for node in itertools.cycle(nodes):
                with contextlib.suppress(OSError, ProtocolError):
                    if _send(node, subject, "MZ", *PROGRAM).action == "d":
                        acknowledged.append(subject)
                        break

    def grows() -> None:
        """Mail flows: some more messages are answered for."""
        wanted = len(acknowledged) + 10
        wait_until(lambda: len(acknowledged) >= wanted, "mail flows")

    with _nodes(database, WITHOUT_GREYLIST) as (one, other):
        orders = ((one, other), (other, one), (one, other))
        clients = [threading.Thread(target=client, args=(str(n), order)) for n, order in enumerate(orders)]
        for thread in clients:
            thread.start()
        try:
            grows()
            one.kill()
            grows()
            one.start()
            grows()
        finally:
            stop.set()
            for thread in clients:
                thread.join()
        assert set(acknowledged) <= set(_kept(one))
        assert len(acknowledged) == len(set(acknowledged))
        assert "Traceback" not in other.log()
