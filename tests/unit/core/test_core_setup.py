"""The functions that describe a milter and open its socket."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import milter
from _libmilter import listening_sockets
from support.milter_client import MilterClient
from support.patience import PATIENCE

CONTINUE = milter.CONTINUE


@pytest.mark.parametrize(
    ("call", "failure"),
    [
        (lambda: milter.setconn(""), milter.error),
        (lambda: milter.setconn(b"/x"), TypeError),
        (lambda: milter.setconn(None), TypeError),
        (lambda: milter.setbacklog(0), milter.error),
        (lambda: milter.set_exception_policy(milter.DISCARD), milter.error),
        (lambda: milter.set_exception_policy(milter.NOREPLY), milter.error),
        (lambda: milter.set_exception_policy("a"), TypeError),
        (lambda: milter.set_flags("x"), TypeError),
        (lambda: milter.settimeout("x"), TypeError),
        (lambda: milter.set_helo_callback(3), TypeError),
        (lambda: milter.set_helo_callback(), TypeError),
        (lambda: milter.register(), TypeError),
        (lambda: milter.register(b"name"), TypeError),
        (lambda: milter.register("name", data=3), TypeError),
        (lambda: milter.register("name", bogus=print), TypeError),
        (lambda: milter.opensocket(), TypeError),
        (lambda: milter.opensocket("x"), TypeError),
        (lambda: milter.main(), milter.error),
    ],
)
def test_wrong_arguments_are_refused_as_pymilter_does(call: Any, failure: type[Exception]) -> None:
    with pytest.raises(failure):
        call()


def test_listening_sockets_are_found_among_other_descriptors(tmp_path: Path) -> None:
    before = listening_sockets()
    with socket.socket() as idle, socket.socket() as listener, (tmp_path / "f").open("w") as file:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert listening_sockets() - before == {listener.fileno()}
        assert {idle.fileno(), file.fileno()}.isdisjoint(listening_sockets())


def test_error_is_not_a_kind_of_another_exception() -> None:
    assert milter.error.__mro__[1] is Exception


def test_an_address_that_cannot_be_had_is_an_error() -> None:
    """In a process of its own: libmilter keeps the address for ever."""
    program = "import milter; milter.setconn('/nonexistent/folder/x.sock'); milter.register('n'); milter.main()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "milter.error: cannot run main" in result.stderr


def test_register_takes_unknown_data_negotiate_in_this_order(start: Any) -> None:
    """pymilter's order for callers that do not name them."""

    def set_up(record: Any) -> tuple[Any, ...]:
        return (
            lambda ctx, line: record("unknown", line) or CONTINUE,
            lambda ctx: record("data") or CONTINUE,
            lambda ctx, options: record("negotiate") or milter.ALL_OPTS,
        )

    server = start(set_up)
    with server.client() as client:
        client.negotiate()
        client.connect()
        client.helo()
        client.unknown(b"XFOO")
        client.mail()
        client.rcpt()
        client.data()
    assert [server.event() for _ in range(3)] == [("negotiate",), ("unknown", "XFOO"), ("data",)]


def test_a_setter_returns_the_callback_before() -> None:
    assert milter.set_helo_callback(len) is None
    assert milter.set_helo_callback(repr) is len
    assert milter.set_helo_callback(None) is repr


@pytest.mark.parametrize(("again", "heard"), [({}, True), ({"unknown": print}, True), ({"data": None}, False)])
def test_register_keeps_the_callbacks_that_it_does_not_name(start: Any, again: dict[str, Any], heard: bool) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        milter.set_close_callback(lambda ctx: record("close") or CONTINUE)
        milter.register("first", data=lambda ctx: record("data") or CONTINUE)
        return again

    server = start(set_up)
    client = server.client()
    client.greet()
    client.message()
    client.quit()
    assert (("data",) in server.events_until("close")) is heard


def test_a_callback_that_is_set_while_the_milter_runs_is_called(start: Any) -> None:
    """From the next connection on; one that is removed is called no more."""

    def set_up(record: Any) -> None:
        def connect(ctx: Any, *_: Any) -> int:
            milter.set_helo_callback(lambda ctx, name: record("helo") or CONTINUE)
            milter.set_connect_callback(None)
            return record("connect") or CONTINUE

        milter.set_connect_callback(connect)
        milter.set_close_callback(lambda ctx: record("close") or CONTINUE)

    server = start(set_up)
    heard = []
    for _ in range(2):
        client = server.client()
        client.greet()
        client.quit()
        heard.append([name for name, *_ in server.events_until("close")])
    assert heard == [["connect", "close"], ["helo", "close"]]


