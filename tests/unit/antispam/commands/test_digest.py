"""`bms digest send`: what it says where digests can't be sent, and that it needs no filter that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from bms import main
from click.testing import CliRunner

from support.stores import make_store


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "digests are off: [digest] send = yes"),
        ("[digest]\nsend = yes\nsender = postmaster@example.com\n", "needs [web] url"),
        ("[digest]\nsend = yes\n", "who sends the digests?"),
        ("[digest]\nsender = postmaster\n", "an address such as"),
        ("[digest]\nhour = 24\n", "an hour from 0 to 23"),
    ],
)
def test_it_says_what_is_missing(tmp_path: Path, more: str, said: str) -> None:
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n{more}")
    result = CliRunner().invoke(main, ["-c", str(config), "digest", "send"])
    assert (result.exit_code, said in result.output) == (78, True)


@pytest.mark.parametrize(("words", "said"), [((), "Nobody is due: "), (("--quiet",), "")])
def test_with_nothing_to_tell_it_says_who_would_get_one_but_to_cron(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    make_store(tmp_path / "bms.sqlite")
    config = tmp_path / "milter.cfg"
    config.write_text(
        f"[milter]\ndatadir = {tmp_path}\n[web]\nurl = https://mail.example.com\n[digest]\nsend = yes\n"
        "sender = postmaster@example.com\n"
    )
    result = CliRunner().invoke(main, ["-c", str(config), "digest", "send", *words])
    assert (result.exit_code, result.output[: len(said) or None]) == (0, said)
