"""A queued message's way out of the store, through a real MTA with the real filter, to its recipient, and only once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from antispam.store import Store, outbox
from antispam.store.outbox import Kind, QueuedMessage
from support.filter_process import FilterProcess
from support.mta import NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.processes import RunDirectory, wait_until
from support.sink import Sink

pytestmark = pytest.mark.servers

# What the filter would change in, or keep of, anybody else's mail.
CONTENT = (
    b"Authentication-Results: mail.example.test; spf=pass smtp.mailfrom=bank.example\r\n"
    b"X-BMS-Pass: 1.of a stranger\r\n"
    b"From: a@example.org\r\nTo: b@example.com\r\nDate: Mon, 2 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
    b"Subject: release\r\n"
    b'Content-Type: application/octet-stream; name="virus.exe"\r\n\r\nMZ\r\n.dot\r\n'
)
ADDRESSES = ("b@example.com", "c@example.com")


@contextlib.contextmanager
def running(
    kind: str, world: tuple[PrivateNetwork, NameServer], more: str = "", workers: int = 1
) -> Iterator[tuple[FilterProcess, Sink]]:
    network, nameserver = world
    nameserver.load([])
    with RunDirectory("socket") as run, Sink(network) as sink:
        socket = run.path / "milter.sock"
        with (
            Postfix(network, sink, [f"unix:{socket}"])
            if kind == "postfix"
            else Sendmail(network, sink, [f"local:{socket}"])
        ) as mta:
            config = f"[outbox]\nhost = 127.0.0.1:{mta.port}\nretry_first = 1s\n[defang]\nremedy = reject\n{more}"
            with FilterProcess(network, config, socket=socket, workers=workers) as program:
                yield program, sink


@pytest.fixture(params=["postfix", "sendmail"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_original_reaches_its_recipients_as_it_is(kind: str, world: tuple[PrivateNetwork, NameServer]) -> None:
    with running(kind, world, workers=2) as (program, sink):
        store = Store(f"sqlite:///{program.directory}/state/bms.sqlite")
        with store.write() as connection:
            outbox.post(
                store, connection, QueuedMessage(Kind.ORIGINAL, "abcdefghijkl", "", ADDRESSES, CONTENT), time.time()
            )
        deliveries = sink.wait(1)
        wait_until(lambda: not outbox.entries(store, time.time()), "the message is done")
        store.close()
        wait_until(lambda: "[abcdefghijkl] SENT message 1 (original)" in program.log(), "the log says so")
        log = program.log()
    recipients = sorted(address for delivery in deliveries for address in delivery.recipients)
    assert recipients == list(ADDRESSES), log
    for delivery in deliveries:
        assert delivery.sender == ""
        assert delivery.values("X-BMS-Pass") == []
        assert delivery.values("Authentication-Results") == ["mail.example.test; spf=pass smtp.mailfrom=bank.example"]
        assert delivery.body == b"MZ\r\n.dot\r\n"
    assert "ACCEPT own_mail: message 1 of our outbox (original of abcdefghijkl)" in log
    assert "Traceback" not in log


def test_a_release_reaches_them_without_what_is_dangerous(kind: str, world: tuple[PrivateNetwork, NameServer]) -> None:
    with running(kind, world) as (program, sink):
        store = Store(f"sqlite:///{program.directory}/state/bms.sqlite")
        with store.write() as connection:
            outbox.post(
                store, connection, QueuedMessage(Kind.RELEASE, "abcdefghijkl", "", ADDRESSES, CONTENT), time.time()
            )
        deliveries = sink.wait(1)
        wait_until(lambda: not outbox.entries(store, time.time()), "the message is done")
        store.close()
        log = program.log()
    for delivery in deliveries:
        assert delivery.values("X-BMS-Pass") == []
        assert b"MZ" not in delivery.body
        assert b"virus.exe" in delivery.body
    assert "ACCEPT own_mail: message 1 of our outbox (release of abcdefghijkl)" in log
    assert "Traceback" not in log


def test_a_message_is_delivered_although_loopback_is_not_internal(
    kind: str, world: tuple[PrivateNetwork, NameServer]
) -> None:
    """Our own HELO name, from an address that is not internal, was refused as a forgery before the pass was seen."""
    more = "[milter]\ninternal_connect = 192.0.2.1\n"
    with running(kind, world, more) as (program, sink):
        store = Store(f"sqlite:///{program.directory}/state/bms.sqlite")
        with store.write() as connection:
            outbox.post(
                store, connection, QueuedMessage(Kind.ANSWER, "abcdefghijkl", "", ADDRESSES, CONTENT), time.time()
            )
        deliveries = sink.wait(1)
        wait_until(lambda: not outbox.entries(store, time.time()), "the message is done")
        store.close()
    assert sorted(address for one in deliveries for address in one.recipients) == list(ADDRESSES)


def test_the_same_message_without_its_pass_is_refused(kind: str, world: tuple[PrivateNetwork, NameServer]) -> None:
    """Here by switching off what would know it: the message is given up, said, and kept."""
    with running(kind, world, "[own_mail]\nmode = off") as (program, sink):
        store = Store(f"sqlite:///{program.directory}/state/bms.sqlite")
        with store.write() as connection:
            outbox.post(
                store, connection, QueuedMessage(Kind.RELEASE, "abcdefghijkl", "", ADDRESSES, CONTENT), time.time()
            )
        wait_until(lambda: outbox.counts(store, time.time()) == {"failed": 1}, "the message is given up")
        (entry,) = outbox.entries(store, time.time())
        store.close()
        assert "550 5.7.1" in entry.last_error
        assert sink.deliveries == []
        told = "ERROR message 1 (release) cannot be sent and is given up"
        wait_until(lambda: told in program.log(), "the log says so")
