"""_cutting.c and what belongs to it (tags, headers, counts) against the reference in Python, on mutated messages.

`--mutations 100000` for many.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _mimetree import Field, parse
from dspam import disguise, features, headers, html, learner, lesson, links, reading
from dspam.build import compile_cutting
from dspam.reading import Document
from dspam.store import records, table
from dspam.store.table import Table
from support.tricks import TRICKS, text

PIECES = [
    b"v i a g r a", b"v.i.a.g.r.a", b"via*gra", b"c@sh n0w", b"bob@example.com", b"fr33 m0ney", b"V1AGRA", b"paypaI", b"VlAGRA",
    b"aaaaah", b"\xc3\xa0 l\xc3\xa0", "ｗｉｄｅ".encode(), "免费发票".encode(), "тест аеор".encode(), b"x" * 50,
    "ü".encode() * 30, b"-" * 70, b"\x00", b"\xff\xfe", b"\xe4", b"\r\n", b" \t ", b"<b>", b"=E4", b"@", b"@@a@b", b"a+b+c",
    b"a|b|c|d", b"1.2.3.4", b"$$$", b"I I I I",
]  # fmt: skip
"""What the two might see otherwise."""


USERS = (features, headers, html, learner, lesson, reading, records, table)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled anew, with every warning an error, in place of what was installed."""
    flags = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
    module = _loaded(compile_cutting(tmp_path_factory.mktemp("cutting"), flags))
    with pytest.MonkeyPatch.context() as patch:
        for user in USERS:
            patch.setattr(user, "_cutting", module)
        yield


