"""What `bms report` tells of mail that really went through the journey, not of rows made up for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from antispam.store.reports import report
from antispam.store.tally import Disposition
from support.dialogue import Player, read_dialogue
from support.inprocess import InProcessRunner


@pytest.mark.parametrize(
    ("name", "dispositions", "why", "would"),
    [
        # Who is banned in the middle of a message counts as banned, whatever he heard first.
        ("banned-client", {Disposition.REJECTED: 4}, {(Disposition.REJECTED, "banned"): 4}, {}),
        (
            "spam-three-recipients",
            {Disposition.DELIVERED: 1, Disposition.REJECTED: 1},
            {(Disposition.REJECTED, "spam_action"): 1},
            {},
        ),
        ("attachment-refused", {Disposition.REJECTED: 1}, {(Disposition.REJECTED, "attachments"): 1}, {}),
        ("mode-log", {Disposition.DELIVERED: 1}, {}, {"spf": 1, "greylist": 1}),
    ],
)
def test_a_report_tells_what_the_dialogue_says(
    inprocess_runner: InProcessRunner, name, dispositions, why, would
) -> None:
    dialogue = read_dialogue(Path(__file__).with_name(f"{name}.journey"))
    with inprocess_runner.scene(dialogue) as scene:
        Player(dialogue, scene).play()
        application = scene._application
        application.history.flush()
        made = report(application.store, scene._clock() + 1, 5)
    found = sum((day.dispositions for day in made.days), start=type(made.days[0].dispositions)())
    assert {disposition: found[disposition] for disposition in dispositions} == dispositions
    assert made.why == why
    assert made.would == would
