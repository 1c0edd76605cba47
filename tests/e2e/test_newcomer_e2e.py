"""The way of a newcomer, in the order of the README: attach the filter to Postfix, look into the quarantine, release, ask what
became of a message, get a digest, and teach with a Junk folder. Every server is real, and used as a person uses it."""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import dkim as dkimpy
import httpx2
import pytest
import sqlalchemy as sa
from bms import main
from click.testing import CliRunner
from imapclient import IMAPClient

from antispam.learning.teacher import Dictionaries
from antispam.store import Store
from antispam.store.history_search import Search, search
from antispam.store.quarantine import State, of_ref
from antispam.store.schema import quarantine_entry
from support.dovecot import PASSWORD, Dovecot
from support.filter_process import FilterProcess
from support.learning import HAM, SPAM, Learned
from support.mta import NameServer, Postfix
from support.network import PrivateNetwork
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory, wait_until
from support.signing import SigningKey
from support.sink import Sink
from support.smtp_client import Reply
from support.zones import Zone

pytestmark = pytest.mark.servers

ANN = "ann@example.com"
KEY = SigningKey.make("k", "example.com", "rsa")
GAME = (
    b"From: joe@example.org\r\nTo: ann@example.com\r\nSubject: the game\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: application/octet-stream; name="game.exe"\r\n\r\nMZ\r\n'
)
# What the README's lines need beside them in a network without time and names.
MORE = (
    "[outbox]\nhost = 127.0.0.1:{mta}\n[greylist]\nmode = off\n[header_oddities]\nmissing_from = reject\n"
    "[defang]\nremedy = quarantine\n[quarantine]\nusers_may_not_release = antivirus\n"
    "[dkim_sign]\nkeys = example.com k {dir}/key\n"
)


def _readme_lines() -> str:
    """The configuration that the README gives to those who want users to see what is kept."""
    section = (REPOSITORY / "README.md").read_text().partition("## Show users what is kept from them")[2]
    return textwrap.dedent(re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)[0])


ZONES = [
    Zone("", ""),
    Zone("example.net", 'example.net. TXT "v=spf1 ip4:192.0.2.7 -all"\nmail.example.net. A 192.0.2.7\n'),
    Zone("2.0.192.in-addr.arpa", "7.2.0.192.in-addr.arpa. PTR mail.example.net.\n"),
]


