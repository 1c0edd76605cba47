"""Recipients that a real MTA has expanded by the time the filter takes them out: aliases, tables, local destinations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from support.filter_process import FilterProcess
from support.mta import HOSTNAME, Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.processes import RunDirectory
from support.sink import Sink

pytestmark = pytest.mark.servers

ALIASES = """\
sue: sue.smith@inside.example
tom: tom.lee@inside.example
team: one@inside.example, two@inside.example
copycust: help@inside.example
"""
TABLE = "walter@virtual.example\twalter.white@inside.example\n"
CONFIG = f"""
[greylist]
mode = off
[spf]
mode = off
[smart_alias]
a1 = client@client.example, sue@{HOSTNAME}, other@inside.example
a2 = client@client.example, walter@virtual.example, other@inside.example
a3 = client@client.example, team@{HOSTNAME}, other@inside.example
a4 = client@client.example, tom@{HOSTNAME}, tom.lee@inside.example
copycust = client@client.example, kim@inside.example
[wiretap]
users = tapped@client.example
dest = spy@inside.example
"""


@contextlib.contextmanager
def running(kind: str, world: tuple[PrivateNetwork, NameServer]) -> Iterator[tuple[Mta, Sink, FilterProcess]]:
    network, nameserver = world
    nameserver.load([])
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunDirectory("socket"))
        sink = stack.enter_context(Sink(network))
        socket = run.path / "milter.sock"
        mta: Mta
        if kind == "postfix":
            tables = stack.enter_context(RunDirectory("tables"))
            tables.path.chmod(0o755)
            aliases = ALIASES.replace(": ", f"@{HOSTNAME} ")
            tables.write("virtual", TABLE + aliases).chmod(0o644)
            extra = {
                "virtual_alias_maps": f"texthash:{tables.path}/virtual",
                "virtual_alias_domains": "virtual.example",
            }
            mta = stack.enter_context(Postfix(network, sink, [f"unix:{socket}"], extra=extra))
        else:
            extra_mc = (
                "FEATURE(`virtusertable', `hash -o RUN/virtualtable')dnl\nVIRTUSER_DOMAIN(`virtual.example')dnl\n"
            )
            files = {"aliases": ALIASES, "virtualtable": TABLE}
            mta = stack.enter_context(Sendmail(network, sink, [f"local:{socket}"], extra_mc=extra_mc, files=files))
        program = stack.enter_context(FilterProcess(network, CONFIG, socket=socket))
        yield mta, sink, program


@pytest.fixture(params=["postfix", "sendmail"], scope="module")
def running_servers(request: pytest.FixtureRequest, world: tuple[PrivateNetwork, NameServer]):
    with running(str(request.param), world) as found:
        yield found


@pytest.mark.parametrize(
    ("recipient", "others", "expected"),
    [
        (f"sue@{HOSTNAME}", [], ["other@inside.example"]),
        (f"Sue@{HOSTNAME.upper()}", [], ["other@inside.example"]),
        (f"team@{HOSTNAME}", [], ["other@inside.example"]),
        ("walter@virtual.example", [], ["other@inside.example"]),
        ("walter@virtual.example", ["max@inside.example"], ["max@inside.example", "other@inside.example"]),
        ("kim@inside.example", [], ["help@inside.example"]),
        # The alias that is taken out leads where the mail shall go.
        (f"tom@{HOSTNAME}", [], ["tom.lee@inside.example"]),
        (f"tom@{HOSTNAME}", ["max@inside.example"], ["max@inside.example", "tom.lee@inside.example"]),
        # Who was named himself keeps his mail, although an alias that is taken out leads to him, too.
        (f"sue@{HOSTNAME}", ["sue.smith@inside.example"], ["sue.smith@inside.example", "other@inside.example"]),
        (f"team@{HOSTNAME}", ["one@inside.example"], ["one@inside.example", "other@inside.example"]),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
def test_what_the_mta_expanded_is_taken_out(running_servers, recipient, others, expected, order) -> None:
    mta, sink, program = running_servers
    sink.clear()
    with mta.client("192.0.2.10") as client:
        client.greet()
        client.command("EHLO mail.client.example")
        client.command("MAIL FROM:<client@client.example>")
        for one in [*others, recipient] if order else [recipient, *others]:
            assert client.command(f"RCPT TO:<{one}>").code == 250
        client.command("DATA")
        client.send(b"From: client@client.example\r\nSubject: hello\r\n\r\nHello\r\n.\r\n")
        assert client.read_reply().code == 250
    mta.wait_idle()
    got = sorted(one for delivery in sink.deliveries for one in delivery.recipients)
    assert got == sorted(expected), program.log() + mta.log()[-3000:]


def test_nobody_is_told_of_a_copy_that_bounces(running_servers) -> None:
    mta, sink, program = running_servers
    sink.clear()
    with mta.client("192.0.2.10") as client:
        client.greet()
        client.command("EHLO mail.client.example")
        content = b"From: tapped@client.example\r\nSubject: hello\r\n\r\nHello\r\n"
        assert client.message("tapped@client.example", ["max@inside.example"], content).code == 250
    mta.wait_idle()
    got = {
        one: parameters
        for delivery in sink.deliveries
        for one, parameters in zip(delivery.recipients, delivery.recipient_parameters, strict=True)
    }
    assert set(got) == {"max@inside.example", "spy@inside.example"}, program.log()
    assert "NOTIFY=NEVER" in got["spy@inside.example"]
    assert "NOTIFY=NEVER" not in got["max@inside.example"]
