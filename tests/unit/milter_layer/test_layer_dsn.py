"""DNS and delivery status notifications: Milter.dns and Milter.dsn."""

from __future__ import annotations

import email
import smtplib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import dns.resolver
import pytest

from Milter import dns as milter_dns
from Milter import dsn
from Milter.dns import DNSError, DNSLookup, Session
from support.dns import loopback_nameserver
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

# --- dns --------------------------------------------------------------------------------------------------------

ANSWERS: dict[tuple[str, str], Any] = {
    ("a.example", "A"): [(("a.example", "A"), "192.0.2.1")],
    ("www.example", "A"): [(("www.example", "CNAME"), "a.example"), (("a.example", "A"), "192.0.2.1")],
    ("far.example", "A"): [(("far.example", "CNAME"), "a.example")],
    ("x.example", "A"): [(("x.example", "CNAME"), "y.example")],
    ("y.example", "A"): [(("y.example", "CNAME"), "x.example")],
    ("m.example", "MX"): [
        (("m.example", "MX"), (10, "mx.m.example")),
        (("mx.m.example", "A"), "192.0.2.2"),
        (("victim.example", "TXT"), (b"v=spf1 +all",)),
    ],
    ("t.example", "TXT"): [(("t.example", "TXT"), (b"v=spf1 ", b"-all")), (("t.example", "TXT"), (b"caf\xe9",))],
    **{(f"k{i}.example", "A"): [((f"k{i}.example", "CNAME"), f"k{i + 1}.example")] for i in range(20)},
}


@pytest.fixture
def asked() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def session(asked: list[tuple[str, str]]) -> Session:
    def lookup(name: str, qtype: str) -> Any:
        asked.append((name, qtype))
        return ANSWERS.get((name, qtype), [])

    return Session(lookup)


def test_an_answer_is_asked_for_once(session: Session, asked: list[tuple[str, str]]) -> None:
    """In any spelling; that there is none is remembered too."""
    assert session.dns("a.example", "A") == session.dns("A.Example.", "A") == ["192.0.2.1"]
    assert session.dns("none.example", "A") == session.dns("none.example", "A") == []
    assert asked == [("a.example", "A"), ("none.example", "A")]


@pytest.mark.parametrize("name", ["www.example", "far.example"])
def test_aliases_are_followed(session: Session, name: str) -> None:
    """Whether the answer brought their target along or not."""
    assert session.dns(name, "A") == ["192.0.2.1"]


@pytest.mark.parametrize("name", ["x.example", "k0.example"])
def test_aliases_without_end_are_an_error(session: Session, name: str) -> None:
    """In a circle, or more than ten."""
    with pytest.raises(DNSError):
        session.dns(name, "A")


def test_only_related_records_enter_the_cache(session: Session, asked: list[tuple[str, str]]) -> None:
    """The address of a mail server is believed, a policy that came along is not."""
    session.dns("m.example", "MX")
    assert session.dns("mx.m.example", "A") == ["192.0.2.2"]
    assert session.dns("victim.example", "TXT") == []
    assert asked == [("m.example", "MX"), ("victim.example", "TXT")]


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".example"])
def test_names_that_cannot_be_are_not_asked_for(session: Session, asked: list[tuple[str, str]], name: str) -> None:
    """They have no records."""
    assert session.dns(name, "A") == []
    assert asked == []


def test_text_records_are_joined_and_decoded(session: Session) -> None:
    """Octets that the charset lacks do not raise."""
    assert session.dns_txt("t.example") == ["v=spf1 -all", "caf\udce9"]
    assert session.dns_txt("t.example", enc=None) == [b"v=spf1 -all", b"caf\xe9"]
    assert session.dns_txt("") == []


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server on loopback that dnspython's default resolver asks."""
    records = '@ A 192.0.2.1\n@ MX 10 mx\nwww CNAME @\n@ TXT "one" " two"\n'
    zones = complete([Zone("example.org", records), Zone("broken.example", None)], {})
    with loopback_nameserver(ZoneResponder(zones)) as port:
        local = dns.resolver.Resolver(configure=False)
        local.nameservers, local.port = ["127.0.0.1"], port
        monkeypatch.setattr(dns.resolver, "default_resolver", local)
        yield


