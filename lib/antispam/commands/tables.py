"""Tables for a terminal."""

from __future__ import annotations

from rich.table import Table


def table_of(*headings: str) -> Table:
    """A table with these headings, whose cells are shown whole however narrow the terminal is: a name that was cut off can't
    be typed into the next command."""
    made = Table()
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made
