"""The zone that `bms bans` writes, loaded by a real name server and asked as other mail servers ask a DNSBL (RFC 5782)."""

from __future__ import annotations

import dataclasses
import time

import click.testing
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
from bms import main

from antispam.store import Store, migrate
from antispam.store.lists import Kind, add
from support.mta import NameServer
from support.network import PrivateNetwork
from support.patience import PATIENCE

pytestmark = pytest.mark.servers

REASON = '4 offences: HELO "x\\" \n$INCLUDE /etc/passwd ; \u202e' + "x" * 300


@dataclasses.dataclass(frozen=True)
class Written:
    """A zone as the command wrote it."""

    name: str
    text: str
    records: str = ""


@pytest.fixture
def zones(tmp_path):
    """Both zones, as they come out of the command, over lists with whatever strangers put into them."""
    url = f"sqlite:///{tmp_path / 'bms.sqlite'}"
    migrate(url)
    store = Store(url)
    names = [
        (Kind.BANNED_IP, "203.0.113.9"),
        (Kind.BANNED_IP, "2001:db8:1:2::99"),
        (Kind.BANNED_DOMAIN, "pills.example"),
        (Kind.BANNED_DOMAIN, "*.spam.example"),
        (Kind.BANNED_DOMAIN, "b\u00fccher.example"),
        (Kind.BANNED_DOMAIN, "_odd.example"),
        (Kind.BANNED_DOMAIN, ".".join(["a" * 60] * 4)),  # does not fit below any zone
    ]
    for kind, name in names:
        add(store, kind, name, reason=REASON, by="test", now=time.time())
    add(
        store, Kind.BANNED_IP, "203.0.113.10", reason="over", by="test", now=time.time() - 9, expires_at=time.time() - 1
    )
    store.close()
    (tmp_path / "milter.cfg").write_text(f"[milter]\ndatadir = {tmp_path}\n")

    def written(name, *options):
        file = tmp_path / name
        arguments = ["--config", str(tmp_path / "milter.cfg"), "bans", "--zone", name, "--output", str(file), *options]
        result = click.testing.CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return Written(name, file.read_text())

    return [written("bans.example.net"), written("domains.example.net", "--domains")]


def ask(network, name, kind="A"):
    query = dns.message.make_query(name, kind)
    with network.entered():
        return dns.query.udp(query, "127.0.0.1", PATIENCE)


def test_a_real_name_server_answers_for_who_is_banned_and_for_nobody_else(network: PrivateNetwork, zones) -> None:
    nibbles = "1.0.0.0.0.0.0.0." + "0.0.0.0.0.0.0.0." + "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
    listed = [
        "9.113.0.203.bans.example.net",
        "2.0.0.127.bans.example.net",
        f"{nibbles}.bans.example.net",
        "pills.example.domains.example.net",
        "spam.example.domains.example.net",
        "mx1.a.spam.example.domains.example.net",
        "xn--bcher-kva.example.domains.example.net",
        "_odd.example.domains.example.net",
        "test.domains.example.net",
    ]
    unlisted = [
        "10.113.0.203.bans.example.net",
        "1.0.0.127.bans.example.net",
        f"{nibbles.replace('2.0.0.0.1', '3.0.0.0.1')}.bans.example.net",
        "mx.pills.example.domains.example.net",
        "invalid.domains.example.net",
    ]
    with NameServer(network, zones):
        for name in listed:
            answer = ask(network, name).answer
            assert [str(record) for records in answer for record in records] == ["127.0.0.2"], name
        for name in unlisted:
            assert ask(network, name).rcode() == dns.rcode.NXDOMAIN, name


def test_what_strangers_wrote_into_a_reason_is_text_and_nothing_else(network: PrivateNetwork, zones) -> None:
    with NameServer(network, zones):
        (records,) = ask(network, "9.113.0.203.bans.example.net", "TXT").answer
        (text,) = records[0].strings
    assert text.startswith(b"4 offences: HELO ?x??")
    assert all(0x20 <= octet < 0x7F for octet in text)
