"""The choice of a language, which the foot of every page has."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.learning.languages import languages
from antispam.web.answers import remember_language, text_of

_HERE = re.compile(r"/(?![/\\])[!-~]{0,2000}")  # an address of ours; `//` and what browsers take for it lead elsewhere


async def change_language(request: Request) -> Response:
    """Keep the choice in a cookie, for those who are not logged in, too, and go back to where they were. It says nothing about
    anybody, so no token is asked for."""
    form = await request.form(max_files=0, max_fields=3)
    chosen, back = text_of(form, "language"), text_of(form, "back")
    answer = RedirectResponse(back if _HERE.fullmatch(back) else "/", 303)
    if chosen in languages():
        remember_language(request, answer, chosen)
    return answer
