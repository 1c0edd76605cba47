"""The methods that change a message, as the MTA sees them."""

from __future__ import annotations

from typing import Any

import pytest

import milter
from support.milter_client import Change, Reply


def _change(start: Any, method: str, *arguments: Any) -> tuple[str, Reply]:
    """Call one method at end of message; returns the outcome of the call and the MTA's view."""

    def set_up(record: Any) -> None:
        def eom(ctx: Any) -> int:
            try:
                record("outcome", repr(getattr(ctx, method)(*arguments)))
            except (milter.error, TypeError, ValueError) as refused:
                record("outcome", type(refused).__name__)
            return milter.CONTINUE

        milter.set_flags(milter.CURR_ACTS)
        milter.set_eom_callback(eom)

    server = start(set_up)
    with server.client() as client:
        client.greet()
        reply = client.message()
    return server.until("outcome")[1], reply


@pytest.mark.parametrize(
    ("method", "arguments", "change"),
    [
        ("addheader", ("X-A", "v"), Change("addheader", (b"X-A", b"v"))),
        ("addheader", (b"X-A", b"v\xe4"), Change("addheader", (b"X-A", b"v\xe4"))),
        ("addheader", ("X-A", "\xe4\udce4"), Change("addheader", (b"X-A", b"\xc3\xa4\xe4"))),
        ("addheader", ("X-A", "a\n b"), Change("addheader", (b"X-A", b"a\n b"))),
        ("addheader", ("X-A", "v", -1), Change("addheader", (b"X-A", b"v"))),
        ("addheader", ("X-A", "v", 0), Change("insheader", (0, b"X-A", b"v"))),
        ("addheader", ("X-A", "v", 3), Change("insheader", (3, b"X-A", b"v"))),
        ("chgheader", ("X-A", 1, "v"), Change("chgheader", (1, b"X-A", b"v"))),
        ("chgheader", ("X-A", 2, None), Change("chgheader", (2, b"X-A", b""))),
        ("chgheader", ("X-A", 2, ""), Change("chgheader", (2, b"X-A", b""))),
        ("addrcpt", ("<a@b>",), Change("addrcpt", (b"<a@b>",))),
        ("addrcpt", ("<a@b>", None), Change("addrcpt", (b"<a@b>",))),
        ("addrcpt", ("<a@b>", "NOTIFY=NEVER"), Change("addrcpt_par", (b"<a@b>", b"NOTIFY=NEVER"))),
        ("delrcpt", (b"<\xe4@b>",), Change("delrcpt", (b"<\xe4@b>",))),
        ("chgfrom", ("<a@b>",), Change("chgfrom", (b"<a@b>",))),
        ("chgfrom", ("<a@b>", "RET=HDRS"), Change("chgfrom", (b"<a@b>", b"RET=HDRS"))),
        ("replacebody", (b"a\0b\r\n",), Change("replacebody", (b"a\0b\r\n",))),
        ("replacebody", ("\xe4",), Change("replacebody", (b"\xc3\xa4",))),
        ("replacebody", (bytearray(b"x"),), Change("replacebody", (b"x",))),
        ("replacebody", (b"",), Change("replacebody", (b"",))),
        ("quarantine", ("why",), Change("quarantine", (b"why",))),
    ],
)
def test_what_the_mta_hears(start: Any, method: str, arguments: tuple[Any, ...], change: Change) -> None:
    assert _change(start, method, *arguments) == ("None", Reply("c", changes=(change,)))


def test_a_long_body_is_sent_in_chunks(start: Any) -> None:
    _, reply = _change(start, "replacebody", b"z" * 70_000)
    assert b"".join(change.arguments[0] for change in reply.changes) == b"z" * 70_000
    assert len(reply.changes) == 2


def test_progress(start: Any) -> None:
    assert _change(start, "progress") == ("None", Reply("c", progress=1))


@pytest.mark.parametrize(
    ("method", "arguments", "failure"),
    [
        ("addheader", ("", "v"), "error"),
        ("addheader", ("X-A",), "TypeError"),
        ("addheader", ("X-A", None), "TypeError"),
        ("addheader", ("X-A", "a\0b"), "ValueError"),
        ("addheader", ("X-A", "v", None), "TypeError"),
        ("chgheader", ("X-A", -1, "v"), "error"),
        ("chgheader", ("X-A", "1", "v"), "TypeError"),
        ("addrcpt", ("",), "error"),
        ("addrcpt", (None,), "TypeError"),
        ("delrcpt", ("",), "error"),
        ("chgfrom", ("",), "error"),
        ("replacebody", (None,), "TypeError"),
        ("quarantine", ("",), "error"),
    ],
)
def test_refused_arguments_change_nothing(start: Any, method: str, arguments: tuple[Any, ...], failure: str) -> None:
    assert _change(start, method, *arguments) == (failure, Reply("c"))


def test_changes_are_for_end_of_message_only(start: Any) -> None:
    def set_up(record: Any) -> None:
        def helo(ctx: Any, name: str) -> int:
            ctx.addheader("X-A", "v")
            return milter.CONTINUE

        milter.set_flags(milter.CURR_ACTS)
        milter.set_helo_callback(helo)

    server = start(set_up)
    with server.client() as client:
        assert client.greet().action == "y"
    assert "milter.error: cannot add header" in server.log()


