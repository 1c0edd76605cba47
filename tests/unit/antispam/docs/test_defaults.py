"""docs/defaults.md tells what a fresh installation does: each default that it names is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bms import JOURNEY

from antispam.service.application import settings_classes
from antispam.settings import default_settings

PAGE = (Path(__file__).parents[4] / "docs" / "defaults.md").read_text()
_CLAIM = re.compile(r"`\[(\w+)\] (\w+) = ([^`]*)`")
CLAIMS = sorted({claim for line in PAGE.splitlines() if line.startswith("|") for claim in _CLAIM.findall(line)})
DEFAULTS = {(one.section, one.option): one.shown for one in default_settings(settings_classes(JOURNEY)).origins}


@pytest.mark.parametrize(("section", "option", "value"), CLAIMS)
def test_a_default_is_what_the_page_says(section, option, value):
    assert DEFAULTS[section, option] == value.strip()


def test_the_page_names_defaults_of_all_four_kinds():
    assert len(CLAIMS) > 20
    headings = re.findall(r"^## (What .*)$", PAGE, re.MULTILINE)
    assert headings == ["What is refused", "What waits", "What is marked or kept", "What is changed"]


def test_the_thresholds_beside_rspamd_are_ours():
    row = next(line for line in PAGE.splitlines() if line.startswith("| score: refuse, mark, greylist"))
    ours = ", ".join(DEFAULTS["score", name] for name in ("refuse", "mark", "greylist"))
    assert row.split("|")[2].strip() == ours
