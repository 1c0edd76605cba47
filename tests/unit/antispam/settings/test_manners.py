"""The two sets of defaults: each that differs stands in one table, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from bms import JOURNEY

from antispam.service.application import settings_classes
from antispam.settings import Mode, SettingsError, load_text
from antispam.settings.manners import OTHERWISE
from antispam.settings.program import ProgramSettings

DOCS = Path(__file__).parents[4] / "docs" / "defaults.md"
# What version 0.2 had, which had the original's defaults.
OLD_SECTIONS = {
    "access", "archive", "auth", "authentication_results", "author_domain", "auto_whitelist", "bans", "block_forward",
    "callback", "connection", "defang", "dkim", "dkim_sign", "dmarc", "dsn", "dspam", "forged_marks", "gossip", "greylist",
    "header_oddities", "helo", "known_user", "languages", "own_mail", "private_relay", "scrub", "sender_domain", "smart_alias",
    "spf", "srs", "wiretap", "words",
}  # fmt: skip


def shown(text):
    """By section and option, as it would be written."""
    return {(one.section, one.option): one for one in load_text(text, settings_classes(JOURNEY)).origins}


TODAY, BMS = shown(""), shown("[milter]\nmanner = bms\n")


@pytest.mark.parametrize("one", OTHERWISE, ids=lambda one: f"{one.section}.{one.option}")
def test_the_table_says_what_both_defaults_are(one):
    key = one.section, one.option
    assert (TODAY[key].shown, BMS[key].shown) == (one.today, one.bms)
    assert one.why.endswith(".")


def test_nothing_that_is_not_in_the_table_differs():
    differs = {key for key in TODAY if TODAY[key].value != BMS[key].value}
    assert differs == {(one.section, one.option) for one in OTHERWISE} | {("milter", "manner")}


def test_no_option_stands_there_twice():
    assert len({(one.section, one.option) for one in OTHERWISE}) == len(OTHERWISE)


def test_in_the_manner_of_bms_no_check_does_anything_that_version_0_2_had_not():
    settings = load_text("[milter]\nmanner = bms\n", settings_classes(JOURNEY))
    new = [row.check for row in JOURNEY.rows if row.check.Settings.SECTION not in OLD_SECTIONS]
    idle = [
        check
        for check in new
        if settings[check.Settings].mode is Mode.OFF
        or (hasattr(check, "applies") and not check.applies(settings[check.Settings]))
    ]
    assert {check.NAME for check in new} - {check.NAME for check in idle} <= {"score", "spam_action"}


def test_what_the_configuration_says_holds_in_every_manner():
    said = shown("[milter]\nmanner = bms\n[spf]\nrefuse = end\n[dnsbl]\nmode = log\n")
    assert (said["spf", "refuse"].shown, said["dnsbl", "mode"].shown) == ("end", "log")


def test_a_manner_that_is_none_is_an_error():
    with pytest.raises(SettingsError, match="expected one of today, bms"):
        load_text("[milter]\nmanner = bsm\n", settings_classes(JOURNEY))


def test_a_program_with_fewer_options_can_have_it_too():
    load_text("[milter]\nmanner = bms\n", [ProgramSettings])


def test_the_documentation_shows_the_table():
    rows = "".join(f"| `[{one.section}] {one.option}` | {one.today} | {one.bms} | {one.why} |\n" for one in OTHERWISE)
    assert rows in DOCS.read_text(), f"docs/defaults.md should have:\n{rows}"
