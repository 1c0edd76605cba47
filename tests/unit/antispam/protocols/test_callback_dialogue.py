"""Asking a stranger's mail server, whatever it is and does."""

from __future__ import annotations

import functools
import ipaddress
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antispam.checks._shared.callback.verify import Caller, Reach
from antispam.deadline import Deadline
from antispam.net.addresses import ClientList
from antispam.protocols.callback_dialogue import MAX_LINE, Dialogue, Outcome, Unreachable, Verification, ask
from support.dns import TIMEOUT, ScriptedResolver
from support.patience import quickest, took

HELLO = b"220 mx\r\n250-mx\r\n250 SIZE\r\n250 ok\r\n"


class Wire:
    """A connected socket whose other side has said everything already. `pieces` come one at each recv."""

    def __init__(self, *pieces, tick=lambda: None):
        self.pieces = list(pieces)
        self.sent = b""
        self.closed = False
        self.received = 0
        self._tick = tick

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
        self.sent += data

    def close(self):
        self.closed = True


def asked(*pieces, address="ann@example.org", deadline=None):
    wire = Wire(*pieces)
    try:
        return ask(
            address,
            "mx.example.org",
            "192.0.2.1",
            helo="me.example",
            deadline=deadline or Deadline.after(60),
            connect=lambda *where: wire,
        ), wire
    finally:
        assert wire.closed


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"250 2.1.5 ok", Outcome.OK),
        (b"251 will forward", Outcome.OK),
        (b"252 who knows", Outcome.OK),
        (b"550 5.1.1 no such user", Outcome.FAILED),
        (b"550-5.1.1 no\r\n550 such user", Outcome.FAILED),
        (b"553 no", Outcome.FAILED),
        (b"550", Outcome.FAILED),
        (b"552 5.2.2 mailbox full", Outcome.TEMPORARY),
        (b"450 4.2.0 greylisted", Outcome.TEMPORARY),
        (b"421 bye", Outcome.TEMPORARY),
        (b"530 5.7.0 STARTTLS first", Outcome.UNKNOWN),
        (b"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a.list.example", Outcome.UNKNOWN),
        (b"554 5.7.1 <ann@example.org>: Relay access denied", Outcome.FAILED),
        (b"550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", Outcome.FAILED),
    ],
)
def test_the_reply_to_rcpt_decides(reply, outcome):
    found, wire = asked(HELLO + reply + b"\r\n221 bye\r\n")
    assert found.outcome is outcome
    assert wire.sent == b"EHLO me.example\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nQUIT\r\n"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"550 5.1.0 no bounces here", Outcome.FAILED),
        (b"550 5.7.1 you are on a blacklist", Outcome.UNKNOWN),
        (b"530 5.7.0 Must issue STARTTLS", Outcome.UNKNOWN),
        (b"451 later", Outcome.TEMPORARY),
    ],
)
def test_the_reply_to_mail_may_decide(reply, outcome):
    found, wire = asked(b"220 mx\r\n250 mx\r\n" + reply + b"\r\n")
    assert found.outcome is outcome
    assert b"RCPT" not in wire.sent


@pytest.mark.parametrize(
    "said",
    [
        [b""],
        [b"554 go away\r\n"],
        [b"421 busy\r\n"],
        [b"220 mx\r\n500 what\r\n502 what\r\n"],
        [b"220 mx\r\n250 mx\r\n503 first authenticate\r\n"],
        [b"SSH-2.0-OpenSSH\r\n"],
        [b"220-mx\r\n250 mx\r\n"],
        [b"99 mx\r\n"],
        [b"\r\n"],
        [b"220 mx\r\n250 mx\r\n250 ok\r\n354 go on\r\n"],
        [TimeoutError()],
        [OSError("reset")],
        [b"x" * (1 << 20)],
        [b"220-mx\r\n" * 1000],
    ],
)
def test_what_is_no_answer_sends_us_to_the_next_server(said):
    with pytest.raises(Unreachable):
        asked(*said)


def test_a_line_without_an_end_is_not_read_to_its_end():
    wire = Wire(b"2" * (100 << 20))
    with pytest.raises(Unreachable, match="does not end"):
        Dialogue(wire, Deadline.after(60)).hear()
    assert wire.received <= 2 * MAX_LINE + 4096


def test_a_banner_without_an_end_is_not_read_to_its_end():
    wire = Wire(b"220-hello\r\n" * 1_000_000)
    with pytest.raises(Unreachable, match="does not end"):
        Dialogue(wire, Deadline.after(60)).hear()
    assert wire.received < 10_000


def test_a_server_that_drips_is_left_at_the_deadline():
    now = 0.0

    def tick():
        nonlocal now
        now += 1.0

    wire = Wire(*[b"2"] * 1000, tick=tick)
    with pytest.raises(Unreachable, match="in time"):
        Dialogue(wire, Deadline.after(10, lambda: now)).hear()
    assert wire.received <= 11


