"""_cutting.c against its reference in Python, octet by octet, on mutated messages. `--mutations 100000` for many."""

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

from dspam import disguise, features
from dspam.build import compile_cutting
from dspam.reading import Document, read
from support.tricks import TRICKS, text

PIECES = [
    b"v i a g r a", b"v.i.a.g.r.a", b"via*gra", b"c@sh n0w", b"bob@example.com", b"fr33 m0ney", b"V1AGRA", b"paypaI", b"VlAGRA",
    b"aaaaah", b"\xc3\xa0 l\xc3\xa0", "ｗｉｄｅ".encode(), "免费发票".encode(), "тест аеор".encode(), b"x" * 50,
    "ü".encode() * 30, b"-" * 70, b"\x00", b"\xff\xfe", b"\xe4", b"\r\n", b" \t ", b"<b>", b"=E4", b"@", b"@@a@b", b"a+b+c",
    b"a|b|c|d", b"1.2.3.4", b"$$$", b"I I I I",
]  # fmt: skip
"""What the two might see otherwise."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled anew, with every warning an error, in place of what was installed."""
    flags = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
    module = _loaded(compile_cutting(tmp_path_factory.mktemp("cutting"), flags))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_cutting", module)
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


def test_compiled_and_reference_make_the_same_keys(compiled: None, request: pytest.FixtureRequest) -> None:
    for raw in messages(request.config.getoption("--mutations")):
        assert same(read(raw)), raw


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
    assert same(Document(header=header, structure=structure, texts=texts))


@pytest.mark.parametrize(
    "document",
    [
        Document(),
        Document(header=[b"x" * 1000] * 100),
        Document(structure=[b""] * 1000),
        Document(texts=[(b"text", b"")]),
        Document(texts=[(b"text", b"v.i.a.g.r.a " * 12_000)]),
        Document(texts=[(b"text", b"w0rd%d " % number) for number in range(5000)]),
        Document(texts=[(b"text", b"a" * 200_000)]),
        Document(header=[b"fact"] * 16_000, texts=[(b"text", b"a b " * 40_000)]),
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