def _loaded(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("dspam._cutting", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.prepare(*features.TABLES)
    return module


def mutated(raw: bytes, source: random.Random) -> bytes:
    """The message with some of its octets lost, doubled, exchanged, or with pieces between them."""
    for _ in range(source.randint(1, 8)):
        at, length = source.randrange(len(raw) + 1), source.randint(0, 40)
        new = source.choice(
            (b"", raw[at : at + length] * 2, source.choice(PIECES), source.randbytes(source.randint(1, 8)))
        )
        raw = raw[:at] + new + raw[at + length :]
    return raw


def messages(number: int) -> Iterator[bytes]:
    """Spam under all tricks, and plain lines of odd pieces, mutated."""
    source = random.Random(1)
    tricks = [trick for name, trick in TRICKS.items() if "MB" not in name and "kB" not in name]
    for count in range(number):
        said = " ".join(
            source.choice((text("spam", source, 12), source.choice(PIECES[:10]).decode())) for _ in range(4)
        )
        raw = tricks[count % len(tricks)](said, source) + b" ".join(source.choices(PIECES, k=source.randint(0, 20)))
        yield mutated(raw, source)


def same(document: Document) -> bool:
    return np.array_equal(features.compiled_keys_of(document), features.reference_keys_of(document))


def extracted_in_python(raw: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for user in USERS:
            patch.setattr(user, "_cutting", None)
        return features.extract(raw)


def test_compiled_and_reference_make_the_same_keys(compiled: None, request: pytest.FixtureRequest) -> None:
    for raw in messages(request.config.getoption("--mutations")):
        assert np.array_equal(features.extract(raw), extracted_in_python(raw)), raw


MARKUP = [
    b"<p>", b"</p>", b"<P class=x>", b"<table><tr><td>", b"</td>", b"</tr></table>", b"<td id='y'>", b"<li>", b"<ul>", b"</ul>",
    b"<b>", b"</b>", b"<i hidden>", b"</i>", b"<a href='http://x.example/1'>", b"</a>", b"<a href=\"//y.example\" title=t>",
    b"<img src=x alt=pic>", b"<img width=1>", b"<br/>", b"<input value=v type=hidden>",
    b"<div style='display:none'>", b"</div>", b"<font color=white>", b"</font>", b"<bdo dir=rtl>", b"</bdo>",
    b"<style>.x{display:none} #y{color:#fff}</style>",
    b"<style>p{display:inline}</STYLE >", b"<title>t</title>", b"<textarea>", b"</textarea>", b"<script>if (a<b)</script>",
    b"<!-- c -->", b"<!-->", b"<!--->", b"<!--", b"--!>", b"-->", b"<!doctype x>", b"<?xml ?>", b"</ x>", b"<", b"</", b"=",
    b"\"", b"'", b">", b"<a =\"", b"<x y= 'z", b"<dialog>", b"<template>", b"<dl><dt>", b"<dd>", b"<option>", b"&amp;", b" ",
    b"\v", b"\n", b"word", b"spam", b"\xe2\x80\xae", b"<noframes>", b"</noframes/", b"<xmp>", b"</xmp>", b"<q",
    b"<b><b><b><b>" * 60, b"<a href=x\"y z>", b"<img SRC='a b' src=c alt=t>", b"<a href==x>", b"<a href>",
    b"<a HREF = \"one\" href=two>",
    b"<form action=/x formaction='>'>", b"<td background=\"u.gif\" class=x>", b"<a/href='//x'/b>",
    b"<use xlink:href=\"#i\" hrefx=1>",
    b"<a " + b"k" * 40 + b"href=x>", b"<a href='" + b"u" * 500 + b"' hidden>", b"<b t='" + b"u" * 390 + b"' href=\vq>",
    b"<a href=\"q",
]  # fmt: skip
"""What documents are made of."""


def same_document(source: bytes) -> bool:
    compiled, reference = html._Reader(), html._Reader()
    html._walk_compiled(compiled, source)
    html._walk(reference, source)
    return all(
        getattr(compiled, name) == getattr(reference, name) for name in ("reading", "seen", "unseen", "code", "asides")
    )


def test_compiled_and_reference_read_the_same_in_html(compiled: None, request: pytest.FixtureRequest) -> None:
    source = random.Random(2)
    for _ in range(request.config.getoption("--mutations")):
        document = b"".join(source.choices(MARKUP, k=source.randint(1, 60)))
        assert same_document(document), document
        document = mutated(document, source)
        assert same_document(document), document


@given(st.lists(st.one_of(st.sampled_from(MARKUP), st.binary(max_size=5))).map(b"".join))
def test_any_document_reads_the_same(compiled: None, source: bytes) -> None:
    assert same_document(source)


@pytest.mark.parametrize(
    "source",
    [b"", b"<p>" * 20_001 + b"end", b"<p>" * 20_000 + b"end", b"<b>" * 300 + b"x", b"<a href=x>y</a>" * 50, b"<!--" * 10_000,
     b"<a b='" * 10_000, b"<style>" * 10_000, b"<title>" + b"</titl" * 10_000, b"<td>" * 10_000,
     b"<i x=" + b"y" * 1000 + b">z"],
    ids=range(11),
)  # fmt: skip
def test_a_document_at_a_limit_reads_the_same(compiled: None, source: bytes) -> None:
    assert same_document(source)


def test_what_python_raises_while_a_document_is_read_is_raised(compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for broken, failure in ((lambda inner: 1 // 0, ZeroDivisionError), (lambda inner: None, TypeError), (
        lambda inner: (b"p", 1, ()), AttributeError)):  # fmt: skip
        monkeypatch.setattr(html, "_read_tag", broken)
        with pytest.raises(failure):
            html._walk_compiled(html._Reader(), b"<b>x<p>")


TRACE = [
    b"from ", b"FROM", b" by ", b"By\t", b" for <", b" For ", b" with ESMTP", b"with", b" id A1", b" id 5", b" (HELO x)",
    b"helo ", b"(", b")", b";", b"; ", b"[", b"]", b"<", b">", b",", b"1.2.3.4", b"[10.0.0.1]", b".1.2", b"1234.1.1.1",
    b"a.b", b"foo.com-bar", b"mail.example.co.uk", b"A.EXAMPLE.", b"a.b.c.d.e.f.gg", b"..", b"_", b"x" * 25, b"x" * 130,
    b"forged", b" ", b"\n ", b"\v", b"\xe4", b"\x00", b"ann@a.example",
]  # fmt: skip
"""What trace fields are made of."""

VALUES = [
    b"Ann Bee <ann@a.example>", b"bob@b.co.uk, ", b"\"A, B\" <", b"@", b"x" * 70 + b"@b.c", b"a@" + b"b" * 120, b"a@.b..c.",
    b"<", b">", b"\"", b"'", b"=?utf-8?q?=C3=A4_b?=", b"=?utf-8?b?IEFOTiE=?=", b"=?", b"Re: ", b"RE:", b"ANN", b"   ", b" ",
    b"\n\t", b"\v", b"\xc3\xa4", b"\x00", b"12:30", b"text/html", b"; boundary=", b"BOUNDARY = \"a b", b"boundary=x",
    b"; charset=\"x\"", b";", b"k" * 130, b"<1.2@c.example>",
]  # fmt: skip
"""What other fields are made of."""

NAMES = st.sampled_from([
    b"From", b"To", b"CC", b"Subject", b"Date", b"Message-ID", b"Message-Id", b"MIME-Version", b"Content-Type", b"Return-Path",
    b"Reply-To", b"Sender", b"In-Reply-To", b"References", b"Delivered-To", b"X-Mailer", b"X-Spam-Flag", b"Received-SPF",
    b"x" * 50, b"", b"\xff",
])  # fmt: skip

FIELDS = st.lists(
    st.one_of(
        st.builds(Field, st.just(b"Received"), st.lists(st.sampled_from(TRACE)).map(b"".join), st.just(b"")),
        st.builds(Field, NAMES, st.lists(st.sampled_from(VALUES), max_size=6).map(b"".join), st.just(b"")),
        st.builds(Field, st.one_of(NAMES, st.just(b"received")), st.binary(max_size=30), st.just(b"")),
    ),
    max_size=20,
)


@given(FIELDS)
def test_any_header_has_the_same_facts(compiled: None, fields: list[Field]) -> None:
    assert headers.facts_of(fields) == headers.HeaderFacts(fields).facts


@given(FIELDS, st.lists(st.sampled_from(TRACE)).map(b"".join))
def test_any_header_has_the_same_facts_below_one_more_trace_field(
    compiled: None, fields: list[Field], value: bytes
) -> None:
    hop = Field(b"Received", value, b"")
    assert headers.HeaderRead(fields).below(hop) == headers.HeaderFacts(fields).below(hop)


def test_mutated_headers_have_the_same_facts(compiled: None, request: pytest.FixtureRequest) -> None:
    source = random.Random(4)
    for _ in range(request.config.getoption("--mutations")):
        hops = (b"Received: " + b"".join(source.choices(TRACE, k=source.randint(0, 25))) for _ in range(4))
        names = (b"From", b"To", b"Subject", b"Content-Type", b"Message-ID", b"X-Mailer", b"Date", b"Sender")
        rest = (name + b": " + b"".join(source.choices(VALUES, k=source.randint(0, 6))) for name in names)
        raw = mutated(b"\n".join([*hops, *rest]) + b"\n\n", source)
        fields = parse(raw).fields
        assert headers.facts_of(fields) == headers.HeaderFacts(fields).facts, raw


@pytest.mark.parametrize(
    "fields",
    [
        [Field(b"X-A%d" % number, b"x", b"") for number in range(200)],
        [Field(b"Received", b"from a%d.example by b.example; now" % number, b"") for number in range(200)],
        [Field(b"To", b"a@b.example, " * 200, b"")] * 3,
        [Field(b"Received", b"a.bb " * 400, b"")],
        [Field(b"Received", b"1" * 1200, b""), Field(b"Received", b"from " * 300, b""), Field(b"Received", b";", b"")],
        [Field(b"Subject", b"=?utf-8?q?" + b"=E2=82=AC" * 200 + b"?=", b"")],
        [Field(b"From", b"a" * 2000 + b"@" + b"b." * 900, b""), Field(b"From", b"ann@b.example", b"")],
        [Field(b"Content-Type", b'boundary="' * 150, b""), Field(b"Date", b" " * 5000, b"")],
    ],
    ids=range(8),
)  # fmt: skip
def test_a_header_at_a_limit_has_the_same_facts(compiled: None, fields: list[Field]) -> None:
    assert headers.facts_of(fields) == headers.HeaderFacts(fields).facts


@given(
    st.sampled_from([b"", b" of part"]),
    st.one_of(st.lists(st.sampled_from(VALUES)).map(b"".join), st.binary(max_size=30)),
)
def test_any_content_type_has_the_same_facts(compiled: None, place: bytes, value: bytes) -> None:
    assert headers.content_type(place, value) == headers.reference_content_type(place, value)


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        (((), {}, headers._coded_kind_of, headers._decoded), TypeError),
        (([b"From: a"], {}, headers._coded_kind_of, headers._decoded), TypeError),
        (([(b"From", "a")], {}, headers._coded_kind_of, headers._decoded), TypeError),
        (([(b"From",)], {}, headers._coded_kind_of, headers._decoded), TypeError),
        (([(b"From", b"a")], {}, lambda name: (3, b"x" * 41, b"x"), headers._decoded), TypeError),
        (([(b"From", b"a")], {b"From": (3, "from", b"From")}, headers._coded_kind_of, headers._decoded), TypeError),
        (([(b"From", b"a")], {}, lambda name: (1 << 80, b"", b""), headers._decoded), OverflowError),
        (([(b"From", b"a")], {}, lambda name: 1 // 0, headers._decoded), ZeroDivisionError),
        (([(b"From", b"=?")], {}, headers._coded_kind_of, lambda value: "text"), TypeError),
        (([(b"From", b"=?")], {}, headers._coded_kind_of, lambda value: 1 // 0), ZeroDivisionError),
    ],
)
def test_what_is_no_header_is_refused(compiled: None, arguments: tuple[Any, ...], failure: type[Exception]) -> None:
    module: Any = headers._cutting
    with pytest.raises(failure):
        module.header_facts(*arguments)


def test_names_of_fields_that_are_remembered_are_bounded(compiled: None) -> None:
    module: Any = headers._cutting
    kinds: dict[bytes, tuple[int, bytes, bytes]] = {}
    for number in range(2000):
        module.header_facts([(b"X-%d" % number, b"")], kinds, headers._coded_kind_of, headers._decoded)
    module.header_facts([(b"X" * 100_000, b"")], kinds, headers._coded_kind_of, headers._decoded)
    assert len(kinds) == 1024


PLACES = st.sampled_from([b"text", b"from", b"link", b"unseen", b"aside"])
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from([b" ", b".", b"\n"]), st.binary(max_size=6))).map(
    b"".join
)


@given(
    st.lists(st.binary(max_size=20), max_size=5),
    st.lists(st.binary(max_size=20), max_size=5),
    st.lists(st.tuples(PLACES, TEXTS), max_size=5),
)
def test_any_document_has_the_same_keys(
    compiled: None, header: list[bytes], structure: list[bytes], texts: list[tuple[bytes, bytes]]
) -> None:
    assert same(Document(facts=header, structure=structure, texts=texts))


@pytest.mark.parametrize(
    "document",
    [
        Document(),
        Document(facts=[b"x" * 1000] * 100),
        Document(structure=[b""] * 1000),
        Document(texts=[(b"text", b"")]),
        Document(texts=[(b"text", b"v.i.a.g.r.a " * 12_000)]),
        Document(texts=[(b"text", b"w0rd%d " % number) for number in range(5000)]),
        Document(texts=[(b"text", b"a" * 200_000)]),
        Document(facts=[b"fact"] * 16_000, texts=[(b"text", b"a b " * 40_000)]),
        Document(texts=[(b"text", b"a" * 39 + b"\x80" * 39)]),
        Document(texts=[(b"text", b"a@" * 300)]),
    ],
    ids=[
        "empty", "too many facts", "empty facts", "empty text", "many joined", "many texts", "one word", "too long",
        "no characters", "signs",
    ],
)  # fmt: skip
def test_what_is_at_a_limit_has_the_same_keys(compiled: None, document: Document) -> None:
    assert same(document)


@given(st.text("ab \t\n\v\f\r\x00é").map(str.encode))
def test_any_text_is_squeezed_alike(compiled: None, source: bytes) -> None:
    assert reading._cutting.squeezed(source) == reading.squeezed(source)


@given(
    st.lists(
        st.sampled_from(
            [b"h", b"http", b"HTTPS", b"://", b"www", b".", b"w", b"x", b"x" * 199, b" ", b"\x00", b"'", b"]", b"\x1c"]
        )
    ),
    st.integers(0, 3),
)
def test_any_text_has_the_same_links(compiled: None, pieces: list[bytes], most: int) -> None:
    assert reading._cutting.urls(b"".join(pieces), most) == reading.urls(b"".join(pieces), most)


@given(st.lists(st.text("ab \t\n\v\f\r\x00\x1c\x85é").map(str.encode)))
def test_any_pieces_are_joined_alike(compiled: None, pieces: list[bytes]) -> None:
    assert html._cutting.joined(pieces) == html.joined_words(pieces)


TARGETS = st.one_of(
    st.lists(
        st.sampled_from(
            [
                b"http",
                b"MAILTO",
                b":",
                b"/",
                b"//",
                b" ",
                b"\v",
                b"\x1c",
                b"a",
                b"x.example",
                b"x" * 70,
                b"x" * 190,
                b"x" * 900,
            ]
        )
    ).map(b"".join),
    st.binary(max_size=12),
)


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"img"]), TARGETS), max_size=6),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_any_links_are_taken_in_alike(
    compiled: None, given_links: list[tuple[bytes, bytes]], most: int, targets: int, seen: int
) -> None:
    found: list[Any] = []
    for function in (reading._cutting.take_links, links.take_links):
        found.append(([b"t"] * targets, [(b"a", b"s")] * seen))
        function(given_links, most, *found[-1])
    assert found[0] == found[1]
    for _, target in given_links:
        assert reading._cutting.link_parts(target) == links.link_parts(target)