def test_real_answers_have_the_documented_form(resolver: None) -> None:
    """Names in lower case without final dot, values by type."""
    assert DNSLookup("Example.org", "A") == [(("example.org", "A"), "192.0.2.1")]
    assert DNSLookup("example.org.", "MX") == [(("example.org", "MX"), (10, "mx.example.org"))]
    assert DNSLookup("example.org", "TXT") == [(("example.org", "TXT"), (b"one", b" two"))]
    assert DNSLookup("www.example.org", "A")[0] == (("www.example.org", "CNAME"), "example.org")
    assert DNSLookup("example.org", "AAAA") == DNSLookup("nowhere.example.org", "A") == []


def test_a_server_that_fails_is_an_error(resolver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """SERVFAIL is not the same as no record."""
    monkeypatch.setattr(milter_dns, "LIFETIME", 0.3)
    with pytest.raises(DNSError, match=r"broken\.example MX"):
        DNSLookup("broken.example", "MX")


# --- sending ----------------------------------------------------------------------------------------------------


class MailServer:
    """Answers an SMTP client from a script of {verb: reply}, one connection after another."""

    def __init__(self, **replies: bytes) -> None:
        self.replies = replies
        self.heard: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, client.makefile("rwb", buffering=0) as stream:
                self._talk(stream)

    def _talk(self, stream: Any) -> None:
        stream.write(self.replies.get("banner", b"220 hello") + b"\r\n")
        while line := stream.readline():
            self.heard.append(line.rstrip())
            verb = line.split()[0].decode().lower() if line.split() else ""
            reply = self.replies.get(verb, b"354 go on" if verb == "data" else b"250 ok")
            stream.write(reply + b"\r\n")
            if verb == "data" and reply.startswith(b"3"):
                while (line := stream.readline()) not in (b".\r\n", b""):
                    self.heard.append(line.rstrip())
                stream.write(self.replies.get("end", b"250 queued") + b"\r\n")
            if verb == "quit":
                return

    def stop(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


class Servers:
    """Stands in for Session: the mail servers of a domain."""

    def __init__(self, *hosts: Any) -> None:
        self.hosts = hosts

    def dns(self, name: str, qtype: str) -> Any:
        assert qtype == "MX"
        return list(self.hosts)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts a scripted mail server where send_dsn() will look for one."""
    started: list[MailServer] = []

    def start(**replies: bytes) -> MailServer:
        started.append(MailServer(**replies))
        monkeypatch.setattr(dsn, "SMTP_PORT", started[-1].port)
        return started[-1]

    yield start
    for server in started:
        server.stop()


LOCAL = Servers((10, "127.0.0.1"))


def cbv(address: str = "joe@example.com", session: Any = LOCAL, msg: Any = None) -> Any:
    return dsn.send_dsn(address, "mx.example.net", msg, timeout=10, session=session)


def test_a_callback_asks_and_sends_nothing(serve: Any) -> None:
    """With the null reverse path."""
    server = serve()
    assert cbv() is None
    assert server.heard == [b"helo mx.example.net", b"MAIL FROM:<>", b"RCPT TO:<joe@example.com>", b"rset", b"quit"]


def test_a_notification_is_sent(serve: Any) -> None:
    """Lines ended and dots stuffed as SMTP wants it."""
    server = serve()
    assert cbv(msg="Subject: x\n\n.hidden\n") is None
    assert server.heard[4:7] == [b"Subject: x", b"", b"..hidden"]


@pytest.mark.parametrize(
    ("replies", "failure"),
    [
        ({"rcpt": b"550 no such user"}, (550, "no such user")),
        ({"rcpt": b"450 later"}, (450, "later")),
        ({"mail": b"550 no bounces"}, (550, "no bounces")),
        ({"banner": b"554 go away"}, (450, "No MX servers available")),
        ({"helo": b"550 go away"}, (450, "No MX servers available")),
        ({"data": b"552 full"}, (552, "full")),
        ({"end": b"554 spam"}, (554, "spam")),
    ],
)
def test_a_refusal_is_passed_on(serve: Any, replies: dict[str, bytes], failure: tuple[int, str]) -> None:
    """In the words of the other side; a server that does not talk at all is a temporary failure."""
    serve(**replies)
    assert cbv(msg="Subject: x\n\nx\n") == failure


def test_the_next_server_is_asked_in_order_of_preference(serve: Any) -> None:
    """Where the preferred one cannot be reached."""
    server = serve()
    unreachable = (5, "no-such-host.invalid.")
    assert cbv(session=Servers((10, "127.0.0.1"), unreachable)) is None
    assert server.heard


def test_a_domain_that_takes_no_mail_is_left_alone(serve: Any) -> None:
    """Null MX, RFC 7505."""
    assert cbv(session=Servers((0, "")))[0] == 556


@pytest.mark.parametrize(
    "address", ["", "<>", "joe", "joe@", "joe@a..b", "j>\r\nDATA\r\n@x", "joe@" + "x" * 64, "a b@c"]
)
def test_no_server_is_asked_about_what_is_no_address(address: str) -> None:
    """Least of all about one that would inject commands."""
    assert cbv(address)[0] == 553


def test_when_dns_fails_one_may_try_later() -> None:
    """That is no fault of the sender."""

    class Failing:
        def dns(self, name: str, qtype: str) -> Any:
            raise DNSError("SERVFAIL")

    assert cbv(session=Failing()) == (450, "4.4.3 DNS: SERVFAIL")


def test_a_server_that_hangs_up_after_its_verdict_is_believed(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent twice."""
    server = serve()

    def hang_up(self: smtplib.SMTP) -> None:
        raise smtplib.SMTPServerDisconnected

    monkeypatch.setattr(smtplib.SMTP, "quit", hang_up)
    assert cbv(session=Servers((1, "127.0.0.1"), (2, "127.0.0.1")), msg="Subject: x\n\nx\n") is None
    assert server.heard.count(b"data") == 1


def test_a_connection_lost_is_a_temporary_failure(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a verdict on the address."""
    serve()
    monkeypatch.setattr(smtplib.SMTP, "docmd", lambda self, command: (-1, b"gone"))
    assert cbv() == (450, "No MX servers available")


# --- composing --------------------------------------------------------------------------------------------------

TEMPLATE = """To: %(sender)s
From: postmaster@%(receiver)s
Subject: About %(subject)s
 and more

100%% of your mail to %(rcpt)s gave %(spf_result)s.
"""


def variables(**more: str) -> Any:
    v: Any = dsn.Vars()
    v.sender, v.receiver = "joe@example.com", "mx.example.net"
    for name, value in more.items():
        setattr(v, name, value)
    return v


ORIGINAL = email.message_from_string("Subject: Hello\nReceived-SPF: softfail (why)\n\nx\n")


def test_a_template_is_filled_in() -> None:
    """From the attributes, the recipients and the original message."""
    msg = dsn.create_msg(variables(), ["a@b", "c@d"], ORIGINAL, TEMPLATE)
    assert msg is not None
    assert (msg["To"], msg["From"]) == ("joe@example.com", "postmaster@mx.example.net")
    assert msg["Subject"] == "About Hello\n and more"
    assert msg["Auto-Submitted"] == "auto-replied"
    assert msg.get_payload() == "100% of your mail to a@b\n\tc@d gave softfail.\n"


def test_no_value_can_add_a_header_field() -> None:
    """Line breaks of any kind become spaces."""
    hostile = variables(subject="x\r\nBcc: victim@example.com\n\nbody\u2028y")
    msg = dsn.create_msg(hostile, ["a@b"], None, TEMPLATE)
    assert msg is not None
    assert msg["Bcc"] is None
    assert b"\nBcc" not in msg.as_bytes()


def test_values_that_are_not_ascii_are_encoded() -> None:
    """And undecodable ones do not raise."""
    msg = dsn.create_msg(variables(spf_result="café\udce9"), ["a@b"], None, TEMPLATE)
    assert msg is not None
    assert "café?" in msg.get_payload(decode=True).decode()
    msg.as_bytes()


def test_without_a_template_there_is_no_message() -> None:
    """None says so."""
    assert dsn.create_msg(variables()) is None


def test_mistakes_in_a_template_are_named() -> None:
    """An unknown name, a missing header."""
    with pytest.raises(KeyError, match="nosuch"):
        dsn.create_msg(variables(), template="To: %(nosuch)s\n\n")
    with pytest.raises(ValueError, match="must begin with header fields"):
        dsn.create_msg(variables(), template="Dear sender,\n\n")
