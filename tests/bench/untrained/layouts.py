"""Honest mail of today: layouts that npm packages ship, with texts of honest.txt, under headers as mail programs write.

The packages are fetched with npm when they are needed, and nothing of them is committed.
"""

from __future__ import annotations

import email.utils
import itertools
import random
import re
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

from support.sources import extract_all

PACKAGES = ("foundation-emails", "ghost", "mailgen")
_WANTED = re.compile(r".*/(?:\.?templates?|email-templates|themes|pages|raw)/.*\.(?:html|hbs)")
_BLOCK = re.compile(r"\{\{\{?[#/^>!&][^{}]*\}?\}\}|\{%[^%]*%\}|<%[^%]*%>|\{\{else\}\}")
_FIELD = re.compile(r"\{\{\{?[^{}]*\}?\}\}")
_LINK = re.compile(r"href=(\"[^\"]*\"|'[^']*')")
_PARAGRAPH = re.compile(r"(<p\b[^>]*>)[^<]{12,}(</p>)|(<t[dh]\b[^>]*>)[^<]{40,}(</t[dh]>)")
_NOW = 1_790_000_000


class Letter(NamedTuple):
    """A text of honest.txt, and who sends it."""

    sender: str
    subject: str
    text: str


def letters(file: Path) -> list[Letter]:
    """The texts of honest.txt."""
    found = []
    for block in file.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            sender, _, subject = lines[0].partition(" | ")
            found.append(Letter(sender, subject, "\n".join(lines[1:])))
    return found


def layouts(cache: Path) -> list[str]:
    """The layouts, as HTML, in a fixed order; the packages are fetched the first time. Raises CalledProcessError."""
    found: dict[str, None] = {}
    for package in PACKAGES:
        for file in sorted(_unpacked(package, cache).rglob("*")):
            if file.is_file() and _WANTED.fullmatch(str(file)):
                text = _BLOCK.sub("", file.read_text(errors="replace"))
                if "<t" in text and "</" in text:
                    found[text] = None
    return list(found)


def _unpacked(package: str, cache: Path) -> Path:
    folder = cache / "layouts" / package
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder.parent, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.split()[-1]
        with tarfile.open(folder.parent / packed) as archive:
            wanted = [member for member in archive if member.isfile() and _WANTED.fullmatch(member.name)]
            extract_all(archive, folder, wanted)
        (folder.parent / packed).unlink()
    return folder


def messages(cache: Path, texts: Path) -> Iterator[tuple[str, bytes]]:
    """Every text in a dozen layouts each, and as plain text: a name and the message."""
    shipped, written = layouts(cache), letters(texts)
    for number, letter in enumerate(written):
        chosen = random.Random(number)
        yield f"{number:02}-plain", _message(letter, None, chosen)
        for layout in chosen.sample(range(len(shipped)), min(12, len(shipped))):
            yield f"{number:02}-{layout:02}", _message(letter, shipped[layout], chosen)


def _message(letter: Letter, layout: str | None, chosen: random.Random) -> bytes:
    name, address = email.utils.parseaddr(letter.sender)
    domain = address.rpartition("@")[2]
    message = EmailMessage()
    message["From"] = email.utils.formataddr((name, address))
    message["To"] = chosen.choice(["Bob Muster <bob@example.com>", "bob@example.com", "<bob@example.com>"])
    message["Subject"] = letter.subject
    message["Date"] = email.utils.formatdate(_NOW + chosen.randrange(10**6))
    message["Message-ID"] = f"<{chosen.getrandbits(96):x}.{chosen.randrange(10**6)}@{domain}>"
    if layout is not None and chosen.random() < 0.6:
        message["List-Unsubscribe"] = f"<https://click.{domain}/u/{chosen.getrandbits(64):x}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if chosen.random() < 0.2:
        message["Reply-To"] = f"service@{domain}"
    message["Received"] = (
        f"from mail.{domain} (mail.{domain} [203.0.113.{chosen.randrange(1, 255)}]) by mx.example.com with ESMTPS id"
        f" {chosen.getrandbits(40):X}; {message['Date']}"
    )
    message.set_content(letter.text)
    if layout is not None:
        page = _filled(layout, letter, domain, chosen)
        if chosen.random() < 0.3:
            message.set_content(page, subtype="html")
        else:
            message.add_alternative(page, subtype="html")
            message.set_boundary(f"=={chosen.getrandbits(80):x}==")
    return message.as_bytes()


def _filled(layout: str, letter: Letter, domain: str, chosen: random.Random) -> str:
    """The layout with the text in its paragraphs, and with links to the sender's own tracker."""
    lines: Iterator[str] = itertools.cycle(letter.text.splitlines())

    def paragraph(found: re.Match[str]) -> str:
        start, end = (found[1], found[2]) if found[1] else (found[3], found[4])
        return f"{start}{next(lines)}{end}"

    count = itertools.count()
    page = _PARAGRAPH.sub(
        lambda found: paragraph(found) if next(count) < 8 else f"{found[1] or found[3]}{found[2] or found[4]}", layout
    )
    page = _FIELD.sub(lambda _: chosen.choice(_WORDS), page)
    return _LINK.sub(lambda _: f'href="https://click.{domain}/{chosen.getrandbits(80):x}"', page)


_WORDS: Sequence[str] = ("Bob", "Your order", "Read more", "View in browser", "2026", "Example", "Hello", "Contact us")
