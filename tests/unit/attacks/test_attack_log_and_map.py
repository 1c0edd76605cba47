"""What an exception says may come from the mail; what stands in the access map's place may be anything."""

import logging
import random

import pytest

from antispam.mail.access_map import AccessMap, AccessMapError
from antispam.service.logs import Formatter


def test_the_text_of_an_exception_can_not_speak_to_a_terminal_or_begin_a_line():
    try:
        raise ValueError("\x1b[2J\r2026-01-01 ACCEPT\u2028[ref] \u202e\x85")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "it failed: %s", (info[1],), info)
    lines = Formatter("%(message)s").format(record).split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize(
    "garbage",
    [random.Random(1).randbytes(5000) + b"\0", b"\0" * 4096, b"SPF-Fail: OK\n\0"],
    ids=["noise", "zeros", "almost a map"],
)
def test_a_text_map_overwritten_with_garbage_leaves_the_entries_in_force(tmp_path, garbage):
    """Without its REJECT entries the filter would let pass what it shall refuse."""
    path = tmp_path / "access"
    path.write_text("SPF-None: REJECT\n")
    now = [0.0]
    access = AccessMap(str(path), clock=lambda: now[0])
    path.write_bytes(garbage)
    now[0] += 60
    assert access.policy("spf-none", "example.org") is not None


def test_a_text_map_of_garbage_is_an_error_at_start(tmp_path):
    path = tmp_path / "access"
    path.write_bytes(b"\0\1\2")
    with pytest.raises(AccessMapError, match="not a text file"):
        AccessMap(str(path))
