"""docs/dnsbl.md and docs/rates.md say what the settings understand, and which lists ship."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from antispam.checks._shared.dnsbl.settings import DnsblSettings
from antispam.checks._shared.dnsbl.shipped import DEFAULT, ZONES
from antispam.checks._shared.dnsbl.zone import About
from antispam.checks._shared.rates import RatesSettings
from antispam.settings import load_text

DOCS = Path(__file__).resolve().parents[4] / "docs"
TEXT = (DOCS / "dnsbl.md").read_text()
ROW = re.compile(
    r"^\| `(?P<name>[a-z0-9-]+)` \| (?P<zone>\S+) \| (?P<about>[^|(]+)[^|]*\| (?P<default>yes|no) \|", re.MULTILINE
)


def example(text, section, classes):
    """The settings of the example that begins with a section."""
    block = re.search(rf"^    \[{section}\]\n(?:    .*\n|\n)+", text, re.MULTILINE)
    return load_text(re.sub(r"^    ", "", block[0], flags=re.MULTILINE), classes)


def test_the_table_has_every_shipped_list_with_its_zone_and_subjects():
    told = {row["name"]: (row["zone"], row["about"].strip(), row["default"] == "yes") for row in ROW.finditer(TEXT)}
    assert told == {name: (zone.zone, ", ".join(zone.about), name in DEFAULT) for name, zone in ZONES.items()}


def test_each_test_of_a_shipped_list_is_named_with_its_points():
    for name, zone in ZONES.items():
        tests = ", ".join(f"`{code.test}` {code.points:g}" for code in zone.codes)
        assert f"| `{name}` | {tests} |" in TEXT


def test_the_terms_of_every_list_can_be_looked_up():
    named = [line for line in TEXT.splitlines() if ROW.match(line)]
    assert all("](http" in line or "the same" in line for line in named)


def test_its_example_is_a_configuration():
    settings = example(TEXT, "dnsbl", [DnsblSettings])[DnsblSettings]
    assert settings.by_name["spamhaus"].domain == "KEY.zen.dq.spamhaus.net"
    assert {code.test for code in settings.by_name["mine"].codes} == {"RCVD_IN_MINE", "RCVD_IN_MINE_BAD"}
    assert settings.doubts == ()


@pytest.mark.parametrize("about", About)
def test_each_subject_is_explained(about):
    assert re.search(rf"^\|[^|]*`{about}`[^|]*\|", TEXT, re.MULTILINE)


def test_the_example_of_rates_is_a_configuration():
    settings = example((DOCS / "rates.md").read_text(), "rates", [RatesSettings])[RatesSettings]
    assert (settings.login, settings.except_logins) == (300, ("newsletter",))