def test_what_are_no_links_is_refused(compiled: None) -> None:
    module: Any = reading._cutting
    for wrong in ([b"a"], [(b"a",)], [(b"a", "b")], ()):
        with pytest.raises(TypeError):
            module.take_links(wrong, 5, [], [])
    one: list[Any] = [(b"a", b"b")]
    for lists in ((one, []), ([], one)):
        with pytest.raises(ValueError, match="three lists"):
            module.take_links(one, 5, *lists)
    with pytest.raises(TypeError):
        module.link_parts("text")


def test_the_path_of_a_link_is_a_text_like_others() -> None:
    for path in (b"a/b", b"a \t\n  b", b"\xc3\xa4", b"x" * 60, b"\xff"):
        for left in (100, 20, 0):
            one, other = Document(text_left=left), Document(text_left=left)
            one.link(path)
            other.text(b"link", path)
            assert one == other


def test_what_are_no_texts_are_refused(compiled: None) -> None:
    module: Any = reading._cutting
    for function, argument in ((module.squeezed, "text"), (module.joined, [b"a", "b"]), (module.joined, (b"a",))):
        with pytest.raises(TypeError):
            function(argument)
    with pytest.raises(TypeError):
        module.urls("text", 1)


def _arguments(**changed: Any) -> tuple[Any, ...]:
    usual = {
        "facts": [b"fact"], "headers": 1, "text": b"a b\n", "lengths": (3).to_bytes(8, "little"), "places": bytes(8),
        "beside": b"\x00", "spans": [], "max_new": 100, "readings": disguise.readings, "joined": disguise.joined,
    }  # fmt: skip
    return tuple((usual | changed).values())


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"facts": ["text"]}, TypeError),
        ({"lengths": b"short"}, ValueError),
        ({"lengths": bytes(8)}, ValueError),
        ({"places": bytes(16)}, ValueError),
        ({"max_new": -1}, ValueError),
        ({"spans": [(0, 5)], "text": b"a@b\n"}, ValueError),
        ({"spans": [(-1, 2)], "text": b"a@b\n"}, ValueError),
        ({"text": b"fr33\n", "lengths": (4).to_bytes(8, "little"), "readings": lambda word: [word]}, TypeError),
        ({"text": b"fr33\n", "lengths": (4).to_bytes(8, "little"), "readings": lambda word: (None,)}, TypeError),
        ({"text": b"fr33\n", "lengths": (4).to_bytes(8, "little"), "readings": lambda word: 1 // 0}, ZeroDivisionError),
    ],
)
def test_wrong_arguments_raise_and_overrun_nothing(
    compiled: None, changed: dict[str, Any], failure: type[Exception]
) -> None:
    module: Any = features._cutting
    with pytest.raises(failure):
        module.keys(*_arguments(**changed))
    assert len(module.keys(*_arguments())) == 8 * 4


