"""Every .journey file here, through the application in this process, through Postfix and through sendmail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import PostgreSQL
from support.dialogue import RUNNERS, Dialogue, JourneyFileError, Player, Runner, read_dialogue
from support.mta_runner import MtaRunner

FILES = sorted(Path(__file__).parent.glob("*.journey"))


def _cases() -> list[object]:
    """One for each file and runner, the runners one after the other, so that each MTA is started once."""
    cases = []
    for runner in RUNNERS:
        marks = () if runner == "inprocess" else pytest.mark.servers
        for path in FILES:
            try:
                wanted = runner in read_dialogue(path).runners
            except JourneyFileError:
                wanted = runner == "inprocess"  # the test shows the error, once
            if wanted:
                cases.append(pytest.param(path, runner, id=f"{path.stem}-{runner}", marks=marks))
    return cases


@pytest.mark.parametrize(("path", "runner"), _cases())
def test_dialogue(
    path: Path, runner: str, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """The dialogue goes as the file says."""
    dialogue: Dialogue = read_dialogue(path)
    record_property("dialogue", dialogue.name)
    record_property("runner", runner)
    chosen: Runner = request.getfixturevalue(f"{runner}_runner")
    with chosen.scene(dialogue) as scene:
        Player(dialogue, scene).play()


@pytest.mark.servers
@pytest.mark.parametrize("runner", ["postfix", "sendmail"])
@pytest.mark.parametrize("name", ["report-by-forwarding", "report-false-positive", "callback-notice"])
def test_dialogue_on_postgresql(name: str, runner: str, postgresql: PostgreSQL, request: pytest.FixtureRequest) -> None:
    """What users teach goes the same way over the store that several nodes share."""
    dialogue = read_dialogue(Path(__file__).with_name(f"{name}.journey"))
    chosen: MtaRunner = request.getfixturevalue(f"{runner}_runner")
    with chosen.scene(dialogue, postgresql.by_socket(postgresql.new_store())) as scene:
        Player(dialogue, scene).play()
