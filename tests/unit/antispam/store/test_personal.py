"""What is stored about whom is told completely: the list of it, docs/privacy.md and the schema say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bms import JOURNEY

from antispam.service.application import settings_classes
from antispam.settings import default_settings
from antispam.store.personal import TABLES, as_markdown
from antispam.store.schema import metadata

PAGE = (Path(__file__).parents[4] / "docs" / "privacy.md").read_text()
OPTIONS = {(one.section, one.option) for one in default_settings(settings_classes(JOURNEY)).origins}


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_column_is_told_of(table):
    """Whoever adds a column says in antispam.store.personal what it holds about people, and how long."""
    assert set(TABLES[table.name].columns) == {column.name for column in table.columns}


def test_no_table_is_told_of_that_does_not_exist():
    assert set(TABLES) == set(metadata.tables)


def test_the_page_has_the_table_that_the_code_goes_by():
    assert as_markdown() in PAGE, (
        "docs/privacy.md: replace its table by what antispam.store.personal.as_markdown() gives"
    )


@pytest.mark.parametrize(("section", "option"), sorted(set(re.findall(r"`\[(\w+)\] (\w+)", PAGE))))
def test_every_option_that_the_page_names_exists(section, option):
    assert (section, option) in OPTIONS
