"""Durations as values of options."""

from __future__ import annotations

import click

from antispam.settings.values import duration
from antispam.text import for_log


def parsed_duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The callback of an option, which converts `12h` or `7d` to seconds; a plain number means days. Raises
    click.BadParameter.
    """
    try:
        return None if value is None else float(duration("d")(value))
    except ValueError as error:
        raise click.BadParameter(f"'{for_log(value or '', 60)}': {error}") from None
