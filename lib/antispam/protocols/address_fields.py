"""The mailboxes of an address field (From, Sender), in every reading that some program may use.

Readers disagree. sendmail delivers `<admin@legit. example>` and `<admin%legit.example>` as admin@legit.example, web
mailers search for addresses with a regular expression, and some programs decode encoded words before they look for
commas. A forger needs only one reader that differs from us, so the result is the union of these views:

- blanks separate, or are ignored around dots and `@` (RFC 5322 section 4.4), or are removed or become dots (sendmail);
- quotation marks, comments and backslashes have their meaning (RFC 5322); unbalanced ones separate, or are removed; -
encoded words (RFC 2047) are decoded after the list is split, or before; - control characters end the text, or are
removed; a domain ends at the first invalid character, or continues; - if there is no `@`, `legit.example!admin` and
`admin%legit.example` are addresses (RFC 976, RFC 1123 section 5.2.16).

Quoted, encoded or commented text beside an address in angle brackets is a name, not an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from antispam.net.addresses import MAX_DOMAIN, Mailbox, is_hostname, normalize_domain
from antispam.protocols import encoded_words
from antispam.text import from_wire

MAX_FIELD = 10_000  # characters that are read
MAX_LOCAL = 320  # characters of a local part that are kept

# One address, plain or in angle brackets after a plain or quoted name: all readers agree on it.
_PLAIN = re.compile(
    r"""(?:(?:[\w .'&*+/-]*|"[\w .,;:@()'&*+/!-]*")[ ]?<(?P<local>[\w.+/-]+)@(?P<domain>[\w.-]+)>"""
    r"""|(?P<bare_local>[\w.+/-]+)@(?P<bare_domain>[\w.-]+))""",
    re.ASCII,
)
_TOKEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|\[[0-9a-f.:ipv]*\]|\\.| |[<>,;:()@]|[^ <>,;:()@"\\\[\]]+|.', re.DOTALL | re.IGNORECASE
)
_COMMENT_PART = re.compile(r"\\.|[()]", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SPECIALS = re.compile(r'["()\\]')
_HOST = re.compile(r"[\w.-]+")
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_Tokens = list[str]
_Parts = tuple[str, str]
"""The possible local part and domain of an address, as written in the field."""


class _Region(NamedTuple):
    """Tokens in angle brackets or outside them. `is_name` says that addresses in brackets follow."""

    tokens: _Tokens
    angle: bool
    is_name: bool


def mailboxes(value: bytes | str) -> tuple[Mailbox, ...]:
    """Every mailbox that some reader could find in the value of an address field, each once, for each view in the order
    of the field. Reads at most MAX_FIELD characters, in linear time. Never raises.
    """
    text = _unfolded(value)
    if match := _PLAIN.fullmatch(text):
        return tuple(_written([(match["local"] or match["bare_local"], match["domain"] or match["bare_domain"])]))
    found = _written(_every_view(text))
    if not any(is_hostname(one.domain) for one in found):
        found |= _written(_in_text(_SPECIALS.sub(",", text), plain_names=True))
    return tuple(found)


def _written(parts: Iterable[_Parts]) -> dict[Mailbox, None]:
    """The mailboxes of these parts, each once. Many views of a disguise contain the same parts, which are converted
    once.
    """
    found: dict[Mailbox, None] = {}
    for local, domain in dict.fromkeys(parts):
        if form := normalize_domain(from_wire(domain).strip(".")):
            found[Mailbox(from_wire(local, MAX_LOCAL), form)] = None
    return found


def has_address(value: bytes | str) -> bool:
    """Whether the field has a plain address, not only one in encoded words, a comment or a quotation."""
    return bool(_written(_in_text(_unfolded(value), plain_names=True)))


def _unfolded(value: bytes | str) -> str:
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return " ".join(text[:MAX_FIELD].split())


def _every_view(text: str) -> Iterator[_Parts]:
    yield from _in_text(text, plain_names=True)
    if "\\" in text:
        yield from _in_text(text.replace("\\", ""), plain_names=False)
    if "=?" in text:
        decoded = encoded_words.decoded(text).text.replace(r"\x00", "\0")  # as written by from_wire()
        yield from _in_text(decoded, plain_names=False)


def _in_text(text: str, plain_names: bool) -> Iterator[_Parts]:
    """The parts in one text; with `plain_names` also unquoted ones beside angle brackets, as in `a@x.example
    <b@y.example>`. Nobody reads encoded or escaped names as addresses: lists write "ann@example.org via list".
    """
    if _CONTROLS.search(text):
        for instead in (",", "?"):
            yield from _in_text(_CONTROLS.sub(instead, text), plain_names)
        text = _CONTROLS.sub("", text)
    tokens, balanced = _lexed(text)
    if not balanced:
        for instead in (",", ""):
            yield from _in_tokens(_lexed(_SPECIALS.sub(instead, text))[0], plain_names)
    yield from _in_tokens(tokens, plain_names)


def _lexed(text: str) -> tuple[_Tokens, bool]:
    """The tokens, with each comment as a blank, and whether quotation marks and parentheses are balanced and no
    backslash is outside them.
    """
    tokens: _Tokens = []
    position, balanced = 0, True
    while match := _TOKEN.match(text, position):
        token, position = match[0], match.end()
        if token == "(":
            position, closed = _comment_end(text, position)
            balanced = balanced and closed
            token = " "
        elif token in ('"', ")") or token[0] == "\\":
            balanced = False
        tokens.append(" " if token == ")" else token)
    return tokens, balanced


def _comment_end(text: str, start: int) -> tuple[int, bool]:
    """The end of the comment whose text starts at `start`, and whether it is closed."""
    depth = 1
    for match in _COMMENT_PART.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end(), True
    return len(text), False


def _in_tokens(tokens: _Tokens, plain_names: bool) -> Iterator[_Parts]:
    for region in _regions(tokens):
        if plain_names or not region.is_name:
            for piece in _pieces(region):
                yield from _in_piece(piece, region.is_name)


def _regions(tokens: _Tokens) -> Iterator[_Region]:
    """The text outside and inside angle brackets, for each element of the list. Routes (RFC 5322 section 4.4) and group
    names are elements, too: they begin with `@` or have none, so nobody mistakes them for authors.
    """
    element: list[tuple[bool, _Tokens]] = [(False, [])]
    for token in [*tokens, ","]:
        if token in (",", ";", ":"):
            has_angle = any(angle for angle, _ in element)
            yield from (_Region(part, angle, has_angle and not angle) for angle, part in element if part)
            element = [(element[-1][0] and token != ";", [])]
        elif token in ("<", ">"):
            element.append((token == "<", []))
        else:
            element[-1][1].append(token)


def _pieces(region: _Region) -> Iterator[_Tokens]:
    """The pieces that are at most one address each, in every view of blanks."""
    plain = list(_divided(region.tokens))
    yield from plain
    if len(plain) < 2:
        return
    words = list(_divided(_without_blanks_at_dots(region.tokens)))
    yield from words
    if region.is_name or region.tokens.count("@") > 1:
        return
    if not region.angle:  # the author comes last; text that follows continues an address
        words = words[next((place for place, piece in enumerate(words) if "@" in piece), len(words)) :]
    if len(words) > 1:
        yield [token for word in words for token in word]
        yield [token for word in words for token in (*word, ".")][:-1]


def _divided(tokens: Iterable[str]) -> Iterator[_Tokens]:
    piece: _Tokens = []
    for token in (*tokens, " "):
        if token != " ":
            piece.append(token)
        elif piece:
            yield piece
            piece = []


def _without_blanks_at_dots(tokens: _Tokens) -> _Tokens:
    kept: _Tokens = []
    for token in tokens:
        if kept and kept[-1] == " " and token.startswith((".", "@")):
            kept[-1] = token
        elif token != " " or (kept and kept[-1] != " " and not kept[-1].endswith((".", "@"))):
            kept.append(token)
    return kept


def _in_piece(piece: _Tokens, is_name: bool) -> Iterator[_Parts]:
    """For each `@`, the text before it and the domain after it, the last first."""
    words = [_unquoted(token) for token in piece]
    text = "".join(words)
    start = end = len(text)
    unquoted = ""  # the text between this place and the next quotation mark
    for token, word in zip(reversed(piece), reversed(words), strict=True):
        start -= len(word)
        if token == "@" and start:
            local = text[: min(start, MAX_LOCAL)]
            yield local, text[start + 1 : end]
            yield local, _host_in(unquoted)
        if token == "@":
            end = start
        unquoted = "" if token[0] in '"\\@' else (word + unquoted)[: MAX_DOMAIN + 1]
    quoted = [token for token in piece if token[0] == '"' and "@" in token]
    if "@" in piece or not is_name:
        for token in quoted:
            yield from _in_tokens(_lexed(_SPECIALS.sub(",", token))[0], plain_names=True)
    if "@" not in piece and not is_name and not quoted:
        yield from _swapped(text)


def _unquoted(token: str) -> str:
    if token[0] == '"' and len(token) > 1:
        token = token[1:-1]
    return _PAIR.sub(r"\1", token) if "\\" in token else token


def _swapped(text: str) -> Iterator[_Parts]:
    host, _, local = text.partition("!")
    if not local:
        local, _, host = text.rpartition("%")
    if local and "." in host:
        yield local, host


def _host_in(text: str) -> str:
    """The beginning of the text, up to a character invalid in domains: many readers stop there."""
    found = _HOST.match(text)
    return found[0] if found and len(found[0]) <= MAX_DOMAIN else ""
