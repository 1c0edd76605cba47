"""Changes that sendmail makes after the milters have run, read from its configuration."""

from __future__ import annotations

import re
from pathlib import Path

# "O MustQuoteChars=.'"; without such a line sendmail uses "." and "'" (its Operations Guide).
_MUST_QUOTE = re.compile(r"^O[ \t]*MustQuoteChars[ \t]*(?:=(.*))?$", re.MULTILINE)
_ALWAYS = "@,;:\\()[]"  # always quoted, by mail programs as well
_DEFAULT = ".'"


def quoted_by(file: Path) -> str:
    """The characters that make sendmail quote a display name although mail programs do not; "" if there are none, or if
    the file cannot be read.
    """
    try:
        found = _MUST_QUOTE.findall(file.read_text(encoding="latin-1"))
    except OSError:
        return ""
    return "".join(char for char in (found[-1].strip() if found else _DEFAULT) if char not in _ALWAYS)
