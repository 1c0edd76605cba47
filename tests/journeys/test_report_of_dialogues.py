"""What `bms report` tells of mail that really went through the journey, not of rows made up for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from antispam.store.reports import Fate, report
from support.dialogue import Player, read_dialogue
from support.inprocess import InProcessRunner


@pytest.mark.parametrize(
    ("name", "fates", "why", "would"),
    [
        # Who is banned in the middle of a message counts as banned, whatever he heard first.
        ("banned-client", {Fate.REFUSED: 4}, {(Fate.REFUSED, "banned"): 4}, {}),
        ("spam-three-recipients", {Fate.DELIVERED: 1, Fate.REFUSED: 1}, {(Fate.REFUSED, "spam_action"): 1}, {}),
        ("attachment-refused", {Fate.REFUSED: 1}, {(Fate.REFUSED, "attachments"): 1}, {}),
        ("mode-log", {Fate.DELIVERED: 1}, {}, {"spf": 1, "greylist": 1}),
    ],
)
def test_a_report_tells_what_the_dialogue_says(inprocess_runner: InProcessRunner, name, fates, why, would) -> None:
    dialogue = read_dialogue(Path(__file__).with_name(f"{name}.journey"))
    with inprocess_runner.scene(dialogue) as scene:
        Player(dialogue, scene).play()
        application = scene._application
        application.history.flush()
        made = report(application.store, scene._clock() + 1, 5)
    found = sum((day.fates for day in made.days), start=type(made.days[0].fates)())
    assert {fate: found[fate] for fate in fates} == fates
    assert made.why == why
    assert made.would == would