def test_a_server_that_never_says_goodbye_changes_nothing():
    found, _ = asked(HELLO + b"250 ok\r\n", TimeoutError())
    assert found.outcome is Outcome.OK


def test_an_address_in_utf_8_needs_a_server_that_knows_it():
    assert asked(HELLO, address="änn@example.org")[0].outcome is Outcome.UNKNOWN
    found, wire = asked(b"220 mx\r\n250-mx\r\n250 SMTPUTF8\r\n250 ok\r\n250 ok\r\n", address="änn@example.org")
    assert found.outcome is Outcome.OK
    assert "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<änn@example.org>\r\n".encode() in wire.sent


def test_what_was_told_is_short_and_printable():
    found, _ = asked(HELLO + b"550 \x1b[31m" + b"\xff" * 3000 + b"\r\n")
    assert len(found.detail) <= 310
    assert found.detail.isprintable()


@given(st.lists(st.binary(max_size=200), max_size=30))
@example([b"220 \xff\r\n", b"250\r\n" * 9])
def test_whatever_a_server_says_ends_in_an_outcome(pieces):
    try:
        found, wire = asked(*pieces)
    except Unreachable as error:
        detail = str(error)
    else:
        detail = found.detail
        assert b"DATA" not in wire.sent
    assert detail.isprintable()


# --- which servers -----------------------------------------------------------------------------------------------------

PUBLIC, OTHER = "9.9.9.9", "8.8.8.8"
_NOT_LOCAL = Reach(is_local=lambda address: False)


def caller(zones, connect, reach=_NOT_LOCAL, slots=None, **more):
    return Caller(
        ScriptedResolver(zones), reach, slots or threading.Semaphore(4), helo="me.example", connect=connect, **more
    )


class Internet:
    """Servers by address: what each says, or an OSError. Keeps whom it was asked for."""

    def __init__(self, **servers):
        self.servers = {address.replace("_", "."): said for address, said in servers.items()}
        self.connected = []

    def __call__(self, address, port, timeout):
        self.connected.append(address)
        said = self.servers.get(address, ConnectionRefusedError(111, "Connection refused"))
        if isinstance(said, OSError):
            raise said
        return Wire(said)


YES, NO = HELLO + b"250 ok\r\n221 bye\r\n", HELLO + b"550 5.1.1 no\r\n221 bye\r\n"


def verify(zones, net, address="ann@example.org", **more):
    return caller(zones, net, **more).verify(address, Deadline.after(60))


def test_the_host_of_the_lowest_preference_is_asked():
    net = Internet(**{"9_9_9_9": YES, "8_8_8_8": NO})
    zones = {"example.org": {"MX": [(20, "b"), (10, "a")]}, "a": {"A": [PUBLIC]}, "b": {"A": [OTHER]}}
    assert verify(zones, net).outcome is Outcome.OK
    assert net.connected == [PUBLIC]


def test_one_that_is_down_gives_way_to_the_next():
    net = Internet(**{"8_8_8_8": NO})
    zones = {"example.org": {"MX": [(10, "a"), (20, "b")]}, "a": {"A": [PUBLIC]}, "b": {"A": [OTHER]}}
    assert verify(zones, net).outcome is Outcome.FAILED
    assert net.connected == [PUBLIC, OTHER]


def test_without_mx_records_the_domain_itself_is_the_host():
    assert verify({"example.org": {"A": [PUBLIC]}}, Internet(**{"9_9_9_9": YES})).outcome is Outcome.OK


def test_ipv6_is_asked_where_ipv4_does_not_answer():
    net = Internet(**{"2620:fe::fe": YES})
    zones = {"example.org": {"MX": [(10, "a")]}, "a": {"A": [PUBLIC], "AAAA": ["2620:fe::fe"]}}
    assert verify(zones, net).outcome is Outcome.OK


def test_all_down_is_temporary():
    zones = {"example.org": {"MX": [(10, "a")]}, "a": {"A": [PUBLIC]}}
    found = verify(zones, Internet())
    assert found.outcome is Outcome.TEMPORARY
    assert "refused" in found.detail


@pytest.mark.parametrize(
    ("zones", "outcome", "null_mx"),
    [
        ({}, Outcome.FAILED, False),
        ({"example.org": {"TXT": ["x"]}}, Outcome.FAILED, False),
        ({"example.org": {"MX": [(0, "")]}}, Outcome.FAILED, True),
        ({"example.org": {"MX": [(10, "a")]}}, Outcome.FAILED, False),
        ({"example.org": TIMEOUT}, Outcome.TEMPORARY, False),
        ({"example.org": {"MX": [(10, "a")]}, "a": TIMEOUT}, Outcome.TEMPORARY, False),
    ],
)
def test_what_dns_says_may_decide(zones, outcome, null_mx):
    net = Internet()
    found = verify(zones, net)
    assert (found.outcome, found.null_mx, net.connected) == (outcome, null_mx, [])