def test_close_is_called_for_a_milter_that_has_nothing_else(start: Any) -> None:
    server = start(lambda record: milter.set_close_callback(lambda ctx: record("close") or CONTINUE))
    client = server.client()
    client.negotiate()
    client.connect()
    client.quit()
    assert server.event() == ("close",)


def test_the_listening_socket_does_not_block_and_is_known(start: Any) -> None:
    """Of several processes that wait on it only one gets a connection; the others must not hang in accept()."""

    def set_up(record: Any) -> None:
        def connect(ctx: Any, *_: Any) -> int:
            fd = milter.listening_fd()
            assert fd is not None
            record("listener", os.get_blocking(fd), stat.S_ISSOCK(os.fstat(fd).st_mode))
            return CONTINUE

        milter.set_connect_callback(connect)

    server = start(set_up)
    with server.client() as client:
        client.negotiate()
        client.connect()
    assert server.until("listener") == ("listener", False, True)


def test_over_inet_small_packets_do_not_wait(start: Any) -> None:
    """Five changes leave at once: Nagle's algorithm would hold them for the MTA's delayed acknowledgement."""

    def set_up(record: Any) -> None:
        def eom(ctx: Any) -> int:
            for number in range(5):
                ctx.addheader("X-A", str(number))
            return CONTINUE

        milter.set_flags(milter.ADDHDRS)
        milter.set_eom_callback(eom)
        milter.set_connect_callback(lambda *_: record("nodelay", _nodelay()) or CONTINUE)

    server = start(set_up, "inet:0@127.0.0.1")
    with server.client() as client:
        client.greet()
        assert len(client.message().changes) == 5
    assert server.until("nodelay") == ("nodelay", True)


def _local_port(fd: int) -> int:
    listener = socket.socket(fileno=fd)
    try:
        return int(listener.getsockname()[1])
    finally:
        listener.detach()


def _nodelay() -> bool:
    """Whether every TCP socket at the milter's port has TCP_NODELAY (in the milter's process, which a test forked: it may
    have inherited others)."""
    found = []
    port = _local_port(milter.listening_fd())
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            borrowed = socket.socket(fileno=fd)
        except OSError:
            continue
        if borrowed.family == socket.AF_INET and borrowed.getsockname()[1] == port:
            found.append(bool(borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        borrowed.detach()
    return len(found) >= 2 and all(found)  # the listening one, and each client that is connected


PREFORK = """
import os, sys, milter
milter.set_helo_callback(lambda ctx, name: ctx.setreply("550", None, str(os.getpid())) or milter.REJECT)
milter.setconn(sys.argv[1])
milter.register("prefork")
milter.opensocket(True)
for _ in range(2):
    if os.fork() == 0:
        milter.main()
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
os.killpg(0, 9)
"""


def test_several_processes_can_serve_one_socket(tmp_path: Path) -> None:
    """The socket is opened once, then main() runs in each child."""
    path = str(tmp_path / "s")
    arguments = [sys.executable, "-c", PREFORK, path]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        limit = time.monotonic() + PATIENCE
        serving: set[bytes] = set()
        while len(serving) < 2 and time.monotonic() < limit:
            clients = [MilterClient(path) for _ in range(8)]
            for client in clients:
                serving.add(client.greet().text)
                client.drop()
        process.stdin.close()
    assert len(serving) == 2


def test_main_returns_after_stop() -> None:
    """And the process ends by itself: no thread of libmilter's pool keeps it."""
    program = (
        "import milter, threading, tempfile, os\n"
        "path = tempfile.mkdtemp() + '/s'\n"
        "milter.setconn(path); milter.register('n'); milter.opensocket(True)\n"
        "threading.Timer(0.1, milter.stop).start()\n"
        "milter.main()\n"
        "os.path.exists(path) and os.unlink(path); os.rmdir(os.path.dirname(path)); print('over')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (result.returncode, result.stdout) == (0, "over\n")
