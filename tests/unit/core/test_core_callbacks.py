"""What each callback gets, in pymilter's types."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import milter
from support.milter_client import ALL_STEPS


def _record_everything(record: Any) -> dict[str, Any]:
    def step(name: str) -> Any:
        return lambda ctx, *arguments: record(name, *arguments) or milter.CONTINUE

    for name in ("connect", "helo", "envfrom", "envrcpt", "header", "eoh", "body", "eom", "abort", "close"):
        getattr(milter, f"set_{name}_callback")(step(name))
    return {"data": step("data"), "unknown": step("unknown")}


def test_a_whole_session(start: Any) -> None:
    """Host, HELO and header names are str, envelope and values bytes; undecodable bytes come through, none is lost."""
    server = start(_record_everything)
    client = server.client()
    client.negotiate()
    client.connect(b"host.\xe4", "4", b"192.0.2.7", 4711)
    client.helo(b"h\xe4")
    client.unknown(b"XFOO \xe4")
    client.mail(b"<s\xe4@x>", b"SIZE=1", b"X=\xe4")
    client.rcpt(b"<r\xe4>", b"NOTIFY=NEVER")
    client.data()
    client.header(b"Subj\xe4", b"v\xe4lue\n more")
    client.eoh()
    client.body(b"ab\0\xe4")
    client.end_of_message()
    client.quit()
    expected = [
        ("connect", "host.\udce4", int(socket.AF_INET), ("192.0.2.7", 4711)),
        ("helo", "h\udce4"),
        ("unknown", "XFOO \udce4"),
        ("envfrom", b"<s\xe4@x>", b"SIZE=1", b"X=\xe4"),
        ("envrcpt", b"<r\xe4>", b"NOTIFY=NEVER"),
        ("data",),
        ("header", "Subj\udce4", b"v\xe4lue\n more"),
        ("eoh",),
        ("body", b"ab\0\xe4"),
        ("eom",),
        ("close",),
    ]
    assert [server.event() for _ in expected] == expected


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        ("6", b"2001:db8::5", (int(socket.AF_INET6), ("2001:db8::5", 4711, 0, 0))),
        ("6", b"IPv6:2001:db8::5", (int(socket.AF_INET6), ("2001:db8::5", 4711, 0, 0))),
        ("L", b"/run/client\xe4", (int(socket.AF_UNIX), "/run/client\udce4")),
        ("U", b"", (0, None)),
    ],
)
def test_the_clients_address(start: Any, family: Any, address: bytes, expected: tuple[Any, ...]) -> None:
    """As Python's socket module writes it; None where the MTA knows none."""
    server = start(_record_everything)
    with server.client(steps=ALL_STEPS) as client:
        client.connect(b"host", family, address)
    assert server.until("connect")[2:] == expected


def test_a_step_without_callback_is_negotiated_away(start: Any) -> None:
    def set_up(record: Any) -> None:
        milter.set_eom_callback(lambda ctx: milter.CONTINUE)

    with start(set_up).client() as client:
        steps = client.negotiate().steps
    unwanted = milter.P_NOHELO | milter.P_NORCPT | milter.P_NOHDRS | milter.P_NOEOH | milter.P_NOBODY
    assert steps & unwanted == unwanted


def test_macros(start: Any) -> None:
    """A macro is str, also with undecodable bytes; one that was not sent is None; bytes may be asked for."""

    def set_up(record: Any) -> None:
        def helo(ctx: Any, name: str) -> int:
            record("macros", ctx.getsymval("j"), ctx.getsymval(b"{x}"), ctx.getsymval("{none}"))
            return milter.CONTINUE

        milter.set_helo_callback(helo)

    server = start(set_up)
    with server.client(steps=ALL_STEPS) as client:
        client.connect()
        client.macros(b"H", {"j": "mx.example.com", "{x}": b"\xe4"})
        client.helo()
    assert server.until("macros") == ("macros", "mx.example.com", "\udce4", None)


def test_private_data(start: Any) -> None:
    """None at first; setpriv() returns what was there before; it lasts as long as the connection."""

    def set_up(record: Any) -> None:
        milter.set_connect_callback(
            lambda ctx, *_: record("connect", ctx.getpriv(), ctx.setpriv([1]), ctx.setpriv([2])) or milter.CONTINUE
        )
        milter.set_close_callback(lambda ctx: record("close", ctx.getpriv()) or milter.CONTINUE)

    server = start(set_up)
    for _ in range(2):
        client = server.client(steps=ALL_STEPS)
        client.connect()
        client.quit()
        assert server.until("connect") == ("connect", None, None, [1])
        assert server.until("close") == ("close", [2])


def test_a_thousand_messages_on_one_connection(start: Any) -> None:
    def set_up(record: Any) -> None:
        seen = [0]

        def eom(ctx: Any) -> int:
            seen[0] += 1
            return milter.CONTINUE

        milter.set_header_callback(lambda ctx, name, value: milter.CONTINUE)
        milter.set_eom_callback(eom)
        milter.set_close_callback(lambda ctx: record("close", seen[0]) or milter.CONTINUE)

    server = start(set_up)
    client = server.client()
    client.greet()
    for _ in range(1000):
        assert client.message().action == "c"
    client.quit()
    assert server.until("close") == ("close", 1000)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.binary(min_size=1, max_size=80).filter(lambda text: b"\0" not in text),
    value=st.binary(max_size=400).filter(lambda text: b"\0" not in text),
)
def test_no_byte_of_a_client_is_lost(start: Any, name: bytes, value: bytes) -> None:
    """Names come back from str by surrogateescape, values are bytes; nothing that a client sends fails a callback."""

    def set_up(record: Any) -> None:
        milter.set_helo_callback(lambda ctx, helo: record("helo", helo) or milter.CONTINUE)
        milter.set_envfrom_callback(lambda ctx, *arguments: record("envfrom", *arguments) or milter.CONTINUE)
        milter.set_header_callback(lambda ctx, *field: record("header", *field) or milter.CONTINUE)

    server = start(set_up)
    with server.client(steps=ALL_STEPS) as client:
        client.connect()
        for reply in (client.helo(name), client.mail(value, name), client.rcpt(), client.header(name, value)):
            assert reply.action == "c"
    assert server.event()[1].encode("utf-8", "surrogateescape") == name
    assert server.event() == ("envfrom", value, name)
    header = server.event()
    assert header[1].encode("utf-8", "surrogateescape") == name
    assert header[2] == value
