"""What is left of a message once it is answered: nothing that only the garbage collector could free."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from antispam.journey.delivery import Outcome
from antispam.mail.message import Message
from antispam.mail.verdicts import Action
from antispam.protocols.attachments import inspect
from antispam.protocols.attachments.contents import Looker
from support.dns import ScriptedResolver
from support.whole_journey import application, connected, send

HEADERS = [
    (b"From", b" Ann <ann@example.net>"),
    (b"To", b" bob@example.com"),
    (b"Subject", b" A page for you"),
    (b"Content-Type", b' multipart/mixed; boundary="x"'),
]
BODY = (
    b"--x\r\nContent-Type: text/html\r\n\r\n<a href='https://example.org/'>https://example.net/</a>\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nHello\r\n--x--\r\n"
)


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(kind: type) -> set[int]:
    return {id(one) for one in gc.get_objects() if isinstance(one, kind)}


@pytest.mark.parametrize(("mode", "action"), [("log", Action.CONTINUE), ("enforce", Action.REJECT)])
def test_message_is_freed_with_its_answer(tmp_path: Path, mode: str, action: Action) -> None:
    """Bodies of megabytes would wait for the collector otherwise, and each collection costs processor time."""
    config = f"[greylist]\nmode = off\n[words]\nmode = {mode}\n[defang]\nporn_words = page\n"
    with application(tmp_path, ScriptedResolver({}), config) as app:
        before = alive(Message)
        outcome = send(connected(app), HEADERS, BODY)
        assert isinstance(outcome, Outcome)
        assert outcome.verdict.action is action
        app.history.flush()
        assert alive(Message) <= before


def test_search_of_attachments_is_freed_when_it_ends() -> None:
    before = alive(Looker)
    inspect(HEADERS, BODY)
    assert alive(Looker) <= before
