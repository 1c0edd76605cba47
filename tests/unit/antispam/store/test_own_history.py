"""The history of one recipient: their messages alone, and what became of them for that recipient."""

from __future__ import annotations

import contextlib

import pytest

from antispam.journey.history_row import address_rows, row_for
from antispam.learning.people import Addresses
from antispam.learning.settings import DspamSettings
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, quarantine, reject
from antispam.settings import load_text
from antispam.store.history import HistoryWriter
from antispam.store.history_search import Became
from antispam.store.own_history import Whose, find, volume

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
ANN = Whose(("ann@example.com",))
USERS = (
    "[dspam]\ndspam_users = ann, work, all\nann = ann@example.com\nwork = ann+work@example.com\nall = @example.com\n"
)


@contextlib.contextmanager
def writing(store, hide):
    """Writes down messages, with people's addresses or with hashes of them."""
    writer = HistoryWriter(store, hide=hide)

    def write(ref, *to, at=NOW, subject="Hello", kept=(), verdict=CONTINUE, author="Eve <eve@example.org>"):
        message = Message(ref, "bounce@esp.example", at, Body(1 << 10))
        message.headers += [Header(b"From", author.encode()), Header(b"Subject", subject.encode())]
        for address in to:
            spam = [Decision("spam_action", quarantine("spam"))] if address in kept else []
            message.recipients.append(Recipient(address, decisions=spam))
        subject_ = Subject(Connection(ref="c", ip="192.0.2.1"), message)
        writer.record(lambda node: row_for(subject_, verdict, node), lambda: address_rows(subject_, verdict))
        writer.flush()

    yield write
    writer.close()


@pytest.fixture(params=[False, True], ids=["plain", "hashed"])
def write(store, request):
    with writing(store, request.param) as write:
        yield write


@pytest.fixture
def write_plain(store):
    """Of a hashed sender nobody reads the name."""
    with writing(store, hide=False) as write:
        yield write


def refs(found):
    return [one.ref for one in found]


def whose(user):
    return Addresses(load_text(USERS, [DspamSettings])[DspamSettings]).whose(user)


def test_a_recipient_finds_what_came_for_them(store, write):
    write("a", "ann@example.com", at=NOW - 1)
    write("b", "bob@example.com")
    write("c", "bob@example.com", "Ann+shop@Example.com")
    assert refs(find(store, ANN, 10)) == ["c", "a"]


def test_what_became_of_it_is_what_became_of_it_for_them(store, write):
    write("a", "ann@example.com", "bob@example.com", kept=("bob@example.com",))
    write("b", "ann@example.com", "bob@example.com", kept=("ann@example.com",))
    write("c", "ann@example.com", verdict=reject("No.", "virus"))
    assert {one.ref: one.became for one in find(store, ANN, 10)} == {
        "a": Became.DELIVERED,
        "b": Became.KEPT,
        "c": Became.REFUSED,
    }


def test_the_author_is_the_sender_whom_people_know(store, write_plain):
    write_plain("a", "ann@example.com")
    (found,) = find(store, ANN, 10)
    assert (found.sender, found.subject) == ("eve@example.org", "Hello")


def test_pages_show_each_message_once(store, write):
    for number in range(7):
        write(f"r{number}", "ann@example.com", "a.smith@example.com", at=NOW + number // 3)
    both, seen, last = Whose(("ann@example.com", "a.smith@example.com")), [], None
    while page := find(store, both, 2, after=last):
        seen += refs(page)
        last = page[-1].cursor
    assert seen == [f"r{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"text": "LUNCH"}, ["a"]),
        ({"text": "eve@"}, ["b", "a"]),
        ({"text": "%"}, []),
        ({"became": [Became.KEPT]}, ["b"]),
    ],
)
def test_messages_are_searched(store, write_plain, wanted, found):
    write_plain("a", "ann@example.com", subject="lunch", at=NOW - 1)
    write_plain("b", "ann@example.com", kept=("ann@example.com",))
    assert refs(find(store, ANN, 10, **wanted)) == found


@pytest.mark.parametrize(
    ("user", "found"), [("ann", ["a"]), ("work", ["w"]), ("all", ["m", "o"]), ("carl@other.example", ["x"])]
)
def test_each_user_has_their_own(store, write, user, found):
    write("a", "ann+shop@example.com")
    write("w", "ann+work@example.com")
    write("o", "other+detail@example.com")
    write("x", "carl@other.example")
    write("m", "moritz@example.com", at=NOW + 1)
    assert refs(find(store, whose(user), 10)) == found


def test_the_volume_is_counted_by_days(store, write):
    for ref, at in (("a", 0), ("b", 10), ("c", 86_400), ("d", 3 * 86_400), ("e", -1)):
        write(ref, "ann+x@example.com", "bob@example.com", at=NOW + at, kept=("bob@example.com",) if ref == "b" else ())
    bounds = [NOW + 86_400 * day for day in range(4)]
    assert volume(store, ANN, bounds) == {(0, Became.DELIVERED): 2, (1, Became.DELIVERED): 1}
    assert volume(store, whose("all"), bounds) == {
        (0, Became.DELIVERED): 1, (0, Became.KEPT): 1, (1, Became.DELIVERED): 1,
    }  # fmt: skip
