"""Forwarded mail through a real sendmail and a real Postfix that ask `bms srs serve`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.processes import RunDirectory
from support.sink import Sink

pytestmark = pytest.mark.servers

TOP = Path(__file__).parents[2]
CONFIG = "[srs]\nsecret = shhhh!\nfwdomain = fwd.example\nsign = ours.example\n"
MESSAGE = b"From: ann@example.org\r\nSubject: hello\r\n\r\nHello\r\n"


@contextlib.contextmanager
def srs_server() -> Iterator[Path]:
    """The socket of a running `bms srs serve`."""
    with RunDirectory("srs") as run:
        run.path.chmod(0o755)
        config = run.write("milter.cfg", f"{CONFIG}[milter]\ndatadir = {run.path}\n")
        socket = run.path / "srs.sock"
        command = [
            sys.executable,
            str(TOP / "bms.py"),
            "--config",
            str(config),
            "srs",
            "serve",
            "--socket",
            str(socket),
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                assert "listens" in server.stderr.readline()
                yield socket
            finally:
                server.terminate()


@contextlib.contextmanager
def running(kind: str, world: tuple[PrivateNetwork, NameServer]) -> Iterator[tuple[Mta, Sink]]:
    network, nameserver = world
    nameserver.load([])
    with contextlib.ExitStack() as stack:
        socket = stack.enter_context(srs_server())
        sink = stack.enter_context(Sink(network))
        if kind == "sendmail":
            extra = f"define(`SRS_SOCKET', `{socket}')dnl\ninclude(`{TOP}/sendmail/srs.m4')dnl\n"
            yield stack.enter_context(Sendmail(network, sink, extra_mc=extra)), sink
        else:
            settings = {
                "sender_canonical_maps": f"socketmap:unix:{socket}:forward",
                "sender_canonical_classes": "envelope_sender",
                "recipient_canonical_maps": f"socketmap:unix:{socket}:reverse",
                "recipient_canonical_classes": "envelope_recipient",
            }
            yield stack.enter_context(Postfix(network, sink, extra=settings)), sink


@pytest.fixture(params=["postfix", "sendmail"], scope="module")
def forwarding(request: pytest.FixtureRequest, world: tuple[PrivateNetwork, NameServer]):
    with running(str(request.param), world) as found:
        yield found


def send(mta: Mta, sink: Sink, sender: str, recipient: str) -> tuple[str, list[str]]:
    """The envelope with which a message arrives."""
    sink.clear()
    with mta.client() as client:
        client.greet()
        reply = client.message(sender, [recipient], MESSAGE)
        assert reply.code == 250, reply
    mta.wait_idle()
    (arrived,) = sink.wait(1)
    return arrived.sender, list(arrived.recipients)


def test_a_foreign_sender_leaves_in_our_domain_and_his_bounce_is_led_back(forwarding) -> None:
    mta, sink = forwarding
    sender, recipients = send(mta, sink, "ann@example.org", "bob@elsewhere.example")
    assert sender.startswith("SRS0=")
    assert sender.endswith("=example.org=ann@fwd.example")
    assert recipients == ["bob@elsewhere.example"]
    assert send(mta, sink, "", sender) == ("", ["ann@example.org"])


def test_our_own_sender_is_signed(forwarding) -> None:
    mta, sink = forwarding
    sender, _ = send(mta, sink, "ann@ours.example", "bob@elsewhere.example")
    assert sender.endswith("==ann@ours.example")
    assert send(mta, sink, "", sender)[1] == ["ann@ours.example"]


def test_a_forged_one_is_not_led_back(forwarding) -> None:
    mta, sink = forwarding
    forged = "SRS0=AAAAAAAA=JN=example.org=ann@fwd.example"
    assert send(mta, sink, "", forged)[1] == [forged]
