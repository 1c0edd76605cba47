"""The configuration in effect, as `bms check-config` prints it: each option with its value and where it comes from, secrets
hidden."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from antispam.service.effective import shown as value_of
from antispam.service.effective import warnings_of
from antispam.settings.load import Origin
from antispam.settings.program import ProgramSettings
from antispam.web.answers import console_of, shown
from antispam.web.roles import helpdesk


def configuration_page(request: Request) -> Response:
    helpdesk(request)
    settings, everything = console_of(request).settings, request.query_params.get("all") == "1"
    sections: dict[str, list[tuple[Origin, str]]] = {}
    for origin in settings.origins:
        if everything or origin.where != "default":
            sections.setdefault(origin.section, []).append((origin, value_of(origin)))
    return shown(
        request, "configuration.html", sections=sections, everything=everything,
        observe=settings[ProgramSettings].observe, warnings=list(warnings_of(settings, "bms")),
    )  # fmt: skip
