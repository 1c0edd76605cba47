"""What is measured on a store: a message, what people ask, and what housekeeping does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bms import JOURNEY
from starlette.testclient import TestClient

from antispam.service.application import Application, settings_classes
from antispam.service.metrics import of_store
from antispam.settings import load_text
from antispam.store import Store, quarantine
from antispam.store.history_search import Search, search
from antispam.store.quarantine import Search as Kept
from antispam.store.quarantine_order import bounded
from antispam.store.reports import report
from bench.growth.filling import queue_id_of, ref_of, user_of
from support.console import NOW, Place
from support.dns import ScriptedResolver
from support.lists import without_lists
from support.whole_journey import connected, send

Clock = Callable[[], float]
"""Seconds since any moment."""

MESSAGES = 60
TIMES = 5
SLICES = 10
PAGES = (
    *(
        "/",
        "/?sort=subject",
        "/?sort=-score",
        "/?q=offer+77",
        "/explain?to={user}@example.com",
        "/explain?ref={ref}",
    ),
    *("/explain?from=d7.example", "/explain?action=refused", "/stream", "/greylist", "/lists", "/outbox", "/rates"),
    *("/dictionaries", "/actions", "/overview"),
)
OWN_PAGES = ("/", "/?sort=subject", "/?q=offer+77", "/mail", "/mail?q=offer+77", "/mail?became=refused")
_USERS = "[dspam]\ndspam_users = bob\nbob = bob@example.com\n"
_CONFIG = (
    "[milter]\ndatadir = {folder}\nmessage_timeout = 60s\n[store]\nurl = {url}\n[greylist]\nmode = enforce\nwhen = {when}\n"
    "[dspam]\nmode = enforce\ndspam_users = site\nsite = example.com\n"
)


def everything(store: Store, rows: int, folder: Path) -> Iterator[tuple[str, float]]:
    """What was measured, and seconds of the processor, of all threads, so that a busy machine does not count: medians; of each
    chore its longest piece of the first SLICES."""
    yield from _messages(store, folder)
    yield from questions(store, rows)
    yield from _pages(store, rows, folder)
    yield from chores(store, folder)


def _application(store: Store, folder: Path, when: str) -> Application:
    text = _CONFIG.format(folder=folder, url=store.url.render_as_string(hide_password=False), when=when)
    settings = load_text(without_lists(text), settings_classes(JOURNEY))
    return Application(JOURNEY, settings, resolver=ScriptedResolver(), clock=lambda: NOW)


def _messages(store: Store, folder: Path) -> Iterator[tuple[str, float]]:
    """Through all checks; and one that the greylist defers at RCPT, after it looked its triplet up and wrote it down."""
    for name, when in (("a message, all checks", "never"), ("a greylisted message", "always")):
        application = _application(store, folder, "suspicious" if when == "never" else when)
        spent = []
        for number in range(MESSAGES + 10):
            began = time.process_time()
            session = connected(application)
            subject = b"Offer %d of the week" % number
            headers = [(b"From", b"ann@example.net"), (b"Subject", subject), (b"Message-ID", b"<%d@x>" % number)]
            send(session, headers, b"Shall we meet at noon?\r\n" * 20, sender=f"ann{number}@example.net")
            spent.append(time.process_time() - began)
        application.close()
        yield name, statistics.median(spent[10:])  # the dictionary has been loaded


def questions(store: Store, rows: int, clock: Clock = time.process_time) -> Iterator[tuple[str, float]]:
    """What people ask at a terminal, and what metrics ask each minute; medians, by that clock."""

    def median(ask: Callable[[], object], times: int = TIMES) -> float:
        return _median(ask, times, clock)

    middle = rows // 2 // max(1, rows // 1000) * max(1, rows // 1000)  # one of Bob's
    user = f"{user_of(middle, rows)}@example.com"
    asked = {
        "reference": Search(name=ref_of(middle)),
        "queue ID": Search(name=queue_id_of(middle)),
        "Message-ID": Search(message_id=f"{middle}@d{middle % 5000}.example"),
        "sender": Search(sender=f"eve{middle % 97}@d{middle % 5000}.example"),
        "sender's domain": Search(sender=f"d{middle % 5000}.example"),
        "recipient": Search(recipient=user),
        "recipient's domain": Search(recipient="example.com"),
        "sender and recipient": Search(sender=f"d{middle % 5000}.example", recipient=user),
        "sender and recipient's domain": Search(sender=f"d{middle % 5000}.example", recipient="example.com"),
    }
    yield "report --days 30", median(lambda: report(store, NOW, 30), 3)
    for key, wanted in asked.items():
        yield f"explain by {key}", median(lambda wanted=wanted: search(store, wanted, 20))
    yield "quarantine list", median(lambda: quarantine.find(store, Kept()))
    yield "quarantine list --user", median(lambda: quarantine.find(store, Kept(user=user_of(middle, rows))))
    for what, text in (("found", "offer"), ("not found", "nothing like that")):
        searched = median(lambda text=text: quarantine.find(store, bounded(store, Kept(text=text))[0]))
        yield f"quarantine list --search, {what}", searched
    nothing = median(lambda: quarantine.find(store, Kept(text="nothing like that")), 1)
    yield "quarantine list --search --limit 0, not found", nothing
    yield "metrics of the store", median(lambda: list(of_store(store, NOW)))


def _pages(store: Store, rows: int, folder: Path) -> Iterator[tuple[str, float]]:
    place = Place(folder, more=_USERS)
    for who, paths in (("ann", PAGES), ("bob", OWN_PAGES)):
        client = place.client(who)
        for path in paths:
            filled = path.format(user=user_of(0, rows), ref=ref_of(0))
            yield f"console of {who}, {path}", _median(lambda filled=filled, client=client: _get(client, filled), 3)
    place.store.close()


def _get(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)


def chores(store: Store, folder: Path, clock: Clock = time.process_time) -> Iterator[tuple[str, float]]:
    """The longest piece of the first SLICES of each, by that clock."""
    application = _application(store, folder, "suspicious")
    for number, chore in enumerate(application.chores()):
        longest = 0.0
        for _ in range(SLICES):
            began = clock()
            more = chore.task()
            longest = max(longest, clock() - began)
            if not more:
                break
        yield f"chore {number} {_name(chore.task)}", longest
    application.close()


def _name(task: Callable[[], bool]) -> str:
    function = getattr(task, "func", task)
    module = getattr(function, "__module__", type(task).__module__).rpartition(".")[2]
    return f"{module}.{getattr(function, '__name__', type(task).__name__)}"


def _median(ask: Callable[[], object], times: int = TIMES, clock: Clock = time.process_time) -> float:
    spent = []
    for _ in range(times):
        began = clock()
        ask()
        spent.append(clock() - began)
    return statistics.median(spent)
