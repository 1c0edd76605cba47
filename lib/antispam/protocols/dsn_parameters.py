"""Delivery status parameters of MAIL and RCPT (RFC 3461), which are passed on and followed."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The valid values of each keyword (section 4). Nothing else is passed on: these go into SMTP commands.
_AT_MAIL = re.compile(r"RET=(?:FULL|HDRS)|ENVID=[!-~]{1,100}", re.IGNORECASE)
_AT_RCPT = re.compile(
    r"NOTIFY=(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})|ORCPT=[!-~]{1,500}", re.IGNORECASE
)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


def of_mail(params: Iterable[str]) -> str:
    """RET and ENVID among the parameters of MAIL, in the form to send; "" if there are none."""
    return " ".join(one for one in params if _AT_MAIL.fullmatch(one))


def of_recipient(params: Iterable[str]) -> str:
    """NOTIFY and ORCPT among the parameters of RCPT, in the form to send; "" if there are none."""
    return " ".join(one for one in params if _AT_RCPT.fullmatch(one))


def wants_failures(params: str) -> bool:
    """Whether the sender wants failure reports for a recipient: yes, unless NOTIFY says otherwise."""
    words = value(params, "NOTIFY").upper().split(",")
    return words == [""] or "FAILURE" in words


def value(params: str, name: str) -> str:
    """The value of one parameter; "" if it is missing."""
    for one in params.split():
        key, _, found = one.partition("=")
        if key.upper() == name:
            return found
    return ""


def from_xtext(text: str) -> str:
    """The decoded text of xtext (section 4). Non-ASCII parts stay encoded."""

    def decoded(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char.isascii() and char.isprintable() else match[0]

    return _XTEXT.sub(decoded, text)
