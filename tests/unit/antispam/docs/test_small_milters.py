"""docs/small-milters.md says what the programs understand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from spfmilter import JOURNEY

from antispam.checks import connection as connection_check
from antispam.checks import dkim as dkim_check
from antispam.checks import dkim_sign, spf
from antispam.service.application import settings_classes
from antispam.settings import load_text
from antispam.settings.dialects import DKIM_MILTER, SPFMILTER
from antispam.settings.program import ProgramSettings
from support.dkim_mail import RAW_RSA, pem

TOP = Path(__file__).resolve().parents[4]
TEXT = (TOP / "docs" / "small-milters.md").read_text()
SHARED, OPENDKIM = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)


def test_the_shared_file_is_read_as_told() -> None:
    settings = load_text(SHARED, settings_classes(JOURNEY), translate=SPFMILTER)
    assert settings[spf.Settings].trusted_forwarder == ("forwarder.example",)
    assert settings[ProgramSettings].workers == 1
    assert settings[connection_check.Settings].internal_connect == ("127.*", "::1", "192.168.0.0/16")


def test_opendkims_names_are_read_as_told(tmp_path: Path) -> None:
    key = tmp_path / "k.private"
    key.write_bytes(pem(RAW_RSA))
    key.chmod(0o600)
    (tmp_path / "keytable").write_text(f"k example.com:s:{key}\n")
    (tmp_path / "signingtable").write_text("*@example.com k\n")
    classes = [ProgramSettings, connection_check.Settings, dkim_check.Settings, dkim_sign.Settings]
    settings = load_text(OPENDKIM.replace("/etc/dkimkeys", str(tmp_path)), classes, translate=DKIM_MILTER)
    assert settings[dkim_sign.Settings].multiple_signatures
    assert settings[dkim_check.Settings].fail is not None


@pytest.mark.parametrize("name", ["spfmilter.service", "dkim-milter.service"])
def test_the_units_are_there(name: str) -> None:
    assert f"systemd/{name}" in TEXT
    assert (TOP / "systemd" / name).exists()
