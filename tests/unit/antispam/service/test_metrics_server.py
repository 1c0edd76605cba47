"""The metrics server: hostile clients get no more than a line, and keep nobody else waiting."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from antispam.service import metrics_server
from antispam.service.board import Board, Family
from antispam.service.metrics import Metrics
from antispam.service.metrics_server import CLIENTS, Server
from antispam.settings import SettingsError, load_text
from antispam.settings.metrics import MetricsSettings, parse_place
from antispam.store import Store
from support.patience import PATIENCE

BOARD = Board(
    (
        Family("bms_sessions", "gauge", "open SMTP sessions"),
        Family("bms_workers", "gauge", "workers", ("state",), (("ready",),)),
    )
)


@pytest.fixture
def server(store):
    with Server(("127.0.0.1", 0), Metrics(BOARD, store, lambda: 0.0)) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
            for request in threading.enumerate():  # each would open a connection to the store that was closed meanwhile
                if "process_request_thread" in request.name:
                    request.join()


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(server.server_address[:2], timeout=PATIENCE) as client:
        yield client


def said(server, request: bytes) -> bytes:
    with connected(server) as client:
        answer = b""
        with contextlib.suppress(OSError):  # it has hung up
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while octets := client.recv(65536):
                answer += octets
        return answer


def test_metrics_are_served_in_the_text_format(server):
    head, _, body = said(server, b"GET /metrics HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert b"\nbms_sessions 0.0\n" in body
    assert b"\nbms_store_up 1.0\n" in body


@pytest.mark.parametrize(("ready", "status", "told"), [(2, b" 200 ", b"workers serve"), (0, b" 503 ", b"no worker")])
def test_a_load_balancer_hears_whether_workers_serve(server, ready, status, told):
    BOARD.own.set("bms_workers", "ready", to=ready)
    answer = said(server, b"GET /health HTTP/1.0\r\n\r\n")
    assert status in answer.splitlines()[0]
    assert told in answer


def test_a_load_balancer_hears_that_the_database_is_gone(tmp_path):
    BOARD.own.set("bms_workers", "ready", to=1)
    gone = Metrics(BOARD, Store(f"sqlite:///{tmp_path}"), lambda: 0.0)
    assert gone.problem() == "the database does not answer"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b" 404 "),
        (b"GET /metrics/../../etc/passwd HTTP/1.0\r\n\r\n", b" 404 "),
        (b"POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n", b" 501 "),
        # One octet more than is read: what nobody reads would make the kernel drop the answer.
        (b"GET /" + b"a" * (65_537 - 5), b" 414 "),
        (b"GET /metrics HTTP/1.0\r\n" + b"".join(b"h%d: x\r\n" % number for number in range(200)) + b"\r\n", b" 431 "),
        (b"\x00\xff\r\n\r\n", b""),
        (b"", b""),
    ],
)
def test_what_is_no_request_for_metrics_is_refused(server, request_, status):
    answer = said(server, request_)
    assert status in answer
    assert b"bms_sessions" not in answer
    assert b"bms_sessions" in said(server, b"GET /metrics HTTP/1.0\r\n\r\n")


def test_clients_beyond_the_limit_are_hung_up_on(server):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(b"GET /metrics")  # and no more
        assert said(server, b"GET /metrics HTTP/1.0\r\n\r\n") == b""


def test_a_silent_client_is_hung_up_on(server, monkeypatch):
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.05)
    with connected(server) as client:
        client.sendall(b"GET /met")
        assert client.recv(100) == b""


@pytest.mark.parametrize(
    ("text", "place"),
    [("9783", ("127.0.0.1", 9783)), ("[::1]:9783", ("::1", 9783)), ("192.0.2.1:80", ("192.0.2.1", 80))],
)
def test_a_port_alone_is_on_the_loopback(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["0", "70000", "here", ":80", "::1:80"])
def test_what_is_no_place_is_a_mistake(text):
    with pytest.raises(SettingsError, match="address:port"):
        load_text(f"[metrics]\nlisten = {text}\n", [MetricsSettings])
