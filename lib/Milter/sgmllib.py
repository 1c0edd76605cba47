"""A parser for SGML and the HTML of mail, with the interface of Python 2's module of this name.

A derived class says by its methods which elements it knows: ``start_NAME(attributes)`` with ``end_NAME()`` for those
with content, ``do_NAME(attributes)`` for empty ones. All others come to ``unknown_starttag()``, ``unknown_endtag()``.
It never raises for what a document contains, and takes time in proportion to its length.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar

__all__ = ["SGMLParseError", "SGMLParser", "TestSGMLParser"]

Attributes = list[tuple[str, str]]
"""Names in lower case with their values, references decoded. Without a value, an attribute's name is its value."""

_INTERESTING = re.compile("[<&]")
_NAME = re.compile(r"[a-zA-Z][-_.:a-zA-Z0-9]*")
_TAG_STOP = re.compile("[<>\"']")
_ENDBRACKET = re.compile("[<>]")
_VALUE_BEGINS = re.compile(r"=\s*\Z")
_ATTRIBUTE = re.compile(r"""([^\s=/>"'][^\s=/>]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
_REFERENCE = re.compile(r"&(?:#([0-9]{1,8})|([a-zA-Z][-.a-zA-Z0-9]{0,63}));?")
_REFERENCE_BEGINS = re.compile(r"&(?:#[0-9]{0,8}|[a-zA-Z][-.a-zA-Z0-9]{0,63})?\Z")
_MAX_DISTANCE = 500  # of an end tag from its start tag, in elements left open between them
_BLANKS_BEFORE_VALUE = 64  # between an attribute's "=" and its value; more of them and a quote is no quote


class SGMLParseError(RuntimeError):
    """Raised by :meth:`SGMLParser.error`, which this parser never calls itself."""


class SGMLParser:
    """Feed it a document in pieces; it calls the methods of the derived class."""

    entitydefs: ClassVar[dict[str, str]] = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}

    def __init__(self, verbose: int = 0) -> None:
        self.verbose = verbose
        self.reset()

    def reset(self) -> None:
        """Begin anew; what was fed and not yet parsed is lost."""
        self.rawdata = ""
        self.stack: list[str] = []
        self.lasttag = "???"
        self.nomoretags = False
        self.literal = False
        self._starttag_text: str | None = None
        self._absent: set[str] = set()

    def setnomoretags(self) -> None:
        """Take all that follows as data."""
        self.nomoretags = self.literal = True

    def setliteral(self, *args: object) -> None:
        """Take all that follows as data up to the next end tag."""
        self.literal = True

    def feed(self, data: str) -> None:
        """Parse the next piece of the document, as far as it can be understood without what follows."""
        self.rawdata += data
        self.goahead(False)

    def close(self) -> None:
        """Parse what is left: the document has ended."""
        self.goahead(True)

    def error(self, message: str) -> None:
        """Raise SGMLParseError; for derived classes."""
        raise SGMLParseError(message)

    def get_starttag_text(self) -> str | None:
        """Return the text of the start tag parsed last, as it stood in the document."""
        return self._starttag_text

    # Parsing. The methods named parse_* return where parsing goes on, or -1 where the document has to go on first.

    def goahead(self, end: bool) -> None:
        """Parse the document fed so far; what cannot be complete yet waits unless ``end`` says that nothing follows."""
        at = 0
        self._absent.clear()
        while at < len(self.rawdata):
            special = self._next_special(at)
            if special > at:
                self.handle_data(self.rawdata[at:special])
                at = special
                continue
            after = self._parse_markup(at, end)
            if after < 0:
                if not end:
                    break
                self.handle_data(self.rawdata[at])
                after = at + 1
            at = after
        self.rawdata = self.rawdata[at:]

    def _next_special(self, at: int) -> int:
        raw = self.rawdata
        if self.nomoretags:
            return len(raw)
        if self.literal:
            found = raw.find("<", at)  # perhaps the end tag; the next character may not be there yet
            return len(raw) if found < 0 else found
        match = _INTERESTING.search(raw, at)
        return match.start() if match else len(raw)

    def _parse_markup(self, at: int, end: bool) -> int:
        raw = self.rawdata
        if raw[at] == "&":
            return self._parse_reference(at, end)
        following = raw[at + 1 : at + 2]
        if following == "/":
            return self._parse_slash(at, end)
        if not following:
            return -1
        if not self.literal:
            if following.isalpha() and following.isascii():
                return self.parse_starttag(at, end)
            if following == "!":
                return self.parse_declaration(at, end)
            if following == "?":
                return self.parse_pi(at)
        self.handle_data("<")
        return at + 1

    def _find(self, token: str, at: int) -> int:
        """Search the rest of the document, but never twice in vain: hostile mail repeats what is never closed."""
        if token in self._absent:
            return -1
        found = self.rawdata.find(token, at)
        if found < 0:
            self._absent.add(token)
        return found

    def parse_starttag(self, i: int, end: bool = False) -> int:
        """Parse the start tag at ``i``. It ends at ``>`` outside of quotes, or before the next ``<``."""
        raw = self.rawdata
        name = _NAME.match(raw, i + 1)
        assert name is not None
        stop = self._tag_end(name.end(), end)
        if stop < 0:
            return -1
        after = stop + 1 if raw[stop] == ">" else stop
        self._starttag_text = raw[i:after]
        tag = self.lasttag = name[0].lower()
        self.finish_starttag(tag, self._attributes(raw[name.end() : stop]))
        return after

    def _tag_end(self, at: int, end: bool) -> int:
        while stop := _TAG_STOP.search(self.rawdata, at):
            if stop[0] in "<>":
                return stop.start()
            at = stop.end()
            if _VALUE_BEGINS.search(self.rawdata[max(0, stop.start() - _BLANKS_BEFORE_VALUE) : stop.start()]):
                closing = self._find(stop[0], at)
                if closing >= 0:
                    at = closing + 1
                elif not end:
                    return -1
        return -1

    def _attributes(self, text: str) -> Attributes:
        attributes = []
        for name, value in _ATTRIBUTE.findall(text):
            if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
                value = value[1:-1]
            attributes.append((name.lower(), _REFERENCE.sub(self._converted, value) if value else name.lower()))
        return attributes

    def _converted(self, reference: re.Match[str]) -> str:
        number, name = reference.groups()
        text = self.convert_charref(number) if number else self.convert_entityref(name)
        return reference[0] if text is None else text

    def _parse_slash(self, at: int, end: bool) -> int:
        following = self.rawdata[at + 2 : at + 3]
        if not following:
            return -1
        if following == ">" or (following.isalpha() and following.isascii()) or following.isspace():
            return self.parse_endtag(at)
        self.handle_data("</")
        return at + 2

    def parse_endtag(self, i: int) -> int:
        """Parse the end tag at ``i``, which ends at ``>`` or before the next ``<``. It ends literal text."""
        stop = _ENDBRACKET.search(self.rawdata, i + 1)
        if stop is None:
            return -1
        self.literal = False
        words = self.rawdata[i + 2 : stop.start()].split(None, 1)
        self.finish_endtag(words[0].lower() if words else "")
        return stop.end() if stop[0] == ">" else stop.start()

    def parse_declaration(self, i: int, end: bool = False) -> int:
        """Parse a comment, a marked section or a declaration at ``i``, well-formed or not."""
        raw = self.rawdata
        if raw.startswith("<!--", i):
            return self._up_to("-->", i + 4, self.handle_comment)
        if raw.startswith("<![", i):
            closer = "]]>" if raw.startswith("<![CDATA[", i) else "]>"
            return self._up_to(closer, i + 3, self.unknown_decl)
        if len(raw) < i + 4 and "<!--".startswith(raw[i:]):
            return -1
        first = self._find(">", i)
        subset = raw.find("[", i, first) if first >= 0 else -1
        if subset >= 0:
            closing = self._find("]>", subset)
            if closing >= 0:
                self.handle_decl(raw[i + 2 : closing + 1])
                return closing + 2
            if not end:
                return -1
        if first == i + 2:
            return first + 1  # "<!>" declares nothing
        return self._up_to(">", i + 2, self.handle_decl)

    def parse_pi(self, i: int) -> int:
        """Parse the processing instruction at ``i``, which ends at ``>``."""
        return self._up_to(">", i + 2, self.handle_pi)

    def _up_to(self, closer: str, start: int, handle: Callable[[str], None]) -> int:
        found = self._find(closer, start)
        if found < 0:
            return -1
        handle(self.rawdata[start:found])
        return found + len(closer)

    def _parse_reference(self, at: int, end: bool) -> int:
        raw = self.rawdata
        reference = _REFERENCE.match(raw, at)
        if reference is None or (reference.end() == len(raw) and raw[-1] != ";"):
            if not end and _REFERENCE_BEGINS.match(raw, at):
                return -1
            if reference is None:
                self.handle_data("&")
                return at + 1
        number, name = reference.groups()
        if number:
            self.handle_charref(number)
        else:
            self.handle_entityref(name)
        return reference.end()

    # Elements.

    def finish_starttag(self, tag: str, attrs: Attributes) -> int:
        """Find the method for a start tag; returns 1 for an element with an end, 0 for an empty one, -1 unknown."""
        if method := getattr(self, "start_" + tag, None):
            self.stack.append(tag)
            self.handle_starttag(tag, method, attrs)
            return 1
        if method := getattr(self, "do_" + tag, None):
            self.handle_starttag(tag, method, attrs)
            return 0
        self.unknown_starttag(tag, attrs)
        return -1

    def finish_endtag(self, tag: str) -> None:
        """Find the method for an end tag, ending the elements inside first. Without a name it ends the innermost."""
        nearest = self.stack[: -_MAX_DISTANCE - 1 : -1]
        if not nearest or (tag and tag not in nearest):
            if getattr(self, "end_" + tag, None):
                self.report_unbalanced(tag)
            else:
                self.unknown_endtag(tag)
            return
        for _ in range(nearest.index(tag) + 1 if tag else 1):
            ended = self.stack.pop()
            if method := getattr(self, "end_" + ended, None):
                self.handle_endtag(ended, method)
            else:
                self.unknown_endtag(ended)

    def handle_starttag(self, tag: str, method: Callable[[Attributes], object], attrs: Attributes) -> None:
        """Call the method that knows the element."""
        method(attrs)

    def handle_endtag(self, tag: str, method: Callable[[], object]) -> None:
        """Call the method that knows the element."""
        method()

    # References.

    def convert_charref(self, name: str) -> str | None:
        """Return the text of a numeric reference, None if it is not ASCII."""
        try:
            number = int(name)
        except ValueError:
            return None
        return self.convert_codepoint(number) if 0 <= number <= 127 else None

    def convert_codepoint(self, codepoint: int) -> str:
        """Return the character of that number."""
        return chr(codepoint)

    def handle_charref(self, name: str) -> None:
        """A numeric reference: data if it can be converted, else unknown_charref()."""
        text = self.convert_charref(name)
        if text is None:
            self.unknown_charref(name)
        else:
            self.handle_data(text)

    def convert_entityref(self, name: str) -> str | None:
        """Return the text of a named entity from ``entitydefs``, or None."""
        return self.entitydefs.get(name)

    def handle_entityref(self, name: str) -> None:
        """A named entity: data if it is known, else unknown_entityref()."""
        text = self.convert_entityref(name)
        if text is None:
            self.unknown_entityref(name)
        else:
            self.handle_data(text)

    # What derived classes override; here it does nothing.

    def handle_data(self, data: str) -> None:
        """Text, in pieces of any size."""

    def handle_comment(self, data: str) -> None:
        """``<!--data-->``."""

    def handle_decl(self, decl: str) -> None:
        """``<!decl>``."""

    def handle_pi(self, data: str) -> None:
        """``<?data>``."""

    def unknown_decl(self, data: str) -> None:
        """``<![data]>``, or ``<![data]]>`` for CDATA."""

    def unknown_starttag(self, tag: str, attrs: Attributes) -> None:
        """A start tag for which there is no method."""

    def unknown_endtag(self, tag: str) -> None:
        """An end tag for which there is no method."""

    def unknown_charref(self, ref: str) -> None:
        """A numeric reference beyond ASCII; ``ref`` is the number."""

    def unknown_entityref(self, ref: str) -> None:
        """An entity that is not in ``entitydefs``; ``ref`` is its name."""

    def report_unbalanced(self, tag: str) -> None:
        """An end tag with a method but without a start tag."""


class TestSGMLParser(SGMLParser):
    """Print what the parser sees, for trying out."""

    __test__ = False  # it is no test class of pytest's

    def handle_data(self, data: str) -> None:
        print("data:", repr(data))

    def handle_comment(self, data: str) -> None:
        print("comment:", repr(data))

    def handle_decl(self, decl: str) -> None:
        print("declaration:", repr(decl))

    def handle_pi(self, data: str) -> None:
        print("instruction:", repr(data))

    def unknown_decl(self, data: str) -> None:
        print("marked section:", repr(data))

    def unknown_starttag(self, tag: str, attrs: Attributes) -> None:
        print("start tag:", tag, attrs)

    def unknown_endtag(self, tag: str) -> None:
        print("end tag:", tag)

    def unknown_charref(self, ref: str) -> None:
        print("character:", ref)

    def unknown_entityref(self, ref: str) -> None:
        print("entity:", ref)


def test(args: Sequence[str] | None = None) -> None:  # noqa: PT028  # nor is this a test
    """Print what the parser sees in the file named first in ``args``, by default of the command line, or in stdin."""
    names = sys.argv[1:] if args is None else args
    parser = TestSGMLParser()
    if names and names[0] != "-":
        with open(names[0], encoding="utf-8", errors="replace") as file:
            parser.feed(file.read())
    else:
        parser.feed(sys.stdin.read())
    parser.close()
