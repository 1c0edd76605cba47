"""The manual pages, as `make man` writes them."""

from __future__ import annotations

import re

import click
import pytest
from release import config_manual, manual, roff
from release.programs import PROGRAMS

from antispam.service.application import settings_classes
from antispam.settings.load import load


@pytest.fixture(scope="module")
def pages():
    return dict(manual.pages("2026-11-27", "1.2.3"))


def _commands():
    """The path of every command, and what click knows of it."""
    for name, program in PROGRAMS.items():
        waiting = [click.Context(program, info_name=name)]
        while waiting:
            context = waiting.pop()
            yield context.command_path, context.command
            if isinstance(context.command, click.Group):
                for below in context.command.list_commands(context):
                    command = context.command.get_command(context, below)
                    waiting.append(click.Context(command, info_name=below, parent=context))


def _plain(page):
    return re.sub(r"\\f[BIR]", "", page).replace("\\-", "-").replace("\\e", "\\")


def test_every_command_has_a_page_with_all_its_options(pages):
    missing = []
    for path, command in _commands():
        page = _plain(pages[path.replace(" ", "-") + ".8"])
        options = [option for param in command.params for option in param.opts if option.startswith("-")]
        missing += [(path, option) for option in options if not re.search(rf"^.*(?<!\S){option}\b", page, re.MULTILINE)]
    assert missing == []


def test_there_is_no_page_of_what_is_no_command(pages):
    commands = {path.replace(" ", "-") + ".8" for path, _ in _commands()}
    assert set(pages) - commands == {"milter.cfg.5", "spfmilter.cfg.5", "dkim-milter.cfg.5"}


def test_a_page_names_the_pages_beside_it(pages):
    page = _plain(pages["bms-quarantine.8"])
    assert re.search(r"^\.BR bms \(8\) ,$", page, re.MULTILINE)
    assert re.search(r"^\.BR bms-quarantine-release \(8\) ,$", page, re.MULTILINE)


def test_every_page_that_is_named_is_there(pages):
    named = {
        f"{name}.{number}"
        for page in pages.values()
        for name, number in re.findall(r"^\.BR (\S+) \((\d)\)", _plain(page), re.M)
    }
    assert named <= set(pages)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_option_of_a_program_is_explained_with_its_default(name, pages):
    program = PROGRAMS[name].program()
    defaults = {("milter", "socket"): program.socket, **program.defaults}
    page = _plain(pages["milter.cfg.5" if name == "bms" else f"{name}.cfg.5"])
    for origin in load([], settings_classes(program.journey), defaults, program.dialect).origins:
        below = page.partition(f'.SH "[{origin.section}]"\n')[2].partition("\n.SH ")[0]
        assert f".TP\n{origin.option} = {origin.shown or '(empty)'}\n" in below, origin


def test_the_small_programs_pages_have_their_own_options_and_defaults_alone(pages):
    page = _plain(pages["spfmilter.cfg.5"])
    assert "history = no" in page
    assert "socket = local:/run/milter/spfmilter.sock" in page
    assert "[dspam]" not in page


def test_the_day_is_that_of_the_release(pages):
    assert all('"2026-11-27" "bms 1.2.3"' in page.splitlines()[0] for page in pages.values())


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (".TH", "\\&.TH"),
        ("'quoted'", "\\&'quoted'"),
        ("a\n.b", "a\n\\&.b"),
        ("C:\\new", "C:\\enew"),
        ("--help", "\\-\\-help"),
        ("e.g. this", "e.g. this"),
    ],
)
def test_text_means_itself(text, made):
    assert roff.escaped(text) == made


def test_code_is_bold():
    assert roff.prose("type `bms --help`\n now") == "type \\fBbms \\-\\-help\\fR now"


def test_a_comment_belongs_to_the_option_after_it():
    head, part = config_manual.read_parts("# Head.\n\n[a]\n# Of the section.\n\n# Of x.\n;x = 1\n;y = 2\n;\t3\n")
    assert head.text == ["Head.", ""]
    assert (part.name, part.text) == ("a", ["Of the section.", ""])
    assert part.options == {"x": ["Of x."], "y": []}


def test_indented_lines_are_not_wrapped(pages):
    assert re.search(r"^\.nf\n\[dnsbl mine\]\nzone = bl\.example\.net$", _plain(pages["milter.cfg.5"]), re.MULTILINE)
