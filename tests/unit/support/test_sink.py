"""The sink keeps what it is sent, octet for octet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.network import Network
from support.sink import Sink
from support.smtp_client import SmtpClient, to_content


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(Network()) as running:
        yield running


def test_content_envelope_and_parameters_arrive_as_sent(sink: Sink) -> None:
    raw = b".dot\r\n\r\n..two\nbare\rcr \xff\0\r\n.\n.\r\r\n"
    with SmtpClient(Network().connect("127.0.0.1", sink.port)) as client:
        assert client.greet().code == 220
        client.command("EHLO x")
        client.command('MAIL FROM:<"a > b"@c> BODY=8BITMIME SIZE=10')
        client.command("RCPT TO:<d@e> NOTIFY=NEVER")
        client.command("RCPT TO:<f@g>")
        client.command("DATA")
        client.send(to_content(raw))
        assert client.read_reply().code == 250
        client.quit()
    (delivery,) = sink.wait(1)
    assert delivery.raw == raw
    assert (delivery.sender, delivery.sender_parameters) == ('"a > b"@c', ("BODY=8BITMIME", "SIZE=10"))
    assert delivery.recipients == ("d@e", "f@g")
    assert delivery.recipient_parameters == (("NOTIFY=NEVER",), ())


def test_commands_and_contents_may_come_in_any_pieces(sink: Sink) -> None:
    first = b"MAIL FROM:<>\r\nRCPT TO:<d@e>\r\nDATA\r\nx\r\n\r\nend\r\n.\r\n"
    second = b"MAIL FROM:<a@b>\r\nRCPT TO:<d@e>\r\nDATA\r\n.\r\n"
    with SmtpClient(Network().connect("127.0.0.1", sink.port)) as client:
        client.greet()
        for octet in first + second:
            client.send(bytes([octet]))
        assert [delivery.raw for delivery in sink.wait(2)] == [b"x\r\n\r\nend\r\n", b""]
    assert [delivery.sender for delivery in sink.deliveries] == ["", "a@b"]


def test_fields_are_unfolded_and_the_body_is_told_apart(sink: Sink) -> None:
    with SmtpClient(Network().connect("127.0.0.1", sink.port)) as client:
        client.greet()
        client.message("a@b", ["c@d"], b"A: 1\r\n\t2\r\nB:3\r\n\r\nbody\r\n\r\n")
    (delivery,) = sink.wait(1)
    assert delivery.fields() == [("A", "1 2"), ("B", "3")]
    assert delivery.body == b"body\r\n\r\n"
