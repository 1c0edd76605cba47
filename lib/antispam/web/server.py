"""Serves the console by HTTP."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time

import uvicorn

from antispam.chores import steady
from antispam.journey.protection import protector
from antispam.journey.table import Journey
from antispam.learning.login_settings import LoginSettings
from antispam.learning.releases import teaching
from antispam.net.addresses import ClientList, parse_ip
from antispam.service.board import Board
from antispam.service.plan import SideServer
from antispam.service.trials import forked
from antispam.service.trying import tried
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.settings.program import StoreSettings
from antispam.settings.web import WebSettings, parse_listen
from antispam.store import Store
from antispam.store.connecting import with_driver
from antispam.store.hours import KEPT
from antispam.store.replica import Replica
from antispam.web.app import application
from antispam.web.connections import sharing
from antispam.web.console import Console

log = logging.getLogger(__name__)


TRY_AGAIN = 5.0  # seconds
CONNECTIONS = 64


def side_server(journey: Journey, settings: Settings, board: Board | None = None) -> SideServer:
    """The console beside the workers, in its own process. `board` has their counters."""

    def run(context: WorkerContext) -> None:
        context.ready()  # mail must not wait for a free port
        while True:
            try:
                serve(journey, settings, board)
            except (OSError, SystemExit) as error:  # uvicorn exits if it cannot listen
                log.error("console: cannot listen on %s: %s", settings[WebSettings].listen, error)
            time.sleep(TRY_AGAIN)

    return SideServer("console", run)


def serve(journey: Journey, settings: Settings, board: Board | None = None) -> None:
    """Serve the console until the process is told to stop. Raises OSError if [web] listen can't be used."""
    host, port = parse_listen(settings[WebSettings].listen)
    closing, proxies = threading.Event(), ClientList(settings[LoginSettings].proxies)
    with contextlib.ExitStack() as ends:
        trials = ends.enter_context(
            forked(functools.partial(tried, journey, settings))
        )  # before there is any connection
        store = ends.enter_context(contextlib.closing(Store.from_settings(settings)))
        replica = _replica(settings)
        if replica is not None:
            ends.callback(replica.close)
        console = Console(
            settings=settings,
            store=store,
            journey=journey,
            clock=time.time,
            protect=protector(journey, settings),
            teach=teaching(settings, store),
            replica=None if replica is None else Replica(store, replica, time.time),
            try_out=trials.ask,
            board=board,
        )
        ends.callback(closing.set)
        steady("hours", lambda: console.hours.keep(KEPT, time.time, closing), closing, pause=TRY_AGAIN).start()
        config = uvicorn.Config(
            application(console), host=host, port=port, log_config=None, access_log=False, server_header=False,
            limit_concurrency=CONNECTIONS, timeout_keep_alive=5,
            http=sharing(lambda address: proxies.match(parse_ip(address))),
            proxy_headers=False,  # otherwise X-Forwarded-For would choose the address that [web] proxies checks
        )  # fmt: skip
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it logs each of its steps
        log.info("console: listening on %s", settings[WebSettings].listen)
        uvicorn.Server(config).run()


def _replica(settings: Settings) -> Store | None:
    """The replica to read from, if there is one."""
    url, options = settings[WebSettings].replica, settings[StoreSettings]
    return Store(with_driver(url), pool=options.pool, busy_timeout=options.busy_timeout) if url else None
