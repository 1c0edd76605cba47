"""The right-hand side of an entry: the action, and optionally the reply."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re

from antispam.text import for_log


class Action(enum.StrEnum):
    """The action that an entry asks for. DSN and CBV call the sender back; BAN refuses, and bans the client once bans
    are stored.
    """

    OK = "OK"
    WHITELIST = "WHITELIST"
    REJECT = "REJECT"
    TEMPFAIL = "TEMPFAIL"
    BAN = "BAN"
    DISCARD = "DISCARD"
    QUARANTINE = "QUARANTINE"
    CBV = "CBV"
    DSN = "DSN"


# The names of sendmail and Postfix for the same actions.
_SYNONYMS = {"RELAY": Action.OK, "DEFER": Action.TEMPFAIL, "HOLD": Action.QUARANTINE}


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """One entry's right-hand side.

    code, enhanced, text   the reply that the entry prescribes; 0 and "" if it leaves them to the check
    key                    the entry, as it stands in the map, in lower case: "spf-neutral:aol.com"
    """

    action: Action
    code: int = 0
    enhanced: str = ""
    text: str = ""
    key: str = ""


_REPLY = re.compile(r"([245]\d\d)(?:[ \t]+([245]\.\d{1,3}\.\d{1,3}))?(?:[ \t]+(.*))?", re.DOTALL)
_ERROR = re.compile(r"ERROR:(?:([245]\.\d{1,3}\.\d{1,3}):)?(.*)", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"([A-Za-z]+)(?:[ \t:]+(.*))?", re.DOTALL)


def parse_policy(value: str, key: str = "") -> Policy:
    """The right-hand side of an entry: `WORD`, `WORD text`, `WORD "550 5.7.1 text"`, and sendmail's `ERROR:5.7.1:550
    text` and `550 5.7.1 text`. Raises ValueError, with a text for the administrator, for anything else.
    """
    value = value.strip()
    error = _ERROR.fullmatch(value)
    if error:
        return _refusal(error[2], key, error[1] or "")
    if value[:1].isdigit():
        return _refusal(value, key)
    word = _WORD.fullmatch(value)
    action = None if word is None else _action(word[1].upper())
    if word is None or action is None:
        raise ValueError(_unknown_word(value))
    if not word[2]:
        return Policy(action, key=key)
    code, enhanced, text = _reply(word[2])
    _demand_agreement(action, code, value)
    return Policy(action, code, enhanced, text, key)


def _action(word: str) -> Action | None:
    return Action.__members__.get(word) or _SYNONYMS.get(word)


def _refusal(reply: str, key: str, enhanced: str = "") -> Policy:
    code, own_enhanced, text = _reply(reply)
    action = Action.TEMPFAIL if code // 100 == 4 else Action.REJECT
    if not code or code // 100 == 2:
        raise ValueError(f"{reply!r} does not start with a 4xx or 5xx reply code")
    enhanced = own_enhanced or enhanced
    if enhanced and int(enhanced[0]) != code // 100:
        raise ValueError(f"enhanced code {enhanced} contradicts reply code {code}")
    return Policy(action, code, enhanced, text, key)


def _reply(text: str) -> tuple[int, str, str]:
    """Code, enhanced code and text of a reply, in double quotes or not; 0 and "" for what is missing."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    match = _REPLY.fullmatch(text)
    return (int(match[1]), match[2] or "", (match[3] or "").strip()) if match else (0, "", text)


def _demand_agreement(action: Action, code: int, value: str) -> None:
    """A REJECT that says 451, or a TEMPFAIL that says 550, is ambiguous. Raises ValueError rather than guess."""
    wanted = {Action.REJECT: 5, Action.BAN: 5, Action.TEMPFAIL: 4}.get(action)
    if code and wanted and code // 100 != wanted:
        raise ValueError(f"{value!r}: {action} needs a {wanted}xx reply code")


def _unknown_word(value: str) -> str:
    word = value.split(None, 1)[0] if value else ""
    words = [*Action.__members__, *_SYNONYMS, "ERROR"]
    near = difflib.get_close_matches(word[:20].upper(), words, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(Action.__members__)}"
    return f"unknown action {for_log(word, 40)!r}{hint}"
