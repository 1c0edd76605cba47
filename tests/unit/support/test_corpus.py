"""The comparison of a corpus run sees what it has to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.corpus import CorpusMessage, Run, carries, compare, read_messages
from support.sink import Delivery
from support.smtp_client import Reply

OURS = frozenset({b"x-ours"})
RECIPIENT = "m00000@corpus.example"
SENT = b"From: a@b\r\nSubject: x\r\n y\r\n\r\nbody\r\n"
RECEIVED = b"Received: from x\r\n\tby mx.example.test id %s\r\n"


def arrived(raw: bytes, ok: bool = True) -> Run:
    delivery = Delivery("a@b", (), (RECIPIENT,), ((),), raw)
    return Run({RECIPIENT: Reply(250 if ok else 550, "", "")}, {RECIPIENT: delivery} if ok else {})


def outcome(control: bytes, filtered: bytes, sent: bytes = SENT) -> str:
    message = CorpusMessage("name", RECIPIENT, "a@b", sent)
    ((_, kind, _),) = compare([message], arrived(control), arrived(filtered), OURS, b"was removed")
    return kind


@pytest.mark.parametrize(
    ("filtered", "kind"),
    [
        (RECEIVED % b"2" + SENT, "identical"),
        (b"X-Ours: 1\r\n folded\r\n" + RECEIVED % b"2" + SENT, "identical"),
        (b"X-Theirs: 1\r\n" + RECEIVED % b"2" + SENT, "different"),
        (RECEIVED % b"2" + SENT.replace(b"Subject: x\r\n y", b"Subject: x y"), "different"),
        (RECEIVED % b"2" + SENT.replace(b"From: a@b\r\n", b""), "different"),
        (RECEIVED % b"2" + SENT.replace(b"body", b"Body"), "different"),
        (RECEIVED % b"2" + SENT.replace(b"body\r\n", b"body"), "different"),
        (RECEIVED % b"2" + SENT + b"\r\n", "different"),
        (RECEIVED % b"2" + SENT.replace(b"body", b"it was removed"), "replaced"),
    ],
)
def test_only_added_fields_of_ours_and_replaced_parts_may_differ(filtered: bytes, kind: str) -> None:
    assert outcome(RECEIVED % b"1" + SENT, filtered) == kind


def test_a_message_id_that_the_mta_made_up_is_not_compared() -> None:
    made_up = b"Message-Id: <%s@mx.example.test>\r\n"
    control, filtered = (RECEIVED % name + made_up % name + SENT for name in (b"1", b"2"))
    assert outcome(control, filtered) == "identical"
    own = made_up % b"own" + SENT
    assert outcome(RECEIVED % b"1" + own, RECEIVED % b"2" + own.replace(b"own@", b"other@"), own) == "different"


def test_a_refusal_only_with_the_filter_is_a_difference() -> None:
    message = CorpusMessage("name", RECIPIENT, "a@b", SENT)
    taken, refused = arrived(RECEIVED % b"1" + SENT), arrived(b"", ok=False)
    assert [kind for _, kind, _ in compare([message], taken, refused, OURS, b"x")] == ["different"]
    assert [kind for _, kind, _ in compare([message], refused, refused, OURS, b"x")] == ["refused"]


def test_a_field_of_ours_counts_only_where_a_filter_puts_it() -> None:
    def carried(raw: bytes) -> bool:
        return carries(Delivery("a@b", (), (RECIPIENT,), ((),), raw), OURS)

    assert carried(b"X-Ours: 1\r\n" + RECEIVED % b"1" + SENT)
    assert not carried(RECEIVED % b"1" + b"X-Ours: came with the mail\r\n" + SENT)


def test_corpus_files_become_messages_with_crlf_and_an_envelope_sender(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"From ann@example.org  Tue Jul 30 08:30:04 2002\nSubject: x\n\none\rtwo\r\nlast")
    (tmp_path / "b.txt").write_bytes(b"From (odd Tue\nSubject: x\n\n")
    first, second = read_messages(tmp_path)
    assert (first.sender, first.content) == ("ann@example.org", b"Subject: x\r\n\r\none\r\ntwo\r\nlast\r\n")
    assert second.sender == ""
    assert first.recipient != second.recipient
