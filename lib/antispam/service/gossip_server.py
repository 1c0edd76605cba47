"""The GOSSiP server, in a process beside the workers or alone."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

import sqlalchemy as sa

from antispam.checks._shared.reputation.asking import peers_of
from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.net.addresses import ClientList, parse_ip
from antispam.service.plan import SideServer
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.store import Store, StoreError
from gossip import Records, split_address
from gossip.node import Gossip
from gossip.server import Server, listen

log = logging.getLogger(__name__)

TRY_AGAIN = 5.0  # seconds


def side_servers(settings: Settings) -> tuple[SideServer, ...]:
    """The server that runs beside the workers; none if it is off."""
    if GossipSettings not in settings or not settings[GossipSettings].listen:
        return ()

    def serve(context: WorkerContext) -> None:
        context.ready()  # mail must not wait for a free port
        while True:
            try:
                with server(settings) as made:
                    made.serve()
            except OSError as error:
                log.error("gossip: cannot listen on %s: %s", settings[GossipSettings].listen, error)
                time.sleep(TRY_AGAIN)

    return (SideServer("GOSSiP server", serve),)


@contextlib.contextmanager
def server(settings: Settings) -> Iterator[Server]:
    """A listening server. Raises OSError if it cannot listen."""
    options = settings[GossipSettings]
    clients = ClientList(options.askers)
    with contextlib.closing(Store.from_settings(settings)) as store:
        node = Gossip(Records(store), peers_of(options), timeout=options.timeout)
        made = Server(
            node,
            listen(*split_address(options.listen, "0.0.0.0")),
            admits=lambda address: clients.match(parse_ip(address), ""),
            key=options.key,
            rejects=lambda reputation, confidence: _rejects(options, reputation, confidence),
            failed=(StoreError, sa.exc.SQLAlchemyError),
        )
        log.info("GOSSiP server listens on %s, port %d", options.listen, made.port)
        try:
            yield made
        finally:
            made.close()
            node.close()


def _rejects(options: GossipSettings, reputation: float, confidence: float) -> bool:
    return (
        options.reject_below is not None
        and reputation < options.reject_below
        and confidence > options.reject_confidence
    )