def test_without_a_compiler_all_is_done_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = next(messages(1))
    expected = features.extract(raw)
    monkeypatch.setattr(features, "_cutting", None)
    assert np.array_equal(features.extract(raw), expected)


def test_the_author_key_is_that_of_the_message() -> None:
    """It is computed by itself."""
    address = "Ann.Example@Example.ORG"
    assert features.author_key(address) in features.extract(b"From: " + address.encode() + b"\n\nhello\n")
    features.author_key("a" * 200_000)


ROWS = st.lists(
    st.tuples(
        st.integers(1, 2**63 - 1),
        st.one_of(st.integers(-3, 40), st.integers(-(2**31), 2**31 - 1)),
        st.one_of(st.integers(-3, 40), st.integers(-(2**31), 2**31 - 1)),
        st.integers(-(2**31), 2**31 - 1),
    ),
    max_size=120,
)


@given(ROWS, st.builds(learner.Totals, st.integers(-5, 10**6), st.integers(-5, 10**6)))
def test_any_counts_give_the_same_opinions(
    compiled: None, rows: list[tuple[int, int, int, int]], totals: learner.Totals
) -> None:
    keys = np.array([row[0] for row in rows], dtype=np.int64)
    counts = np.array([row[1:] for row in rows], dtype=np.int32).reshape(-1, 3)
    found = learner.compiled_opinions(keys, counts, totals)
    assert found == pytest.approx(learner.reference_opinions(keys, counts, totals), rel=1e-9, abs=1e-6)


