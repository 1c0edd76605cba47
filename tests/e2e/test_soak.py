"""A short form of `make soak`: what was promised is kept once, and nothing passes unchecked, while things break."""

from __future__ import annotations

import soak


def test_nothing_is_lost_or_unchecked_while_workers_die_and_the_database_is_locked(capsys):
    assert soak.soak(seconds=20.0, seed=3) == 0, capsys.readouterr().out
