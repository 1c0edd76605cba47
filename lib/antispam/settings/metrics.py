"""[metrics]: figures for a monitoring system, as a file or by HTTP."""

from __future__ import annotations

from pathlib import Path

from antispam.settings import option, section
from antispam.settings.web import parse_listen


def _named_for_the_collector(file: Path | None) -> None:
    if file is not None and file.suffix != ".prom":
        raise ValueError("the textfile collector reads only files whose names end in .prom")


def _listen(text: str) -> None:
    if text:
        parse_place(text)


def parse_place(text: str) -> tuple[str, int]:
    """Address and port of `127.0.0.1:9783`; a port alone is on the loopback. Raises ValueError."""
    return parse_listen(f"127.0.0.1:{text}" if text.strip().isdecimal() else text)


@section("metrics")
class MetricsSettings:
    """[metrics]: figures for a monitoring system."""

    file: Path | None = option(
        None,
        "a file in Prometheus's text format (NAME.prom), rewritten every minute, for node_exporter's textfile collector; "
        "empty is off",
        check=_named_for_the_collector,
    )
    listen: str = option(
        "",
        "where Prometheus gets the same by HTTP, at /metrics: a port, which is opened on 127.0.0.1, or address:port; empty is "
        "off. Whoever reaches it may read it",
        check=_listen,
    )
