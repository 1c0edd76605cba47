"""Tables for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def table_of(*headings: str) -> Table:
    """A table with these headings. Its cells are never truncated, however narrow the terminal: a truncated name cannot
    be typed into the next command.
    """
    made = Table()
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def console_of(wide: int) -> Console:
    """Standard output, with `wide` columns if it is not a terminal, so that no column is truncated in a pipe."""
    made = Console(highlight=False, emoji=False, markup=False)
    return made if made.is_terminal else Console(highlight=False, emoji=False, markup=False, width=wide)
