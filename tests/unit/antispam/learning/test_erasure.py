"""A person who is forgotten is in no table and in no octet of the database file; everybody else stays."""

from __future__ import annotations

import hashlib

import pytest
import sqlalchemy as sa
from bms import JOURNEY

from antispam.learning import erasure
from antispam.learning.fingerprinting import SECRET
from antispam.learning.personal_data import Search, person_of
from antispam.protocols.fingerprints import name_mark
from antispam.service.application import settings_classes
from antispam.settings import load_text
from antispam.store import Store, lists
from antispam.store.packed import PackedJson
from antispam.store.personal import TABLES, Holds
from antispam.store.schema import metadata
from antispam.store.sqlite_file import compact
from support.stores import make_store

NOW = 1_700_000_000.0
KEY = bytes.fromhex("11" * 32)
SETTINGS = load_text(
    "[dspam]\ndspam_users = ann, bob, site\nann = ann@example.org, ann.smith@example.org\nbob = joann@example.org\n"
    "site = shared.example\n",
    settings_classes(JOURNEY),
)
ANN = person_of("Ann@Example.org", SETTINGS)
# By what each row is found where its own columns don't name anybody.
LINKED = {"ref": str, "user_id": int, "report_id": int}
NUMBERS = {"ann": 1, "joann": 2}


def row(table: sa.Table, who: str) -> dict[str, object]:
    """A row about somebody: their name or address in every column that can hold one."""
    address, user = f"{who}@example.org", {"ann": "ann", "joann": "bob"}[who]
    values: dict[str, object] = {}
    for column in table.columns:
        match TABLES[table.name].columns[column.name], column.type:
            case Holds.TEXT, PackedJson():
                values[column.name] = f'[{{"address": "{address}"}}]'
            case Holds.TEXT, _:
                values[column.name] = f"x <{address}>: {table.name}"[: getattr(column.type, "length", None) or 100]
            case ((Holds.NAME | Holds.BY), _):
                values[column.name] = user
            case Holds.MAIL, _:
                values[column.name] = f"From: {address}\r\n\r\nHello\r\n".encode()
            case _, sa.LargeBinary():
                values[column.name] = who.encode() * 20
            case _, sa.Boolean():
                values[column.name] = False
            case _, sa.String():
                values[column.name] = f"{column.name[:4]}{NUMBERS[who]}"
            case _:
                values[column.name] = NUMBERS[who]
    values |= {name: f"ref{NUMBERS[who]}" for name in values if name == "ref"}
    return values | EXACT.get(table.name, lambda who, user: {})(who, user)


EXACT = {
    "history_address": lambda who, user: {"domain": "example.org", "local": who},
    "quarantine_entry": lambda who, user: {"outbox_id": None, "recipients": f'["{who}@example.org"]'},
    "outbox": lambda who, user: {"next_at": None, "sent_at": None, "recipients": f'["{who}@example.org"]'},
    "rate": lambda who, user: {"name": f"report {user}"},
    "rate_window": lambda who, user: {"name": f"sender {who}@example.org"},
    "web_account": lambda who, user: {"mailboxes": f'["{user}"]'},
    "web_failure": lambda who, user: {"digest": hashlib.sha256(user.encode()).hexdigest()},
    "fingerprint_report": lambda who, user: {"reporter": name_mark(user, KEY)},
    "shared_secret": lambda who, user: {"name": SECRET if who == "ann" else "other", "value": KEY.hex()},
    "fingerprint": lambda who, user: {"report_id": NUMBERS[who]},
    "stored_piece": lambda who, user: {"number": 1},
}
# Rows about many people at once: one of them is taken out of it, and it stays (store/test_history_sums.py).
SHARED = {"history_sum"}
# Nothing in them is about a person.
NOBODY = SHARED | {name for name, about in TABLES.items() if set(about.columns.values()) == {Holds.NOTHING}}


def fill(store):
    """Write a row about Ann and one about Joann into every table."""
    with store.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.insert(table), [row(table, "ann"), row(table, "joann")])


@pytest.fixture
def full(store):
    fill(store)
    return store


def left(store):
    """The number of rows of each table."""
    with store.read() as connection:
        return {
            name: connection.scalar(sa.select(sa.func.count()).select_from(metadata.tables[name])) for name in TABLES
        }


def test_who_is_forgotten_is_in_no_octet_of_the_file(tmp_path):
    path = tmp_path / "bms.sqlite"
    full = Store(make_store(path))
    fill(full)
    before = path.read_bytes() + path.with_name("bms.sqlite-wal").read_bytes()
    assert before.count(b"ann@example.org") >= 2 * before.count(b"joann@example.org") > 20
    full.overwrite_deleted()
    erasure.forget(full, ANN, NOW)
    full.close()
    assert compact(str(path), 1.0)
    octets = path.read_bytes()
    assert octets.count(b"ann@example.org") == octets.count(b"joann@example.org") > 10
    assert path.with_name("bms.sqlite-wal").stat().st_size == 0 if path.with_name("bms.sqlite-wal").exists() else True


