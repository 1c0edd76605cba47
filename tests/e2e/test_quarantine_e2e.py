"""What the filter keeps from somebody, released by command: out of the store, through a real MTA, to its recipient, once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.filter_process import FilterProcess
from support.mta import NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory
from support.sink import Sink

pytestmark = pytest.mark.servers

MESSAGE = (
    b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: the game\r\nX-Spam-Flag: NO\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: application/octet-stream; name="game.exe"\r\n\r\nMZ\r\n.dot\r\n'
)
CONFIG = "[greylist]\nmode = off\n[helo]\nmode = off\n[spf]\nmode = off\n[defang]\nremedy = quarantine\n"


def _bms(network: PrivateNetwork, program: FilterProcess, output: Path, *words: str) -> str:
    """What a command writes, run where the MTA can be reached."""
    output.unlink(missing_ok=True)
    command = [sys.executable, REPOSITORY / "bms.py", "-c", program.config, "quarantine", *words]
    process = network.popen(command, output=output)
    assert process.wait(PATIENCE) == 0, output.read_text()
    return output.read_text()


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_what_was_kept_reaches_its_recipient_once_it_is_released(
    kind: str, world: tuple[PrivateNetwork, NameServer], tmp_path: Path
) -> None:
    network, nameserver = world
    nameserver.load([])
    output = tmp_path / "output"
    with RunDirectory("socket") as run, Sink(network) as sink:
        socket = run.path / "milter.sock"
        mta = (
            Postfix(network, sink, [f"unix:{socket}"])
            if kind == "postfix"
            else Sendmail(network, sink, [f"local:{socket}"])
        )
        with mta, FilterProcess(network, f"[outbox]\nhost = 127.0.0.1:{mta.port}\n{CONFIG}", socket=socket) as program:
            client = mta.client()
            client.greet()
            client.command("EHLO mail.example.org")
            assert client.message("ann@example.org", ["bob@example.com"], MESSAGE).ok
            client.quit()
            mta.wait_idle()
            assert sink.deliveries == []
            (entry,) = map(json.loads, _bms(network, program, output, "list", "--json").splitlines())
            assert (entry["recipients"], entry["check"], entry["state"]) == (["bob@example.com"], "attachments", "kept")
            told = _bms(network, program, output, "release", "--wait", entry["ref"])
            assert "the mail server took it" in told
            (delivery,) = sink.wait(1)
            assert "was released" in _bms(network, program, output, "release", "--wait", entry["ref"])
            mta.wait_idle()
            assert len(sink.deliveries) == 1
            (entry,) = map(json.loads, _bms(network, program, output, "list", "--json").splitlines())
            log = program.log()
    assert (delivery.sender, delivery.recipients) == ("ann@example.org", ("bob@example.com",))
    assert delivery.values("Subject") == ["the game"]
    assert delivery.values("X-Spam-Flag") == []
    assert b"MZ" not in delivery.body  # what is dangerous was replaced by a note
    assert b"An attachment" in delivery.body
    assert entry["state"] == "released"
    assert "Traceback" not in log
