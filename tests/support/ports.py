"""Ports for servers of tests. None is of the range that the kernel gives to outgoing connections: a port found by binding to 0
may be anybody's a moment later, when the server that is to have it has started."""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
from collections.abc import Callable, Iterator

_FIRST = 10_000
_SLICES = 28
_SLICE = 800
"""28 times 800 ports from 10,000 end below 32,768, where Linux's outgoing connections begin (ip_local_port_range)."""

_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


@functools.cache
def _claim() -> tuple[int, socket.socket]:
    """A slice that no other test process of this machine has, and the socket whose name says so, to the end of this process."""
    for number in range(_SLICES):
        with contextlib.ExitStack() as stack:
            claim = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                claim.bind(f"\0bms tests, ports {number}")  # abstract: there is no file that could stay behind
                stack.pop_all()
                return number, claim
    raise RuntimeError(f"{_SLICES} test processes have all ports of tests")


def _candidates() -> Iterator[int]:
    """The ports of this process: those of its slice, over and over."""
    first = _FIRST + _claim()[0] * _SLICE
    yield from (first + number % _SLICE for number in itertools.count())


_ports = _candidates()


def _new_socket(host: str, kind: socket.SocketKind) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)


def free_port(
    host: str = "127.0.0.1",
    new_socket: Callable[[str, socket.SocketKind], socket.socket] = _new_socket,
    ports: Iterator[int] = _ports,
) -> int:
    """The next port that is free for TCP and for UDP. This process is not given it again soon.

    `new_socket` makes the sockets that try it: in another network namespace, for example. Raises RuntimeError if all are taken.
    """
    for port in itertools.islice(ports, _SLICE):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for kind in _KINDS:
                stack.enter_context(new_socket(host, kind)).bind((host, port))
            return port
    raise RuntimeError(f"no port from {_FIRST} to {_FIRST + _SLICES * _SLICE} is free on {host}")