@pytest.mark.every_database
def test_every_table_forgets_them_and_nobody_else(full):
    done = erasure.forget(full, ANN, NOW)
    assert done.left == {}
    assert left(full) == {name: 2 if name in NOBODY else 1 for name in TABLES}
    with full.read() as connection:
        names = connection.scalars(sa.select(metadata.tables["dspam_user"].c.name)).all()
    assert names == ["bob"]


@pytest.mark.every_database
def test_nothing_is_left_to_find_afterwards(full):
    before = erasure.counted(full, ANN)
    assert set(before) == set(TABLES) - NOBODY - {"stored_piece"}
    erasure.forget(full, ANN, NOW)
    assert erasure.counted(full, ANN) == {}


@pytest.mark.every_database
def test_to_count_deletes_nothing(full):
    before = left(full)
    erasure.counted(full, ANN)
    assert left(full) == before


@pytest.mark.every_database
def test_mail_that_is_still_to_be_sent_stays(full):
    outbox = metadata.tables["outbox"]
    with full.write() as connection:
        connection.execute(sa.update(outbox).values(next_at=NOW + 60))
        connection.execute(sa.update(metadata.tables["quarantine_entry"]).values(outbox_id=1))
    done = erasure.forget(full, ANN, NOW)
    assert done.left == {"outbox": 1, "quarantine_entry": 1}
    assert left(full)["outbox"] == left(full)["quarantine_entry"] == left(full)["stored_message"] == 2


@pytest.mark.every_database
def test_a_mailbox_goes_from_the_account_of_somebody_else(store):
    table = metadata.tables["web_account"]
    with store.write() as connection:
        connection.execute(sa.insert(table).values(row(table, "joann") | {"mailboxes": '["ann","bob"]'}))
    erasure.forget(store, ANN, NOW)
    with store.read() as connection:
        assert connection.scalar(sa.select(table.c.mailboxes)) == '["bob"]'


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("by", "then"),
    [("ann", erasure.SOMEBODY), (lists.administrator("ann"), lists.administrator(erasure.SOMEBODY))],
)
def test_what_they_did_to_others_stays_without_their_name(store, by, then):
    table = metadata.tables["sender_list"]
    with store.write() as connection:
        values = row(table, "joann") | {"name": "evil@spam.example", "reason": "spam", "added_by": by}
        connection.execute(sa.insert(table).values(values))
    erasure.forget(store, ANN, NOW)
    with store.read() as connection:
        assert connection.scalar(sa.select(table.c.added_by)) == then


@pytest.mark.every_database
def test_who_mentions_them_in_quarantined_mail_is_found_also_behind_the_first_piece(store):
    with store.write() as connection:
        content = b" " * ((1 << 20) - 4) + b"ann@example.org"
        values = {"ref": "ref2", "stored_at": NOW, "content": content[: 1 << 20]}
        connection.execute(sa.insert(metadata.tables["stored_message"]).values(values))
        values = {"ref": "ref2", "number": 1, "content": content[1 << 20 :]}
        connection.execute(sa.insert(metadata.tables["stored_piece"]).values(values))
        entry = metadata.tables["quarantine_entry"]
        connection.execute(sa.insert(entry).values(row(entry, "joann")))
    assert [found["user_name"] for found in Search(store, ANN).rows("quarantine_entry")] == ["bob"]


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.org",
        "<ANN@EXAMPLE.ORG>",
        "to ann@example.org.",
        "ann+list@example.org",
        "SRS0=AbCd=XY=example.org=ann@forwarder.example",
        "prvs=1234abcdef=ann@example.org",
        "bounce-ann=example.org@list.example",
        '["ann@example.org"]',
        "mailto:ann@example.org?subject=x",
    ],
)
def test_their_address_is_recognised(text):
    assert ANN.in_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "joann@example.org",
        "jo.ann@example.org",
        "jo-ann@example.org",
        "ann@example.org.uk",
        "ann@example.organic",
        "ann@example.org-x.net",
        "ann@sub.example.org",
        "anne@example.org",
        "ann",
        "joann=example.org@list.example",
        "",
    ],
)
def test_who_has_a_similar_address_is_somebody_else(text):
    assert not ANN.in_text(text)


@pytest.mark.parametrize(
    ("address", "names", "shares"),
    [
        ("ann@example.org", {"ann", "ann@example.org"}, ""),
        ("eve@shared.example", {"eve@shared.example"}, "site"),
        ("stranger@elsewhere.example", {"stranger@elsewhere.example"}, ""),
    ],
)
def test_a_user_name_is_theirs_if_nobody_shares_it(address, names, shares):
    person = person_of(address, SETTINGS)
    assert (person.names, person.shares) == (names, shares)


def test_the_user_s_other_addresses_are_told():
    assert ANN.others == ("ann.smith@example.org",)


@pytest.mark.parametrize("address", ["", "ann", "@example.org", "ann@", "ann@localhost", "*@example.org\0"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="expected an address"):
        person_of(address, SETTINGS)
