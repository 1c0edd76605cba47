"""spfmilter.py and dkim-milter.py as an administrator runs them: under both MTAs, with several workers, reloaded by HUP."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from support.filter_process import FilterProcess
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.places import missing_servers
from support.processes import wait_until
from support.sink import Sink
from support.smtp_client import Reply, to_content
from support.zones import Zone, complete

pytestmark = [pytest.mark.servers, pytest.mark.skipif(bool(missing_servers()), reason=missing_servers() or "-")]

HONEST, FORGER, LOCALHOST = "192.0.2.1", "203.0.113.66", "203.0.113.99"
ZONES = [Zone("partner.example", f'@ TXT "v=spf1 ip4:{HONEST} -all"\nsoft TXT "v=spf1 ~all"')]
LETTER = b"From: ann@partner.example\r\nAuthentication-Results: mx.example.test; spf=pass\r\n\r\nHello\r\n"


@pytest.fixture(scope="module")
def network() -> Iterator[PrivateNetwork]:
    hosts = {HONEST: "mail.partner.example", FORGER: "host66.evil.example", LOCALHOST: "localhost"}
    with PrivateNetwork() as network, NameServer(network, complete(ZONES, hosts)):
        yield network


@pytest.fixture(params=["postfix", "sendmail"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def attached(kind: str, network: PrivateNetwork, sink: Sink, program: FilterProcess) -> Mta:
    if kind == "postfix":
        return Postfix(network, sink, [f"unix:{program.socket}"])
    return Sendmail(network, sink, [f"local:{program.socket}"])


def send(mta: Mta, client: str, sender: str = "ann@partner.example") -> Reply:
    with mta.client(client) as smtp:
        smtp.greet()
        smtp.command("EHLO mail.partner.example")
        return smtp.message(sender, ["bob@example.com"], LETTER)


def test_spfmilter_refuses_forgers_and_marks_what_passes(kind: str, network: PrivateNetwork) -> None:
    access = "SPF-Softfail:soft.partner.example REJECT\n"
    config = "[spf]\naccess_file = {dir}/access\n"
    with (
        Sink(network) as sink,
        FilterProcess(
            network, config, files={"access": access}, program="spfmilter.py", workers=2, fresh=True
        ) as program,
        attached(kind, network, sink, program) as mta,  # type: ignore[attr-defined]
    ):
        assert "5.7.23" in str(send(mta, FORGER))
        assert send(mta, FORGER, "ann@soft.partner.example").code == 550
        assert send(mta, HONEST).ok
        mta.wait_idle()
        (delivery,) = sink.deliveries
        assert b"Received-SPF: pass" in delivery.header_block
        assert delivery.header_block.count(b"Authentication-Results: mx.example.test") == 1
        assert b"spf=pass smtp.mailfrom=ann@partner.example" in delivery.header_block
        assert "Traceback" not in program.log()


def test_a_reload_changes_the_policy_of_both_mtas_filter(kind: str, network: PrivateNetwork) -> None:
    with (
        Sink(network) as sink,
        FilterProcess(network, "", program="spfmilter.py") as program,
        attached(kind, network, sink, program) as mta,  # type: ignore[attr-defined]
    ):
        assert not send(mta, FORGER).ok
        program.config.write_text(program.config.read_text() + "[spf]\nmode = log\n")
        os.kill(program.pid, signal.SIGHUP)
        wait_until(lambda: send(mta, FORGER).ok, "the new settings hold")
        assert "WOULD REJECT spf" in program.log()


def test_dkim_milter_removes_forged_results(kind: str, network: PrivateNetwork) -> None:
    with (
        Sink(network) as sink,
        FilterProcess(network, "", program="dkim-milter.py", workers=2) as program,
        attached(kind, network, sink, program) as mta,  # type: ignore[attr-defined]
    ):
        assert send(mta, FORGER).ok
        mta.wait_idle()
        (delivery,) = sink.deliveries
        assert b"spf=pass" not in delivery.header_block
        assert b"dkim=none" in delivery.header_block


def test_dkim_milter_speaks_at_the_end_of_the_message(kind: str, network: PrivateNetwork) -> None:
    """No MTA waits for it before, so that what was found about the client waits, too."""
    with (
        Sink(network) as sink,
        FilterProcess(
            network, "[connection]\nlocalhost_ptr = reject\n", program="dkim-milter.py", fresh=True
        ) as program,
        attached(kind, network, sink, program) as mta,  # type: ignore[attr-defined]
    ):
        with mta.client(LOCALHOST) as smtp:
            smtp.greet()
            smtp.command("EHLO mail.partner.example")
            steps = ("MAIL FROM:<ann@partner.example>", "RCPT TO:<bob@example.com>", "DATA")
            assert [smtp.command(step).code for step in steps] == [250, 250, 354]
            smtp.send(to_content(LETTER))
            assert "says localhost" in str(smtp.read_reply())
        assert send(mta, HONEST).ok
        mta.wait_idle()
        assert len(sink.deliveries) == 1
        assert "Traceback" not in program.log()
