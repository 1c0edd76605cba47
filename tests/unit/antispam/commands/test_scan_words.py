"""What a scan says became of a message, and was changed in it."""

from __future__ import annotations

import pytest

from antispam.commands.scan_words import outcome, told
from antispam.mail.draft import (
    AddRecipient,
    AppendHeader,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    InsertHeader,
    ReplaceBody,
)
from antispam.mail.verdicts import Action

BODY = ReplaceBody(b"new")


def found(*parts):
    return {"attachments": {"found": [{"path": path, "remedy": remedy} for path, remedy in parts]}}


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ({}, "delivered"),
        (found(([1], "report")), "delivered"),
        (found(([2], "replace")), "delivered with one attachment replaced"),
        (found(([2], "replace"), ([2], "replace")), "delivered with one attachment replaced"),
        (found(([2], "replace"), ([2, 1], "replace")), "delivered with 2 attachments replaced"),
        (found(([1], "strip")), "delivered with scripts removed"),
        (
            found(([1], "strip"), ([2], "replace")),
            "delivered with one attachment replaced and scripts removed",
        ),
    ],
)
def test_what_was_delivered_is_told_with_what_was_changed(findings, said):
    assert outcome(Action.CONTINUE, [BODY], findings) == said


def test_what_was_found_and_left_alone_was_not_replaced():
    """[defang] mode = log finds the same."""
    assert outcome(Action.CONTINUE, [InsertHeader("X", "y")], found(([2], "replace"))) == "delivered"


@pytest.mark.parametrize(
    "action", sorted(set(Action) - {Action.CONTINUE, Action.ACCEPT, Action.PASS, Action.UNFINISHED})
)
def test_what_was_not_delivered_is_not_told_as_delivered(action):
    assert "delivered" not in outcome(action, [BODY], found(([2], "replace")))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (InsertHeader("X-A", "one;\n\ttwo"), "put on top: X-A: one; two"),
        (AppendHeader("X-A", "1"), "add a field: X-A: 1"),
        (ChangeHeader("X-A", 1, None), "remove the field X-A"),
        (ChangeHeader("X-A", 3, None), "remove the field X-A (number 3 of that name)"),
        (ChangeHeader("Subject", 1, "[x] \x1b"), "change the field to Subject: [x] \\x1b"),
        (BODY, "replace the body (by 3 octets)"),
        (ChangeSender("a@example.org"), "change the envelope sender to <a@example.org>"),
        (AddRecipient("b@example.org"), "add the recipient <b@example.org>"),
        (DeleteRecipient("<b@example.org>"), "take out the recipient <b@example.org>"),
    ],
)
def test_a_change_is_told_in_words(edit, said):
    assert told(edit) == said
