"""spfmilter.py gives the results that the RFC 7208 test suite expects: each scenario's zones are served as real DNS, each of
its cases comes through the milter protocol, and the result is read where readers find it: in the reply, or in Received-SPF.
"""

from __future__ import annotations

import re
from typing import Any

from support.dns import loopback_nameserver
from support.filter_process import FilterProcess
from support.milter_client import MilterClient, Reply
from support.network import Network
from support.spf_suite import SuiteResponder, scenarios

CONFIG = """
[dns]
nameservers = 127.0.0.1@{port}
timeout = 60s
[spf]
access_file = {dir}/access
lax_permerror = no
reject_permerror = yes
"""
# The suite asks about MAIL FROM; what is found about the HELO name as well must not come first.
ACCESS = "".join(f"Helo-{result}: OK\n" for result in ("fail", "permerror", "temperror"))
REFUSALS = {b"550 5.7.23": "fail", b"550 5.7.24": "permerror", b"451 4.7.24": "temperror"}


def send(socket: str, case: dict[str, Any]) -> Reply:
    """A message as the case has it; the answer that ended it."""
    ip = str(case["host"])
    with MilterClient(socket) as client:
        client.negotiate()
        client.macros(b"C", {"j": "mx.example.test"})
        if ":" in ip:
            client.connect(b"client.test", family="6", address=b"IPv6:" + ip.encode())
        else:
            client.connect(b"client.test", address=ip.encode())
        client.helo(case["helo"].encode())
        return client.message(sender=f"<{as_path(case['mailfrom'])}>".encode())


def as_path(mailfrom: str) -> str:
    """As a client must write it (RFC 5321 section 4.1.2): a local part that is no dot-string is quoted."""
    local, _, domain = mailfrom.rpartition("@")
    if not local or re.fullmatch(r"[^\s\"(),:;<>@\[\\\]]+", local):
        return mailfrom
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + f'"@{domain}'


def result_of(reply: Reply) -> str:
    if reply.action == "y":
        return REFUSALS[reply.text[:10].replace(b"-", b" ")]
    values = [bytes(change.arguments[2]) for change in reply.changes if change.arguments[1:2] == (b"Received-SPF",)]
    return values[0].split()[0].decode() if values else f"{reply.action} {reply.text!r}"


def test_every_case_has_a_result_that_the_suite_allows() -> None:
    checked, wrong = 0, []
    for scenario in scenarios():
        with (
            loopback_nameserver(SuiteResponder(scenario["zonedata"])) as port,
            FilterProcess(
                Network(), CONFIG.replace("{port}", str(port)), files={"access": ACCESS}, program="spfmilter.py"
            ) as program,
        ):
            for name, case in scenario["tests"].items():
                checked += 1
                reply = send(str(program.socket), case)
                allowed = [case["result"]] if isinstance(case["result"], str) else case["result"]
                if result_of(reply) not in allowed:
                    wrong.append(f"{scenario['description']}: {name}: {result_of(reply)} instead of {allowed}")
                text = reply.text.decode().replace("%%", "%")  # as MTAs read it
                explanation = case.get("explanation", "DEFAULT")
                if explanation != "DEFAULT" and " ".join(explanation.split()) not in text:
                    wrong.append(f"{scenario['description']}: {name}: {explanation!r} is not in {text!r}")
            assert "Traceback" not in program.log()
    assert wrong == []
    assert checked > 200
