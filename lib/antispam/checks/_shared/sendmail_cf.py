"""Changes that sendmail makes after the milters, according to its configuration."""

from __future__ import annotations

import re
from pathlib import Path

# "O MustQuoteChars=.'"; without such a line sendmail uses "." and "'" (its Operations Guide).
_MUST_QUOTE = re.compile(r"^O[ \t]*MustQuoteChars[ \t]*(?:=(.*))?$", re.MULTILINE)
_ALWAYS = "@,;:\\()[]"  # these are quoted whatever the option says, and no mail program leaves them bare
_DEFAULT = ".'"


def quoted_by(file: Path) -> str:
    """The characters for which sendmail puts a display name into quotes that mail programs don't; "" if there are none, or
    if the file is not there or can't be read."""
    try:
        found = _MUST_QUOTE.findall(file.read_text(encoding="latin-1"))
    except OSError:
        return ""
    return "".join(char for char in (found[-1].strip() if found else _DEFAULT) if char not in _ALWAYS)
