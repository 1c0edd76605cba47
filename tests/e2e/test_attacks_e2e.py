"""The real program under attack: odd commands, a locked database, a killed worker."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from support.dns import loopback_nameserver
from support.filter_process import FilterProcess
from support.milter_client import MilterClient, ProtocolError, Reply
from support.network import Network
from support.patience import quickest, took
from support.processes import wait_until

CONNECT = (b"C", b"h\0" + b"4" + struct.pack("!H", 1) + b"192.0.2.1\0")
HELO, MAIL, RCPT = (b"H", b"h.example\0"), (b"M", b"<a@b.example>\0"), (b"R", b"<c@d.example>\0")
HEADER, END_OF_HEADER, BODY, END, ABORT = (b"L", b"a\0b\0"), (b"N", b""), (b"B", b"x"), (b"E", b""), (b"A", b"")
ORDERS = [
    [RCPT],
    [CONNECT, END],
    [CONNECT, HELO, HEADER, END],
    [CONNECT, HELO, BODY, END],
    [CONNECT, CONNECT, HELO, MAIL, RCPT, END],
    [CONNECT, HELO, MAIL, CONNECT, RCPT],
    [CONNECT, HELO, MAIL, HELO, RCPT],
    [CONNECT, HELO, MAIL, MAIL, RCPT, RCPT, END, END],
    [ABORT, CONNECT, ABORT, HELO, ABORT, MAIL, ABORT, MAIL, RCPT, ABORT, MAIL, RCPT, HEADER, ABORT],
    [CONNECT, HELO, MAIL, RCPT, HEADER, END_OF_HEADER, BODY, RCPT, HEADER],
    [CONNECT, (b"M", b"")],
    [CONNECT, (b"H", b"no end")],
    [(b"C", b"h\0" + b"4" + struct.pack("!H", 1) + b"999.1.1.1\0")],
    [(b"C", b"h\0" + b"?")],
    [(b"Z", b"unknown")],
]


def _nothing_exists(query: dns.message.Message, by_tcp: bool) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.NXDOMAIN)
    return response


@contextlib.contextmanager
def running(config: str, workers: int = 1) -> Iterator[FilterProcess]:
    with loopback_nameserver(_nothing_exists) as port:
        text = f"{config}\n[dns]\nnameservers = 127.0.0.1@{port}\n"
        with FilterProcess(Network(), text, workers=workers) as program:
            yield program


def send(program: FilterProcess) -> Reply:
    with MilterClient(str(program.socket)) as client:
        client.greet()
        return client.message()


def test_commands_in_any_order_harm_nobody() -> None:
    """What libmilter lets through reaches a session that knows what to do; mail of others goes on, without a traceback."""
    with running("[greylist]\nmode = off") as program:
        for order in ORDERS:
            with MilterClient(str(program.socket)) as client, contextlib.suppress(OSError, ProtocolError):
                client.negotiate()
                for command, payload in order:
                    client.put(command, payload)
                client.flush()
        for raw in (b"\xff\xff\xff\xffO", b"\0\0\0\0", struct.pack("!I", 1000) + b"C", b"GET / HTTP/1.0\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
                client.connect(str(program.socket))
                client.sendall(raw)
        assert send(program).action == "c"
        assert "Traceback" not in program.log()


def test_replies_are_in_time_while_somebody_locks_the_database() -> None:
    """Twenty clients at once; a step has two seconds. Strangers are asked to come again: a lock lets nobody pass."""
    actions: set[str] = set()

    def slowest(program: FilterProcess) -> float:
        """The seconds that the last of them waits."""
        taken: list[float] = []
        threads = [
            threading.Thread(target=lambda: taken.append(took(lambda: actions.add(send(program).action))))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 20
        return max(taken)

    with running("step_timeout = 2s\n[greylist]\nwhen = always") as program:
        database = sqlite3.connect(_database(program), isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        assert quickest(lambda: slowest(program), limit=5) < 5
        database.close()
    assert actions == {"y"}  # 451


def _database(program: FilterProcess) -> Path:
    return program.directory / "state" / "bms.sqlite"


def _workers(program: FilterProcess) -> list[int]:
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    return [int(pid) for pid in children]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_mail_goes_on_after_a_worker_was_killed(number: signal.Signals) -> None:
    with running("[greylist]\nmode = off", workers=2) as program:
        send(program)  # one that dies before it is ready ends the start, as a configuration that can't work would
        wait_until(lambda: "serves with 2 workers" in program.log(), "both workers are ready")
        before = _workers(program)
        os.kill(before[0], number)
        wait_until(lambda: len(_workers(program)) == 2 and before[0] not in _workers(program), "a new worker")
        assert {send(program).action for _ in range(10)} == {"c"}
