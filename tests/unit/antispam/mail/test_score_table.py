"""The table of tests: what it promises, and that the documentation shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bms import JOURNEY

from antispam.mail.score_table import TABLE, TESTS

TOP = Path(__file__).parents[4]
HEAD = "| test | points | check | why |\n|---|---|---|---|\n"
MARK = 6.0


def as_table() -> str:
    return HEAD + "".join(f"| {one.name} | {one.points:g} | {one.check} | {one.why} |\n" for one in TESTS)


def test_the_documentation_shows_the_table_as_it_is():
    shown = (TOP / "docs" / "score.md").read_text()
    assert HEAD in shown
    start = shown.index(HEAD)
    rest = shown[start:].split("\n\n")[0].rstrip("\n") + "\n"
    assert rest == as_table(), f"docs/score.md should have:\n{as_table()}"


@pytest.mark.parametrize("one", TESTS, ids=lambda one: one.name)
def test_a_test_has_a_name_a_check_and_a_reason(one):
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{2,39}", one.name)
    assert one.check in {row.check.NAME for row in JOURNEY.rows}
    assert re.fullmatch(r"[A-Z][^|\n]{10,140}\.", one.why)


def test_no_name_is_used_twice():
    assert len(TABLE) == len(TESTS)


def test_the_tests_of_a_check_stand_together():
    checks = [one.check for one in TESTS]
    blocks = [check for before, check in zip(["", *checks], checks, strict=False) if check != before]
    assert len(blocks) == len(set(blocks))


def test_the_points_of_each_check_are_given_by_a_check_that_scores():
    """A test that nothing can hit would stand in the documentation all the same."""
    having = {row.check.NAME for row in JOURNEY.rows if hasattr(row.check, "points")} | {"score"}  # the learner's
    assert {one.check for one in TESTS} <= having


def test_every_test_that_a_check_names_is_in_the_table_of_that_check():
    for row in JOURNEY.rows:
        source = Path(row.check.__file__).read_text()
        for name in re.findall(r'\bHit\(\s*"(\w+)"', source):
            assert TABLE[name].check == row.check.NAME