REGRESSION = (10.0, 0.1, 2, 0.15)
BELIEFS = st.builds(lesson.Belief, st.floats(0, 1), st.floats(0, 1), st.floats(-50, 50))


@given(ROWS, st.booleans(), BELIEFS)
def test_any_lesson_adds_the_same(
    compiled: None, rows: list[tuple[int, int, int, int]], is_spam: bool, belief: lesson.Belief
) -> None:
    keys = np.array([row[0] for row in rows], dtype=np.int64)
    counts = np.array([row[1:] for row in rows], dtype=np.int32).reshape(-1, 3)
    found = lesson.compiled_added(keys, counts, is_spam, belief)
    wanted = lesson.reference_added(keys, counts, is_spam, belief)
    assert np.array_equal(found[:, :2], wanted[:, :2])
    # One unit of a weight may be rounded otherwise where the sums differ in their last bit.
    assert np.abs(found[:, 2].astype(np.int64) - wanted[:, 2]).max(initial=0) <= 1


ANY_COUNTS = st.tuples(*3 * (st.one_of(st.integers(-2, 2), st.integers(-(2**31), 2**31 - 1)),))
ANY_DAY = st.integers(0, 2**16 - 1)
ANY_KEY = st.one_of(st.integers(-9, 30), st.integers(-(2**63), 2**63 - 1))


