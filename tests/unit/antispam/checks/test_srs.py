"""Bounces to signed senders, and to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks._shared.srs import SrsSettings, State, signature_of
from antispam.checks.srs import Finding, Settings, collect, decide, readdress
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from support.checking import services_of

CONFIG = """
secret = "shhhh!"
ses = example.com
sign = example.net
fwdomain = fwd.example
banned_users = postmaster, Mailer-Daemon
"""


def settings(config: str = CONFIG) -> SrsSettings:
    return load_text(f"[srs]\n{config}", [SrsSettings])[SrsSettings]


def signature(config: str = CONFIG) -> Any:
    found = signature_of(settings(config), lambda: 1_800_000_000.0)
    assert found is not None
    return found


def found(to: str, *findings: Any, sender: str = "", config: str = CONFIG) -> Finding | None:
    message = Message("m", sender, 0.0, Body(1000), findings=Findings(None, findings))
    return collect(Connection("c"), message, Recipient(to), services_of(Settings, "srs", config))


SIGNED = [
    (signature().ses.sign("ann@example.com"), "ann@example.com"),
    (signature().ses.sign('"ann smith"@example.com'), '"ann smith"@example.com'),
    (signature().srs.sign("ann@example.net"), "ann@example.net"),
    (signature().srs.forward("bob@example.org", "fwd.example"), "bob@example.org"),
]


@pytest.mark.parametrize(
    ("to", "plain"), SIGNED, ids=[plain for _, plain in SIGNED]
)  # a name must not change from run to run
@pytest.mark.parametrize("sender", ["", "somebody@example.org"])
def test_a_signed_recipient_means_the_plain_one(to: str, plain: str, sender: str) -> None:
    finding = found(to, sender=sender)
    assert finding is not None
    assert finding.state is State.VALID
    assert readdress(finding) == plain
    assert decide(finding, Findings(), settings("reject_spoofed = yes"), EMPTY).action is Action.CONTINUE


@pytest.mark.parametrize(
    ("to", "sender", "state"),
    [
        ("ann@example.com", "", State.UNSIGNED),
        ("ann@example.net", "mailer-daemon@mx.example.org", State.UNSIGNED),
        ("ann@example.net", "POSTMASTER@mx.example.org", State.UNSIGNED),
        pytest.param(SIGNED[0][0].replace("ann", "bob"), "", State.FORGED, id="another's SES"),
        pytest.param(SIGNED[2][0].replace("ann", "bob"), "", State.FORGED, id="another's SRS"),
        ("SRS0=x@example.net", "", State.FORGED),
        ("SES=x@example.com", "", State.FORGED),
    ],
)
def test_a_bounce_that_answers_nothing_of_ours(to: str, sender: str, state: State) -> None:
    finding = found(to, sender=sender)
    assert finding is not None
    assert finding.state is state
    assert readdress(finding) == ""
    verdict = decide(finding, Findings(), settings("reject_spoofed = yes"), EMPTY)
    assert (verdict.action, verdict.demerits) == (Action.REJECT, 0), "whoever bounces forgeries is no offender"
    assert decide(finding, Findings(), settings(), EMPTY).action is Action.CONTINUE, "reject_spoofed is off by default"


@pytest.mark.parametrize(
    ("to", "sender", "findings"),
    [
        ("ann@example.com", "joe@example.org", ()),
        ("ann@example.org", "", ()),
        ("postmaster@example.com", "", ()),
        ("Abuse@example.com", "", ()),
        ("ann@example.com", "", (ConnectionFinding(client=ClientClass.INTERNAL),)),
        ("ann@example.com", "", (ConnectionFinding(client=ClientClass.TRUSTED_RELAY),)),
    ],
)
def test_what_need_not_be_signed(to: str, sender: str, findings: Any) -> None:
    assert found(to, *findings, sender=sender) is None


def test_one_that_comes_too_late_is_no_offence() -> None:
    verdict = decide(Finding(state=State.EXPIRED), Findings(), settings("reject_spoofed = yes"), EMPTY)
    assert (verdict.action, verdict.demerits) == (Action.REJECT, 0)
    assert "too late" in verdict.text


def test_it_is_off_without_a_secret() -> None:
    assert found("ann@example.com", config="ses = example.com") is None


def test_a_file_of_pysrs_is_read_where_milter_cfg_is_silent(tmp_path: Path) -> None:
    file = tmp_path / "pysrs.cfg"
    file.write_text(
        '[srs]\nsecret="shhhh!"\nsecret.0=older\nmaxage=21\nhashlength=5\nses=a.example\n[srsmilter]\nx=1\n'
    )
    read = signature(f"config = {file}\nmaxage = 9")
    assert (read.settings.maxage, read.settings.hashlength, read.settings.secret) == (9, 5, ("shhhh!", "older"))
    assert "a.example" in read.domains


def test_a_file_of_pysrs_that_is_not_there_says_nothing() -> None:
    assert signature_of(settings("config = /nonexistent/pysrs.cfg")) is None


def test_secrets_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("new\nold\n")
    file.chmod(0o640)
    old = signature("secret = old\nses = example.com").ses.sign("ann@example.com")
    assert signature(f"secret_file = {file}\nses = example.com").verified(old) == (State.VALID, "ann@example.com")


@pytest.mark.parametrize(("mode", "content"), [(0o644, "x\n"), (0o620, "x\n"), (0o600, ""), (0o600, "x\n" * 11)])
def test_a_secret_file_that_is_not_safe_is_refused(tmp_path: Path, mode: int, content: str) -> None:
    file = tmp_path / "secrets"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(SettingsError, match="secret_file"):
        settings(f"secret_file = {file}")


@pytest.mark.parametrize("line", ["maxage = 0", "hashlength = 30", "separator = x", "secret_file = /nonexistent"])
def test_values_that_make_no_sense_are_refused(line: str) -> None:
    with pytest.raises(SettingsError):
        settings(line)


@given(st.text(max_size=300))
def test_no_recipient_raises(to: str) -> None:
    for address in (
        to,
        f"{to}@example.com",
        f"SES={to}@example.com",
        f"SRS0={to}@example.net",
        f"SRS1={to}@fwd.example",
    ):
        found(address)


@pytest.mark.parametrize("local", ["a" * 400, "b\udcff"])
def test_mail_goes_to_the_very_address_that_was_signed_or_is_not_led_back(local: str) -> None:
    plain = f"{local}@example.net"
    finding = found(signature().srs.sign(plain))
    assert finding is not None
    assert finding.state is State.VALID
    assert readdress(finding) in (plain, "")


def test_a_database_that_fails_is_a_finding_with_an_error(tmp_path: Path) -> None:
    config = f"{CONFIG}database = {tmp_path}/srs.db\n"
    address = signature(config).srs.sign("ann@example.net")
    (tmp_path / "srs.db").write_bytes(
        b"SQLite format 3\0" + b"no database at all, and long enough to be seen as none" * 20
    )
    finding = found(address, config=config)
    assert finding is not None
    assert finding.error.startswith("srs: ")


def test_a_secret_that_can_not_be_read_any_more_is_a_finding_with_an_error(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("shhhh!\n")
    file.chmod(0o600)
    given = services_of(Settings, "srs", f"secret_file = {file}\nsign = example.net\n")
    file.unlink()
    message = Message("m", "", 0.0, Body(1000))
    finding = collect(Connection("c"), message, Recipient("ann@example.net"), given)
    assert finding is not None
    assert "cannot be read" in finding.error


def test_signing_and_a_new_worker_find_a_database_that_fails_in_the_same_way(tmp_path: Path) -> None:
    config = f"{CONFIG}database = {tmp_path}/nowhere/srs.db\n"
    finding = found("ann@example.net", config=config)
    assert finding is not None
    assert "srs.db" in finding.error


def test_the_database_of_an_original_installation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "srsdata").write_bytes(b"\x13\x57\x9a\xce" * 100)
    with pytest.raises(SettingsError, match="name another"):
        settings(f"database = {tmp_path}/srsdata")


@pytest.mark.parametrize("line", ["mode = off", "reject_spoofed = yes", "config = x", "maxege = 3"])
def test_a_file_of_pysrs_has_only_what_pysrs_knows(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pysrs.cfg"
    file.write_text(f"[srs]\n{line}\n")
    with pytest.raises(SettingsError, match=line.partition(" ")[0]):
        settings(f"config = {file}")


def test_a_secret_that_others_can_read_in_a_file_of_pysrs_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pysrs.cfg"
    file.write_text("[srs]\nsecret = shhhh!\n")
    for mode, told in ((0o640, False), (0o644, True)):
        caplog.clear()
        file.chmod(mode)
        settings(f"config = {file}")
        assert ("others can read the secret" in caplog.text) is told


def test_an_address_that_we_rewrote_twice_means_the_first_sender() -> None:
    once = signature().srs.forward("bob@example.org", "fwd.example")
    finding = found(signature().srs.forward(once, "fwd.example"))
    assert finding is not None
    assert (finding.state, readdress(finding)) == (State.VALID, "bob@example.org")


def test_one_within_another_is_worth_no_more_than_the_inner_one() -> None:
    finding = found(signature().srs.forward("SRS0=AAAA=JN=example.org=bob@fwd.example", "fwd.example"))
    assert finding is not None
    assert (finding.state, readdress(finding)) == (State.FORGED, "")


def test_one_that_another_forwarder_rewrote_is_led_back_to_him() -> None:
    theirs = "SRS0=AAAA=JN=example.org=bob@other.example"
    finding = found(signature().srs.forward(theirs, "fwd.example"))
    assert finding is not None
    assert (finding.state, readdress(finding)) == (State.VALID, theirs)
