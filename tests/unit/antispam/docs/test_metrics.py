"""docs/metrics.md names every figure that there is, with its labels, and none that there isn't."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from bms import JOURNEY
from prometheus_client.parser import text_string_to_metric_families

from antispam.learning.teacher import Teacher
from antispam.service.board import Board
from antispam.service.families import families
from antispam.service.metrics import Metrics
from antispam.store.hours import Hours
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
    text = Metrics(board, store, lambda: NOW, Hours(store)).text().decode()
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


def _named(expressions):
    """The figures in expressions of PromQL, without what a histogram is made of."""
    found = {name for expression in expressions for name in re.findall(r"\bbms_\w+", expression)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def _labels(expressions):
    """{figure: labels that are matched}"""
    found = {}
    for name, matchers in re.findall(r"\b(bms_\w+)\{([^}]*)\}", " ".join(expressions)):
        figure = re.sub(r"_(bucket|sum|count)$", "", name)
        found.setdefault(figure, set()).update(re.findall(r"(\w+)[!=]", matchers))
    return found


def _rules(name="bms.rules.yml"):
    return yaml.safe_load((TOP / "contrib" / "prometheus" / name).read_text())


def _alerts():
    return [rule for group in _rules()["groups"] for rule in group["rules"]]


def _dashboard():
    return json.loads((TOP / "contrib" / "grafana" / "bms.json").read_text())


def _panels():
    return [panel for panel in _dashboard()["panels"] if panel["type"] != "row"]


def _drawn():
    return [target["expr"] for panel in _panels() for target in panel["targets"]]


def test_alerts_and_panels_ask_for_figures_that_exist_by_labels_that_they_have(existing):
    expressions = [*(rule["expr"] for rule in _alerts()), *_drawn()]
    assert _named(expressions) <= set(existing)
    for figure, labels in _labels(expressions).items():
        assert labels - {"job", "instance", "le"} <= existing[figure], figure


def test_every_figure_is_on_the_dashboard(existing):
    assert set(existing) - _named(_drawn()) <= {"bms_dictionary_messages"}


def test_every_alert_says_what_to_do_and_is_tried_in_both_ways():
    """Quiet on a usual day, and loud when everything is wrong. tests/e2e/test_prometheus_rules.py has Prometheus run them."""
    for rule in _alerts():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")
    usual, silent, wrong = _rules("bms.rules.test.yml")["tests"]
    names = [rule["alert"] for rule in _alerts()]
    assert [one["alertname"] for one in usual["alert_rule_test"]] == names
    (loud,) = wrong["promql_expr_test"]
    assert loud["exp_samples"][0]["value"] + len(silent["alert_rule_test"]) == len(names)


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    places = [panel["gridPos"] for panel in _dashboard()["panels"]]
    taken = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    numbers = [panel["id"] for panel in _dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))
