"""setreply(): what is refused, and what the MTA hears."""

from __future__ import annotations

from typing import Any

import pytest

import milter
from support.milter_client import Reply


def _ask(start: Any, arguments: tuple[Any, ...], answer: int) -> tuple[str, Reply]:
    """Call setreply() in HELO and return the outcome of the call and the reply on the wire."""

    def set_up(record: Any) -> None:
        def helo(ctx: Any, name: str) -> int:
            try:
                ctx.setreply(*arguments)
            except (milter.error, TypeError, ValueError) as refused:
                record("outcome", type(refused).__name__)
            else:
                record("outcome", "fine")
            return answer

        milter.set_helo_callback(helo)

    server = start(set_up)
    with server.client() as client:
        client.negotiate()
        client.connect()
        reply = client.helo()
    return server.until("outcome")[1], reply


THIRTY_TWO = tuple(f"line {number}" for number in range(32))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("550", "5.7.1", "no"), b"550 5.7.1 no"),
        ((b"550", b"5.7.1", b"no"), b"550 5.7.1 no"),
        (("550", None, "no"), b"550 no"),
        (("550", "5.7.1"), b"550 5.7.1"),
        (("550", "5.7.1", ""), b"550 5.7.1 "),
        (("550", "5.7.1", "a", "", "c"), b"550-5.7.1 a\r\n550-5.7.1 \r\n550 5.7.1 c"),
        (("550", "5.7.1", "50% off"), b"550 5.7.1 50% off"),
        (("550", "5.7.1", "50%% off", "%s%n"), b"550-5.7.1 50%% off\r\n550 5.7.1 %s%n"),
        (("550", "5.7.1", "\xe4\udce4"), b"550 5.7.1 \xc3\xa4\xe4"),
        (("550", "5.7.1", "x" * 980), b"550 5.7.1 " + b"x" * 980),
        (
            ("550", "5.7.1", *THIRTY_TWO),
            b"\r\n".join(b"550-5.7.1 " + line.encode() for line in THIRTY_TWO[:31]) + b"\r\n550 5.7.1 line 31",
        ),
    ],
)
def test_accepted(start: Any, arguments: tuple[Any, ...], text: bytes) -> None:
    """Up to 32 lines; the text goes out as it is, `%` included, as pymilter sends it."""
    assert _ask(start, arguments, milter.REJECT) == ("fine", Reply("y", text))


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        (("250", "2.0.0", "no"), "error"),
        (("55", "5.7.1", "no"), "error"),
        (("abc", "5.7.1", "no"), "error"),
        (("550", "5", "no"), "error"),
        (("550", "", "no"), "error"),
        (("550", "5.7.1", "a\r\nb"), "error"),
        (("550", "5.7.1", "x" * 981), "error"),
        (("550", "5.7.1", "a\0b"), "ValueError"),
        (("550",), "TypeError"),
        ((), "TypeError"),
        ((550, "5.7.1", "no"), "TypeError"),
        ((None, "5.7.1", "no"), "TypeError"),
        (("550", "5.7.1", None), "TypeError"),
        (("550", "5.7.1", *THIRTY_TWO, "line 32"), "TypeError"),
    ],
)
def test_refused(start: Any, arguments: tuple[Any, ...], failure: str) -> None:
    """The verdict then goes out with the MTA's own text."""
    assert _ask(start, arguments, milter.REJECT) == (failure, Reply("r"))


@pytest.mark.parametrize(
    ("code", "answer", "expected"),
    [
        ("450", milter.TEMPFAIL, Reply("y", b"450 no")),
        ("421", milter.TEMPFAIL, Reply("y", b"421 no")),
        ("450", milter.REJECT, Reply("r")),
        ("550", milter.TEMPFAIL, Reply("t")),
        ("550", milter.CONTINUE, Reply("c")),
    ],
)
def test_a_code_that_does_not_fit_the_verdict_is_dropped(start: Any, code: str, answer: int, expected: Reply) -> None:
    assert _ask(start, (code, None, "no"), answer) == ("fine", expected)


def test_a_failed_callbacks_reply_is_the_policys(start: Any) -> None:
    """What the callback had set before it failed does not count."""

    def set_up(record: Any) -> None:
        def helo(ctx: Any, name: str) -> int:
            ctx.setreply("550", "5.1.2", "mine")
            raise ValueError

        milter.set_helo_callback(helo)

    with start(set_up).client() as client:
        client.negotiate()
        client.connect()
        assert client.helo().text == b"451 4.3.0 under-test: internal error"
