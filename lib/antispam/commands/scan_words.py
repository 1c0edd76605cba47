"""The outcome of a scanned message, and its changes, in words for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from antispam.mail.draft import (
    AddRecipient,
    AppendHeader,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    Edit,
    InsertHeader,
    ReplaceBody,
)
from antispam.mail.verdicts import Action
from antispam.text import for_log

_LONGEST = 300  # characters of a value
_FOLD = re.compile(r"\r?\n[ \t]+")

_OUTCOMES = {
    Action.REJECT: "refused",
    Action.TEMPFAIL: "told to come again later",
    Action.DISCARD: "dropped",
    Action.QUARANTINE: "kept in the quarantine",
    Action.HOLD: "held in the MTA's queue",
}


def outcome(action: Action, edits: Sequence[Edit], findings: Mapping[str, Any]) -> str:
    """The outcome of the message: "delivered with one attachment replaced". `findings` are in builtins, by check."""
    if action in _OUTCOMES:
        return _OUTCOMES[action]
    changed = _changed(findings) if any(isinstance(edit, ReplaceBody) for edit in edits) else ""
    return f"delivered with {changed}" if changed else "delivered"


def _changed(findings: Mapping[str, Any]) -> str:
    """The changes of the message; several dangers in one archive count as one attachment."""
    found = findings.get("attachments", {}).get("found", ())
    replaced = len({tuple(one["path"]) for one in found if one["remedy"] == "replace"})
    words = []
    if replaced:
        words.append("one attachment replaced" if replaced == 1 else f"{replaced} attachments replaced")
    if any(one["remedy"] == "strip" for one in found):
        words.append("scripts removed")
    return " and ".join(words)


def told(edit: Edit) -> str:
    """The description of one change, safe to print."""
    match edit:
        case InsertHeader(name, value):
            return f"put on top: {_field(name, value)}"
        case AppendHeader(name, value):
            return f"add a field: {_field(name, value)}"
        case ChangeHeader(name, occurrence, None):
            return f"remove the field {for_log(name)}{_place(occurrence)}"
        case ChangeHeader(name, occurrence, value):
            return f"change the field{_place(occurrence)} to {_field(name, value or '')}"
        case ReplaceBody(content):
            return f"replace the body (by {len(content)} octets)"
        case ChangeSender(address):
            return f"change the envelope sender to <{for_log(address)}>"
        case AddRecipient(address, _):
            return f"add the recipient <{for_log(address)}>"
        case DeleteRecipient(path):
            return f"take out the recipient {for_log(path)}"


def _field(name: str, value: str) -> str:
    """The field, unfolded (RFC 5322 section 2.2.3) for printing on one line."""
    return f"{for_log(name)}: {for_log(_FOLD.sub(' ', value), _LONGEST)}"


def _place(occurrence: int) -> str:
    return "" if occurrence == 1 else f" (number {occurrence} of that name)"
