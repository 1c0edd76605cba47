"""Pass HTML through unchanged, apart from what a derived class takes out; above all: scripts.

Readers of HTML disagree on where comments, quoted attributes and raw text end, and a sender may choose the reading that
suits him.  So scripts are removed twice: where the tokens of the HTML standard (section 13.2.5) say that there is one,
and then whatever still looks like the start of one, in any context, is renamed to a harmless element.  Linear in time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

SCRIPT_REMOVED = "<!-- WARNING: embedded script removed -->"

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
_REFERENCE = re.compile(r"&(?:#([0-9]{1,8}+|x[0-9a-f]{1,8}+)|([a-z][a-z0-9]{0,40}+));?+", re.IGNORECASE)
_DATA = re.compile(r"[^<&]++")
_RAW_TEXT = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])|<script(?=[ \t\n\f\r/>])", re.IGNORECASE)
    for name in ("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext")
}
_SCRIPT_END = re.compile(r"</script(?=[ \t\n\f\r/>])[^>]*+>?", re.IGNORECASE)
# NUL inside of a name was skipped by old browsers; a prefix counts in XHTML.
_ANY_SCRIPT = re.compile(r"(<\0*(?:[\w.-]{1,64}:)?)(s\0*c\0*r\0*i\0*p\0*t)(?![\w-])", re.IGNORECASE)


class Token(NamedTuple):
    """A piece of the document: its kind, its text, and the name or content that it carries."""

    kind: str
    raw: str
    name: str = ""


class _Writer(Protocol):
    def write(self, text: str, /) -> object: ...


def tokens(text: str) -> Iterator[Token]:
    """Cut HTML into tokens whose `raw` joined is the text again."""
    at = 0
    comments_end = tags_end = True  # whether one may still find its end
    last = text.rfind(">")
    while at < len(text):
        if at > last:
            yield Token("data", text[at:])
            return
        if found := _DATA.match(text, at):
            token = Token("data", found[0])
        elif text[at] == "&":
            token = _reference(text, at)
        elif comments_end and text.startswith("<!--", at):
            found = _COMMENT.match(text, at)
            comments_end = found is not None
            token = Token("comment", found[0], found[1] or "") if found else Token("data", "<")
        elif (found := _END_TAG.match(text, at)) or (found := _BOGUS_COMMENT.match(text, at)):
            token = _closed(found)
        elif tags_end and (found := _START_TAG.match(text, at)):
            token = Token("start", found[0], found[1].lower())
        else:
            if tags_end and text[at + 1 : at + 2].isalpha():
                tags_end = False  # no ">" ends this one, so none ends any later one
            token = Token("data", "<")
        yield token
        at += len(token.raw)
        if token.kind == "start" and (raw := _RAW_TEXT.get(token.name)):
            stop = raw.search(text, at)
            end = stop.start() if stop else len(text)
            if end > at:
                yield Token("data", text[at:end])
            at = end
        elif token.kind == "start" and token.name == "script":
            stop = _SCRIPT_END.search(text, at)
            end = stop.start() if stop else len(text)
            if end > at:
                yield Token("data", text[at:end])
            at = end
            if stop:
                yield Token("end", stop[0], "script")
                at = stop.end()


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


class SGMLFilter:
    """Write HTML to `out` as it came.  A derived class overrides what it wants to treat differently.

    As with sgmllib, a start tag goes to `start_NAME(attributes)` or `do_NAME(attributes)`, an end tag to `end_NAME()`, where
    such a method exists, else to `unknown_starttag(name, attributes)` and `unknown_endtag(name)`.  Work is done in `close`.
    """

    def __init__(self, out: _Writer) -> None:
        self.out = out
        self.reset()

    def reset(self) -> None:
        """Forget what was fed."""
        self._fed: list[str] = []
        self._raw = ""

    def feed(self, data: str) -> None:
        """Take more of the document."""
        self._fed.append(data)

    write = feed

    def close(self) -> None:
        """Filter all that was fed."""
        text = "".join(self._fed)
        self._fed = []
        for token in tokens(text):
            self._raw = token.raw
            self._dispatch(token)

    def get_starttag_text(self) -> str:
        """The text of the construct that is being handled."""
        return self._raw

    def _dispatch(self, token: Token) -> None:
        match token.kind:
            case "data":
                self.handle_data(token.raw)
            case "start":
                self._start(token)
            case "end":
                method = getattr(self, "end_" + token.name, None)
                if method:
                    method()
                else:
                    self.unknown_endtag(token.name)
            case "comment":
                self.handle_comment(token.name)
            case "special":
                self.handle_special(token.name)
            case "pi":
                self.handle_pi(token.name)
            case "charref":
                self.handle_charref(token.name)
            case "entityref":
                self.handle_entityref(token.name)

    def _start(self, token: Token) -> None:
        attributes = _attributes(token.raw[1 + len(token.name) : -1])
        method = getattr(self, "start_" + token.name, None) or getattr(self, "do_" + token.name, None)
        if method:
            method(attributes)
        else:
            self.unknown_starttag(token.name, attributes)

    def unknown_starttag(self, tag: str, attr: list[tuple[str, str]]) -> None:
        """A start tag that has no method of its own."""
        self.out.write(self._raw)

    def unknown_endtag(self, tag: str) -> None:
        """An end tag that has no method of its own."""
        self.out.write(self._raw)

    def handle_data(self, data: str) -> None:
        """Text."""
        self.out.write(data)

    def handle_comment(self, comment: str) -> None:
        """A comment, without its delimiters."""
        self.out.write(self._raw)

    def handle_special(self, data: str) -> None:
        """A declaration, legal or not, without its delimiters."""
        self.out.write(self._raw)

    def handle_pi(self, data: str) -> None:
        """A processing instruction, without its delimiters."""
        self.out.write(self._raw)

    def handle_charref(self, ref: str) -> None:
        """A numeric character reference."""
        self.out.write(self._raw)

    def handle_entityref(self, ref: str) -> None:
        """A named character reference."""
        self.out.write(self._raw)


def _attributes(text: str) -> list[tuple[str, str]]:
    pairs = []
    for found in _ATTRIBUTE.finditer(text):
        value = found[2] if found[2] is not None else found[1]
        if value[:1] in {'"', "'"} and len(value) > 1 and value[-1] == value[0]:
            value = value[1:-1]
        pairs.append((found[1].lower(), value))
    return pairs


class HTMLScriptFilter(SGMLFilter):
    """Remove scripts from an HTML document.  After `close`, `modified` says whether there were any."""

    msg = SCRIPT_REMOVED

    def __init__(self, out: _Writer) -> None:
        super().__init__(self)  # what passes comes back through `write`, to be looked at once more in `close`
        self.destination = out
        self.modified = False
        self._passed: list[str] = []
        self._ignoring = False

    def write(self, text: str) -> None:
        """Take more of the document; while filtering, what passes."""
        if self._filtering:
            self._passed.append(text)
        else:
            self.feed(text)

    def reset(self) -> None:
        super().reset()
        self._filtering = False

    def close(self) -> None:
        self._filtering = True
        super().close()
        self._filtering = False
        if self._ignoring:
            self._passed.append(self.msg)
            self._ignoring = False
        passed, renamed = _ANY_SCRIPT.subn(r"\1x-\2", "".join(self._passed))
        self._passed = []
        self.modified |= renamed > 0
        self.destination.write(passed)

    def start_script(self, unused: object) -> None:
        """The start of a script: from here on nothing is written."""
        self.modified = self._ignoring = True

    def end_script(self) -> None:
        """The end of a script; one without a start passes."""
        if self._ignoring:
            self._ignoring = False
            self._passed.append(self.msg)
        else:
            self._passed.append(self._raw)

    def handle_data(self, data: str) -> None:
        if not self._ignoring:
            super().handle_data(data)


def has_script(text: str, xml: bool = False, tick: object = None) -> bool:
    """Whether anything in this text looks like the start of a script (cheap)."""
    return _ANY_SCRIPT.search(text) is not None


def strip_scripts(text: str, xml: bool = False) -> str:
    """The document without scripts; the same text if there are none."""
    if not has_script(text):
        return text
    pieces: list[str] = []

    class _Collect:
        def write(self, piece: str, /) -> None:
            pieces.append(piece)

    out = HTMLScriptFilter(_Collect())
    out.feed(text)
    out.close()
    return "".join(pieces)
