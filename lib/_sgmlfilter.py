"""Pass HTML through unchanged, apart from what a derived class takes out; above all: scripts.

Readers of HTML disagree on where comments, quoted attributes and raw text end, and a sender may choose the reading that
suits him.  So scripts are removed twice: where the tokens of the HTML standard (section 13.2.5) say that there is one,
and then whatever still looks like the start of one, in any context, is renamed to a harmless element.  Event handlers and
links that are programs go as well; JSON-LD and other data in script elements stays.  Linear in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from _htmlscripts import has_foreign, has_start, inert, is_data_block, rename_scripts, suspect
from _htmltokens import Token, attributes, tokens

SCRIPT_REMOVED = "<!-- WARNING: embedded script removed -->"


class _Writer(Protocol):
    def write(self, text: str, /) -> object: ...


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
        for token in self._tokens(text):
            self._raw = token.raw
            self._dispatch(token)

    def _tokens(self, text: str) -> Iterator[Token]:
        return tokens(text)

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
        method = getattr(self, "start_" + token.name, None) or getattr(self, "do_" + token.name, None)
        if method is None and type(self).unknown_starttag is SGMLFilter.unknown_starttag:
            self.out.write(token.raw)  # nobody reads its attributes
            return
        pairs = [(found.name, found.value) for found in attributes(token.raw, token.name)]
        if method:
            method(pairs)
        else:
            self.unknown_starttag(token.name, pairs)

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


class HTMLScriptFilter(SGMLFilter):
    """Remove scripts from an HTML document.  After `close`, `modified` says whether there were any.

    `xml` reads it as SVG, where a tag may close itself; `tick` is called while work goes on, and may raise.
    """

    msg = SCRIPT_REMOVED

    def __init__(self, out: _Writer, xml: bool = False, tick: Callable[[], object] = lambda: None) -> None:
        super().__init__(self)  # what passes comes back through `write`, to be looked at once more in `close`
        self.destination = out
        self.modified = False
        self._xml = xml
        self._tick = tick
        self._data_blocks = not xml
        self._passed: list[str] = []
        self._ignoring = False

    def write(self, text: str) -> None:
        """Take more of the document; while filtering, what passes."""
        if not self._filtering:
            self.feed(text)
        elif not self._ignoring:
            self._passed.append(text)

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
        passed = "".join(self._passed)
        self._passed = []
        clean = inert(rename_scripts(passed), self._xml, self._tick)
        self.modified |= clean != passed
        self.destination.write(clean)

    def _tokens(self, text: str) -> Iterator[Token]:
        self._data_blocks = not self._xml and not has_foreign(text)
        for number, token in enumerate(tokens(text, self._xml)):
            if number % _STEP == 0:
                self._tick()
            yield token

    def start_script(self, unused: object) -> None:
        """The start of a script: from here on nothing is written, unless it holds data."""
        if self._data_blocks and is_data_block(self._raw):
            self._passed.append(self._raw)
            return
        self.modified = True
        if self._xml and self._raw.endswith("/>"):
            self._passed.append(self.msg)
        else:
            self._ignoring = True

    def end_script(self) -> None:
        """The end of a script; one without a start passes."""
        if self._ignoring:
            self._ignoring = False
            self._passed.append(self.msg)
        else:
            self._passed.append(self._raw)


_STEP = 1000
_MAX_ROUNDS = 4


def has_script(text: str, xml: bool = False, tick: Callable[[], object] = lambda: None) -> bool:
    """Whether there is anything in this text that `strip_scripts` takes out."""
    if not suspect(text):
        return False
    # What looks like the start of a script is cut out or renamed, whatever the document is taken for.
    if rename_scripts(text) != text:
        return True
    return _filtered(text, xml, tick) != text or (xml and _filtered(text, False, tick) != text)


def strip_scripts(text: str, xml: bool = False, tick: Callable[[], object] = lambda: None) -> str:
    """The document without scripts; the same text if there are none.

    Taking something out may show something else to another reading.  So this is done until nothing is left to do; where
    that does not come soon, the document is made text.
    """
    for _ in range(_MAX_ROUNDS):
        if not suspect(text):
            return text
        clean = _filtered(text, xml, tick)
        if xml:
            clean = _filtered(clean, False, tick)
        if clean == text:
            return text
        text = clean
    return text.replace("<", "&lt;")


def _filtered(text: str, xml: bool, tick: Callable[[], object]) -> str:
    if not has_start(text) or (not xml and rename_scripts(text) == text):
        return inert(text, xml, tick)  # no script element but data blocks, which pass
    pieces: list[str] = []

    class _Collect:
        def write(self, piece: str, /) -> None:
            pieces.append(piece)

    out = HTMLScriptFilter(_Collect(), xml, tick)
    out.feed(text)
    out.close()
    return "".join(pieces)
