"""Forwarded mail through a real sendmail and a real Postfix that ask `bms srs serve`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.filter_process import FilterProcess
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.patience import PATIENCE
from support.processes import RunDirectory, wait_until
from support.sink import Sink
from support.sources import unpacked_sdist
from support.zones import Zone, complete

pytestmark = pytest.mark.servers

TOP = Path(__file__).parents[2]
CONFIG = "[srs]\nsecret = shhhh!\nfwdomain = fwd.example\nsign = ours.example\nnosrs = plain.example\n"
# Mail to plain.example goes to a host of that name; all else to the smart host.
ROUTES = {"mailertable": "plain.example\trelay:plain.example\n"}
USE_ROUTES = "FEATURE(`mailertable', `hash -o RUN/mailertable')dnl\n"
MESSAGE = b"From: ann@example.org\r\nSubject: hello\r\n\r\nHello\r\n"


@contextlib.contextmanager
def srs_server(socket: Path | None = None) -> Iterator[Path]:
    """The socket of a running `bms srs serve`."""
    with RunDirectory("srs") as run:
        config = run.write("milter.cfg", f"{CONFIG}[milter]\ndatadir = {run.path}\n")
        socket = socket or run.path / "srs.sock"
        command = [
            sys.executable,
            str(TOP / "bms.py"),
            "--config",
            str(config),
            "srs",
            "serve",
            "--socket",
            str(socket),
            "--group",
            "postfix",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                assert "listens" in server.stderr.readline()
                yield socket
            finally:
                server.terminate()
                server.wait(PATIENCE)


def postfix_maps(socket: Path) -> dict[str, str]:
    return {
        "sender_canonical_maps": f"socketmap:unix:{socket}:forward",
        "sender_canonical_classes": "envelope_sender",
        "recipient_canonical_maps": f"socketmap:unix:{socket}:reverse",
        "recipient_canonical_classes": "envelope_recipient",
    }


def attached(
    kind: str, network: PrivateNetwork, sink: Sink, maps: Path, milter: Path | None = None
) -> Sendmail | Postfix:
    """An MTA set up as docs/srs.md says, with the filter or without."""
    if kind == "sendmail":
        extra = f"define(`SRS_SOCKET', `{maps}')dnl\ninclude(`{TOP}/sendmail/srs.m4')dnl\n"
        filters = [f"local:{milter}"] if milter else []
        return Sendmail(network, sink, filters, extra_mc=USE_ROUTES + extra, files=ROUTES)
    return Postfix(network, sink, [f"unix:{milter}"] if milter else [], extra=postfix_maps(maps))


@contextlib.contextmanager
def running(kind: str, world: tuple[PrivateNetwork, NameServer]) -> Iterator[tuple[Mta, Sink]]:
    network, nameserver = world
    nameserver.load(complete([Zone("plain.example", "@ A 127.0.0.1")], {}))
    with contextlib.ExitStack() as stack:
        socket = stack.enter_context(srs_server())
        sink = stack.enter_context(Sink(network))
        if kind == "sendmail with pysrs.m4":
            # As HACK(`pysrs', `local:...') includes it.
            pysrs = unpacked_sdist("pysrs", "1.0.3") / "pysrs.m4"
            extra = f"pushdef(`_ARG_', `local:{socket}')dnl\ninclude(`{pysrs}')dnl\npopdef(`_ARG_')dnl\n"
            yield stack.enter_context(Sendmail(network, sink, extra_mc=USE_ROUTES + extra, files=ROUTES)), sink
        else:
            yield stack.enter_context(attached(kind, network, sink, socket)), sink


@pytest.fixture(params=["postfix", "sendmail", "sendmail with pysrs.m4"], scope="module")
def forwarding(request: pytest.FixtureRequest, world: tuple[PrivateNetwork, NameServer]):
    with running(str(request.param), world) as found:
        yield found


def send(mta: Mta, sink: Sink, sender: str, recipient: str, source: str = "") -> tuple[str, list[str]]:
    """The envelope with which a message arrives that a client at `source` sends."""
    sink.clear()
    with mta.client(source) as client:
        client.greet()
        client.command("EHLO mail.elsewhere.example")
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


def test_the_case_of_a_local_part_is_kept(forwarding, request: pytest.FixtureRequest) -> None:
    """But by pysrs.m4, which has sendmail fold it."""
    mta, sink = forwarding
    sender, _ = send(mta, sink, "Ann.Miller@example.org", "bob@elsewhere.example")
    kept = "ann.miller" if "pysrs" in request.node.callspec.id else "Ann.Miller"
    assert send(mta, sink, "", sender) == ("", [f"{kept}@example.org"])


def test_our_own_sender_is_signed(forwarding) -> None:
    mta, sink = forwarding
    sender, _ = send(mta, sink, "ann@ours.example", "bob@elsewhere.example")
    assert sender.endswith("==ann@ours.example")
    assert send(mta, sink, "", sender)[1] == ["ann@ours.example"]


def test_a_bounce_that_we_pass_on_stays_one(forwarding) -> None:
    mta, sink = forwarding
    assert send(mta, sink, "", "bob@elsewhere.example") == ("", ["bob@elsewhere.example"])


def test_one_that_was_rewritten_already_is_left_alone(forwarding) -> None:
    mta, sink = forwarding
    sender, _ = send(mta, sink, "ann@example.org", "bob@elsewhere.example")
    # pysrs's map folds what it asks for to lower case, as sendmail's maps do unless told otherwise.
    assert send(mta, sink, sender, "bob@elsewhere.example")[0] in (sender, sender.lower())


def test_a_sender_without_a_domain_does_no_harm(forwarding) -> None:
    mta, sink = forwarding
    sender, _ = send(mta, sink, "ann", "bob@elsewhere.example")
    assert sender.rpartition("@")[0] in ("", "ann") or sender.startswith("SRS0=")


def test_a_forged_one_is_not_led_back(forwarding) -> None:
    mta, sink = forwarding
    forged = "SRS0=AAAAAAAA=JN=example.org=ann@fwd.example"
    assert send(mta, sink, "", forged)[1] == [forged]


def test_recipients_in_the_domains_of_nosrs_see_the_plain_sender_under_sendmail(forwarding) -> None:
    """Postfix asks about senders without telling who gets the message."""
    mta, sink = forwarding
    for sender in ("ann@example.org", "ann@ours.example"):
        left = send(mta, sink, sender, "bob@plain.example")[0]
        assert left.startswith("SRS0=") if mta.name == "postfix" else left == sender


FILTER = """\
[milter]
internal_connect = 127.0.0.1
[greylist]
mode = off
[srs]
secret = shhhh!
fwdomain = fwd.example
sign = ours.example
reject_spoofed = yes
"""


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_nothing_leaves_unsigned_and_nothing_is_lost_while_the_map_does_not_answer(
    kind: str, world: tuple[PrivateNetwork, NameServer]
) -> None:
    network, nameserver = world
    nameserver.load(complete([], {}))
    with RunDirectory("maps") as run, Sink(network) as sink, contextlib.ExitStack() as stack:
        socket = run.path / "srs.sock"
        mta = stack.enter_context(attached(kind, network, sink, socket))
        assert 400 <= _offer(mta) < 500
        with srs_server(socket):
            wait_until(lambda: _offer(mta) == 250, "the MTA asks again")
            (arrived,) = sink.wait(1)
            assert arrived.sender.endswith("==ann@ours.example")


def _offer(mta: Mta) -> int:
    with mta.client() as client:
        client.greet()
        return client.message("ann@ours.example", ["bob@elsewhere.example"], MESSAGE).code


@pytest.fixture(params=["postfix", "sendmail"], scope="module")
def filtered(request: pytest.FixtureRequest, world: tuple[PrivateNetwork, NameServer]):
    """An MTA that asks the filter and the socket map, as docs/srs.md has them."""
    network, nameserver = world
    nameserver.load(complete([], {}))
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunDirectory("socket"))
        milter = run.path / "milter.sock"
        stack.enter_context(FilterProcess(network, FILTER, socket=milter))
        maps = stack.enter_context(srs_server())
        sink = stack.enter_context(Sink(network))
        yield stack.enter_context(attached(str(request.param), network, sink, maps, milter)), sink


def test_filter_and_maps_sign_once_and_lead_bounces_back_once(filtered) -> None:
    mta, sink = filtered
    sender, _ = send(mta, sink, "ann@ours.example", "bob@elsewhere.example")
    assert sender.startswith("SRS0=")
    assert sender.endswith("==ann@ours.example")
    assert send(mta, sink, "", sender, "127.0.0.9") == ("", ["ann@ours.example"])


def test_filter_and_maps_lose_nobody_whom_a_client_names_in_both_ways(filtered) -> None:
    mta, sink = filtered
    signed, _ = send(mta, sink, "ann@ours.example", "bob@elsewhere.example")
    sink.clear()
    with mta.client("127.0.0.9") as client:
        client.greet()
        client.command("EHLO mail.elsewhere.example")
        assert client.message("joe@example.org", ["ann@ours.example", signed], MESSAGE).code == 250
    mta.wait_idle()
    assert {one for arrived in sink.wait(1) for one in arrived.recipients} == {"ann@ours.example"}


def test_filter_and_maps_lead_a_bounce_of_forwarded_mail_to_its_sender(filtered) -> None:
    mta, sink = filtered
    sender, _ = send(mta, sink, "ann@example.org", "bob@elsewhere.example")
    assert sender.endswith("=example.org=ann@fwd.example")
    assert send(mta, sink, "", sender, "127.0.0.9") == ("", ["ann@example.org"])


def test_filter_and_maps_refuse_a_bounce_to_a_plain_address(filtered) -> None:
    mta, _ = filtered
    with mta.client("127.0.0.9") as client:
        client.greet()
        client.command("EHLO mail.elsewhere.example")
        client.command("MAIL FROM:<>")
        reply = client.command("RCPT TO:<ann@ours.example>")
    assert reply.code == 550
    assert "its sender was forged" in reply.text
