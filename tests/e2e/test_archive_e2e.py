"""The archive beside a real MTA: several workers write, and somebody rotates it meanwhile."""

from __future__ import annotations

import contextlib
import mailbox

import pytest

from support.filter_process import FilterProcess
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.processes import RunDirectory
from support.sink import Sink

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_every_message_is_in_the_archive_once_also_while_it_is_rotated(
    kind: str, world: tuple[PrivateNetwork, NameServer]
) -> None:
    network, nameserver = world
    nameserver.load([])
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunDirectory("socket"))
        sink = stack.enter_context(Sink(network))
        socket = run.path / "milter.sock"
        path = run.path / "archive"
        config = f"[greylist]\nmode = off\n[spf]\nmode = off\n[wiretap]\narchive = {path}\n"
        program = stack.enter_context(FilterProcess(network, config, socket=socket, workers=2))
        mta: Mta
        if kind == "postfix":
            mta = stack.enter_context(Postfix(network, sink, [f"unix:{socket}"]))
        else:
            mta = stack.enter_context(Sendmail(network, sink, [f"local:{socket}"]))
        clients = [stack.enter_context(mta.client(f"192.0.2.{number}")) for number in range(1, 5)]
        for client in clients:
            client.greet()
            client.command("EHLO mail.example.org")
        for each in range(5):
            for number, client in enumerate(clients):
                content = f"From: a@example.org\r\nSubject: {number}-{each}\r\n\r\nFrom me\r\n".encode()
                assert client.message("a@example.org", ["b@example.com"], content).code == 250
            path.rename(run.path / f"archive.{each}")
        found = []
        for each in range(5):
            with contextlib.closing(mailbox.mbox(run.path / f"archive.{each}")) as box:
                found += [one["Subject"] for one in box]
        assert sorted(found) == sorted(f"{number}-{each}" for number in range(4) for each in range(5)), program.log()