@given(
    st.dictionaries(ANY_KEY, st.tuples(ANY_COUNTS, ANY_DAY), max_size=40),
    st.dictionaries(ANY_KEY, st.tuples(ANY_COUNTS, ANY_DAY), max_size=40),
)
def test_any_trainings_are_merged_alike(compiled: None, known: dict[int, Any], more: dict[int, Any]) -> None:
    tokens = np.array([(key, *counts, day) for key, (counts, day) in sorted(known.items())], dtype=records.TOKEN)
    keys = np.array(sorted(more), dtype=np.int64)
    counts = np.array([more[key][0] for key in sorted(more)], dtype=np.int64).reshape(-1, 3) * 3
    days = np.array([more[key][1] for key in sorted(more)], dtype=np.uint16)
    wanted = records.reference_merge(tokens, keys, counts, days)
    assert records.compiled_merge(tokens, keys, counts, days).tobytes() == wanted.tobytes()


def test_a_table_finds_the_same(compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(3)
    keys = np.unique(source.integers(1, 2**63, 5000))
    filled = Table()
    filled.add(keys[::2], source.integers(-9, 9, (len(keys[::2]), 3)).astype(np.int32))
    wanted = source.permutation(keys)
    found, slots = filled.get(wanted), filled._find(wanted)
    monkeypatch.setattr(table, "_cutting", None)
    assert np.array_equal(found, filled.get(wanted))
    assert np.array_equal(slots, filled._find(wanted))
    assert (slots >= 0).sum() == len(keys[::2])


@given(st.lists(st.lists(st.tuples(st.integers(1, 400), st.integers(-(2**31), 2**31 - 1)), max_size=300), max_size=6))
def test_a_table_adds_the_same(compiled: None, lessons: list[list[tuple[int, int]]]) -> None:
    one, other = Table(), Table()
    for number, one_lesson in enumerate(lessons):
        keys = np.array([key for key, _ in one_lesson], dtype=np.int64) * 0x9E3779B97F4A7C1
        deltas = np.array([[delta, 1, -1] for _, delta in one_lesson], dtype=np.int64).reshape(-1, 3).astype(np.int32)
        one._add_compiled(keys, deltas, 1 - 2 * (number % 2))
        other._add(keys, deltas, 1 - 2 * (number % 2))
    assert (one.size, one.nbytes) == (other.size, other.nbytes)
    everything = np.arange(1, 401) * 0x9E3779B97F4A7C1
    assert np.array_equal(one.get(everything), other.get(everything))


def test_a_table_that_grows_keeps_all(compiled: None) -> None:
    grown = Table()
    keys = np.unique(np.random.default_rng(5).integers(1, 2**63, 20_000))
    counts = np.arange(3 * len(keys), dtype=np.int32).reshape(-1, 3)
    for part in np.array_split(np.arange(len(keys)), 7):
        grown.add(keys[part], counts[part])
    assert grown.size == len(keys)
    assert np.array_equal(grown.get(keys), counts)
    grown.add(keys, counts, -1)
    assert not grown.get(keys).any()


def test_a_full_table_takes_no_more(compiled: None) -> None:
    full, sums = np.arange(1, 1025, dtype=np.int64), np.zeros((1024, 3), dtype=np.int32)
    module: Any = features._cutting
    new = np.array([1, 5000], dtype=np.int64), np.ones((2, 3), dtype=np.int32)
    assert module.add(new[0], full, sums, 1, 57, new[1], 1, 1, 5) == (1, 0)
    assert not sums.any()


def test_a_crowded_table_is_walked_through_once(compiled: None) -> None:
    full = np.arange(1, 1025, dtype=np.int64)
    found = np.empty(1, dtype=np.int64)
    module: Any = features._cutting
    module.slots(np.array([5000], dtype=np.int64), full, 1, 57, found)
    assert found.tolist() == [-1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("slots", (bytes(7), bytes(8192), 1, 57, bytearray(7))),
        ("slots", (bytes(8), bytes(8192), 1, 57, bytearray(16))),
        ("slots", (bytes(8), bytes(8192), 1, 56, bytearray(8))),
        ("slots", (bytes(8), bytes(8192 + 8), 1, 57, bytearray(8))),
        ("slots", (bytes(8), b"", 1, 64, bytearray(8))),
        ("slots", (bytes(8), bytes(8192), 1, -1, bytearray(8))),
        ("counts", (bytes(8), bytes(8192), bytes(12), 1, 57, bytearray(12))),
        ("counts", (bytes(8), bytes(8192), bytes(12288), 1, 57, bytearray(8))),
        ("counts", (bytes(8), bytes(8192), bytes(12288), 1, 58, bytearray(12))),
        ("add", (bytes(7), bytearray(8192), bytearray(12288), 1, 57, bytes(12), 1, 0, 9)),
        ("add", (bytes(8), bytearray(8192), bytearray(12), 1, 57, bytes(12), 1, 0, 9)),
        ("add", (bytes(8), bytearray(8192), bytearray(12288), 1, 58, bytes(12), 1, 0, 9)),
        ("add", (bytes(8), bytearray(8192), bytearray(12288), 1, 57, bytes(11), 1, 0, 9)),
        ("add", (bytes(8), bytearray(8192), bytearray(12288), 1, 57, bytes(12), 1, -1, 9)),
        ("add", (bytes(8), bytearray(8192), bytearray(12288), 1, 57, bytes(12), 1, 0, -1)),
        ("merge", (bytes(21), bytes(8), bytes(24), bytes(2))),
        ("merge", (bytes(22), bytes(7), bytes(0), bytes(0))),
        ("merge", (bytes(22), bytes(8), bytes(23), bytes(2))),
        ("merge", (bytes(22), bytes(8), bytes(24), bytes(3))),
        ("learn", (bytes(8), bytes(8), bytearray(8), True, True, 1.0, 0.3, 1, 0.0, *2 * (REGRESSION,))),
        ("learn", (bytes(8), bytes(12), bytearray(24), True, True, 1.0, 0.3, 1, 0.0, *2 * (REGRESSION,))),
        ("learn", (bytes(7), bytes(12), bytearray(12), True, True, 1.0, 0.3, 1, 0.0, *2 * (REGRESSION,))),
        ("learn", (bytes(8), bytes(12), bytearray(12), True, True, 1.0, 0.3, 1, 0.0, REGRESSION, (1.0, 0.0, 101, 0.1))),
        ("opinions", (bytes(8), bytes(8), 1.0, 1.0, 0.1, 0.1, 1.0, 1.0, 15, 8)),
        ("opinions", (bytes(8), bytes(12), 1.0, 1.0, 0.1, 0.1, 1.0, 1.0, 0, 8)),
        ("opinions", (bytes(8), bytes(12), 1.0, 1.0, 0.1, 0.1, 1.0, 1.0, 15, 65)),
    ],
)
def test_arrays_of_other_sizes_are_refused(compiled: None, name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"table of another size|for each key|no room|room for"):
        getattr(features._cutting, name)(*arguments)
