"""HTML cut into tokens by the tokens of the HTML standard (section 13.2.5), or of XML.  Linear in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_SPACE = "[ \t\n\f\r]"
_START_TAG = re.compile(
    rf"""<([a-z][^ \t\n\f\r/>]*+)((?:
        [ \t\n\f\r/]++
      | [^ \t\n\f\r/>][^ \t\n\f\r/>=]*+(?:{_SPACE}*+={_SPACE}*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^ \t\n\f\r>]*+))?
    )*+)>""",
    re.IGNORECASE | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    rf"""([^ \t\n\f\r/>][^ \t\n\f\r/>=]*+)(?:{_SPACE}*+={_SPACE}*+("[^"]*+"|'[^']*+'|(?!["'])[^ \t\n\f\r>]*+))?""",
    re.VERBOSE,
)
_END_TAG = re.compile(r"</([a-z][^ \t\n\f\r/>]*+)[^>]*+>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--(?:-?>|(.*?)(?:--!?>))", re.DOTALL)
_BOGUS_COMMENT = re.compile(r"<[!?/]([^>]*+)>")
_SECTION = re.compile(r"<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)
_REFERENCE = re.compile(r"&(?:#([0-9]{1,8}+|x[0-9a-f]{1,8}+)|([a-z][a-z0-9]{0,40}+));?+", re.IGNORECASE)
_DATA = re.compile(r"[^<&]++")
_RAW_TEXT = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])|<script(?=[ \t\n\f\r/>])", re.IGNORECASE)
    for name in ("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext")
}
_SCRIPT_END = re.compile(r"</script(?=[ \t\n\f\r/>])[^>]*+>?", re.IGNORECASE)


class Token(NamedTuple):
    """A piece of the document: its kind, its text, and the name or content that it carries."""

    kind: str
    raw: str
    name: str = ""


def tokens(text: str, foreign: bool = False) -> Iterator[Token]:
    """Cut HTML into tokens whose `raw` joined is the text again.

    With `foreign` by the rules of SVG, MathML and XML: nothing but CDATA sections and comments is text without tags.
    """
    cutter = _Cutter(text, foreign)
    while cutter.at < len(text):
        token = cutter.next()
        yield token
        cutter.at += len(token.raw)
        if token.kind == "start" and not foreign:
            yield from cutter.raw_text(token.name)


class _Cutter:
    """Where one is in the text, and what may still find its end."""

    def __init__(self, text: str, foreign: bool) -> None:
        self.text = text
        self.foreign = foreign
        self.at = 0
        self.last = text.rfind(">")
        self.comments_end = self.tags_end = self.sections_end = True

    def next(self) -> Token:
        text, at = self.text, self.at
        if at > self.last:
            return Token("data", text[at:])
        if found := _DATA.match(text, at):
            return Token("data", found[0])
        if text[at] == "&":
            return _reference(text, at)
        if self.comments_end and text.startswith("<!--", at):
            found = _COMMENT.match(text, at)
            self.comments_end = found is not None
            return Token("comment", found[0], found[1] or "") if found else Token("data", "<")
        if self.foreign and self.sections_end and text.startswith(("<![CDATA[", "<?"), at):
            found = _SECTION.match(text, at)
            self.sections_end = found is not None
            return Token("data", found[0] if found else "<")
        if (found := _END_TAG.match(text, at)) or (found := _BOGUS_COMMENT.match(text, at)):
            return _closed(found)
        if self.tags_end and (found := _START_TAG.match(text, at)):
            return Token("start", found[0], found[1].lower())
        if self.tags_end and text[at + 1 : at + 2].isalpha():
            self.tags_end = False  # no ">" ends this one, so none ends any later one
        return Token("data", "<")

    def raw_text(self, name: str) -> Iterator[Token]:
        """What stands in an element in which there are no tags."""
        if name == "script":
            stop = _SCRIPT_END.search(self.text, self.at)
        elif raw := _RAW_TEXT.get(name):
            stop = raw.search(self.text, self.at)
        else:
            return
        end = stop.start() if stop else len(self.text)
        if end > self.at:
            yield Token("data", self.text[self.at : end])
        self.at = end
        if stop and name == "script":
            yield Token("end", stop[0], "script")
            self.at = stop.end()


def _reference(text: str, at: int) -> Token:
    found = _REFERENCE.match(text, at)
    if not found:
        return Token("data", "&")
    return Token("charref", found[0], found[1]) if found[1] else Token("entityref", found[0], found[2])


def _closed(found: re.Match[str]) -> Token:
    if found[0][1] == "!":
        return Token("special", found[0], found[1])
    if found[0][1] == "?":
        return Token("pi", found[0], found[1])
    if found.re is _END_TAG:
        return Token("end", found[0], found[1].lower())
    return Token("data", found[0])


class Attribute(NamedTuple):
    """An attribute of a start tag: its name in lower case, its value without quotes, and where in the tag it stands."""

    name: str
    value: str
    start: int
    end: int


def attributes(tag: str, name: str) -> list[Attribute]:
    """The attributes of a start tag, `<name ...>`; one without a value has its name for it, as in sgmllib."""
    pairs = []
    for found in _ATTRIBUTE.finditer(tag, 1 + len(name), len(tag) - 1):
        value = found[2] if found[2] is not None else found[1]
        if value[:1] in {'"', "'"} and len(value) > 1 and value[-1] == value[0]:
            value = value[1:-1]
        pairs.append(Attribute(found[1].lower(), value, found.start(), found.end()))
    return pairs
