"""The pass of a message from our outbox, and the settings of the two checks that look for it."""

from __future__ import annotations

import re
from typing import NamedTuple

from antispam.settings import CheckSettings, section

_PASS = re.compile(rb"(?P<outbox_id>[1-9][0-9]{0,17})\.(?P<secret>[0-9a-f]{32})")


@section("own_mail")
class OwnMailSettings(CheckSettings):
    """[own_mail]: how the filter knows its own mail."""


class Shown(NamedTuple):
    """A claimed pass: the message's number, and the secret."""

    outbox_id: int
    secret: str


def read_pass(text: bytes) -> Shown | None:
    """Parse a pass; None if the text does not have its form."""
    match = _PASS.fullmatch(text)
    return None if match is None else Shown(int(match["outbox_id"]), match["secret"].decode("ascii"))
