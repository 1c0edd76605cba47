"""How long the console takes for a page, with ten thousand messages in the quarantine of one user and in the history.

python tests/bench/web_bench.py [--rows N] [--short]: SQLite, in the bench's own process, so that it is the time of the server
alone. For each page that a user or an administrator opens the median, and whether it is below LIMIT.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from antispam.journey.history_row import address_rows, row_for
from antispam.mail.connection import Connection
from antispam.mail.evidence import ScoreFinding
from antispam.mail.message import Body, Message, Recipient, split_message
from antispam.mail.score import Counted
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE
from antispam.protocols.dmarc_reports import Received
from antispam.protocols.dmarc_reports.reading import Source
from antispam.store import Store, dmarc_received, own_lists
from antispam.store.hours import KEPT
from antispam.store.own_lists import Kind
from antispam.store.quarantine import NewEntry, insert
from antispam.store.schema import history, history_address
from support.console import NOW, SPAM, Place
from support.learning import teach

LIMIT = 0.100  # seconds for the median of a page
_DAY = 86_400.0
_BATCH = 500
_USERS = "[dspam]\ndspam_users = bob, carol\nbob = bob@example.com\ncarol = carol@example.com\n"
_RAW = (
    b"From: Eve %d <eve%d@shop%d.example>\r\nTo: bob@example.com\r\nSubject: Offer %d of the week\r\n"
    b"Message-ID: <%d@shop.example>\r\n\r\nBuy now, offer %d is gone tomorrow.\r\n"
)
_USER = (
    *(
        "/",
        "/?sort=subject",
        "/?sort=sender",
        "/?sort=-score",
        "/?q=offer+77",
        "/?q=nothing-like-that",
        "/messages/{ref}",
    ),
    *("/mail", "/mail?q=offer+77", "/mail?q=nothing-like-that", "/mail?became=refused", "/mail/{ref}"),
    *("/own-lists", "/preferences", "/learning", "/explain?to=bob@example.com", "/account"),
)
_ADMINISTRATOR = (
    *("/", "/?sort=subject", "/?q=offer+77", "/messages/{ref}", "/explain?to=bob@example.com", "/explain?ref={ref}"),
    *("/explain?check=dkim", "/explain?action=refused", "/explain?from=esp.example"),
    *(
        "/overview",
        "/overview?span=month",
        "/stream",
        "/lists",
        "/greylist",
        "/reputation?q=esp.example",
        "/outbox",
        "/rates",
    ),
    *("/dictionaries", "/dkim", "/configuration?all=1", "/actions", "/dmarc", "/dmarc?span=year", "/what-if"),
)


def _message(number: int, rows: int, now: float) -> Message:
    """The messages of thirty days, each scored; of three, one is kept."""
    at = now - 30 * _DAY * (rows - number) / rows
    headers, content = split_message(_RAW % (number, number, number % 97, number, number, number))
    message = Message(f"m{number:011d}", f"bounce-{number}@esp.example", at, Body(1 << 20), headers=headers)
    message.body.write(content)
    tests = tuple(
        Counted(f"TEST_{each}", 1.5 - each, f"What test {each} saw in message {number}.") for each in range(8)
    )
    recipient = Recipient("bob@example.com", decisions=[SPAM] if number % 3 == 0 else [])
    recipient.findings.add(ScoreFinding(total=7.1, tests=tests))
    message.recipients.append(recipient)
    return message


def fill(store: Store, rows: int, now: float = NOW) -> None:
    """So many messages for bob, all in the quarantine and in the history, and as many senders on his lists as fit."""
    for start in range(0, rows, _BATCH):
        messages = [_message(number, rows, now) for number in range(start, min(start + _BATCH, rows))]
        subjects = [Subject(Connection(ref="c", ip="192.0.2.1", name="mx.shop.example"), one) for one in messages]
        with store.write() as connection:
            for number, message in enumerate(messages, start):
                insert(connection, message, [NewEntry("bob", ("bob@example.com",), SPAM, (number % 1000) / 1000)])
            connection.execute(sa.insert(history), [row_for(one, CONTINUE, "node") for one in subjects])
            people = [row for one in subjects for row in address_rows(one, CONTINUE)]
            connection.execute(sa.insert(history_address), people)
    for number in range(own_lists.MOST):
        own_lists.put(store, "bob", Kind.BLOCK, f"spam{number}.example", now)
    teach(store, "bob", 50)
    for day in range(30):
        begin = int(now - day * _DAY)
        sources = tuple(
            Source(
                f"192.0.2.{number}",
                3,
                "none",
                "pass" if number % 3 else "fail",
                "fail",
                "example.com",
                "example.com",
                "",
            )
            for number in range(max(1, rows // 40))
        )
        dmarc_received.put(store, Received("Big Mail", str(day), "example.com", "none", begin, begin, sources), now)


def pages(client: TestClient, paths: Sequence[str], ref: str, times: int) -> Iterator[tuple[str, float]]:
    """Each page with the median of so many requests, in seconds."""
    for path in paths:
        spent = []
        for _ in range(times):
            began = time.perf_counter()
            answer = client.get(path.format(ref=ref))
            spent.append(time.perf_counter() - began)
            assert answer.status_code == 200, (path, answer.status_code)
        yield path, statistics.median(spent)


def main(argv: list[str]) -> int:
    """The exit status says whether all pages were below LIMIT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--short", action="store_true", help="fewer requests")
    given: Any = parser.parse_known_args(argv)[0]
    times, late = 5 if given.short else 25, 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), more=_USERS)
        fill(place.store, given.rows)
        place.console.hours.last(KEPT, NOW, 600.0)  # what the console does in the background
        gc.collect()
        print(
            f"the console with {given.rows} messages in one user's quarantine and history: median of {times} requests"
        )
        for who, paths in (("bob", _USER), ("ann", _ADMINISTRATOR)):
            for path, median in pages(place.client(who), paths, f"m{given.rows // 3 * 3 - 3:011d}", times):
                late += median >= LIMIT
                told = "met" if median < LIMIT else "MISSED"
                print(f"  {who:4} {path:34} {1000 * median:7.1f} ms  {told}")
        place.store.close()
    print(f"{late} pages took {1000 * LIMIT:.0f} ms or more" if late else f"all below {1000 * LIMIT:.0f} ms: met")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
