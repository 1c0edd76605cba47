"""`bms cbv` and `bms dsn show`."""

from __future__ import annotations

import json
import time

import click.testing
import pytest
from bms import main

from antispam.checks._shared.callback.notice import NAMES
from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.store import Store, callbacks
from support.dns import loopback_nameserver
from support.mail_exchanger import MailExchanger
from support.network import Network
from support.stores import make_store
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

ZONES = complete([Zone("example.org", "@ MX 10 mx\nmx A 127.0.0.1\n")], {})


@pytest.fixture
def bms(tmp_path):
    network = Network()
    port = network.free_port()
    answers = [("ann@*", "250 2.1.5 ok"), ("odd@*", "550 \x1b[31mno"), ("*", "550 5.1.1 no such user")]
    with MailExchanger(network, "127.0.0.1", port, answers), loopback_nameserver(ZoneResponder(ZONES)) as dns:

        def run(*arguments, config="also_call = 127.0.0.0/8"):
            file = tmp_path / "milter.cfg"
            file.write_text(
                f"[milter]\ndatadir = {tmp_path}\n[dns]\nnameservers = 127.0.0.1@{dns}\n"
                f"[callback]\nport = {port}\nhelo = me.example\n{config}\n"
            )
            return click.testing.CliRunner().invoke(main, ["--config", str(file), *arguments])

        yield run


def test_the_dialogue_is_shown(bms):
    result = bms("cbv", "ann@example.org")
    assert result.exit_code == 0
    assert "C: EHLO me.example\n" in result.output
    assert "C: MAIL FROM:<>\nS: 250 2.1.0 ok\nC: RCPT TO:<ann@example.org>\nS: 250 2.1.5 ok\nC: QUIT\n" in result.output
    assert result.output.endswith("ann@example.org: ok. mx.example.org: 250 2.1.5 ok\n")


def test_the_exit_status_tells_the_outcome(bms):
    assert bms("cbv", "bob@example.org").exit_code == 67
    assert bms("cbv", "bob@nowhere.example").exit_code == 67
    assert bms("cbv", "ann@example.org", config="").exit_code == 67  # no public address


def test_nothing_that_a_server_says_speaks_to_the_terminal(bms):
    assert "\x1b" not in bms("cbv", "odd@example.org").output


def test_a_program_gets_json(bms):
    found = json.loads(bms("cbv", "--json", "bob@example.org").output)
    assert found == {
        "address": "bob@example.org",
        "outcome": "failed",
        "detail": "550 5.1.1 no such user",
        "host": "mx.example.org",
    }


def test_what_is_remembered_can_be_seen(bms, tmp_path):
    assert bms("cbv", "--known", "ann@example.org").exit_code == 1
    url = f"sqlite:///{tmp_path / 'bms.sqlite'}"
    make_store(url)
    store = Store(url)
    callbacks.remember(store, "ann@example.org", Verification(Outcome.FAILED, "550 gone"), time.time(), 100)
    store.close()
    result = bms("cbv", "--known", "ann@example.org")
    assert (result.exit_code, result.output) == (67, "ann@example.org: failed. 550 gone\n")


def test_an_entry_that_calls_nobody_is_told(bms, tmp_path):
    (tmp_path / "access").write_text("SPF-Softfail: DSN\nSPF-Neutral: CBV\nHelo-Fail:x.org CBV\nSPF-Fail: REJECT\n")
    spf = f"[spf]\naccess_file = {tmp_path}/access\n"
    warned = [line for line in bms("check-config", config=spf).output.splitlines() if "Warning:" in line]
    assert [line.split()[1:3] for line in warned] == [["spf-softfail:", "DSN"], ["helo-fail:x.org", "CBV"]]
    assert "Warning:" not in bms("check-config", config=f"forged = yes\n{spf}").output


@pytest.mark.parametrize("name", NAMES)
def test_a_notice_can_be_seen(bms, name):
    result = bms("dsn", "show", name)
    assert result.exit_code == 0
    assert "Content-Type: multipart/report" in result.output
