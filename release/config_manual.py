"""The manual pages of the configuration files: milter.cfg of the sources, which explains every option, as man(7)."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from antispam.commands.program import Group
from antispam.service.application import settings_classes
from antispam.settings.load import Origin, load
from release.roff import bold, escaped, literal, page, prose, section, term

_SHIPPED = Path(__file__).resolve().parents[1] / "milter.cfg"
_OPTION = re.compile(r"^;([a-z][a-z_0-9]*) ?=")
_ABOUT = {
    "milter.cfg": "configuration of the anti-spam milter",
    "spfmilter.cfg": "configuration of the SPF milter",
    "dkim-milter.cfg": "configuration of the DKIM milter",
}


@dataclasses.dataclass
class Part:
    """A section of milter.cfg: what stands before its first option, and what is said of each option."""

    name: str
    text: list[str] = dataclasses.field(default_factory=list)
    options: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def read_parts(text: str) -> list[Part]:
    """The sections of a milter.cfg that shows every option, commented out with a semicolon; the first, without a name, is the
    file's head. A comment belongs to the option that follows without a blank line, else to the section."""
    parts, comment = [Part("")], list[str]()
    for line in text.splitlines():
        if line.startswith("["):
            parts.append(Part(line[1:-1]))
        elif line.startswith("#"):
            comment.append(line[1:].removeprefix(" "))
        elif found := _OPTION.match(line):
            parts[-1].options[found[1]] = comment
            comment = []
        elif not line:
            parts[-1].text += [*comment, ""] if comment else []
            comment = []
    return parts


def page_of(config: str, program: Group, day: str, version: str) -> str:
    """The page of a program's configuration file."""
    made = program.program()
    defaults = {("milter", "socket"): made.socket, **made.defaults}
    origins = load([], settings_classes(made.journey), defaults, made.dialect).origins
    known = {(origin.section, origin.option): origin for origin in origins}
    head, *parts = read_parts(_SHIPPED.read_text(encoding="utf-8"))
    body = [section("DESCRIPTION"), *_paragraphs(head.text)]
    for part in parts:
        options = {name: known.pop((part.name, name), None) for name in part.options}
        if any(options.values()):
            body += _section_of(part, options)
    assert not known, f"milter.cfg does not explain {sorted(known)}"
    command = config.removesuffix(".cfg") if config != "milter.cfg" else "bms"
    body += [section("FILES"), f"\\fI{escaped(f'/etc/mail/{config}')}\\fR\n"]
    body += [section("SEE ALSO"), f".BR {escaped(command)} (8),\n.BR {escaped(f'{command}-check-config')} (8)\n"]
    return page(config, 5, day, version, _ABOUT[config], body)


def _section_of(part: Part, options: dict[str, Origin | None]) -> Iterator[str]:
    yield section(f"[{part.name}]")
    yield from _paragraphs(part.text)
    for name, origin in options.items():
        if origin is not None:
            text = "".join(_paragraphs(part.options[name] or [origin.help]))
            yield term(f"{bold(name)} = {escaped(origin.shown or '(empty)')}", text.removeprefix(".PP\n").rstrip("\n"))


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Comments as paragraphs. Indented lines are examples, which are not wrapped."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line and block and line.startswith(" ") == block[0].startswith(" "):
            block.append(line)
            continue
        if block:
            yield (
                literal(textwrap.dedent("\n".join(block)).splitlines())
                if block[0].startswith(" ")
                else f".PP\n{prose(' '.join(block))}\n"
            )
        block = [line] if line else []
