"""Names in a configuration that are those of nothing."""

from __future__ import annotations

import pytest
from bms import JOURNEY

from antispam.service.application import Program
from antispam.settings import SettingsError
from antispam.store.quarantine_settings import QuarantineSettings


def read(folder, line, journey=JOURNEY):
    config = folder / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {folder}\n[quarantine]\n{line}\n")
    return Program("bms", journey, config).read_settings(config)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("users_may_not_release = antivirus, atachments", r"there is no check atachments; did you mean attachments\?"),
        ("users_may_not_release = Antivirus", r"milter\.cfg:4: .*no check Antivirus; did you mean antivirus\?"),
        ("users_may_not_release = everything else", "there is no check"),
    ],
)
def test_a_check_that_does_not_exist_is_an_error(line, told, tmp_path):
    """Users could release what the administrator meant to keep from them."""
    with pytest.raises(SettingsError, match=told):
        read(tmp_path, line)


@pytest.mark.parametrize("line", ["users_may_not_release =", "users_may_not_release = spam_action, antivirus", ""])
def test_checks_that_exist_are_taken(line, tmp_path):
    assert read(tmp_path, line)[QuarantineSettings]


def test_a_program_with_few_checks_shares_the_configuration(tmp_path):
    from spfmilter import JOURNEY as FEW

    assert read(tmp_path, "users_may_not_release = content_signs", FEW)[QuarantineSettings]
