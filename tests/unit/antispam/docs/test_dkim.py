"""docs/dkim.md says what the settings understand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from antispam.checks import dkim as dkim_check
from antispam.checks import dkim_sign
from antispam.mail.access_map import parse_policy, parse_text
from antispam.net.addresses import parse_mailbox
from antispam.protocols.dkim import DkimResult
from antispam.settings import load_text
from support.dkim_mail import ED25519, RAW_RSA, pem

TEXT = (Path(__file__).resolve().parents[4] / "docs" / "dkim.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)


def test_the_settings_load(tmp_path: Path) -> None:
    (keys, authors, *_) = (block for kind, block in BLOCKS if kind == "text")
    for name, text in (("keytable", keys), ("signingtable", authors)):
        (tmp_path / name).write_text(text.replace("/etc/dkimkeys", str(tmp_path)))
    for name, key in (("r2026", RAW_RSA), ("e2026", ED25519.key)):
        file = tmp_path / f"{name}.private"
        file.write_bytes(pem(key))
        file.chmod(0o640)
    text = "".join(block for kind, block in BLOCKS if kind == "ini")
    for folder in ("/etc/mail/dkim", "/etc/dkimkeys"):
        text = text.replace(folder, str(tmp_path))
    settings = load_text(text, [dkim_check.Settings, dkim_sign.Settings])
    assert settings[dkim_check.Settings].fail == parse_policy("REJECT")
    (_, *both) = settings[dkim_sign.Settings].signers_for(parse_mailbox("joe@example.com"))
    assert [signer.selector for signer in both] == ["e2026", "r2026", "e2026"]
    assert [signer.key.algorithm for signer in settings[dkim_sign.Settings].signers] == ["rsa-sha256", "ed25519-sha256"]


def test_the_access_map_is_understood() -> None:
    (entries,) = (block for kind, block in BLOCKS if not kind)
    table = parse_text(entries)
    assert (len(table), table.problems) == (len(entries.strip().splitlines()), ())


@pytest.mark.parametrize("result", list(DkimResult))
def test_every_result_is_explained(result: DkimResult) -> None:
    assert f"\n| {result} | " in TEXT
