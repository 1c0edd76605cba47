"""Whatever a check says in these tests is a sentence that the console can say in every language."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import antispam.checks
from antispam.mail.score import Hit
from antispam.mail.verdicts import Verdict
from antispam.web.said import unknown_in

_ENOUGH = 200  # sentences of one test: hypothesis makes thousands
_CHECKS = Path(antispam.checks.__file__).parent


def _by_a_check(frame: FrameType | None) -> bool:
    """Whether a check makes it, and not a test: reject() and its like stand between."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("antispam.mail", "collections")):
        frame = frame.f_back
    return frame is not None and _CHECKS in Path(frame.f_code.co_filename).parents


@pytest.fixture(autouse=True)
def console_knows_what_checks_say(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the pattern of a new sentence to antispam/web/sentences.py, and translate it (`make messages`), if this fails."""
    said: set[str] = set()

    def listen(kind: type[Verdict] | type[Hit], field: str) -> None:
        new, make = kind.__new__, kind._make.__func__  # type: ignore[attr-defined] # what _replace() makes them with

        def heard(one: Any) -> Any:
            if _by_a_check(sys._getframe(2)):
                said.add(getattr(one, field))
            return one

        monkeypatch.setattr(kind, "__new__", staticmethod(lambda *args, **more: heard(new(*args, **more))))
        monkeypatch.setattr(kind, "_make", classmethod(lambda cls, values: heard(make(cls, values))))

    if request.path.name != "test_rules.py":  # a rule says what its author wrote
        listen(Verdict, "reason")
        listen(Hit, "evidence")
    yield
    assert [part for one in sorted(said - {""})[:_ENOUGH] for part in unknown_in(one)] == []
