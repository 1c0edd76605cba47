"""How often something may be asked, and what happens when very many ask."""

from __future__ import annotations

import pytest

from antispam.web import limiter
from antispam.web.limiter import PERIOD, Limiter
from support.console import Clock


@pytest.fixture
def clock():
    return Clock()


def test_the_period_of_a_name_begins_anew(clock):
    asked = Limiter(2, clock)
    assert [asked.admits("a") for _ in range(3)] == [True, True, False]
    clock.now += PERIOD
    assert asked.admits("a")


def test_names_without_end_do_not_free_the_one_that_asked_too_often(clock, monkeypatch):
    """All counts were forgotten together: whoever sent from ten thousand networks could try passwords without a limit."""
    monkeypatch.setattr(limiter, "MAX_NAMES", 3)
    asked = Limiter(1, clock)
    for name in ("old", "busy", "x"):
        assert asked.admits(name)
    assert asked.admits("new")
    assert not asked.admits("busy")
    assert asked.admits("old")  # the one that was forgotten


def test_a_name_that_begins_anew_is_not_the_oldest(clock, monkeypatch):
    monkeypatch.setattr(limiter, "MAX_NAMES", 2)
    asked = Limiter(1, clock)
    asked.admits("a")
    clock.now += PERIOD / 2
    asked.admits("b")
    clock.now += PERIOD / 2
    asked.admits("a")
    asked.admits("c")
    assert (asked.admits("a"), asked.admits("b")) == (False, True)
