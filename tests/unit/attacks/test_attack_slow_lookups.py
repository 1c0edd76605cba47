"""Name servers that answer late, on purpose: they cost the mail that asks them, and nobody else's."""

import concurrent.futures
import dataclasses
import threading
from typing import ClassVar

import pytest

from antispam.deadline import Deadline
from antispam.journey import runner as runner_module
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.session import Session
from antispam.journey.table import Journey, Row, Scope, Stage
from antispam.mail.access_map import AccessMap
from antispam.mail.findings import Finding
from antispam.mail.verdicts import CONTINUE
from antispam.settings import CheckSettings, default_settings, section
from antispam.settings.program import ProgramSettings
from support.dns import ScriptedResolver
from support.patience import PATIENCE


def looking_up(name, wait):
    """A check that waits for the network."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Found(Finding):
        check: ClassVar[str] = name

    @section(name)
    class Configured(CheckSettings):
        pass

    class Check:
        NAME = name
        Settings = Configured
        Finding = Found
        LOOKS_UP = True

        @staticmethod
        def collect(connection, message, recipient, services):
            wait(message.mail_from)
            return Found()

        @staticmethod
        def decide(finding, findings, settings, policy):
            return CONTINUE

    return Check


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        yield executor


def make_session(pool, *waits):
    rows = [Row(Stage.END, Scope.MESSAGE, looking_up(f"check{number}", wait)) for number, wait in enumerate(waits)]
    table = Journey(rows)
    services = Services(
        settings=default_settings([ProgramSettings, *table.settings_classes()]),
        resolver=ScriptedResolver({}),
        store=None,
        access=AccessMap(),
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )
    runner = Runner(table, pool=pool, slots=2)
    return lambda: Session(runner, services)


def start(session, sender):
    session.connect("192.0.2.1")
    session.mail(sender)
    session.rcpt("b@example.com")
    return session


def test_look_ups_that_fill_the_pool_do_not_keep_other_messages_waiting(pool):
    """Two threads, taken by two messages whose name servers are silent; a third one asks servers that answer."""
    release = threading.Event()

    def wait(sender):
        if sender == "slow@example.org":
            release.wait()

    new_session = make_session(pool, wait, wait)
    slow = [threading.Thread(target=start(new_session(), "slow@example.org").end) for _ in range(2)]
    for thread in slow:
        thread.start()
    fast = threading.Thread(target=start(new_session(), "fast@example.org").end)
    fast.start()
    fast.join(PATIENCE)
    in_time = not fast.is_alive()
    release.set()
    for thread in [*slow, fast]:
        thread.join()
    assert in_time


def test_the_mta_hears_that_work_goes_on_even_if_there_is_one_look_up_only(pool, monkeypatch):
    """sendmail gives up a filter that says nothing for 10 s; a DKIM key may take longer."""
    monkeypatch.setattr(runner_module, "TICK_SECONDS", 0.01)
    ticked = threading.Event()
    heard = []
    session = make_session(pool, lambda sender: heard.append(ticked.wait(PATIENCE)))()
    start(session, "a@example.org").end(tick=ticked.set)
    assert heard == [True]
