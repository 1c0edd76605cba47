"""spfmilter.py and dkim-milter.py: the same checks as bms.py's, each program with a configuration and a socket of its own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import bms
import pytest
import spfmilter
from click.testing import CliRunner

from support.dns import loopback_nameserver
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

TOP = Path(__file__).parents[4]
ZONES = [Zone("partner.example", '@ TXT "v=spf1 ip4:192.0.2.1 -all"')]


def _dkim_milter():
    specification = importlib.util.spec_from_file_location("dkim_milter", TOP / "dkim-milter.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


dkim_milter = _dkim_milter()
PROGRAMS = {"bms": bms, "spfmilter": spfmilter, "dkim-milter": dkim_milter}


@pytest.fixture
def scan(tmp_path):
    """Sends a letter from a forger's address through a program."""
    letter = tmp_path / "letter.eml"
    letter.write_bytes(b"From: ann@partner.example\nSubject: Lunch\n\nShall we?\n")
    with loopback_nameserver(ZoneResponder(complete(ZONES, {"192.0.2.1": "mail.partner.example"}))) as port:
        config = tmp_path / "program.cfg"
        config.write_text(f"[milter]\ndatadir = {tmp_path}/state\n[dns]\nnameservers = 127.0.0.1@{port}\n")

        def run(program):
            words = ["--ip", "203.0.113.66", "--from", "ann@partner.example", "--rcpt", "bob@example.com", "--json"]
            return json.loads(CliRunner().invoke(program.main, ["-c", str(config), "scan", str(letter), *words]).stdout)

        yield run


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_listens_on_a_socket_of_its_own(name, tmp_path):
    empty = tmp_path / "empty.cfg"
    empty.touch()
    shown = CliRunner().invoke(PROGRAMS[name].main, ["-c", str(empty), "check-config"]).output
    assert f"= local:/run/milter/{name}.sock  # default" in shown


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_has_a_configuration_of_its_own(name):
    file = "milter" if name == "bms" else name
    assert f"/etc/mail/{file}.cfg" in CliRunner().invoke(PROGRAMS[name].main, ["--help"], terminal_width=200).output


def test_spfmilter_refuses_a_forged_sender(scan):
    report = scan(spfmilter)
    assert (report["verdict"]["action"], report["verdict"]["code"], report["spoken_at"]) == ("reject", 550, "RCPT TO")
    assert set(report["findings"]) == {"connection", "auth", "spf"}


def test_a_scan_for_programs_names_what_each_decision_consists_of(scan):
    decisions = {one["check"]: one for one in scan(spfmilter)["decisions"]}
    assert {name: one["verdict"]["action"] for name, one in decisions.items()}["spf"] == "reject"
    assert {name: (one["mode"], one["firm"]) for name, one in decisions.items()}["auth"] == ("enforce", True)


def test_dkim_milter_tells_what_it_found_and_refuses_nothing(scan):
    report = scan(dkim_milter)
    assert report["verdict"]["action"] == "continue"
    (edit,) = report["edits"]
    assert "Authentication-Results" in edit
    assert "dkim=none" in edit


@pytest.mark.parametrize("name", ["spfmilter", "dkim-milter"])
def test_a_small_program_has_the_rows_of_the_large_one_in_the_same_order(name):
    rows = [row.check for row in PROGRAMS[name].JOURNEY.rows]
    assert rows == [row.check for row in bms.JOURNEY.rows if row.check in rows]
