"""Tables for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def table_of(*headings: str) -> Table:
    """A table with these headings, whose cells are shown whole however narrow the terminal is: a name that was cut off can't
    be typed into the next command."""
    made = Table()
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def console_of(wide: int) -> Console:
    """Standard output, `wide` columns of it where that is no terminal: in a pipe no column is cut short."""
    made = Console(highlight=False, emoji=False, markup=False)
    return made if made.is_terminal else Console(highlight=False, emoji=False, markup=False, width=wide)
