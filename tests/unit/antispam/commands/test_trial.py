"""`--test FILE`: what a message itself says of its way, and what would become of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import spfmilter
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from antispam.commands.trial import envelope_of
from antispam.mail.message import Header, split_message
from support.dkim_mail import RAW_RSA, pem
from support.dns import loopback_nameserver
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

TOP = Path(__file__).parents[4]
POSTFIX = "from mx.example.org (mail.example.org [192.0.2.1])\n\tby mx.example.com (Postfix) with ESMTP id A for <b@b.example>"
SENDMAIL = "from mx.example.org ([IPv6:2001:db8::1]) by mx.example.com (8.17.1/8.17.1) with ESMTP id x"
LETTER = "Return-Path: <ann@partner.example>\nReceived: {}\nFrom: boss@partner.example\nSubject: Lunch\n\nShall we?\n"


@pytest.mark.parametrize(
    ("received", "ip", "name", "helo"),
    [
        (POSTFIX, "192.0.2.1", "mail.example.org", "mx.example.org"),
        (SENDMAIL, "2001:db8::1", "", "mx.example.org"),
        (POSTFIX.replace("mail.example.org", "unknown"), "192.0.2.1", "", "mx.example.org"),
        ("by mx.example.com with local", "127.0.0.1", "localhost", "localhost"),
        ("from a (b [999.1.2.3])", "127.0.0.1", "localhost", "localhost"),
    ],
)
def test_the_client_is_that_of_the_received_field(received: str, ip: str, name: str, helo: str) -> None:
    envelope = envelope_of(split_message(LETTER.format(received).encode())[0])
    assert (envelope.ip, envelope.name, envelope.helo, envelope.mail_from) == (ip, name, helo, "ann@partner.example")


def test_without_a_return_path_the_author_is_the_sender() -> None:
    envelope = envelope_of(split_message(b"From: Ann <ann@example.org>\n\nHi\n")[0])
    assert (envelope.mail_from, envelope.ip) == ("ann@example.org", "127.0.0.1")


@given(st.lists(st.tuples(st.sampled_from([b"Received", b"Return-Path", b"From"]), st.binary(max_size=80)), max_size=6))
def test_no_header_is_too_strange(fields: list[tuple[bytes, bytes]]) -> None:
    envelope_of([Header(*field) for field in fields])


@pytest.fixture
def run(tmp_path: Path):
    """Runs a program's --test over a letter, with a configuration."""

    def test(main, letter: str, options: str = ""):
        zones = [Zone("partner.example", '@ TXT "v=spf1 ip4:192.0.2.1 -all"')]
        (tmp_path / "letter.eml").write_text(letter)
        with loopback_nameserver(ZoneResponder(complete(zones, {}))) as port:
            config = tmp_path / "program.cfg"
            config.write_text(f"[dns]\nnameservers = 127.0.0.1@{port}\n{options}")
            return CliRunner().invoke(main, ["-c", str(config), "--test", str(tmp_path / "letter.eml")])

    return test


def test_spfmilter_tells_an_honest_sender_from_a_forger(run) -> None:
    honest = run(spfmilter.main, LETTER.format(POSTFIX))
    assert honest.exit_code == 0, honest.output
    assert "spf: continue, SPF pass for partner.example" in honest.output
    assert "put on top: Received-SPF: pass" in honest.output
    forged = run(spfmilter.main, LETTER.format(POSTFIX.replace("192.0.2.1", "203.0.113.9")))
    assert forged.exit_code == 1
    assert "550 5.7.23" in forged.output
    assert forged.output.rstrip().endswith("refused")


def test_dkim_milter_shows_the_signature_that_a_draft_would_get(run, tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("dkim_milter", TOP / "dkim-milter.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    key = tmp_path / "k.private"
    key.write_bytes(pem(RAW_RSA))
    key.chmod(0o600)
    done = run(module.main, "From: ann@partner.example\n\nHi\n", f"[dkim_sign]\nkeys = partner.example s {key}\n")
    assert "put on top: DKIM-Signature: v=1; a=rsa-sha256" in done.output
    assert done.output.rstrip().endswith("delivered")
