"""An MTA that goes away at each step of the end of a message, and brings it again: what is stored for it is stored once."""

from __future__ import annotations

import contextlib
import mailbox
from pathlib import Path

import pytest
import sqlalchemy as sa

from antispam.store import Store
from antispam.store.schema import history, outbox, quarantine_entry, stored_message
from support.filter_process import FilterProcess
from support.learning import SPAM, Learned
from support.milter_client import FINAL, MilterClient
from support.network import Network
from support.processes import wait_until

pytestmark = pytest.mark.servers

USERS = ("bob", "carol", "dave", "erin")
LEARNED = Learned(
    taught=[("site", 120)],
    preferences=[
        ("bob", "spamAction", "tag"),
        ("carol", "spamAction", "quarantine"),
        ("dave", "spamAction", "deliver"),
        ("erin", "spamAction", "quarantine"),
    ],
)
CONFIG = (
    "internal_connect = 10.0.0.1\n[greylist]\nmode = off\n[spf]\nmode = off\n[dkim]\nmode = off\n[dmarc]\nmode = off\n"
    + (
        "[outbox]\nhost = 127.0.0.1:1\n[wiretap]\narchive = {dir}/archive\n[dspam]\n"
        + "".join([f"dspam_users = {', '.join(USERS)}\n", *(f"{user} = {user}@example.com\n" for user in USERS)])
    )
)
BODY = SPAM.format(7).partition("\r\n\r\n")[2].encode()


def bring(program: FilterProcess, packets: int | None = None) -> int:
    """Bring the message up to so many answers at its end, or to the last; returns how many there were."""
    fields = [(b"From", b"Pills <win7@spam.example>"), (b"Subject", b"WIN 7"), (b"Message-ID", b"<7@spam.example>")]
    with MilterClient(str(program.socket)) as client:
        client.greet()
        assert client.mail(b"<win7@spam.example>").goes_on
        for user in USERS:
            assert client.rcpt(b"<%s@example.com>" % user.encode()).goes_on
        client.data()
        for name, value in fields:
            client.header(name, value)
        client.eoh()
        client.body(BODY)
        client.put(b"E")
        client.flush()
        seen = 0
        while seen != packets:
            seen += 1
            if client.get()[0] in FINAL:
                client.quit()
                break
        return seen


def stored(program: FilterProcess, store: Store) -> dict[str, int]:
    """What there is, in numbers."""
    count = sa.func.count()
    with store.read() as connection:
        found = {
            table.name: connection.scalar(sa.select(count).select_from(table)) or 0
            for table in (quarantine_entry, stored_message, outbox)
        }
    archive = Path(program.directory) / "archive"
    with contextlib.closing(mailbox.mbox(archive)) as archived:
        return found | {"archived": len(archived)}


def recorded(store: Store) -> list[str]:
    """What the history says became of each time."""
    with store.read() as connection:
        return list(connection.scalars(sa.select(history.c.action).order_by(history.c.id)))


def test_what_is_stored_for_a_message_is_stored_once_wherever_its_mta_goes_away() -> None:
    with (
        FilterProcess(Network(), CONFIG, learned=LEARNED) as program,
        contextlib.closing(Store(program.database)) as store,
    ):
        bring(program, 1)
        wait_until(lambda: len(recorded(store)) == 1, "the first time is over")
        once = stored(program, store)
        assert once["quarantine_entry"] == 2
        assert min(once.values()) == 1
        step, times = 2, 1
        while True:
            seen = bring(program, step)
            times += 1
            wait_until(lambda times=times: len(recorded(store)) == times, "that time is over")  # type: ignore[misc]
            assert stored(program, store) == once, f"gone after {step} answers"
            if seen < step:
                break
            step += 1
        assert step > 4
        assert set(recorded(store)) <= {"continue", "tempfail"}
        assert recorded(store)[-1] == "continue"
        log = program.log()
    assert "Traceback" not in log
