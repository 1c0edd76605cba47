"""Messages are found in the history by what people know of them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.journey.history_row import address_rows, became, row_for
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.learned_evidence import SpamFinding
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.remedies import Remedy
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, discard, hold, quarantine, reject, tempfail
from antispam.settings import Mode
from antispam.store.history import HistoryWriter, purge
from antispam.store.history_search import Became, Cursor, Search, newest, page, search
from antispam.store.schema import history, history_address

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0


@pytest.fixture(params=[False, True], ids=["plain", "hashed"])
def write(store, request):
    """Writes down a message, as the filter does."""
    writer = HistoryWriter(store, hide=request.param)

    def write(ref, sender="ann@example.org", recipients=("bob@example.com",), at=NOW, verdict=CONTINUE, **fields):
        message = Message(ref, sender, at, Body(1 << 10), queue_id=fields.pop("queue_id", ""))
        message.headers.extend(Header(name.replace("_", "-").encode(), text.encode()) for name, text in fields.items())
        message.recipients.extend(Recipient(address) for address in recipients)
        subject = Subject(Connection(ref="c", ip="192.0.2.1"), message)
        writer.record(lambda node: row_for(subject, verdict, node), lambda: address_rows(subject, verdict))
        writer.flush()

    yield write
    writer.close()


def refs(store, limit=10, **wanted):
    return [one.ref for one in search(store, Search(**wanted), limit)]


@pytest.mark.parametrize("rare", ["sender", "recipient"])
def test_of_two_people_the_rarer_leads(store, write, rare):
    for number in range(5):
        known = number == 3
        sender = "eve@rare.example" if known and rare == "sender" else "ann@often.example"
        recipient = "bob@rare.example" if known and rare == "recipient" else "bob@often.example"
        write(f"ref{number}", sender, [recipient], at=NOW + number)
    read = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *said: read.append(said[2]))
    wanted = {"sender": "often.example", "recipient": "often.example"} | {rare: "rare.example"}
    assert refs(store, **wanted) == ["ref3"]
    leader = {"sender": "people0", "recipient": "people1"}[rare]
    assert f"ORDER BY {leader}.received_at DESC" in read[-1].replace("`", "")


def test_by_its_reference(store, write):
    write("ref1")
    write("ref2")
    assert refs(store, name="ref2") == ["ref2"]


def test_by_the_mtas_queue_id(store, write):
    write("ref1", queue_id="4XyZ1")
    assert refs(store, name="4XyZ1") == ["ref1"]


def test_by_its_message_id_with_and_without_brackets(store, write):
    write("ref1", Message_ID=" <a.b@example.org>")
    assert refs(store, message_id="<a.b@example.org>") == refs(store, message_id="a.b@example.org") == ["ref1"]


def test_by_the_envelope_sender_and_by_the_author(store, write):
    write("ref1", sender="bounce@list.example", From="Ann <Ann@Example.ORG>")
    assert refs(store, sender="bounce@list.example") == refs(store, sender="ann@example.org") == ["ref1"]


def test_by_a_domain(store, write):
    write("ref1", sender="ann@example.org", From="other@example.org")
    write("ref2", sender="ann@sub.example.org")
    assert refs(store, sender="example.org") == refs(store, sender="@EXAMPLE.org") == ["ref1"]


def test_by_a_recipient_who_was_refused(store, write):
    write("ref1", recipients=("bob@example.com", "nobody@example.com"))
    assert refs(store, recipient="nobody@example.com") == ["ref1"]


def test_all_that_is_given_must_hold(store, write):
    write("ref1", sender="ann@example.org", recipients=("bob@example.com",))
    write("ref2", sender="ann@example.org", recipients=("eve@example.com",))
    assert refs(store, sender="ann@example.org", recipient="eve@example.com") == ["ref2"]


def test_the_newest_come_first_and_no_more_than_asked_for(store, write):
    for number in range(5):
        write(f"ref{number}", at=NOW + number)
    assert refs(store, sender="ann@example.org", limit=2) == ["ref4", "ref3"]


def test_within_a_time(store, write):
    for number in range(5):
        write(f"ref{number}", at=NOW + number)
    assert refs(store, recipient="bob@example.com", since=NOW + 1, until=NOW + 3) == ["ref2", "ref1"]


def test_an_international_domain_has_one_form(store, write):
    write("ref1", sender="jürgen@bücher.example")
    assert refs(store, sender="jürgen@xn--bcher-kva.example") == ["ref1"]


def test_what_a_refusal_said_is_kept(store, write):
    write("ref1", verdict=reject("Please don't.", "it was bad"))
    (found,) = search(store, Search(name="ref1"), 1)
    assert (found.action, found.reason) == ("reject", "it was bad")


def test_the_subject_is_decoded_and_short(store, write):
    write("ref1", Subject=" =?utf-8?q?Gr=C3=BC=C3=9Fe?=" + " x" * 300)
    (found,) = search(store, Search(name="ref1"), 1)
    assert found.subject.startswith("Grüße x x")
    assert len(found.subject) <= 255


def test_the_subject_is_not_stored_where_that_is_not_wanted():
    message = Message("ref1", "", NOW, Body(1))
    message.headers.append(Header(b"Subject", b" secret"))
    assert row_for(Subject(Connection(ref="c"), message), CONTINUE, "", with_subject=False)["subject"] == ""


def test_what_is_forgotten_is_found_no_more(store, write):
    write("old", at=NOW - 100)
    write("new")
    while purge(store, NOW - 50):
        pass
    with store.read() as connection:
        left = connection.scalars(sa.select(history_address.c.ref).distinct()).all()
        assert (left, connection.scalars(sa.select(history.c.ref)).all()) == (["new"], ["new"])


def test_thousands_of_recipients_are_bounded(store, write):
    message = Message("ref1", "", NOW, Body(1))
    message.recipients.extend(Recipient(f"u{number}@example.com") for number in range(5000))
    assert len(list(address_rows(Subject(Connection(ref="c"), message), CONTINUE))) == 1000


def test_mail_to_an_address_with_detail_is_found_by_the_address(store, write):
    write("ref1", recipients=("bob+shop@example.com",))
    assert refs(store, recipient="bob@example.com") == refs(store, recipient="bob+shop@example.com") == ["ref1"]


def fate(verdict=CONTINUE, decisions=(), refused=None, found=()):
    message = Message("ref1", "ann@example.org", NOW, Body(1))
    recipient = Recipient("bob@example.com", decisions=list(decisions), refused=refused)
    for one in found:
        recipient.findings.add(one)
    message.recipients.append(recipient)
    return became(Subject(Connection(ref="c"), message, recipient), verdict)


SPAM = SpamFinding(is_spam=True)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({}, Became.DELIVERED),
        ({"found": [SPAM]}, Became.MARKED),
        ({"found": [SpamFinding(is_spam=True, action=Remedy.DELIVER)]}, Became.DELIVERED),
        ({"decisions": [Decision("spam_action", quarantine("spam"))]}, Became.KEPT),
        ({"decisions": [Decision("spam_action", quarantine("spam"), Mode.LOG)]}, Became.DELIVERED),
        ({"decisions": [Decision("spam_action", reject("No.", "spam"))]}, Became.KEPT),  # others got it
        ({"decisions": [Decision("spam_action", discard("spam"))]}, Became.DROPPED),
        ({"refused": Decision("known_user", reject("No.", "unknown"))}, Became.REFUSED),
        ({"refused": Decision("greylist", tempfail("Later.", "new"))}, Became.LATER),
        ({"verdict": reject("No.", "virus")}, Became.REFUSED),
        ({"verdict": tempfail("Later.", "store")}, Became.LATER),
        ({"verdict": hold("spam")}, Became.HELD),
    ],
)
def test_what_became_of_it_is_said_for_each_recipient(given, result):
    assert fate(**given) is result


def test_the_fate_of_each_recipient_is_stored_with_them(store, write):
    write("ref1", verdict=reject("No.", "virus"))
    with store.read() as connection:
        rows = connection.execute(sa.select(history_address.c.role, history_address.c.became)).all()
    assert set(rows) == {("sender", None), ("recipient", "refused")}


# Page by page


def pages(store, limit, **more):
    """The references of all pages."""
    found, after = [], None
    while True:
        one = page(store, Search(**more.pop("wanted", {})), limit, after=after, **more)
        found.append([each.ref for each in one.found])
        if one.after is None:
            return found
        after = one.after


def test_pages_have_each_message_once_the_newest_first(store, write):
    for number in range(5):
        write(f"ref{number}", at=NOW + number // 2)  # two come at the same time
    assert pages(store, 2) == [["ref4", "ref3"], ["ref2", "ref1"], ["ref0"]]


def test_pages_of_a_persons_mail_have_each_message_once(store, write):
    for number in range(3):
        write(f"ref{number}", recipients=("bob@example.com", "eve@example.com"), at=NOW)
    asked = Search(recipient="example.com")
    first = page(store, asked, 2)
    second = page(store, asked, 2, after=first.after)
    assert [[one.ref for one in each.found] for each in (first, second)] == [["ref2", "ref1"], ["ref0"]]


def test_a_page_of_what_is_rare_ends_after_so_many_rows(store, write):
    for number in range(5):
        write(f"ref{number}", at=NOW + number)
    assert pages(store, 10, fits=lambda one: one.ref == "ref0", most=2) == [[], [], ["ref0"]]


def test_a_page_goes_on_after_a_message_that_is_gone(store, write):
    write("ref1")
    write("ref2", at=NOW + 1)
    assert [one.ref for one in page(store, Search(), 5, after=Cursor(NOW + 1, "gone")).found] == ["ref1"]


def test_the_newest_messages_are_named(store, write):
    for number in range(3):
        write(f"ref{number}", at=NOW + number, Subject=f"s{number}")
    assert [(one.ref, one.subject) for one in newest(store, 2)] == [("ref2", "s2"), ("ref1", "s1")]
