"""bms.py in which a method of the session fails: the one that the file `fail` in the current folder names, if there is one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "lib")]

from bms import main  # noqa: E402

from antispam.journey.session import Session  # noqa: E402

METHODS = ("connect", "helo", "mail", "rcpt", "data", "headers", "body", "end", "abort", "close")
FAIL = Path("fail").absolute()


def _failing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if FAIL.exists() and FAIL.read_text() == name:
            raise RuntimeError(f"made to fail in {name}")
        return method(*arguments, **named)

    return wrapped


for each in METHODS:
    setattr(Session, each, _failing(each, getattr(Session, each)))

if __name__ == "__main__":
    main()
