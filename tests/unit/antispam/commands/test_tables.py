"""What commands show is whole on a terminal of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from antispam.commands.tables import table_of

NAME = "a-sender-with-a-long-name.of-a-department@of-a-company-with-a-long-domain.example"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_name_that_is_too_long_for_its_column_is_broken_and_not_cut(width):
    """The end of an address was an ellipsis, which nobody can type."""
    table = table_of("kind", "name", "reason")
    table.add_row("blacklist", NAME, "sends spam")
    shown = io.StringIO()
    Console(width=width, file=shown).print(table)
    rows = [line.split("│")[2].strip() for line in shown.getvalue().splitlines() if line.count("│") == 4]
    assert "".join(rows) == NAME
