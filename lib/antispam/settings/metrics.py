"""[metrics]: the file for a monitoring system."""

from __future__ import annotations

from pathlib import Path

from antispam.settings import option, section


def _named_for_the_collector(file: Path | None) -> None:
    if file is not None and file.suffix != ".prom":
        raise ValueError("the textfile collector reads only files whose names end in .prom")


@section("metrics")
class MetricsSettings:
    """[metrics]: figures for a monitoring system."""

    file: Path | None = option(
        None,
        "a file in Prometheus's text format (NAME.prom), rewritten every minute, for node_exporter's textfile collector; "
        "empty is off",
        check=_named_for_the_collector,
    )
