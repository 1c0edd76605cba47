"""[score]: what each test counts."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar

from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.declare import ANY
from antispam.settings.values import number

_MOST = 100.0  # the most points that one test may have


def _points(text: str) -> float:
    points = number(text)
    if not -_MOST <= points <= _MOST:  # rejects NaN as well
        raise ValueError(f"expected points between {-_MOST:g} and {_MOST:g}; 0 switches the test off")
    return points


class Counts(enum.StrEnum):
    """Which tests count."""

    ALL = "all"
    LEARNER = "learner"


@section("score")
class ScoreSettings(CheckSettings):
    """[score]: what each test counts."""

    SECTION: ClassVar[str]

    on_error: OnError = option(
        OnError.ACCEPT, "when the score cannot be computed: accept (without a score), tempfail or reject"
    )
    counts: Counts = option(
        Counts.ALL, "which tests count: all, or learner (its opinion only, as before there was a score)"
    )
    points: Mapping[str, float] = option(
        {},
        "a line `TEST = points` for each test whose points should differ from docs/score.md; 0 switches a test off",
        parse=_points,
        named_by=ANY,
    )