@pytest.mark.parametrize(
    "inside",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:7f00:1::1",
        "2001:db8::1",
    ],
)
def test_no_address_inside_is_ever_called(inside):
    kind = "AAAA" if ":" in inside else "A"
    net = Internet()
    found = verify({"example.org": {"MX": [(10, "a")]}, "a": {kind: [inside]}}, net)
    assert (found.outcome, net.connected) == (Outcome.FAILED, [])


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_whatever_is_called_is_public(address):
    mapped = address.ipv4_mapped if address.version == 6 else None
    if _NOT_LOCAL.allows(mapped or address):
        assert address.is_global
        assert not address.is_multicast


def test_an_address_of_ours_is_not_called():
    zones = {"example.org": {"MX": [(10, "a")]}, "a": {"A": [PUBLIC]}}
    for reach in (Reach(is_local=lambda address: str(address) == PUBLIC), Reach(ours=ClientList(("9.9.9.0/24",)))):
        net = Internet()
        found = verify(zones, net, reach=reach)
        assert (found.outcome, net.connected) == (Outcome.UNKNOWN, [])


def test_an_exception_may_be_called():
    zones = {"example.org": {"MX": [(10, "a")]}, "a": {"A": ["10.0.0.1"]}}
    reach = Reach(ours=ClientList(("10.0.0.0/8",)), also=ClientList(("10.0.0.1",)))
    assert verify(zones, Internet(**{"10_0_0_1": YES}), reach=reach).outcome is Outcome.OK


def test_this_machine_knows_its_own_addresses():
    reach = Reach()
    assert reach.is_local(ipaddress.ip_address("127.0.0.1"))
    assert not reach.is_local(ipaddress.ip_address(PUBLIC))


def test_a_thousand_hosts_are_not_all_asked():
    hosts = [(number, f"h{number}") for number in range(1000)]
    zones = {"example.org": {"MX": hosts}} | {
        host: {"A": [f"9.9.9.{n % 250 + 1}" for n in range(100)]} for _, host in hosts
    }
    net = Internet()
    assert verify(zones, net).outcome is Outcome.TEMPORARY
    assert len(net.connected) <= 8


def test_where_no_place_is_free_it_is_not_asked():
    zones = {"example.org": {"MX": [(10, "a")]}, "a": {"A": [PUBLIC]}}
    net = Internet(**{"9_9_9_9": YES})
    found = caller(zones, net, slots=threading.Semaphore(0), timeout=0.01).verify("ann@example.org", Deadline.after(60))
    assert (found.outcome, net.connected) == (Outcome.TEMPORARY, [])


def test_a_silent_server_leaves_time_to_the_next():
    shares = []

    def connect(address, port, timeout):
        shares.append(timeout)
        raise TimeoutError

    zones = {"example.org": {"MX": [(10, "a"), (20, "b")]}, "a": {"A": [PUBLIC]}, "b": {"A": [OTHER]}}
    outcomes = []
    asking = functools.partial(verify, zones, connect, timeout=8.0)
    assert quickest(lambda: took(lambda: outcomes.append(asking().outcome)), limit=5) < 5
    assert set(outcomes) == {Outcome.TEMPORARY}
    assert all(share <= 4.0 for share in shares)


@pytest.mark.parametrize(
    "address", ["ann", "ann@", "@", "ann@localhost", "ann@[127.0.0.1]", "ann@-x.org", "ann@" + "a." * 200]
)
def test_what_has_no_domain_takes_no_mail(address):
    assert verify({}, Internet(), address).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "address", ["a b@example.org", "a>@example.org", "a\r\nDATA@example.org", "\udcff@example.org"]
)
def test_what_can_not_be_said_is_not_said(address):
    net = Internet(**{"9_9_9_9": YES})
    assert verify({"example.org": {"A": [PUBLIC]}}, net, address).outcome is Outcome.UNKNOWN
    assert net.connected == []


@given(st.text(max_size=400))
@example("a@example.org\n")
@example('"a b"@example.org')
@example("@example.org")
def test_whatever_the_address_one_command_is_one_line(address):
    wires = []

    def connect(*where):
        wires.append(Wire(YES))
        return wires[-1]

    found = verify({"example.org": {"A": [PUBLIC]}}, connect, address)
    assert isinstance(found, Verification)
    for wire in wires:
        assert wire.sent.count(b"\r\n") == wire.sent.count(b"\n") == wire.sent.count(b"\r") == 4
