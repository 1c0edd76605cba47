"""[milter] observe: the whole filter only says what it would do."""

from __future__ import annotations

from pathlib import Path

from bms import JOURNEY

from antispam.checks import spf, words
from antispam.service.application import Program
from antispam.settings import Mode, Settings


def settings(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "milter.cfg"
    config.write_text(text)
    return Program("bms", JOURNEY, config).read_settings(config)


def test_every_check_that_would_be_enforced_is_in_mode_log(tmp_path: Path) -> None:
    observing = settings(tmp_path, "[milter]\nobserve = yes\n[spf]\nmode = enforce\n")
    assert {observing[row.check.Settings].mode for row in JOURNEY.rows} == {Mode.LOG}


def test_what_is_off_stays_off(tmp_path: Path) -> None:
    assert settings(tmp_path, "[milter]\nobserve = yes\n[words]\nmode = off\n")[words.Settings].mode is Mode.OFF


def test_without_it_checks_do_what_their_modes_say(tmp_path: Path) -> None:
    assert settings(tmp_path, "")[spf.Settings].mode is Mode.ENFORCE
