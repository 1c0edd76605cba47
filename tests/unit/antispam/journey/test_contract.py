"""What every row of JOURNEY owes: module, settings, section in milter.cfg, docs, test file; and what milter.cfg promises."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from bms import JOURNEY

from antispam.journey.contract import OPTIONAL
from antispam.journey.table import Scope
from antispam.mail.connection import Connection
from antispam.mail.findings import Finding
from antispam.mail.verdicts import Action
from antispam.service.application import settings_classes
from antispam.settings import CheckSettings, default_settings, load, load_text
from support import contract_of_checks
from support.checking import message, services_of

TOP = Path(__file__).parents[4]
CONFIG = (TOP / "milter.cfg").read_text()
# An option as milter.cfg shows it: commented out with `;`, on one line or with continuation lines `;\t...`.
_SHOWN = re.compile(r"^;(?=[a-z_0-9]+ ?=|\t)", re.MULTILINE)


@pytest.fixture(params=JOURNEY.rows, ids=lambda row: row.check.NAME)
def row(request):
    return request.param


def test_a_row_says_what_it_asks(row):
    assert row.asks.endswith("?")


def test_a_check_is_a_module_of_its_own(row):
    assert row.check.__name__.startswith("antispam.checks.")
    assert row.check.__doc__


def test_its_settings_and_finding_are_declared(row):
    assert issubclass(row.check.Settings, CheckSettings)
    assert issubclass(row.check.Finding, Finding)
    assert row.check.Finding.check == row.check.NAME


def test_its_section_stands_in_milter_cfg(row):
    assert f"[{row.check.Settings.SECTION}]" in CONFIG


def test_its_documentation_has_a_heading_of_its_own(row):
    assert re.search(
        rf"^## .*`\[{row.check.Settings.SECTION}\]`", (TOP / "docs" / "checks.md").read_text(), re.MULTILINE
    )


def test_it_has_a_test_file(row):
    module = row.check.__name__.rpartition(".")[2]
    assert (TOP / "tests" / "unit" / "antispam" / "checks" / f"test_{module}.py").exists()


def test_checks_do_not_import_one_another(row):
    source = Path(row.check.__file__).read_text()
    importing = (
        r"^\s*(from antispam\.checks(?!\._shared)|import antispam\.checks(?!\._shared)|from antispam import checks)"
    )
    assert not re.search(importing, source, re.MULTILINE)


def test_what_a_check_reads_it_declares_as_needed(row):
    """A finding of another check that is read without `needs` could be missing on a bad day only."""
    source = Path(row.check.__file__).read_text()
    others = {other.check.Finding.__name__: other.check.NAME for other in JOURNEY.rows if other.check is not row.check}
    read = {others[name] for name in re.findall(r"\.get\(\s*(\w+)", source) if name in others}
    assert read <= set(row.needs)


IDLE = [
    row
    for row in JOURNEY.rows
    if hasattr(row.check, "applies")
    and not row.check.applies(default_settings([row.check.Settings])[row.check.Settings])
]


@pytest.mark.parametrize("login", ["", "ann"])
@pytest.mark.parametrize("row", IDLE, ids=lambda row: row.check.NAME)
def test_a_row_that_is_left_out_would_have_changed_nothing(row, login):
    letter = message(
        "From: =?utf-8?q?V=D1=96agra?= <ann@example.org>",
        "From: bob@example.com",
        "Subject: [Fwd: 看 cheap pills ADV]",
        "Received: from localhost",
        mail_from="ann@example.org",
        login=login,
    )
    given = services_of(row.check.Settings)
    recipient = letter.recipients[0] if row.scope is Scope.RECIPIENT else None
    connection = Connection("c", ip="203.0.113.9", findings=letter.findings)
    finding = row.check.collect(connection, letter, recipient, given)
    if finding is not None:
        own = given.settings[row.check.Settings]
        assert row.check.decide(finding, letter.findings, own, given.access).action is Action.CONTINUE
        assert not hasattr(row.check, "act")


def test_as_shipped_the_rows_that_have_to_be_told_what_to_look_for_are_left_out():
    assert {row.check.NAME for row in IDLE} >= {"words", "wiretap", "archive", "srs", "author_domain"}


def test_the_shipped_configuration_loads_as_it_is(tmp_path):
    load([TOP / "milter.cfg"], settings_classes(JOURNEY))


def test_the_shipped_configuration_shows_every_option_with_its_default():
    classes = settings_classes(JOURNEY)
    shown = load_text(_SHOWN.sub("", CONFIG), classes)
    assert {f"[{o.section}] {o.option}" for o in shown.origins if o.where == "default"} == set()
    defaults = {(o.section, o.option): o.value for o in default_settings(classes).origins}
    different = {
        f"[{o.section}] {o.option}": o.value for o in shown.origins if o.value != defaults[o.section, o.option]
    }
    assert different == {}


def test_no_line_of_the_shipped_configuration_is_too_long_to_read():
    assert max(len(line) for line in CONFIG.splitlines() or [""]) <= 120


def _public_functions(check) -> set[str]:
    own = (value for value in vars(check).values() if inspect.isfunction(value) and value.__module__ == check.__name__)
    return {function.__name__ for function in own if not function.__name__.startswith("_")}


@pytest.mark.parametrize("name", OPTIONAL)
def test_the_checks_with_an_optional_function_are_those_that_mypy_compares_with_the_contract(name):
    """Otherwise a misspelt argument would be seen when the first message comes."""
    having = [row.check.__name__ for row in JOURNEY.rows if hasattr(row.check, name)]
    assert sorted(check.__name__ for check in getattr(contract_of_checks, name.upper())) == sorted(having)


def test_no_optional_function_is_misspelt(row):
    """Whatever a check offers is in the contract, or somebody else uses it by its name."""
    known = {"collect", "decide", *OPTIONAL}
    elsewhere = [file.read_text() for file in (TOP / "lib" / "antispam").rglob("*.py")]
    for name in _public_functions(row.check) - known:
        used = sum(len(re.findall(rf"\b{name}\b", text)) for text in elsewhere)
        assert used > 1, f"{row.check.__name__}.{name} is no function of the contract, and nobody calls it"
