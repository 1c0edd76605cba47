"""The conversation of `bms learn` with the running filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.lesson_wire import LONGEST_ANSWER, answer, read_answer, read_request, request


@given(st.booleans(), st.binary(max_size=100), st.integers(0, 10**9))
def test_a_request_is_read_as_it_was_written(is_spam: bool, user: bytes, size: int) -> None:
    line, _, rest = request(is_spam, user, size).partition(b"\n")
    assert (read_request(line), rest) == ((is_spam, len(user), size), user)


@given(st.binary(max_size=300))
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="no "):
        read_request(line)


@pytest.mark.parametrize(
    "line",
    [b"LEARN spam 1", b"LEARN eggs 1 1", b"LEARN spam -1 1", b"LEARN spam 1 1 ", b"LEARN spam 1 \xb2", b"LEARN ham  1"],
)
def test_what_is_nearly_a_request_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="no "):
        read_request(line)


def test_a_length_of_many_digits_is_not_even_read() -> None:
    with pytest.raises(ValueError, match="no lengths"):
        read_request(b"LEARN spam 3 " + b"9" * 100)


@given(st.integers(0, 255), st.text(max_size=6000))
def test_an_answer_is_one_line_of_bounded_length(status: int, text: str) -> None:
    line = answer(status, text)
    assert (line.count(b"\n"), len(line) <= LONGEST_ANSWER) == (1, True)
    assert read_answer(line)[0] == status


@given(st.binary(max_size=50).filter(lambda line: not line[:1].isdigit()))
def test_other_answers_are_none(line: bytes) -> None:
    with pytest.raises(ValueError, match="no answer"):
        read_answer(line)
