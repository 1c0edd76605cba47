"""systemd's service notification protocol, sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger(__name__)


class Notifier:
    """Tells systemd what the main process is doing. Without an address every call does nothing.

    `address` is a path, or an abstract name written with a leading `@`; `watchdog` is the number of seconds within
    which systemd expects a sign of life, or None. Never raises: a failure of systemd must not stop the service.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ, pid: int | None = None) -> Notifier:
        """Read and remove NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, so that our children do not notify in our
        name.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant_for = environment.pop("WATCHDOG_PID", "")
        ours = not meant_for or meant_for == str(os.getpid() if pid is None else pid)
        period = int(microseconds) / 1e6 if ours and microseconds.isdecimal() and int(microseconds) else None
        return cls(address if address.startswith(("/", "@")) else "", period)

    def ready(self, status: str) -> None:
        """Start-up or a reload is complete."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload began; systemd pairs it with the next ready() by the monotonic clock (Type=notify-reload)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within: float) -> None:
        """Shutting down, which may take `within` seconds."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within * 1e6)}")

    def alive(self) -> None:
        """Send the sign of life that the watchdog expects."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.setblocking(False)
                notify.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            log.debug("systemd was not told %s: %s", assignments[0], error)
