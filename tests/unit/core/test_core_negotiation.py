"""Option negotiation, and keeping what it promised whatever a callback returns."""

from __future__ import annotations

from typing import Any

import pytest

import milter
from support.milter_client import Negotiated, ProtocolError, Reply

CONTINUE = milter.CONTINUE


def _promising(steps: int, **callbacks: Any) -> Any:
    """A set-up whose negotiation chooses these steps, with these callbacks."""

    def set_up(record: Any) -> dict[str, Any]:
        def negotiate(ctx: Any, options: list[int]) -> int:
            options[:] = [milter.ADDHDRS, steps, 0, 0]
            return CONTINUE

        for name, callback in callbacks.items():
            getattr(milter, f"set_{name}_callback")(callback)
        return {"negotiate": negotiate}

    return set_up


def _up_to_headers(client: Any) -> None:
    for speak in (client.negotiate, client.connect, client.helo, client.mail, client.rcpt, client.data):
        speak()


def test_the_callback_sees_the_offer_and_its_choice_counts(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        def negotiate(ctx: Any, options: list[int]) -> int:
            record("offer", list(options))
            options[:] = [milter.ADDHDRS | milter.QUARANTINE, milter.P_NOHELO | milter.P_NR_HDR, 0, 0]
            return CONTINUE

        milter.set_header_callback(lambda ctx, name, value: CONTINUE)
        return {"negotiate": negotiate}

    server = start(set_up)
    with server.client() as client:
        chosen = client.negotiate(6, milter.CURR_ACTS, milter.CURR_PROT)
    assert server.until("offer") == ("offer", [milter.CURR_ACTS, milter.CURR_PROT, 0, 0])
    assert chosen.actions == milter.ADDHDRS | milter.QUARANTINE
    assert chosen.steps & (milter.P_NOHELO | milter.P_NR_HDR) == milter.P_NOHELO | milter.P_NR_HDR


def test_all_opts_takes_the_offer_and_answers_every_step(start: Any) -> None:
    with start(lambda record: {"negotiate": lambda ctx, options: milter.ALL_OPTS}).client() as client:
        chosen = client.negotiate(6, milter.CURR_ACTS, milter.CURR_PROT)
    assert chosen.actions == milter.CURR_ACTS
    assert chosen.steps & milter.P_NR_HDR == 0


def test_reject_declines_the_mta(start: Any) -> None:
    server = start(lambda record: {"negotiate": lambda ctx, options: milter.REJECT})
    with server.client() as client, pytest.raises(ProtocolError):
        client.negotiate()


@pytest.mark.parametrize("macros", ["j {auth_authen}", b"j {auth_authen}"])
def test_setsymlist_asks_for_macros(start: Any, macros: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        def negotiate(ctx: Any, options: list[int]) -> int:
            ctx.setsymlist(milter.M_ENVFROM, macros)
            try:
                ctx.setsymlist(9, "j")
            except milter.error as refused:
                record("refused", str(refused))
            options[1:] = [0, 0, 0]
            return CONTINUE

        return {"negotiate": negotiate}

    server = start(set_up)
    with server.client() as client:
        assert client.negotiate().macros == {"mail": b"j {auth_authen}"}
    assert server.until("refused") == ("refused", "cannot set macro list")


@pytest.mark.parametrize("answer", [CONTINUE, milter.NOREPLY, milter.SKIP])
def test_a_promised_silence_is_kept(start: Any, answer: int) -> None:
    """CONTINUE in a step that is not answered would cost a line in libmilter's log each time."""
    server = start(_promising(milter.P_NR_HDR, header=lambda *_: answer, eoh=lambda ctx: CONTINUE))
    with server.client() as client:
        _up_to_headers(client)
        assert client.negotiated.steps & milter.P_NR_HDR
        client.header(b"A", b"1")
        client.header(b"B", b"2")
        assert client.eoh() == Reply("c")
        assert client.end_of_message() == Reply("c")


@pytest.mark.parametrize(("verdict", "action"), [(milter.REJECT, "r"), (milter.TEMPFAIL, "t"), (milter.DISCARD, "d")])
def test_a_verdict_in_a_silent_step_is_spoken_at_the_next_answer(start: Any, verdict: int, action: str) -> None:
    """libmilter would send nothing, then and for the rest of the connection."""
    server = start(_promising(milter.P_NR_HDR | milter.P_NR_EOH, header=lambda *_: verdict, eoh=lambda ctx: CONTINUE))
    with server.client() as client:
        _up_to_headers(client)
        client.header(b"A", b"1")
        client.eoh()
        assert client.end_of_message().action == action


def test_such_a_verdict_keeps_its_reply_text(start: Any) -> None:
    def header(ctx: Any, name: str, value: bytes) -> int:
        ctx.setreply("550", "5.7.1", "first", "second")
        return milter.REJECT

    with start(_promising(milter.P_NR_HDR, header=header)).client() as client:
        _up_to_headers(client)
        client.header(b"A", b"1")
        assert client.end_of_message() == Reply("y", b"550-5.7.1 first\r\n550 5.7.1 second")


def test_such_a_verdict_ends_with_its_message(start: Any) -> None:
    """The next message on the connection is judged on its own."""

    def header(ctx: Any, name: str, value: bytes) -> int:
        return milter.REJECT if value == b"bad" else CONTINUE

    with start(_promising(milter.P_NR_HDR, header=header)).client() as client:
        client.greet()
        assert client.message([(b"A", b"bad")]).action == "r"
        assert client.message([(b"A", b"good")]).action == "c"
        client.mail()
        client.rcpt()
        client.data()
        client.header(b"A", b"bad")
        client.abort()
        assert client.message([(b"A", b"good")]).action == "c"


@pytest.mark.parametrize("promised", [milter.P_NR_RCPT | milter.P_NR_HDR, milter.P_NR_HDR])
def test_the_milter_hears_that_such_a_message_is_over(start: Any, promised: int) -> None:
    """Its end-of-message callback is not called, and the MTA sends no abort."""

    def set_up(record: Any) -> dict[str, Any]:
        return _promising(
            promised,
            envfrom=lambda ctx, sender: record("mail", sender) or CONTINUE,
            envrcpt=lambda ctx, address: CONTINUE if address == b"<good>" else 1 // 0,
            header=lambda ctx, name, value: milter.REJECT if name == "A" else CONTINUE,
            eom=lambda ctx: record("eom") or CONTINUE,
            abort=lambda ctx: record("abort") or CONTINUE,
            close=lambda ctx: record("close") or CONTINUE,
        )(record)

    server = start(set_up)
    with server.client() as client:
        client.greet()
        assert client.message([(b"A", b"1")], sender=b"<1>", recipients=[b"<good>"]).action == "r"
        assert client.message([(b"B", b"1")], sender=b"<2>", recipients=[b"<bad>"]).action == "y"
        if not promised & milter.P_NR_RCPT:
            client.abort()  # it was refused at RCPT, after which the MTA gives it up
        assert client.message([(b"B", b"1")], sender=b"<3>", recipients=[b"<good>"]).action == "c"
        client.quit()
    assert [step[0] for step in server.events_until("close")] == [
        "mail",
        "abort",
        "mail",
        "abort",
        "mail",
        "eom",
        "close",
    ]


def test_a_verdict_about_the_client_in_a_silent_step_holds_for_every_message(start: Any) -> None:
    server = start(_promising(milter.P_NR_CONN | milter.P_NR_HELO, connect=lambda *_: milter.REJECT))
    with server.client() as client:
        client.greet()
        assert client.mail().action == "r"
        assert client.mail().action == "r"


def test_an_exception_in_a_silent_step_gives_the_policy_at_the_next_answer(start: Any) -> None:
    with start(_promising(milter.P_NR_HDR, header=lambda *_: 1 // 0)).client() as client:
        _up_to_headers(client)
        client.header(b"A", b"1")
        assert client.end_of_message() == Reply("y", b"451 4.3.0 under-test: internal error")


SILENT = milter.P_NR_CONN | milter.P_NR_HELO | milter.P_NR_UNKN | milter.P_NR_MAIL | milter.P_NR_RCPT | milter.P_NR_DATA


def _silent_outcomes(start: Any, step: str, result: Any) -> list[str]:
    """How two messages of one connection end, where this step was promised silent and gives `result()`."""
    set_up = _promising(
        SILENT | milter.P_NR_HDR, **({} if step in ("unknown", "data") else {step: lambda *_: result()})
    )

    def with_registered(record: Any) -> dict[str, Any]:
        rest: dict[str, Any] = set_up(record)
        return rest | ({step: lambda *_: result()} if step in ("unknown", "data") else {})

    with start(with_registered).client() as client:
        client.greet()
        client.unknown(b"XFOO")
        return [client.message().action for _ in range(2)]


@pytest.mark.parametrize("step", ["connect", "helo", "unknown"])
def test_a_failure_in_a_silent_step_outside_of_messages_costs_no_mail(start: Any, step: str) -> None:
    """A milter that promised not to answer decides nothing there; real ones stumble over clients without an address."""
    assert _silent_outcomes(start, step, lambda: 1 // 0) == ["c", "c"]


@pytest.mark.parametrize("step", ["envfrom", "envrcpt", "data", "header"])
def test_a_failure_in_a_silent_step_of_a_message_is_answered_by_the_policy(start: Any, step: str) -> None:
    """What the milter knows of the message is incomplete: to let it pass would be failing open."""
    assert _silent_outcomes(start, step, lambda: 1 // 0) == ["y", "y"]


def test_a_verdict_about_an_unknown_command_is_about_nothing_else(start: Any) -> None:
    assert _silent_outcomes(start, "unknown", lambda: milter.REJECT) == ["c", "c"]


def test_an_mta_of_protocol_two_is_served(start: Any) -> None:
    """Nothing of version 6 may be asked of it."""

    def set_up(record: Any) -> None:
        milter.set_helo_callback(lambda ctx, name: milter.REJECT)

    with start(set_up).client() as client:
        assert client.negotiate(2, milter.V2_ACTS, milter.V2_PROT) == Negotiated(
            2, milter.V2_ACTS, client.negotiated.steps
        )
        assert client.negotiated.steps & ~milter.V2_PROT == 0
        client.connect()
        assert client.helo().action == "r"


def test_silent_steps_keep_their_order_and_their_octets(start: Any) -> None:
    """They are called together, before the next step that is answered."""
    content = bytes(range(256)) * 300

    def set_up(record: Any) -> dict[str, Any]:
        body = bytearray()

        def chunk(ctx: Any, octets: bytes) -> int:
            body.extend(octets)
            return CONTINUE

        def end(ctx: Any) -> int:
            record("end", bytes(body) == content)
            return CONTINUE

        return _promising(
            milter.P_NR_HDR | milter.P_NR_EOH | milter.P_NR_BODY,
            header=lambda ctx, name, value: record("header", name, value) or CONTINUE,
            eoh=lambda ctx: record("eoh") or CONTINUE,
            body=chunk,
            eom=end,
        )(record)

    server = start(set_up)
    with server.client() as client:
        _up_to_headers(client)
        for name, value in ((b"A", b"\xff\n\t1"), (b"B\xc3\xa9", b""), (b"A", b"2" * 60_000)):
            client.header(name, value)
        client.eoh()
        client.body(content)
        assert client.end_of_message() == Reply("c")
    assert server.until("header") == ("header", "A", b"\xff\n\t1")
    assert server.until("header") == ("header", "Bé", b"")
    assert server.until("header") == ("header", "A", b"2" * 60_000)
    assert server.until("eoh") == ("eoh",)
    assert server.until("end") == ("end", True)


def test_a_large_body_reaches_the_milter_before_its_end(start: Any) -> None:
    """What waits for a call is bounded: the milter decides what it keeps of the message."""

    def set_up(record: Any) -> dict[str, Any]:
        return _promising(milter.P_NR_BODY, body=lambda ctx, octets: record("body", len(octets)) or CONTINUE)(record)

    server = start(set_up)
    with server.client() as client:
        _up_to_headers(client)
        client.eoh()
        client.body(b"x" * 1_000_000)
        client.flush()
        assert server.until("body")[1] > 0  # nobody has said end of message


def test_a_verdict_in_a_silent_step_ends_the_calls_for_its_message(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        return _promising(
            milter.P_NR_HDR | milter.P_NR_BODY,
            header=lambda ctx, name, value: record("header", name) or milter.REJECT,
            body=lambda ctx, octets: record("body") or CONTINUE,
            eom=lambda ctx: record("eom") or CONTINUE,
            close=lambda ctx: record("close") or CONTINUE,
        )(record)

    server = start(set_up)
    with server.client() as client:
        client.greet()
        assert client.message([(b"A", b"1"), (b"B", b"2")], b"text").action == "r"
    assert server.events_until("close") == [("header", "A"), ("close",)]


def test_the_steps_of_an_aborted_message_are_told_before_the_abort(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        return _promising(
            milter.P_NR_HDR,
            header=lambda ctx, name, value: record("header", name) or milter.REJECT,
            abort=lambda ctx: record("abort") or CONTINUE,
        )(record)

    server = start(set_up)
    with server.client() as client:
        _up_to_headers(client)
        client.header(b"A", b"1")
        client.abort()
        assert client.mail() == Reply("c"), "the verdict was about the message that was given up"
    assert server.events_until("abort") == [("header", "A"), ("abort",)]


def _together(record: Any, **callbacks: Any) -> dict[str, Any]:
    """A milter that does not answer header fields and takes them together."""
    milter.set_headers_callback(lambda ctx, fields: record("headers", fields) or CONTINUE)
    callbacks = {"header": lambda ctx, name, value: record("header", name, value) or CONTINUE} | callbacks
    return _promising(milter.P_NR_HDR | milter.P_NR_EOH | milter.P_NR_BODY, **callbacks)(record)


def test_fields_that_wait_reach_the_milter_as_one_list_before_the_body(start: Any) -> None:
    server = start(lambda record: _together(record, body=lambda ctx, octets: record("body", octets) or CONTINUE))
    with server.client() as client:
        client.greet()
        assert client.message([(b"A", b"\xff\n\t1"), (b"B\xc3\xa9", b"")], b"text").action == "c"
        assert client.message([(b"C", b"2")], b"more").action == "c"
    assert server.events_until("body") == [("headers", [(b"A", b"\xff\n\t1"), (b"B\xc3\xa9", b"")]), ("body", b"text")]
    assert server.events_until("body") == [("headers", [(b"C", b"2")]), ("body", b"more")]


def test_fields_without_end_reach_the_milter_in_lists_of_bounded_size(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        def sizes(ctx: Any, fields: list[tuple[bytes, bytes]]) -> int:
            record("headers", [(name, len(value)) for name, value in fields])
            return CONTINUE

        promised = _together(
            record,
            header=lambda ctx, name, value: record("headers", [(name.encode(), len(value))]) or CONTINUE,
            eom=lambda ctx: record("eom") or CONTINUE,
        )
        milter.set_headers_callback(sizes)
        return promised

    server = start(set_up)
    with server.client() as client:
        client.greet()
        assert client.message([(b"X%d" % number, b"y" * 50_000) for number in range(12)]).action == "c"
    lists = [fields for step, *rest in server.events_until("eom") for fields in rest]
    assert [name for fields in lists for name, _ in fields] == [b"X%d" % number for number in range(12)]
    assert all(sum(size for _, size in fields) < 300_000 for fields in lists)


def test_fields_that_are_answered_come_one_by_one(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        milter.set_headers_callback(lambda ctx, fields: record("headers", fields) or CONTINUE)
        header = lambda ctx, name, value: record("header", name) or CONTINUE  # noqa: E731
        return _promising(milter.P_NR_BODY, header=header)(record)

    server = start(set_up)
    with server.client() as client:
        _up_to_headers(client)
        assert client.header(b"A", b"1") == Reply("c")
    assert server.until("header") == ("header", "A")


def test_what_the_list_of_fields_is_answered_with_is_spoken_at_the_end(start: Any) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        promised = _together(record, body=lambda ctx, octets: record("body") or CONTINUE)
        milter.set_headers_callback(lambda ctx, fields: milter.REJECT)
        return promised

    server = start(set_up)
    with server.client() as client:
        client.greet()
        assert client.message([(b"A", b"1"), (b"B", b"2")], b"text").action == "r"


@pytest.mark.parametrize(("policy", "action"), [(milter.TEMPFAIL, "y"), (milter.CONTINUE, "c")])
def test_an_exception_for_the_list_of_fields_is_answered_by_the_policy(start: Any, policy: int, action: str) -> None:
    def set_up(record: Any) -> dict[str, Any]:
        promised = _together(record)
        milter.set_headers_callback(lambda ctx, fields: 1 // 0)
        milter.set_exception_policy(policy)
        return promised

    with start(set_up).client() as client:
        client.greet()
        assert client.message([(b"A", b"1")], b"text").action == action