class Site:
    """A site of one mail server with the filter, and a person at it, in a network of their own."""

    def __init__(self, network: PrivateNetwork, mta: Postfix, sink: Sink, socket: Path) -> None:
        self.network, self.mta, self.sink = network, mta, sink
        self.replied = Reply(0, "", "")
        self.web = f"http://127.0.0.1:{network.free_port()}"
        config = _readme_lines() + MORE.replace("{mta}", str(mta.port))
        for theirs, ours in (
            ("https://mail.example.com", self.web), ("127.0.0.1:8025", self.web.removeprefix("http://")),
            ("/run/milter", "{dir}"), ("vmail", "mail"),
        ):  # fmt: skip
            assert theirs in config
            config = config.replace(theirs, ours)
        self.program = FilterProcess(
            network, config, socket=socket, files={"key": KEY.private_pem}, learned=Learned([("ann", 120)])
        )

    def bms(self, *words: str) -> str:
        """What a command writes."""
        result = CliRunner().invoke(main, ["-c", str(self.program.config), *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def send(self, message: bytes) -> Reply:
        """What Postfix replies to a stranger who writes to ann."""
        client = self.mta.client("192.0.2.7")
        client.greet()
        client.command("EHLO mail.example.net")
        reply = client.message("win@example.net", [ANN], message)
        client.quit()
        return reply

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        with contextlib.closing(Store(self.program.database)) as store:
            yield store

    def totals(self) -> tuple[int, int]:
        """What ann's dictionary has learned: spam, ham."""
        with self.store() as store:
            found = Dictionaries(store).get("ann")
            assert found is not None
            return found.totals()

    @contextlib.contextmanager
    def browser(self) -> Iterator[httpx2.Client]:
        port = int(self.web.rpartition(":")[2])
        wait_until(lambda: self.network.accepts("127.0.0.1", port), "the console answers")
        patient = httpx2.Client(follow_redirects=True, base_url=self.web, timeout=PATIENCE)
        with self.network.entered(), patient as browser:
            yield browser


@pytest.fixture
def site(world: tuple[PrivateNetwork, NameServer]) -> Iterator[Site]:
    network, nameserver = world
    nameserver.load(ZONES)
    with RunDirectory("socket") as run, Sink(network) as sink:
        socket = run.path / "milter.sock"
        with Postfix(network, sink, [f"unix:{socket}"]) as mta:
            made = Site(network, mta, sink, socket)
            with made.program:
                yield made
                assert "Traceback" not in made.program.log()


def test_from_the_readme_to_a_filter_that_learns(site: Site) -> None:
    for step in (_filters, _releases, _explains, _is_told, _moves_to_junk):
        step(site)


def _filters(site: Site) -> None:
    """What ann's dictionary knows as spam stays away from her; other mail arrives."""
    reply = site.send(HAM.format(999).encode())
    assert reply.ok, reply
    (wanted,) = site.sink.wait(1)
    assert wanted.values("Subject") == ["lunch 999"]


def _releases(site: Site) -> None:
    """Ann logs in, sees what is kept and why, and releases it: it is delivered, and learned."""
    site.replied = site.send(SPAM.format(999).encode())
    assert site.replied.ok
    site.mta.wait_idle()
    assert len(site.sink.deliveries) == 1, site.sink.deliveries[-1].header_block.decode()
    before = site.totals()
    told = site.bms("web", "account", "add", "ann", "--mailbox", "ann", "--link")
    (link,) = re.findall(r"http://\S+/enter/\S+", told)
    with site.browser() as browser:
        assert browser.post(link).status_code == 200
        page = browser.get("/").text
        assert "WIN 999" in page
        assert "The mail filter takes it for spam." in page
        token, ref = (re.findall(f'name="{name}" value="([^"]+)"', page)[0] for name in ("token", "ref"))
        assert browser.post("/quarantine", data={"token": token, "do": "release", "ref": ref}).status_code == 200
    assert site.sink.wait(2)[1].values("Subject") == ["WIN 999"]
    with site.store() as store:
        wait_until(
            lambda: of_ref(store, ref.split()[0])[0].state is State.RELEASED, "the outbox knows that it was taken"
        )
    assert site.totals() == (before[0], before[1] + 1)


def _explains(site: Site) -> None:
    """The replies that senders got lead to what became of their messages: one that was taken, and one that was refused."""
    reply = site.send(b"Subject: no author\r\n\r\nhello\r\n")
    (ref,) = re.findall(r"\(ref (\w+)\)", reply.text)
    with site.store() as store:
        wait_until(lambda: search(store, Search(name=ref), 1) != [], "the history has it")
    queue_id = re.findall(r"queued as (\w+)", site.replied.text)[0]
    released, refused = re.split("(?=Message )", site.bms("explain", queue_id, str(reply)))[1:]
    assert "WIN 999" in released
    assert "released to ann; the mail server took it" in released
    assert "refused with 550" in refused
    assert "header_oddities" in refused


def _is_told(site: Site) -> None:
    """A digest, signed, has a link that delivers what it tells of, once, and without what is dangerous."""
    assert site.send(GAME).ok
    with site.store() as store, store.write() as connection:  # it came a while ago
        connection.execute(sa.update(quarantine_entry).values(received_at=time.time() - 3600))
    told = site.bms("digest", "send")
    # The filter's own housekeeping may have sent it a moment before; below, there is one digest all the same.
    assert told == f"ann: 1 to {ANN}\n" or told.startswith("Nobody is due"), told
    digest = site.sink.wait(3)[2]
    assert (digest.sender, digest.recipients) == ("", (ANN,))
    assert dkimpy.verify(digest.raw, dnsfunc=lambda name, timeout=5: KEY.record.encode())
    mail = email.message_from_bytes(digest.raw, policy=email.policy.SMTP)
    text = mail.get_body(("plain",)).get_content()
    assert "the game" in text
    (link,) = re.findall(r"http://127\.0\.0\.1:\d+(/kept/\S+)", text)
    with site.browser() as browser:
        assert "Deliver this message" in browser.get(link).text
        assert len(site.sink.deliveries) == 3
        assert browser.post(link).status_code == 200
        delivery = site.sink.wait(4)[3]
        assert browser.post(link).status_code == 410
    assert delivery.values("Subject") == ["the game"]
    assert b"MZ" not in delivery.body


def _moves_to_junk(site: Site) -> None:
    """What was delivered and is spam after all: ann moves it to Junk."""
    spam, ham = site.totals()
    learn = site.program.directory / "learn.sock"
    wait_until(learn.exists, "the filter listens for lessons")
    with Dovecot(site.network, learn, [ANN]) as dovecot, site.network.entered():
        with IMAPClient("127.0.0.1", dovecot.port, ssl=False, timeout=PATIENCE) as client:
            client.login(ANN, PASSWORD)
            client.append("INBOX", site.sink.deliveries[0].raw)
            client.select_folder("INBOX")
            client.move(client.search("ALL"), "Junk")
        wait_until(lambda: site.totals() == (spam + 1, ham), "the lesson")
