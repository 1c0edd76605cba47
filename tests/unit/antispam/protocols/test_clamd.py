"""Asking clamd, whatever it says; and a real one."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antispam.deadline import Deadline
from antispam.net.sockets import SocketSpec
from antispam.protocols.clamd import CHUNK, MAX_ANSWER, NotScanned, Scan, scan
from support.clamd import EICAR, NAME, Clamd
from support.network import Network

HERE = SocketSpec.parse("local:/run/clamd.ctl")


class Wire:
    """A connected socket whose other side answers with `pieces`, one at each recv, and takes `room` octets."""

    def __init__(self, *pieces, room=1 << 30, full=BrokenPipeError, tick=lambda: None):
        self.pieces, self.sent, self.room, self.full = list(pieces), b"", room, full
        self.received, self.closed, self._tick = 0, False, tick

    def settimeout(self, value):
        assert value > 0

    def recv(self, size):
        self._tick()
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        head, rest = piece[:size], piece[size:]
        if rest:
            self.pieces.insert(0, rest)
        self.received += len(head)
        return head

    def sendall(self, data):
        if len(self.sent) + len(data) > self.room:
            raise self.full()
        self.sent += data

    def close(self):
        self.closed = True


def asked(wire, *message, deadline=None):
    try:
        return scan(HERE, iter(message), deadline or Deadline.after(60), lambda spec, timeout: wire)
    finally:
        assert wire.closed


def test_a_message_is_sent_in_chunks_with_their_lengths():
    wire = Wire(b"stream: OK\0")
    body = b"x" * (CHUNK + 1)
    assert asked(wire, b"head", body) == Scan()
    chunks = [b"From bms\n", b"head", body[:CHUNK], body[CHUNK:], b""]
    assert wire.sent == b"zINSTREAM\0" + b"".join(struct.pack("!I", len(chunk)) + chunk for chunk in chunks)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"stream: OK\0", Scan()),
        (b"stream: Win.Test.EICAR_HDB-1 FOUND\0", Scan("Win.Test.EICAR_HDB-1")),
        (b"stream: A FOUND FOUND\0", Scan("A FOUND")),
        (b"stream: \x1b[2J\xff\xfe FOUND\0", Scan("\\x1b[2J\\xff\\xfe")),
        (b"INSTREAM size limit exceeded. ERROR\0", Scan(too_large=True)),
    ],
)
def test_what_an_answer_means(answer, found):
    assert asked(Wire(answer), b"x") == found
    assert asked(Wire(*(bytes([octet]) for octet in answer)), b"x") == found


@pytest.mark.parametrize(
    "answer",
    [
        b"stream: OK",
        b"stream: OK\n",
        b"stream: OK \0",
        b"OK\0",
        b"\0stream: OK\0",
        b"stream:  FOUND\0",
        b"stream: a\nstream: b FOUND\0",
        b"stream: Can't allocate memory ERROR\0",
        b"UNKNOWN COMMAND\0",
        b"",
        b"stream: " + b"A" * MAX_ANSWER,
        TimeoutError(),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_what_is_no_answer_is_never_taken_for_clean(answer):
    with pytest.raises(NotScanned):
        asked(Wire(answer), b"x")


def test_why_there_is_no_answer_fits_into_the_log():
    with pytest.raises(NotScanned, match=r"^clamd says: stream: \\x1b\[2J.{0,200}$"):
        asked(Wire(b"stream: \x1b[2J" + b"x" * 900 + b"\0"), b"x")


def test_one_that_hangs_up_in_the_middle_is_heard_but_not_taken_for_clean():
    assert asked(Wire(b"INSTREAM size limit exceeded. ERROR\0", room=500), b"x" * 1000) == Scan(too_large=True)
    assert asked(Wire(b"stream: Virus FOUND\0", room=500), b"x" * 1000) == Scan("Virus")
    with pytest.raises(NotScanned, match="before it had the whole message"):
        asked(Wire(b"stream: OK\0", room=500), b"x" * 1000)


def test_one_that_does_not_read_is_given_up():
    with pytest.raises(NotScanned, match="too slowly"):
        asked(Wire(room=500, full=TimeoutError), b"x" * 1000)


def test_one_that_answers_by_drops_has_no_longer_than_the_deadline():
    now = [0.0]

    def tick():
        now[0] += 1.0

    wire = Wire(*([b"s"] * 100), tick=tick)
    with pytest.raises(NotScanned, match="no time left"):
        asked(wire, b"x", deadline=Deadline(5.0, lambda: now[0]))
    assert wire.received <= 6


def test_nobody_there_is_told_with_the_place():
    def refused(spec, timeout):
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(NotScanned, match=r"clamd at unix:/run/clamd\.ctl can't be reached: Connection refused"):
        scan(HERE, iter([b"x"]), Deadline.after(60), refused)


@given(st.lists(st.binary(max_size=300), max_size=10))
@example([b"stream: OK\0stream: Virus FOUND\0"])
def test_whatever_it_says_memory_is_bounded_and_nothing_else_is_raised(pieces):
    wire = Wire(*pieces)
    try:
        found = asked(wire, b"x")
    except NotScanned:
        found = None
    assert wire.received <= 2 * MAX_ANSWER
    if found == Scan():
        assert b"".join(pieces).startswith(b"stream: OK\0")


@pytest.mark.servers
def test_a_real_one_by_unix_socket_and_tcp(servers):
    network = Network()
    port = network.free_port()
    with Clamd(network, limit=100_000, port=port) as clamd:
        for text in (f"local:{clamd.socket}", f"inet:{port}@127.0.0.1"):
            spec = SocketSpec.parse(text)
            assert scan(spec, iter([mail(EICAR)]), Deadline.after(60)) == Scan(f"{NAME}.UNOFFICIAL")
            assert scan(spec, iter([mail(EICAR[:-1])]), Deadline.after(60)) == Scan()
        # By TCP, what it says before it hangs up may be lost: then there is no answer.
        spec = SocketSpec.parse(f"local:{clamd.socket}")
        assert scan(spec, iter([mail(b"x" * 1_000_000)]), Deadline.after(60)) == Scan(too_large=True)


def mail(attached):
    """Mail that clamd, left to itself, does not take for mail: it would not decode what is attached."""
    encoded = base64.encodebytes(attached).replace(b"\n", b"\r\n")
    head = b"X-Disguise: x\r\nContent-Type: application/octet-stream; name=x\r\nContent-Transfer-Encoding: base64\r\n"
    return head + b"\r\n" + encoded
