"""Real servers start, take mail from any address, and leave nothing behind."""

from __future__ import annotations

import os
import tempfile

import pytest

from support.mta import NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.processes import RunDirectory, living_in, wait_until
from support.sink import Sink
from support.zones import complete

pytestmark = pytest.mark.servers

HOSTS = {"203.0.113.9": "mail.example.org", "2001:db8::9": "six.example.org"}
MESSAGE = b"From: a@example.org\r\nDate: Mon, 2 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHi\r\n"


@pytest.mark.parametrize("kind", [Postfix, Sendmail])
def test_a_client_comes_from_any_address_and_is_known_by_name(
    kind: type[Postfix | Sendmail], network: PrivateNetwork
) -> None:
    with NameServer(network, complete([], HOSTS)), Sink(network) as sink, kind(network, sink) as mta:
        for address in (*HOSTS, "198.51.100.1"):
            with mta.client(address) as client:
                client.greet()
                client.command("EHLO somewhere.example")
                assert client.message("a@example.org", ["b@example.com"], MESSAGE).code == 250
                client.quit()
        mta.wait_idle()
        received = " ".join(delivery.values("Received")[0] for delivery in sink.deliveries)
        assert "mail.example.org [203.0.113.9]" in received
        assert "six.example.org [IPv6:2001:db8:" in received
        assert "[198.51.100.1]" in received
        wait_until(lambda: "198.51.100.1" in mta.log(), "its log names the client")


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with RunDirectory("all") as outer, PrivateNetwork() as network:
        monkeypatch.setattr(tempfile, "tempdir", str(outer.path))
        with NameServer(network), Sink(network) as sink, Postfix(network, sink), Sendmail(network, sink):
            assert living_in(network.namespace)
        assert not living_in(network.namespace)
        assert os.listdir(outer.path) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_private_network_reaches_nothing_outside() -> None:
    with PrivateNetwork() as network:
        assert network.run(["ip", "-o", "link"]).count("\n") == 1
        with pytest.raises(ConnectionRefusedError):
            network.connect("1.1.1.1", 53)
