"""A digest as a user gets it: through a real Postfix, signed; its link delivers what was kept, through the same."""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import dkim as dkimpy
import pytest
import sqlalchemy as sa
from bms import JOURNEY
from starlette.testclient import TestClient

from antispam.journey.protection import protector
from antispam.learning.releases import teaching
from antispam.service.application import settings_classes
from antispam.settings import load
from antispam.store import Store
from antispam.store.schema import quarantine_entry
from antispam.web.app import application
from antispam.web.console import Console
from support.filter_process import FilterProcess
from support.mta import NameServer, Postfix
from support.network import PrivateNetwork
from support.places import REPOSITORY
from support.processes import RunDirectory
from support.signing import SigningKey
from support.sink import Sink

pytestmark = pytest.mark.servers

MESSAGE = (
    b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: the game\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: application/octet-stream; name="game.exe"\r\n\r\nMZ\r\n'
)
KEY = SigningKey.make("k", "example.com", "rsa")
CONFIG = (
    "[greylist]\nmode = off\n[helo]\nmode = off\n[spf]\nmode = off\n[defang]\nremedy = quarantine\n"
    "[dkim_sign]\nkeys = example.com k {dir}/key\n[dspam]\ndspam_users = bob\nbob = bob@example.com\n"
    "[web]\nurl = https://mail.example.com/\n[digest]\nsend = yes\nsender = postmaster@example.com\n"
    "[quarantine]\nusers_may_not_release = antivirus\n"
)


def _sent(network: PrivateNetwork, program: FilterProcess, output: Path) -> str:
    output.unlink(missing_ok=True)
    process = network.popen(
        [sys.executable, REPOSITORY / "bms.py", "-c", program.config, "digest", "send"], output=output
    )
    assert process.wait(60) == 0, output.read_text()
    return output.read_text()


def _browser(program: FilterProcess, store: Store) -> TestClient:
    settings = load([program.config], settings_classes(JOURNEY))
    console = Console(
        settings=settings, store=store, journey=JOURNEY, clock=time.time, protect=protector(JOURNEY, settings),
        teach=teaching(settings, store),
    )  # fmt: skip
    return TestClient(application(console), base_url="https://mail.example.com")


def test_the_link_of_a_digest_delivers_what_was_kept(world: tuple[PrivateNetwork, NameServer], tmp_path: Path) -> None:
    network, nameserver = world
    nameserver.load([])
    with RunDirectory("socket") as run, Sink(network) as sink:
        socket = run.path / "milter.sock"
        with (
            Postfix(network, sink, [f"unix:{socket}"]) as mta,
            FilterProcess(
                network,
                f"[outbox]\nhost = 127.0.0.1:{mta.port}\n{CONFIG}",
                socket=socket,
                files={"key": KEY.private_pem},
            ) as program,
            contextlib.closing(Store(program.database)) as store,
        ):
            client = mta.client()
            client.greet()
            client.command("EHLO mail.example.org")
            assert client.message("ann@example.org", ["bob@example.com"], MESSAGE).ok
            client.quit()
            with store.write() as connection:  # it came a while ago
                connection.execute(sa.update(quarantine_entry).values(received_at=time.time() - 3600))
            assert _sent(network, program, tmp_path / "output") == "bob: 1 to bob@example.com\n"
            assert _sent(network, program, tmp_path / "output") == ""
            (digest,) = sink.wait(1)
            mail = email.message_from_bytes(digest.raw, policy=email.policy.SMTP)
            text = mail.get_body(("plain",)).get_content()
            (link,) = re.findall(r"https://mail\.example\.com(/kept/\S+)", text)
            browser = _browser(program, store)
            assert "Deliver this message" in browser.get(urlsplit(link).path).text
            assert len(sink.deliveries) == 1
            assert browser.post(link).status_code == 200
            delivery = sink.wait(2)[1]
            assert browser.post(link).status_code == 410
            mta.wait_idle()
            assert len(sink.deliveries) == 2
            log = program.log()
    assert (digest.sender, digest.recipients) == ("", ("bob@example.com",))
    assert "the game" in text
    assert dkimpy.verify(digest.raw, dnsfunc=lambda name, timeout=5: KEY.record.encode())
    assert delivery.values("Subject") == ["the game"]
    assert b"MZ" not in delivery.body
    assert "Traceback" not in log
