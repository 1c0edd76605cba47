"""`bms srs ...`: addresses by hand."""

from __future__ import annotations

from pathlib import Path

import bms
import pytest
from click.testing import CliRunner, Result

import SES
import SRS

CONFIG = "[srs]\nsecret = shhhh!\nfwdomain = fwd.example\nses = example.com\nsign = example.net\n"


def run(tmp_path: Path, *arguments: str, config: str = CONFIG) -> Result:
    file = tmp_path / "milter.cfg"
    file.write_text(f"[milter]\ndatadir = {tmp_path}\n{config}")
    return CliRunner().invoke(bms.main, ["--config", str(file), "srs", *arguments])


@pytest.mark.parametrize(
    ("command", "address", "beginning"),
    [
        ("sign", "ann@example.com", "SES="),
        ("sign", "ann@example.net", "SRS0="),
        ("forward", "ann@example.org", "SRS0="),
        ("forward", "ann@example.net", "SRS0="),
    ],
)
def test_what_is_signed_or_rewritten_is_led_back_and_verified(
    tmp_path: Path, command: str, address: str, beginning: str
) -> None:
    made = run(tmp_path, command, address)
    assert made.exit_code == 0
    assert made.output.startswith(beginning)
    assert run(tmp_path, "reverse", made.output.strip()).output == f"{address}\n"
    verified = run(tmp_path, "verify", made.output.strip())
    assert (verified.exit_code, verified.output) == (0, f"valid: {address}\n")


@pytest.mark.parametrize(
    ("address", "state"),
    [
        ("ann@example.com", "unsigned"),
        ("SES=AAAA=ann@example.com", "forged"),
        ("SRS0=AAAAAAAA=JN==ann@example.net", "forged"),
        (SRS.new("shhhh!", hashlength=8, clock=lambda: 1_700_000_000.0).sign("ann@example.net"), "expired"),
    ],
)
def test_what_is_not_valid(tmp_path: Path, address: str, state: str) -> None:
    verified = run(tmp_path, "verify", address)
    assert (verified.exit_code, verified.output) == (1, f"{state}\n")
    reversed_ = run(tmp_path, "reverse", address)
    assert reversed_.exit_code == 1
    assert state in reversed_.output


@pytest.mark.parametrize(("command", "address"), [("sign", "ann@example.org"), ("forward", "x@fwd.example")])
def test_who_stays_as_he_is(tmp_path: Path, command: str, address: str) -> None:
    result = run(tmp_path, command, address)
    assert result.exit_code == 1
    assert "is not rewritten" in result.output


@pytest.mark.parametrize("command", ["sign", "forward", "reverse", "verify"])
def test_without_a_secret_they_say_how_to_make_one(tmp_path: Path, command: str) -> None:
    result = run(tmp_path, command, "ann@example.com", config="")
    assert result.exit_code == 1
    assert "docs/srs.md" in result.output


@pytest.mark.parametrize("command", ["sign", "forward", "reverse", "verify"])
def test_a_database_that_fails_is_told_of(tmp_path: Path, command: str) -> None:
    result = run(tmp_path, command, "ann@example.net", config=f"{CONFIG}database = {tmp_path}/nowhere/srs.db\n")
    assert result.exit_code == 1
    assert "[srs] database" in result.output


def test_a_fixed_signature_of_ses_is_valid(tmp_path: Path) -> None:
    address = SES.new("shhhh!", expiration=8).sign("ann@example.com", 7)
    assert run(tmp_path, "verify", address).output == "valid: ann@example.com\n"
