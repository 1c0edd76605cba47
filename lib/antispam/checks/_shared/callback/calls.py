"""Callers made from the configuration."""

from __future__ import annotations

import functools
import threading

from antispam.checks._shared.callback.settings import CallbackSettings
from antispam.checks._shared.callback.verify import Caller, Reach
from antispam.net.addresses import client_list
from antispam.net.host_name import helo_name
from antispam.net.resolver import Lookup
from antispam.protocols.callback_dialogue import Listener
from antispam.settings import Settings


def make_caller(
    resolver: Lookup,
    settings: Settings,
    own: CallbackSettings,
    receiver: str,
    listen: Listener = lambda who, line: None,
) -> Caller:
    """A caller for these settings.

    own       the settings of [callback]
    receiver  our MTA's name, as far as it is known
    """
    return Caller(
        resolver,
        Reach(ours=client_list(_own_networks(settings)), also=client_list(own.also_call)),
        _slots(own.at_once),
        helo=own.helo or helo_name(receiver),
        timeout=own.timeout,
        port=own.port,
        listen=listen,
    )


def _own_networks(settings: Settings) -> tuple[str, ...]:
    """The clients that the configuration calls ours."""
    return settings.listed("milter", "internal_connect", "trusted_relay")


@functools.lru_cache(maxsize=16)
def _slots(at_once: int) -> threading.BoundedSemaphore:
    """The semaphore of this worker: the process that it was forked from makes no calls."""
    return threading.BoundedSemaphore(at_once)
