"""Spam in a language of its own, and the tricks by which spammers hide what it says from filters and not from people.

The words are made of syllables, so that no dictionary and no collection of mail knows them; the headers are the same in all
mail.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from urllib.parse import quote

from dspam.features import extract
from dspam.learner import SPAM_AT
from support.learned import Memory

HEAD = "From: Ann <ann@example.org>\nTo: bob@example.com\nDate: Mon, 2 Nov 2026 12:00:00 +0000\nMIME-Version: 1.0\n"
Trick = Callable[[str, random.Random], bytes]
_SYLLABLES = [first + second for first in "bdfglmnprst" for second in "aeiou"]


def _vocabulary(seed: int, size: int) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices(_SYLLABLES, k=source.randint(2, 4))) for _ in range(size)]


SPAM, HAM, COMMON = _vocabulary(1, 300), _vocabulary(2, 300), _vocabulary(3, 400)
HAN = [chr(0x4E00 + number) for number in random.Random(4).sample(range(3000), 400)]


def text(kind: str, source: random.Random, length: int = 60) -> str:
    """A text of a kind ("spam", "ham"): half of it are words that both kinds have."""
    own = SPAM if kind == "spam" else HAM
    return " ".join(source.choice(own if source.random() < 0.5 else COMMON) for _ in range(length))


def neutral(source: random.Random, octets: int) -> str:
    """Words that both kinds have."""
    return " ".join(source.choices(COMMON, k=octets // 6))[:octets]


def mail(body: str, kind: str = "text/html; charset=utf-8", subject: str = "hello") -> bytes:
    return f"{HEAD}Subject: {subject}\nContent-Type: {kind}\n\n{body}\n".encode()


def page(body: str, head: str = "") -> bytes:
    return mail(f"<html><head>{head}</head><body>{body}</body></html>")


def diluted(said: str, source: random.Random) -> bytes:
    """The text, and 2,000 octets of words that both kinds have, all of it in sight."""
    return page(f"<p>{said}</p><p>{neutral(source, 2_000)}</p>")


def _attached(kind: str, body: str, first: str = "") -> bytes:
    return mail(
        f"--b\nContent-Type: text/plain\n\n{first}\n--b\nContent-Type: {kind}\n\n{body}\n--b--",
        "multipart/mixed; boundary=b",
    )


def _each(said: str, change: Callable[[str], str]) -> str:
    return " ".join(map(change, said.split()))


def _within(sign: str) -> Callable[[str], str]:
    return lambda word: word[:2] + sign + word[2:]


def _with_sign(sign: str) -> Trick:
    return lambda said, _: page(f"<p>{_each(said, _within(sign))}</p>")


def _mapped(plain: str, alike: str) -> Callable[[str], str]:
    return lambda word: word.translate(str.maketrans(plain, alike))


def _hidden(opening: str, head: str = "") -> Trick:
    """Much of what honest mail says, where nobody sees it."""
    return lambda said, source: page(f"<{opening}>{text('ham', source, 400)}</{opening.split()[0]}><p>{said}</p>", head)


_STYLE = "\n".join(f".c{number} {{color: #12{number % 256:02x}56; margin: 0 auto}}" for number in range(1200))
TRICKS: dict[str, Trick] = {
    "40 kB of style before the text": lambda said, _: page(f"<p>{said}</p>", f"<style>{_STYLE}</style>"),
    "200 kB of comment": lambda said, source: page(f"<!--{text('ham', source, 30_000)}--><p>{said}</p>"),
    "40 kB of attributes": lambda said, source: page(f"<p title='{text('ham', source, 6_000)}'></p><p>{said}</p>"),
    "a 2 MB attachment before the text": lambda said, _: mail(
        "--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(bytes(2_000_000)).decode()
        + f"--b\nContent-Type: text/html\n\n<p>{said}</p>\n--b--",
        "multipart/mixed; boundary=b",
    ),
    "10 kB of honest plain text beside the HTML": lambda said, source: mail(
        f"--b\nContent-Type: text/plain\n\n{text('ham', source, 1_700)}\n--b\nContent-Type: text/html\n\n<p>{said}</p>\n--b--",
        "multipart/alternative; boundary=b",
    ),
    "60 kB of white space": lambda said, _: mail("\n" * 60_000 + said, "text/plain"),
    **{
        f"U+{ord(char):04X} in words": _with_sign(char)
        for char in "\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u200e\u2060\u2063\u3164\ufe0f\ufeff\U000e0061"
    },
    "tags in words": lambda said, _: page(f"<p>{_each(said, _within('<b></b>'))}</p>"),
    "unknown tags in words": lambda said, _: page(f"<p>{_each(said, _within('<xq></xq>'))}</p>"),
    "comments in words": lambda said, _: page(f"<p>{_each(said, _within('<!-- x -->'))}</p>"),
    "hidden letters in words": lambda said, _: page(f"<p>{_each(said, _within('<i hidden>xyz</i>'))}</p>"),
    "letters of full width": lambda said, _: page(
        _each(said, lambda word: "".join(chr(ord(c) + 0xFEE0) for c in word))
    ),
    "mathematical letters": lambda said, _: page(
        _each(said, lambda word: "".join(chr(0x1D41A + ord(c) - 97) for c in word))
    ),
    "Cyrillic look-alikes": lambda said, _: page(_each(said, _mapped("aeop", "аеор"))),
    "Greek look-alikes": lambda said, _: page(_each(said, _mapped("aiu", "αιυ"))),
    "accents": lambda said, _: page(_each(said, _mapped("aeiou", "àéîõü"))),
    "digits for letters": lambda said, _: page(_each(said, _mapped("aeio", "4310"))),
    "signs for letters": lambda said, _: page(_each(said, _mapped("as", "@$"))),
    "letters apart by dots": lambda said, _: page(_each(said, ".".join)),
    "letters apart by spaces": lambda said, _: mail("  ".join(" ".join(word) for word in said.split()), "text/plain"),
    "words from right to left": lambda said, _: page(f"\u202e{said[::-1]}\u202c"),
    "as character references": lambda said, _: page("".join(f"&#{ord(char)};" for char in said)),
    "honest text hidden by display": _hidden("div style='display:none'"),
    "... by a class": _hidden("div class=x", "<style>.x{display:none}</style>"),
    "... by an id": _hidden("div id=x", "<style>#x{opacity:0}</style>"),
    "... by the attribute hidden": _hidden("div hidden"),
    "... by opacity": _hidden("div style='opacity:0'"),
    "... by max-height": _hidden("div style='max-height:0;overflow:hidden'"),
    "... by font-size": _hidden("span style='font-size:1px'"),
    "... by its colour": _hidden("font color=white"),
    "... by nearly the same colour": _hidden("p style='color:#fcfcfc'"),
    "... by text-indent": _hidden("p style='text-indent:-9999px'"),
    "... by clip": _hidden("p style='position:absolute;clip:rect(0,0,0,0)'"),
    "... by its place": _hidden("p style='position:absolute;left:-9999px'"),
    "an HTML attachment": lambda said, _: _attached("application/octet-stream; name=a.html", f"<p>{said}</p>"),
    "an SVG attachment": lambda said, _: _attached("image/svg+xml; name=a.svg", f"<svg><text>{said}</text></svg>"),
    "an invitation": lambda said, _: _attached("text/calendar", f"BEGIN:VCALENDAR\nDESCRIPTION:{said}\nEND:VCALENDAR"),
    "UTF-16": lambda said, _: (
        HEAD.encode()
        + b"Subject: hello\nContent-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(said.encode("utf-16"))
    ),
    "links only": lambda said, _: page(f"<a href='http://x.example/{quote(said)}'>{said}</a>"),
}


class Trained:
    """A dictionary that knows both kinds of mail as they are without tricks."""

    def __init__(self, messages: int = 200, seed: int = 5) -> None:
        self.memory = Memory()
        source = random.Random(seed)
        for _ in range(messages):
            for kind in ("spam", "ham"):
                self.memory.learn(extract(page(f"<p>{text(kind, source)}</p>")), kind == "spam")

    def caught(self, trick: Trick | None, messages: int = 200, seed: int = 6) -> int:
        """Of so many new spam messages, how many are called spam."""
        source = random.Random(seed)
        found = 0
        for _ in range(messages):
            said = text("spam", source)
            raw = trick(said, source) if trick else page(f"<p>{said}</p>")
            found += self.memory.score(extract(raw)) >= SPAM_AT
        return found
