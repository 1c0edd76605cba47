"""The choice of a language, at the foot of every page."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.learning.languages import languages
from antispam.web.answers import remember_language, text_of

_HERE = re.compile(r"/(?![/\\])[!-~]{0,2000}")  # a path of ours; `//`, and what browsers read as that, lead elsewhere


async def change_language(request: Request) -> Response:
    """Store the choice in a cookie, even without a login, and return to the previous page. It contains nothing
    personal, so no token is required.
    """
    form = await request.form(max_files=0, max_fields=3)
    chosen, back = text_of(form, "language"), text_of(form, "back")
    answer = RedirectResponse(back if _HERE.fullmatch(back) else "/", 303)
    if chosen in languages():
        remember_language(request, answer, chosen)
    return answer
