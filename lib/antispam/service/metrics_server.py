"""Metrics by HTTP, in a process beside the workers, so that it does not slow down mail."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import logging
import socket
import socketserver
import threading
import time
from typing import Any

from antispam.net.addresses import parse_ip
from antispam.service.board import Board
from antispam.service.metrics import CONTENT_TYPE, Metrics
from antispam.service.plan import SideServer
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.settings.metrics import MetricsSettings, parse_place
from antispam.store import Store
from antispam.store.hours import Hours

log = logging.getLogger(__name__)

TRY_AGAIN = 5.0  # seconds
PATIENT = 6  # tries
PATIENCE = 10.0  # seconds for a client to send its request and read the answer
CLIENTS = 16  # at a time


def side_servers(settings: Settings, board: Board) -> tuple[SideServer, ...]:
    """The server that runs beside the workers; none if it is off."""
    if MetricsSettings not in settings or not (listen := settings[MetricsSettings].listen):
        return ()

    def serve(context: WorkerContext) -> None:
        context.ready()  # mail must not wait for a free port
        for tries in itertools.count(1):
            try:
                with (
                    contextlib.closing(Store.from_settings(settings)) as store,
                    Server(parse_place(listen), Metrics(board, store, time.time, Hours(store))) as server,
                ):
                    log.info("metrics: listening on %s", listen)
                    server.serve_forever()
            except OSError as error:
                # After a reload the predecessor keeps the port until the new workers are ready.
                log.log(
                    logging.ERROR if tries > PATIENT else logging.INFO,
                    "metrics: cannot listen on %s: %s",
                    listen,
                    error,
                )
            time.sleep(TRY_AGAIN)

    return (SideServer("metrics server", serve),)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers GET /metrics, and GET /health with 200 or 503, for load balancers. Connections beyond CLIENTS at a time
    are closed.
    """

    daemon_threads = True

    def __init__(self, place: tuple[str, int], metrics: Metrics) -> None:
        """Raises OSError if it cannot listen."""
        ip = parse_ip(place[0])
        self.address_family = socket.AF_INET6 if ip is not None and ip.version == 6 else socket.AF_INET
        self.metrics = metrics
        self._room = threading.BoundedSemaphore(CLIENTS)
        super().__init__(place, _Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of our own name, which could delay the start."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.info("metrics: a client went away", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE
    server_version = "bms"
    sys_version = ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, CONTENT_TYPE, self.server.metrics.text())
            case "/health":
                problem = self.server.metrics.problem()
                told = f"{problem or 'workers serve and the database answers'}\n".encode()
                self._answer(503 if problem else 200, "text/plain; charset=utf-8", told)
            case _:
                self.send_error(404, "There are /metrics and /health")

    def _answer(self, status: int, content_type: str, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a scrape every few seconds is not worth a line."""
