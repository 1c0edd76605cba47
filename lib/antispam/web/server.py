"""Serves the console by HTTP."""

from __future__ import annotations

import contextlib
import logging
import time

import uvicorn

from antispam.journey.protection import protector
from antispam.journey.table import Journey
from antispam.learning.releases import teaching
from antispam.service.plan import SideServer
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.settings.web import WebSettings, parse_listen
from antispam.store import Store
from antispam.web.app import application
from antispam.web.console import Console

log = logging.getLogger(__name__)


TRY_AGAIN = 5.0  # seconds


def side_server(journey: Journey, settings: Settings) -> SideServer:
    """The console beside the workers, in a process of its own."""

    def run(context: WorkerContext) -> None:
        context.ready()  # whether a port is free is no matter of the mail's
        while True:
            try:
                serve(journey, settings)
            except (OSError, SystemExit) as error:  # uvicorn exits where it can't listen
                log.error("console: cannot listen on %s: %s", settings[WebSettings].listen, error)
            time.sleep(TRY_AGAIN)

    return SideServer("console", run)


def serve(journey: Journey, settings: Settings) -> None:
    """Serve the console until the process is told to stop. Raises OSError where [web] listen can't be used."""
    host, port = parse_listen(settings[WebSettings].listen)
    with contextlib.closing(Store.from_settings(settings)) as store:
        console = Console(
            settings=settings,
            store=store,
            journey=journey,
            clock=time.time,
            protect=protector(journey, settings),
            teach=teaching(settings, store),
        )
        config = uvicorn.Config(
            application(console), host=host, port=port, log_config=None, access_log=False, server_header=False,
            limit_concurrency=64, timeout_keep_alive=5,
        )  # fmt: skip
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it tells of each of its steps
        log.info("console: listening on %s", settings[WebSettings].listen)
        uvicorn.Server(config).run()
