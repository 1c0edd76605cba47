"""docs/metrics.md names every figure that there is, with its labels, and none that there isn't."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bms import JOURNEY
from prometheus_client.parser import text_string_to_metric_families

from antispam.learning.teacher import Teacher
from antispam.service.board import Board
from antispam.service.families import families
from antispam.service.metrics import Metrics
from dspam.store import TokenStore

TOP = Path(__file__).parents[4]
NOW = 1_700_000_000.0
_NAME = re.compile(r"`(bms_\w+)(?:\{([\w,]*)\})?`")


@pytest.fixture
def existing(store):
    """{name: labels} of all figures, of an installation that has everything."""
    teacher = Teacher(store, "ann", tokens=TokenStore(store, now=lambda: NOW))
    teacher.teach(b"From: ann@example.org\nSubject: x\n\nhello\n", True)
    teacher.fold()
    board = Board(families(JOURNEY))
    board.own.count("bms_check_verdicts_total", "spf", "reject", "enforce")
    text = Metrics(board, store, lambda: NOW).text().decode()
    return {
        f"{family.name}{'_total' if family.type == 'counter' else ''}": {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in text_string_to_metric_families(text)
    }


def test_the_page_names_every_figure_with_its_labels(existing):
    lines = (TOP / "docs" / "metrics.md").read_text().splitlines()
    told = [found for line in lines if line.startswith("| `") for found in _NAME.findall(line.split("|")[1])]
    assert {name: set(filter(None, labels.split(","))) for name, labels in told} == existing
