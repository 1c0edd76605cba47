"""With `mode = log` a check says what it would do, and does nothing: nothing is taught, sent, kept or forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from bms import JOURNEY

from antispam.journey.delivery import Outcome
from antispam.mail.verdicts import Action
from antispam.service.application import Application
from antispam.settings import Mode
from antispam.store.schema import metadata
from support.dns import ScriptedResolver
from support.learning import SPAM, Learned
from support.whole_journey import COLLEAGUE, Clock, application, connected, send

SECTIONS = sorted({row.check.Settings.SECTION for row in JOURNEY.rows})
# What a check remembers to be able to say what it would do. `dspam_user` gets a row for whoever is asked about.
EVIDENCE = {
    "history",
    "history_address",
    "history_sum",
    "greylist",
    "rate",
    "callback",
    "reputation_vote",
    "alembic_version",
}
USERS = "dspam_users = ann, bob\nann = ann@example.com\nbob = bob@example.com\nspam = spam@example.com\n"
OPTIONS = {
    "dspam": USERS + "bandom = ban@example.com\nhoneypot = trap@example.com\nwhitelist_senders = ann@example.com\n",
    "wiretap": "users = ann@example.com\ndest = boss@example.com\narchive = archive\n",
    "defang": "remedy = replace\nspam_words = win\n",
}
REPORT = (
    b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + SPAM.format(3).encode() + b"\r\n--b\r\n"
    b'Content-Type: application/octet-stream; name="a.exe"\r\n\r\nMZ\r\n--b--\r\n'
)
HEADERS = [
    (b"From", b" Ann <ann@example.com>"),
    (b"Subject", b" win"),
    (b"Message-ID", b" <1@example.com>"),
    (b"X-BMS-Pass", b" 1.abcdef"),
    (b"Content-Type", b' multipart/mixed; boundary="b"'),
]


def _config() -> str:
    return "".join(f"[{section}]\nmode = log\n{OPTIONS.get(section, '')}" for section in SECTIONS)


def _tables(app: Application) -> dict[str, list[tuple[object, ...]]]:
    with app.store.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in metadata.sorted_tables
            if table.name not in EVIDENCE
        }


@pytest.mark.parametrize(
    ("ip", "recipients"),
    [
        (COLLEAGUE, ("spam@example.com",)),
        (COLLEAGUE, ("ban@example.com",)),
        (COLLEAGUE, ("friend@example.net",)),
        ("198.51.100.7", ("ann@example.com", "bob@example.com")),
        ("198.51.100.7", ("trap@example.com",)),
    ],
)
def test_nothing_but_the_log_and_the_history_changes(tmp_path: Path, ip: str, recipients: tuple[str, ...]) -> None:
    Learned(taught=(("site", 120), ("ann", 120))).put_into(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    with application(tmp_path, ScriptedResolver(), _config(), Clock()) as app:
        assert {app.settings[row.check.Settings].mode for row in JOURNEY.rows} == {Mode.LOG}
        before, files = _tables(app), sorted(tmp_path.rglob("*"))
        session = connected(app, ip)
        result = send(session, HEADERS, REPORT, "ann@example.com", recipients)
        session.close()
        app.history.flush()
        assert isinstance(result, Outcome)
        assert (result.verdict.action, result.edits) == (Action.CONTINUE, ())
        assert _tables(app) == before
        assert sorted(tmp_path.rglob("*")) == files
