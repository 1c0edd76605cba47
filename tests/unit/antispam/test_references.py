"""References: many different ones, in every process."""

from __future__ import annotations

import os
import re

from antispam.references import new_reference


def test_a_reference_can_be_read_out() -> None:
    assert re.fullmatch(r"[a-z2-7]{12}", new_reference())


def test_references_do_not_repeat() -> None:
    assert len({new_reference() for _ in range(2000)}) == 2000


def test_a_forked_process_makes_its_own() -> None:
    new_reference()  # some are in stock now
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, new_reference().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        assert told.read() not in {new_reference() for _ in range(300)}
