"""Ports of tests are nobody else's."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from support.places import REPOSITORY
from support.ports import free_port

TESTS = REPOSITORY / "tests"


def test_the_kernel_gives_it_to_no_outgoing_connection() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not first <= free_port() <= last


def test_it_is_not_given_twice_in_a_row() -> None:
    assert len({free_port() for _ in range(20)}) == 20


def test_another_run_of_the_tests_is_given_others() -> None:
    ask = "from support.ports import free_port; print(*(free_port() for _ in range(900)))"
    told = subprocess.run([sys.executable, "-c", ask], cwd=TESTS, capture_output=True, text=True, check=True).stdout
    ours = {free_port() for _ in range(900)}
    assert not ours & set(map(int, told.split()))


def test_a_port_that_has_a_socket_of_either_kind_is_passed_over() -> None:
    first, second, third = free_port(), free_port(), free_port()
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        stream.bind(("127.0.0.1", first))
        datagrams.bind(("127.0.0.1", second))
        assert free_port(ports=iter((first, second, third))) == third