@pytest.mark.parametrize("declared", [None, milter.ADDHDRS], ids=["no set_flags()", "set_flags()"])
def test_every_action_that_the_mta_offers_is_taken(start: Any, declared: int | None) -> None:
    """As in pymilter: set_flags() restricts nothing, and a milter that never called it may change the message."""

    def set_up(record: Any) -> None:
        if declared is not None:
            milter.set_flags(declared)
        milter.set_eom_callback(lambda ctx: ctx.quarantine("why") or milter.CONTINUE)

    with start(set_up).client() as client:
        client.greet()
        assert client.negotiated.actions == milter.CURR_ACTS
        assert client.message() == Reply("c", changes=(Change("quarantine", (b"why",)),))


def test_an_mta_that_offers_less_is_served(start: Any) -> None:
    """A milter that wants all actions works with an old one, and is told where it asks for what cannot be."""
    refused = []

    def eom(ctx: Any) -> int:
        ctx.addheader("X-A", "v")
        try:
            ctx.chgfrom("<a@b>")
        except milter.error as failure:
            refused.append(str(failure))
        return ctx.setreply("550", "5.7.1", refused[0]) or milter.REJECT

    def set_up(record: Any) -> None:
        milter.set_flags(milter.CURR_ACTS)
        milter.set_eom_callback(eom)

    with start(set_up).client() as client:
        assert client.negotiate(6, milter.V2_ACTS, milter.V2_PROT).actions == milter.V2_ACTS
        client.connect()
        client.helo()
        reply = client.message()
    assert reply == Reply("y", b"550 5.7.1 cannot change sender", (Change("addheader", (b"X-A", b"v")),))


LONGEST = "x" * (milter.MAX_DATA_SIZE - len(b"X-A\0\0"))  # a packet has name and value, each with a NUL


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("addheader", ("X-A", LONGEST + "x")),
        ("addheader", ("X-A", LONGEST[3:], 0)),  # and a number of four octets
        ("chgheader", ("X-A", 1, LONGEST[3:])),
    ],
)
def test_a_field_that_fits_into_no_packet_is_refused_where_it_is_asked_for(
    start: Any, method: str, arguments: tuple[Any, ...]
) -> None:
    """And what was changed before and after it reaches the MTA."""
    refused = []

    def eom(ctx: Any) -> int:
        ctx.addheader("X-Before", "1")
        try:
            getattr(ctx, method)(*arguments)
        except milter.error:
            refused.append(method)
        ctx.addheader("X-After", "".join(refused))
        ctx.delrcpt("<a@b>")
        return milter.CONTINUE

    reply = _changes(start, eom)
    assert reply.action == "c"
    assert reply.changes == (
        Change("addheader", (b"X-Before", b"1")),
        Change("addheader", (b"X-After", method.encode())),
        Change("delrcpt", (b"<a@b>",)),
    )


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("addheader", ("X-A", LONGEST)), ("addheader", ("X-A", LONGEST[4:], 0)), ("chgheader", ("X-A", 1, LONGEST[4:]))],
)
def test_the_longest_field_that_fits_is_sent(start: Any, method: str, arguments: tuple[Any, ...]) -> None:
    outcome, reply = _change(start, method, *arguments)
    assert (outcome, len(reply.changes)) == ("None", 1)


def _changes(start: Any, eom: Any, **rest: Any) -> Reply:
    def set_up(record: Any) -> dict[str, Any]:
        milter.set_flags(milter.CURR_ACTS)
        milter.set_eom_callback(eom)
        return rest

    with start(set_up).client() as client:
        client.greet()
        return client.message()


def test_changes_arrive_in_the_order_in_which_they_were_made(start: Any) -> None:
    """More of them, too, than are collected before they are sent."""
    long = "v" * 60_000

    def eom(ctx: Any) -> int:
        for number in range(9):
            ctx.addheader(f"X-{number}", long)
        ctx.addheader("X-First", "1", 0)
        ctx.chgheader("X-A", 1, None)
        ctx.delrcpt("<a@b>")
        ctx.addheader("X-Last", "1")
        return milter.CONTINUE

    reply = _changes(start, eom)
    assert [change.arguments[-2:][0] for change in reply.changes] == [
        *(b"X-%d" % number for number in range(9)),
        b"X-First",
        b"X-A",
        b"<a@b>",
        b"X-Last",
    ]


def test_changes_stand_although_the_callback_fails_after_them(start: Any) -> None:
    """As where libmilter sends each at once: the policy may be to let the message pass."""

    def eom(ctx: Any) -> int:
        ctx.addheader("X-A", "v")
        raise ValueError

    milter.set_exception_policy(milter.CONTINUE)
    try:
        reply = _changes(start, eom)
    finally:
        milter.set_exception_policy(milter.TEMPFAIL)
    assert (reply.action, reply.changes) == ("c", (Change("addheader", (b"X-A", b"v")),))


def test_what_was_not_negotiated_is_refused_where_it_is_asked_for(start: Any) -> None:
    refused = []

    def eom(ctx: Any) -> int:
        for method, arguments in (("addheader", ("X-A", "v")), ("chgheader", ("X-A", 1, "v"))):
            try:
                getattr(ctx, method)(*arguments)
            except milter.error:
                refused.append(method)
        ctx.setreply("550", "5.7.1", " ".join(refused))
        return milter.REJECT

    def negotiate(ctx: Any, options: list[int]) -> int:
        options[:] = [milter.CHGHDRS, 0, 0, 0]
        return milter.CONTINUE

    reply = _changes(start, eom, negotiate=negotiate)
    assert reply.text == b"550 5.7.1 addheader"
    assert reply.changes == (Change("chgheader", (1, b"X-A", b"v")),)
