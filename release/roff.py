"""Text for man(7), the language of manual pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"`([^`]+)`")


def escaped(text: str) -> str:
    """Text that means itself. Hyphens become minus signs: options and file names are copied from pages into shells."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def prose(text: str) -> str:
    """A paragraph, in which `code` is bold."""
    return escaped(_CODE.sub(lambda code: f"\x02{code[1]}\x03", " ".join(text.split()))).replace("\x02", "\\fB").replace(
        "\x03", "\\fR"
    )  # fmt: skip


def bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fR"


def section(title: str) -> str:
    return f'.SH "{escaped(title)}"\n'


def literal(lines: Iterable[str]) -> str:
    """Lines that are not wrapped."""
    return "".join((".PP\n.RS 4\n.nf\n", *(f"{escaped(line)}\n" for line in lines), ".fi\n.RE\n"))


def term(what: str, text: str) -> str:
    """An entry of a list: `what` is roff already, `text` a paragraph."""
    return f".TP\n{what}\n{text}\n"


def page(name: str, number: int, day: str, version: str, about: str, body: Sequence[str]) -> str:
    """A page: its name and section, the day of its sources (YYYY-MM-DD), what it is about in one line, and its sections."""
    head = (
        f'.TH "{escaped(name.upper())}" "{number}" "{day}" "bms {escaped(version)}" "Anti\\-spam milter"\n.nh\n.ad l\n'
    )
    return f"{head}{section('NAME')}{escaped(name)} \\- {prose(about)}\n{''.join(body)}"
