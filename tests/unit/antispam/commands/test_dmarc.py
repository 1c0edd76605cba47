"""`bms dmarc`: posting reports once, signed, to those who may get them; and showing those of others."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import dkim as dkimpy
import msgspec
import pytest
import sqlalchemy as sa
from bms import JOURNEY
from click.testing import CliRunner, Result

from antispam.commands import dmarc as commands
from antispam.mail.message import split_message
from antispam.net.resolver import Resolver
from antispam.protocols.dmarc_reports import Published, Record, read_file
from antispam.service.application import Program, load_settings, opened_store
from antispam.store import dmarc_received, outbox
from antispam.store.schema import dmarc_result
from support.dns import TIMEOUT, ScriptedResolver
from support.places import REPOSITORY
from support.signing import SigningKey
from support.whole_journey import application, connected, send

CRON = REPOSITORY / "cron" / "bms-dmarc"
GREYLIST = "[greylist]\nmode = off\n"
KEY = SigningKey.make("k", "example.com", "rsa")
ZONES: dict[str, Any] = {
    "_dmarc.bank.example": {
        "TXT": ["v=DMARC1; p=reject; rua=mailto:rua@bank.example, mailto:victim@elsewhere.example"]
    },
    "_dmarc.slow.example": TIMEOUT,
    "_dmarc.gone.example": {"TXT": []},
}
PUBLISHED = msgspec.json.encode(Published(domain="bank.example", p="reject")).decode()
RECORD = msgspec.json.encode(
    Record(source_ip="192.0.2.1", disposition="reject", dkim=False, spf=False, header_from="bank.example")
).decode()
NOW = 1_795_521_600.0  # 24 November 2026, 12:00 in UTC
YESTERDAY = int(NOW) // 86400 - 1


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    key = tmp_path / "key"
    key.write_text(KEY.private_pem)
    key.chmod(0o600)
    file = tmp_path / "milter.cfg"
    file.write_text(
        f"[milter]\ndatadir = {tmp_path}\n[dkim_sign]\nkeys = example.com k {key}\n"
        "[dmarc_reports]\nsend = yes\nsender = dmarc@example.com\norganization = Example\n"
    )
    monkeypatch.setattr(Resolver, "from_settings", lambda settings: ScriptedResolver(ZONES))
    return file


def note(store: Any, domain: str = "bank.example", day: int = YESTERDAY, count: int = 1) -> None:
    with store.write() as connection:
        row = {"day": day, "domain": domain, "published": PUBLISHED, "record": RECORD}
        connection.execute(sa.insert(dmarc_result), [row] * count)


def run(config: Path, *words: str) -> Result:
    command = commands.dmarc_command(Program("bms", JOURNEY, config), lambda: NOW)
    return CliRunner(env={"COLUMNS": "200"}).invoke(command, words, obj=config)


def posted(store: Any) -> list[Any]:
    return [outbox.entry(store, one.id, NOW) for one in outbox.entries(store, NOW, 10)]


def test_a_day_is_reported_once_to_those_who_may_get_it_and_signed(store: Any, config: Path) -> None:
    note(store, count=3)
    done = run(config, "report")
    assert (done.exit_code, "to rua@bank.example\n" in done.output) == (0, True)
    (entry,) = posted(store)
    assert (entry.kind, entry.mail_from, entry.recipients) == ("report", "", ("rua@bank.example",))
    assert dkimpy.verify(entry.content, dnsfunc=lambda name, timeout=5: KEY.record.encode())
    (report,) = read_file(entry.content)
    assert (report.org_name, report.domain, report.begin) == ("Example", "bank.example", YESTERDAY * 86400)
    assert [(row.ip, row.count, row.disposition) for row in report.sources] == [("192.0.2.1", 3, "reject")]
    assert run(config, "report").output == ""
    assert len(posted(store)) == 1


def test_what_the_filter_sees_is_what_is_reported(store: Any, config: Path, tmp_path: Path) -> None:
    """From the message to the letter: a forged one, refused, and one that the bank signed."""
    bank = SigningKey.make("b", "bank.example", "rsa")
    zones = {**ZONES, "b._domainkey.bank.example": {"TXT": [bank.record]}}
    with application(tmp_path, ScriptedResolver(zones), config.read_text().split("\n", 2)[2] + GREYLIST) as app:
        forged = send(connected(app), [(b"From", b" ceo@bank.example")])
        headers, body = split_message(bank.sign(b"From: ceo@bank.example\r\nSubject: x\r\n\r\nHello\r\n"))
        honest = send(connected(app), [(one.name, one.value) for one in headers], body)
    assert (forged.verdict.enhanced, honest.verdict.action) == ("5.7.26", "continue")  # type: ignore[union-attr]
    with store.write() as connection:
        connection.execute(sa.update(dmarc_result).values(day=YESTERDAY))
    assert run(config, "report").exit_code == 0
    (report,) = read_file(posted(store)[0].content)
    assert sorted((row.disposition, row.dkim, row.spf, row.count) for row in report.sources) == [
        ("pass", "pass", "fail", 1),
        ("reject", "fail", "fail", 1),
    ]


def test_today_is_not_over(store: Any, config: Path) -> None:
    note(store, day=YESTERDAY + 1)
    assert run(config, "report").output == ""
    assert posted(store) == []


def test_a_dry_run_posts_and_forgets_nothing(store: Any, config: Path) -> None:
    note(store)
    assert "to rua@bank.example" in run(config, "report", "--dry-run").output
    assert posted(store) == []
    assert "to rua@bank.example" in run(config, "report", "--dry-run").output


def test_who_wants_none_any_more_gets_none(store: Any, config: Path) -> None:
    note(store, "gone.example")
    assert "nobody wants it" in run(config, "report").output
    assert posted(store) == []
    assert run(config, "report").output == ""


def test_a_domain_that_cannot_be_looked_up_waits_and_keeps_no_other(store: Any, config: Path) -> None:
    note(store, "slow.example", day=YESTERDAY - 1)
    note(store)
    done = run(config, "report", "--quiet")
    assert done.exit_code == 1
    assert "slow.example: time-out" in done.output
    assert [entry.recipients for entry in posted(store)] == [("rua@bank.example",)]


def test_without_a_key_nothing_is_sent(store: Any, config: Path) -> None:
    config.write_text(config.read_text().replace("dmarc@example.com", "dmarc@other.example"))
    note(store)
    done = run(config, "report")
    assert done.exit_code == 1
    assert "reports must be signed" in done.output
    assert posted(store) == []


def test_the_job_of_cron_reports_and_is_silent(store: Any, config: Path) -> None:
    note(store)
    (job,) = [line for line in CRON.read_text().splitlines() if line[:1].isdigit()]
    *when, user, flock, once, lock, program, command = job.split()[:11]
    assert (len(when), user, flock, once, lock) == (5, "milter", "flock", "-n", "/var/lib/milter/dmarc.lock")
    assert (program, command) == ("bms", "dmarc")
    done = run(config, *job.split()[11:])
    assert (done.exit_code, done.output, len(posted(store))) == (0, "", 1)


def test_what_is_not_noted_cannot_be_sent(config: Path) -> None:
    config.write_text("[milter]\n")
    assert "send = yes" in run(config, "report").output


# Reading

OLD = """<feedback><report_metadata><org_name>big [b]x[/b].example</org_name><report_id>1</report_id>
<date_range><begin>1700006400</begin><end>1700092799</end></date_range></report_metadata>
<policy_published><domain>example.com</domain><p>none</p></policy_published>
{records}</feedback>"""
ROW = """<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated><disposition>none</disposition>
<dkim>{dkim}</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.com</header_from></identifiers>
</record>"""


@pytest.fixture
def received(tmp_path: Path) -> Path:
    rows = ROW.format(ip="192.0.2.1", count=90, dkim="pass") + ROW.format(ip="192.0.2.2", count=10, dkim="fail")
    file = tmp_path / "report.xml.gz"
    file.write_bytes(gzip.compress(OLD.format(records=rows).encode()))
    return file


def test_reports_are_shown_as_tables_the_failing_senders_first(config: Path, received: Path) -> None:
    shown = run(config, "read", str(received)).output
    assert "big [b]x[/b].example" in shown
    assert "2023-11-15 to 2023-11-15" in shown
    assert "90 %" in shown
    assert shown.index("192.0.2.2") < shown.index("192.0.2.1")
    only = run(config, "read", "--failed", str(received)).output
    assert "192.0.2.1" not in only.partition("sent from")[2]


def test_for_programs_there_is_json(config: Path, received: Path) -> None:
    (line,) = run(config, "read", "--json", str(received)).output.splitlines()
    assert [row["count"] for row in json.loads(line)["sources"]] == [90, 10]


def test_a_picture_is_drawn(config: Path, received: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "dmarc.png"
    assert run(config, "read", "--plot", str(picture), str(received)).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_no_report_is_told_and_keeps_no_other(config: Path, received: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_text('<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>')
    done = run(config, "read", str(bad), str(received))
    assert done.exit_code == 1
    assert "DTD or entities" in done.output
    assert "192.0.2.2" in done.output


@pytest.mark.parametrize("day", [-(10**12), 10**12])
def test_a_date_that_is_none_is_shown_as_such(day: int) -> None:
    assert commands._date(day) == "?"


def test_reports_are_stored_once_for_the_console(config: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.xml", tmp_path / "bad.xml"
    begin = YESTERDAY * 86400
    good.write_text(
        "<feedback><report_metadata><org_name>Big</org_name><report_id>1</report_id><date_range>"
        f"<begin>{begin}</begin><end>{begin + 86399}</end></date_range></report_metadata>"
        "<policy_published><domain>example.com</domain><p>none</p></policy_published><record><row><source_ip>192.0.2.1"
        "</source_ip><count>3</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>"
        "</policy_evaluated></row><identifiers><header_from>example.com</header_from></identifiers></record></feedback>"
    )
    bad.write_text('<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>')
    for _ in range(2):
        done = run(config, "read", "--store", str(good), str(bad))
        assert (done.exit_code, "bad.xml" in done.output, "192.0.2.1" in done.output) == (1, True, False)
    program = Program("bms", JOURNEY, config)
    with opened_store(load_settings(program, config)) as store:
        assert dmarc_received.days(store, 0) == {YESTERDAY: (3, 0)}
