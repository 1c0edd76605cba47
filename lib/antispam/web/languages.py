"""The choice of a language from the browser's preferences."""

from __future__ import annotations

import re

from antispam.learning.languages import codes

_MOST = 20  # languages read from a browser's list
_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.ASCII)


def preferred(accepted: str, usual: str) -> str:
    """The available language that the browser prefers (Accept-Language, RFC 9110 section 12.5.4); the default if it
    wants none of them.
    """
    wanted = {usual: 0.0}
    for one in accepted[:1000].split(",")[:_MOST]:
        if (match := _RANGE.fullmatch(one)) and (code := match[1].lower()) in codes():
            wanted[code] = max(wanted.get(code, 0.0), float(match[2] or 1))
    return max(wanted, key=lambda code: wanted[code])
