"""What the documentation names exists: options and commands. A name that changed would send its reader to nowhere."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import click
import pytest
from bms import JOURNEY, main

from antispam.service.application import settings_classes
from antispam.settings.declare import options_of

ROOT = Path(__file__).parents[4]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER_PROGRAMS = {"upstream-options", "small-milters"}  # their options are of files and programs of their own
OPTIONS = {(option.section, option.name) for cls in settings_classes(JOURNEY) for option in options_of(cls)}
FREE = {"score"} | {section for section, name in OPTIONS if name == "*"}  # an administrator's own names stand there
_OPTION = re.compile(r"`\[(\w+)\] (\w+)(?: = [^`]*)?`")
_SECTION = re.compile(r"`\[([a-z_]+)\]`")
_COMMAND = re.compile(r"(?:^ {4}(?:sudo -u milter )?|`)bms ((?:[a-z][a-z-]* ?){1,3})", re.MULTILINE)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in OTHER_PROGRAMS], ids=lambda page: page.stem
)
def test_options_exist(page):
    named = {(section, option) for section, option in _OPTION.findall(page.read_text()) if section not in FREE}
    assert named - OPTIONS == set()
    assert set(_SECTION.findall(page.read_text())) - {section for section, _ in OPTIONS} - FREE == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_exist(page):
    missing = []
    for line in _COMMAND.findall(page.read_text()):
        command: click.Command = main
        for word in line.split():
            if not isinstance(command, click.Group):
                break
            found = command.get_command(click.Context(command), word)
            if found is None:
                missing.append(line)
                break
            command = found
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_headings_leave_out_no_level(page):
    """`make docs` refuses it, since the contents of a page would have a hole."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1
    assert [deeper for level, deeper in itertools.pairwise(levels) if deeper > level + 1] == []


def test_the_site_has_every_page():
    index = (ROOT / "site" / "index.md").read_text()
    assert [page.stem for page in PAGES[1:] if f"../docs/{page.stem}\n" not in index] == []
