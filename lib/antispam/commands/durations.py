"""Durations as options."""

from __future__ import annotations

import click

from antispam.settings.values import duration
from antispam.text import for_log


def parsed_duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The callback of an option: seconds of `12h`, `7d`; a bare number counts in days. Raises click.BadParameter."""
    try:
        return None if value is None else float(duration("d")(value))
    except ValueError as error:
        raise click.BadParameter(f"'{for_log(value or '', 60)}': {error}") from None
