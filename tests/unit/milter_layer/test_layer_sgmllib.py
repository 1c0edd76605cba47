"""The SGML parser: Milter.sgmllib."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from Milter.sgmllib import SGMLParseError, SGMLParser
from support.effort import in_proportion


class Recorder(SGMLParser):
    """Notes what it is told; adjacent pieces of data become one."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        super().__init__()

    def note(self, *event: Any) -> None:
        if event[0] == "data" and self.events and self.events[-1][0] == "data":
            event = ("data", self.events.pop()[1] + event[1])
        self.events.append(event)

    def handle_data(self, data: str) -> None:
        self.note("data", data)

    def handle_comment(self, data: str) -> None:
        self.note("comment", data)

    def handle_decl(self, decl: str) -> None:
        self.note("decl", decl)

    def handle_pi(self, data: str) -> None:
        self.note("pi", data)

    def unknown_decl(self, data: str) -> None:
        self.note("section", data)

    def unknown_starttag(self, tag: str, attrs: Any) -> None:
        self.note("start", tag, attrs)

    def unknown_endtag(self, tag: str) -> None:
        self.note("end", tag)

    def unknown_charref(self, ref: str) -> None:
        self.note("char", ref)

    def unknown_entityref(self, ref: str) -> None:
        self.note("entity", ref)

    def report_unbalanced(self, tag: str) -> None:
        self.note("unbalanced", tag)

    def start_a(self, attrs: Any) -> None:
        self.note("start_a", attrs)

    def end_a(self) -> None:
        self.note("end_a")

    def start_i(self, attrs: Any) -> None:
        self.note("start_i")

    def end_i(self) -> None:
        self.note("end_i")

    def do_br(self, attrs: Any) -> None:
        self.note("do_br", attrs)

    def start_xmp(self, attrs: Any) -> None:
        self.setliteral()

    def end_xmp(self) -> None:
        self.note("end_xmp")

    def start_plaintext(self, attrs: Any) -> None:
        self.setnomoretags()


def events(document: str, size: int = 0) -> list[Any]:
    parser = Recorder()
    for at in range(0, len(document), size or len(document) or 1):
        parser.feed(document[at : at + (size or len(document))])
    parser.close()
    return parser.events


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<P>Hi</P >", [("start", "p", []), ("data", "Hi"), ("end", "p")]),
        ("<a HREF=x.html>y</a>", [("start_a", [("href", "x.html")]), ("data", "y"), ("end_a",)]),
        ("<a b='c d' e=\"f>g\" h>", [("start_a", [("b", "c d"), ("e", "f>g"), ("h", "h")])]),
        ("<a b = &quot;&amp;&nbsp;>", [("start_a", [("b", '"&&nbsp;')])]),
        ("<br><br/><br />", [("do_br", [])] * 3),
        (
            "&lt;&amp;&#65;&nbsp;&#233;&zz x",
            [("data", "<&A"), ("entity", "nbsp"), ("char", "233"), ("entity", "zz"), ("data", " x")],
        ),
        ("<!-- a -- b -->c", [("comment", " a -- b "), ("data", "c")]),
        ("<!DOCTYPE html [<!ELEMENT p (x)>]>y", [("decl", "DOCTYPE html [<!ELEMENT p (x)>]"), ("data", "y")]),
        ("<! not legal>y", [("decl", " not legal"), ("data", "y")]),
        ("<![if x]>y<![endif]>", [("section", "if x"), ("data", "y"), ("section", "endif")]),
        ("<![CDATA[x]>]]>y", [("section", "CDATA[x]>"), ("data", "y")]),
        ("<?php x ?>y", [("pi", "php x ?"), ("data", "y")]),
        ("<p<b>x", [("start", "p", []), ("start", "b", []), ("data", "x")]),
        ("1 < 2 & 3 <4 </5", [("data", "1 < 2 & 3 <4 </5")]),
        ("<xmp><b>&amp;</xmp>&amp;", [("data", "<b>&amp;"), ("end_xmp",), ("data", "&")]),
        ("<plaintext><b></plaintext>", [("data", "<b></plaintext>")]),
        ("</a>", [("unbalanced", "a")]),
        ("<a><i>x</a>", [("start_a", []), ("start_i",), ("data", "x"), ("end_i",), ("end_a",)]),
        ("<a>x</>", [("start_a", []), ("data", "x"), ("end_a",)]),
        ("<a b='x>y", [("start_a", [("b", "'x")]), ("data", "y")]),
        ("x <!-- never closed <b>", [("data", "x <!-- never closed "), ("start", "b", [])]),
    ],
)
def test_what_a_document_means(document: str, expected: list[Any]) -> None:
    """At once, and fed octet by octet."""
    assert events(document) == expected
    assert events(document, 1) == expected


@given(st.text(alphabet="<>&#;/!-?[]='\" \nab1") | st.text())
def test_no_document_raises_and_pieces_do_not_matter(document: str) -> None:
    """Nothing depends on where a document is cut."""
    assert events(document) == events(document, 1) == events(document, 7)


@pytest.mark.parametrize("piece", ["<a b='", '<a "', "<!--", "<![", "<!x [", "</", "<?", "&a", "<a><i>", "</b>", '="'])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:

    def parse(document: str) -> None:
        parser = SGMLParser()
        parser.feed(document)
        parser.close()

    assert in_proportion(parse, lambda count: piece * count, 20_000)


def test_the_text_of_a_start_tag_can_be_had() -> None:
    """As it stood in the document."""
    parser = Recorder()
    parser.feed("<A  Href='x'>")
    assert parser.get_starttag_text() == "<A  Href='x'>"


def test_reset_forgets_what_was_fed() -> None:
    """Also a tag that was not complete."""
    parser = Recorder()
    parser.feed("<a hr")
    parser.reset()
    parser.feed("ef>")
    parser.close()
    assert parser.events == [("data", "ef>")]


def test_error_raises_for_derived_classes() -> None:
    """The parser itself never does."""
    with pytest.raises(SGMLParseError, match="oh"):
        SGMLParser().error("oh")
