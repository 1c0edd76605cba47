"""`bms reputation`: what it shows, forgets, takes and gives."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest
from bms import main
from click.testing import CliRunner, Result

from antispam.commands.reputation import bars
from antispam.store import Store
from gossip import HAM, SPAM, UNSURE, Records
from gossip.records import vote_row
from support.stores import make_store


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "milter.cfg"
    path.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    make_store(f"sqlite:///{tmp_path}/bms.sqlite")
    store = Store(f"sqlite:///{tmp_path}/bms.sqlite")
    now = time.time()
    for number in range(40):
        for name, vote in (("bad.example:SPF", SPAM), ("good.example:DKIM", HAM), ("bad.example:none", HAM)):
            row = vote_row(f"{name}{number}", name, now - 100 + number, vote=vote, ref=f"ref{number}")
            Records(store).note(row)
    store.close()
    return path


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "reputation", *words], env={"COLUMNS": "160"})


def shown(config: Path, *words: str) -> list[str]:
    said = run(config, "show", "--json", *words)
    return [json.loads(line)["identity"] for line in said.stdout.splitlines()]


def test_the_worst_are_shown_first_or_the_best(config):
    assert shown(config)[0] == "bad.example:SPF"
    assert shown(config, "--best")[-1] == "bad.example:SPF"
    assert shown(config, "--limit", "1") == ["bad.example:SPF"]


def test_a_domain_names_all_its_identities(config):
    assert shown(config, "Bad.Example") == ["bad.example:SPF", "bad.example:none"]
    assert shown(config, "bad.example:SPF") == ["bad.example:SPF"]


def test_the_table_draws_what_is_remembered(config):
    said = run(config, "show", "bad.example")
    assert said.exit_code == 0
    assert "▁" * 24 in said.stdout
    assert "█" * 24 in said.stdout
    assert "-76" in said.stdout


def test_an_unknown_name_is_said_and_fails(config):
    assert run(config, "show", "other.example").exit_code == 1
    assert run(config, "reset", "other.example").exit_code == 1


def test_reset_forgets(config):
    said = run(config, "reset", "bad.example")
    assert "bad.example:SPF is forgotten" in said.stdout
    assert shown(config) == ["good.example:DKIM"]


@pytest.mark.parametrize("message", ["bad.example:SPF7", "ref7"])
def test_feedback_corrects_a_message_by_its_umis_or_our_reference(config, message):
    assert run(config, "feedback", message, "ham").exit_code == 0
    assert run(config, "feedback", message, "ham").exit_code == 0
    (values,) = [json.loads(line) for line in run(config, "show", "--json", "bad.example:SPF").stdout.splitlines()]
    assert (values["spam"], values["ham"]) == (39, 1)


def test_feedback_on_an_unknown_message_fails(config):
    said = run(config, "feedback", "nobody", "spam")
    assert said.exit_code == 1
    assert "no message is remembered" in said.output


def test_what_is_exported_can_be_imported(config, tmp_path):
    file = tmp_path / "all.jsonl"
    assert run(config, "export", str(file)).exit_code == 0
    before = run(config, "show", "--json").stdout.splitlines()
    run(config, "reset", "bad.example", "good.example")
    assert "3 identities were taken" in run(config, "import", str(file)).stdout
    after = run(config, "show", "--json").stdout.splitlines()
    assert [json.loads(line)["identity"] for line in after] == [json.loads(line)["identity"] for line in before]
    assert "0 identities were taken, 3 were known and stay" in run(config, "import", str(file)).stdout
    assert "3 identities were taken" in run(config, "import", "--replace", str(file)).stdout


def berkeley_db(name: bytes, value: bytes) -> bytes:
    """A hash file of Berkeley DB with one page of one pair."""
    items = [b"\x01" + name, b"\x01" + value]
    ends = [512 - len(items[0]), 512 - len(items[0]) - len(items[1])]
    header = struct.pack("<QIIIHHBB2H", 0, 1, 0, 0, 2, ends[1], 0, 13, *ends)
    page = header.ljust(ends[1], b"\0") + items[1] + items[0]
    meta = struct.pack("<QIIII", 0, 0, 0x061561, 9, 512) + bytes([0, 8, 0, 0]) + struct.pack("<III", 0, 1, 0)
    return meta.ljust(512, b"\0") + page


def test_what_pygossip_remembers_is_taken_over(config, tmp_path):
    made = (
        b"ccopy_reg\n_reconstructor\np1\n(cgossip.server\nObservations\np2\nc__builtin__\nobject\np3\nNtp4\nRp5\n"
        b"(I3\nI3\nI2\nI0\nI1024\nF1700000000.0\nF1700003600.0\nL5L\nL0L\ntb."
    )
    file = tmp_path / "gossip4.db"
    file.write_bytes(berkeley_db(b"old.example:SPF", made))
    assert "1 identities were taken" in run(config, "import", str(file)).stdout
    (values,) = [json.loads(line) for line in run(config, "show", "--json", "old.example").stdout.splitlines()]
    assert (values["spam"], values["ham"], values["first_seen"]) == (1, 2, 1_700_000_000.0)


def test_a_broken_file_is_an_error_that_says_where(config, tmp_path):
    file = tmp_path / "broken"
    file.write_text("{}\n")
    said = run(config, "import", str(file))
    assert said.exit_code == 1
    assert "line 1" in said.output
    file.write_bytes(b"\0" * 600)
    assert run(config, "import", str(file)).exit_code == 1


@pytest.mark.parametrize("command", ["show", "reset", "feedback", "export", "import", "serve"])
def test_each_command_teaches_how_it_is_used(config, command):
    said = run(config, command, "--help")
    assert said.exit_code == 0
    assert len(said.stdout.splitlines()) > 6


def test_serve_has_to_know_where(config):
    assert run(config, "serve").exit_code == 78


@pytest.mark.parametrize(
    ("votes", "drawn"),
    [([], ""), ([SPAM], "▁"), ([HAM, SPAM], "█▁"), ([UNSURE], "▅"), ([HAM] * 100 + [SPAM] * 100, "█" * 12 + "▁" * 12)],
)
def test_bars(votes, drawn):
    assert bars(votes) == drawn
