"""The database fails at one step of a message after the other: nothing is lost, nothing comes twice, and mail goes on.

The attack: mail for several recipients who want different things of it, while the disk is full, somebody holds a lock, or the
database is gone. Whoever was answered for has the message in exactly one place; who was not, in none.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from antispam.journey.delivery import Outcome
from antispam.mail.draft import DeleteRecipient
from antispam.mail.verdicts import Action, Verdict
from antispam.service.application import Application
from antispam.store.engine import Breaker
from antispam.store.schema import outbox, quarantine_entry
from support.dns import ScriptedResolver
from support.learning import SPAM, Learned
from support.whole_journey import Clock, application, connected, send

USERS = ("bob", "carol", "dave", "erin")
RECIPIENTS = tuple(f"{user}@example.com" for user in USERS)
WISHES = Learned(
    taught=(("site", 120),),
    preferences=(
        ("bob", "spamAction", "tag"),
        ("carol", "spamAction", "quarantine"),
        ("dave", "spamAction", "deliver"),
        ("erin", "spamAction", "reject"),
    ),
)
CONFIG = f"[store]\nhistory = no\n[dspam]\ndspam_users = {', '.join(USERS)}\n" + "".join(
    f"{user} = {user}@example.com\n" for user in USERS
)
HEADERS = [(b"From", b" Pills <win7@spam.example>"), (b"Subject", b" WIN 7")]
BODY = SPAM.format(7).partition("\r\n\r\n")[2].encode()
ILLNESSES = {
    "locked": ("database is locked", 1),
    "full": ("database or disk is full", 1),
    "gone": ("unable to open database file", 1_000_000),
}


class Faults:
    """Counts what the application asks of its database, commits included, and lets `length` of it fail from number `at` on."""

    def __init__(self, engine: sa.Engine) -> None:
        self.count = 0
        self._at, self._length, self._text = -1, 0, ""
        for name in ("do_execute", "do_execute_no_params", "do_executemany", "do_commit"):
            setattr(engine.dialect, name, self._stepping(getattr(engine.dialect, name)))

    def plan(self, at: int, text: str, length: int) -> None:
        self.count, self._at, self._text, self._length = 0, at, text, length

    def heal(self) -> None:
        self.plan(-1, "", 0)

    def _step(self) -> None:
        number, self.count = self.count, self.count + 1
        if 0 <= self._at <= number < self._at + self._length:
            raise sqlite3.OperationalError(self._text)

    def _stepping(self, call: Callable[..., None]) -> Callable[..., None]:
        def stepping(*arguments: Any) -> None:
            self._step()
            call(*arguments)

        return stepping


class World:
    """The application, whose database can be made ill, and where its mail has come to."""

    def __init__(self, app: Application) -> None:
        self.app = app
        assert app.store is not None
        self.store = app.store
        self.faults = Faults(self.store._engine)

    def _last(self, table: sa.Table) -> int:
        with self.store.read() as connection:
            return connection.scalar(sa.select(sa.func.max(table.c.id))) or 0

    def _since(self, table: sa.Table, last: int) -> list[str]:
        with self.store.read() as connection:
            rows = connection.execute(sa.select(table.c.recipients).where(table.c.id > last)).scalars().all()
        return [recipient for text in rows for recipient in json.loads(text)]

    def steps(self) -> int:
        """How many a message takes that meets with no fault."""
        session = connected(self.app)
        self.faults.heal()
        send(session, HEADERS, BODY, recipients=RECIPIENTS)
        session.close()
        return self.faults.count

    def message(self, at: int, text: str, length: int) -> tuple[Verdict | Outcome, list[str]]:
        """What is answered for a message during which the database fails, and who has it afterwards, in what place ever."""
        before = self._last(quarantine_entry), self._last(outbox)
        session = connected(self.app)
        self.faults.plan(at, text, length)
        result = send(session, HEADERS, BODY, recipients=RECIPIENTS)
        session.close()
        self.faults.heal()
        self.store.breaker = Breaker()  # its pause is over
        has = self._since(quarantine_entry, before[0]) + self._since(outbox, before[1])
        if isinstance(result, Outcome) and result.verdict.action in (Action.CONTINUE, Action.ACCEPT):
            gone = {edit.path.strip("<>") for edit in result.edits if isinstance(edit, DeleteRecipient)}
            has += [recipient for recipient in RECIPIENTS if recipient not in gone]
        return result, sorted(has)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("store")
    WISHES.put_into(f"sqlite:///{folder / 'bms.sqlite'}")
    clock = Clock()
    with application(folder, ScriptedResolver(), CONFIG, clock) as app:
        world = World(app)
        for recipient in RECIPIENTS:  # each triplet is asked to come back
            send(connected(app), HEADERS, BODY, recipients=(recipient,))
        clock.ahead += 400
        yield world


def _refused(result: Verdict | Outcome) -> bool:
    return (result if isinstance(result, Verdict) else result.verdict).action.refuses


def test_a_message_for_all_of_them_is_in_four_places(world: World) -> None:
    """Otherwise there would be little to fail: an envelope, a copy of another content, two entries in quarantine."""
    result, has = world.message(-1, "", 0)
    assert isinstance(result, Outcome)
    assert has == sorted(RECIPIENTS)
    assert len([edit for edit in result.edits if isinstance(edit, DeleteRecipient)]) == 3


@pytest.mark.parametrize("illness", ILLNESSES)
def test_whatever_step_fails_the_message_is_in_one_place_for_each_or_in_none(world: World, illness: str) -> None:
    text, length = ILLNESSES[illness]
    refusals = 0
    for at in range(world.steps()):
        result, has = world.message(at, text, length)
        assert has == ([] if _refused(result) else sorted(RECIPIENTS)), f"step {at}"
        refusals += _refused(result)
        result, has = world.message(-1, "", 0)
        assert (_refused(result), has) == (False, sorted(RECIPIENTS)), f"after step {at}"
    assert refusals > 0
