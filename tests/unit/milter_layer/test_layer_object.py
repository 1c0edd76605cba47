"""Milter.Base, its decorators, negotiation, and the callbacks that libmilter gets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import Milter
import milter

EVERYTHING = 0x1FFFFF


class Context:
    """Records what the object layer asks of the low-level module."""

    def __init__(self) -> None:
        self.priv: Any = None
        self.calls: list[tuple[Any, ...]] = []

    def getpriv(self) -> Any:
        return self.priv

    def setpriv(self, priv: Any) -> None:
        self.priv = priv

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.calls.append((name, *args))


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What runmilter() hands to libmilter, by name; nothing is started."""
    found: dict[str, Any] = {}
    for name in dir(milter):
        if name.startswith("set_") and name.endswith("_callback"):
            step = name.removeprefix("set_").removesuffix("_callback")
            monkeypatch.setattr(milter, name, lambda function, step=step: found.update({step: function}))
    monkeypatch.setattr(milter, "register", lambda name, **more: found.update(name=name, **more))
    for name in ("setconn", "settimeout", "opensocket"):
        monkeypatch.setattr(milter, name, lambda value, name=name: found.update({name: value}))
    monkeypatch.setattr(milter, "main", lambda: None)
    Milter.runmilter("tester", "unix:/nowhere/sock", timeout=30)
    return found


def negotiated(cls: type[Milter.Base], actions: int = 0x1FF, protocol: int = EVERYTHING) -> tuple[Any, list[int]]:
    """An object of the class after negotiation, and the options that it settled for."""
    m = cls()
    m._setctx(Context())
    opts = [actions, protocol, 0, 0]
    assert m.negotiate(opts) == Milter.CONTINUE
    return m, opts


class Quiet(Milter.Base):
    @Milter.noreply
    def hello(self, hostname: str) -> int:
        return Milter.CONTINUE


# --- negotiation ------------------------------------------------------------------------------------------------


def test_a_class_that_overrides_nothing_asks_for_no_step() -> None:
    """Every optional step is negotiated away, and SKIP is allowed."""
    _, opts = negotiated(Milter.Base)
    skipped = sum(no for _, no in Milter.OPTIONAL_CALLBACKS.values())
    assert opts == [0x1FF, skipped | Milter.P_SKIP, 0, 0]


def test_an_overridden_step_is_called_and_answered() -> None:
    """Overriding a step plainly takes back both "do not call" and "do not wait"."""

    class Greeter(Milter.Base):
        def hello(self, hostname: str) -> int:
            return Milter.REJECT

    _, opts = negotiated(Greeter)
    assert not opts[1] & (Milter.P_NOHELO | Milter.P_NR_HELO)


def test_a_noreply_step_is_called_and_not_answered() -> None:
    """@noreply keeps the bit that says so, and only that."""
    _, opts = negotiated(Quiet)
    assert opts[1] & (Milter.P_NOHELO | Milter.P_NR_HELO) == Milter.P_NR_HELO


def test_noreply_is_returned_only_where_it_was_negotiated() -> None:
    """An old MTA that waits for answers gets CONTINUE."""
    agreed, _ = negotiated(Quiet)
    refused, _ = negotiated(Quiet, protocol=0x3FF)
    assert (agreed.hello("x"), refused.hello("x")) == (Milter.NOREPLY, Milter.CONTINUE)


def test_the_mask_of_a_parent_does_not_hide_what_a_subclass_overrides() -> None:
    """A subclass computes its own mask even after its parent's was used."""
    Quiet.protocol_mask()

    class Louder(Quiet):
        def hello(self, hostname: str) -> int:
            return Milter.CONTINUE

    assert Louder.protocol_mask() & Milter.P_NR_HELO


@pytest.mark.parametrize("bit", [Milter.P_NOBODY, Milter.P_NR_BODY])
def test_enabled_protocols_leave_steps_and_answers_out(bit: int) -> None:
    """What a class asks for counts, until a subclass overrides the step itself."""

    class Seeing(Milter.Base):
        def body(self, blk: bytes) -> int:
            return Milter.CONTINUE

    class Derived(Seeing):
        pass

    before = Seeing.protocol_mask(), Derived.protocol_mask()
    assert Milter.enable_protocols(Seeing, bit) is Seeing

    class Again(Seeing):
        def body(self, blk: bytes) -> int:
            return Milter.CONTINUE

    assert (Seeing.protocol_mask(), Derived.protocol_mask()) == (before[0] & ~bit, before[1] & ~bit)
    assert Again.protocol_mask() & bit


def test_class_decorators_enable_protocols_for_subclasses_too() -> None:
    """What @rejected_recipients and @header_leading_space ask for stays asked for."""

    @Milter.rejected_recipients
    @Milter.header_leading_space
    class Curious(Milter.Base):
        pass

    class Heir(Curious):
        pass

    for cls in (Curious, Heir):
        _, opts = negotiated(cls)
        assert opts[1] & Milter.P_RCPT_REJ
        assert opts[1] & Milter.P_HDR_LEADSPC
    _, opts = negotiated(Milter.Base)
    assert not opts[1] & (Milter.P_RCPT_REJ | Milter.P_HDR_LEADSPC)


class Macros(Milter.Base):
    @Milter.symlist("{auth_authen}", "i")
    def envfrom(self, f: str, *s: str) -> int:
        return Milter.CONTINUE


def test_macros_are_asked_for_during_negotiation() -> None:
    """@symlist reaches the context for the step that it decorates."""
    m, _ = negotiated(Macros)
    assert m._ctx.calls == [("setsymlist", Milter.M_ENVFROM, b"{auth_authen} i")]


def test_an_mta_that_cannot_choose_macros_is_not_asked() -> None:
    """Negotiation goes on without."""
    m, opts = negotiated(Macros, actions=Milter.V2_ACTS)
    assert m._ctx.calls == []
    assert opts[0] == Milter.V2_ACTS


# --- decorators -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decorator", [Milter.noreply, Milter.nocallback])
def test_only_optional_steps_can_be_left_out(decorator: Any) -> None:
    """eom always happens."""

    def eom(self: Any) -> int:
        return 0

    with pytest.raises(ValueError, match="non-optional method: eom"):
        decorator(eom)


def test_a_noreply_step_must_continue() -> None:
    """A verdict that nobody would hear is an error."""

    class Wrong(Milter.Base):
        @Milter.noreply
        def hello(self, hostname: str) -> int:
            return Milter.REJECT

    m, _ = negotiated(Wrong)
    with pytest.raises(RuntimeError, match="hello return code must be CONTINUE"):
        m.hello("x")


def test_symlist_refuses_more_macros_than_sendmail_takes() -> None:
    """Five are the limit."""

    def eom(self: Any) -> int:
        return 0

    with pytest.raises(ValueError, match="limited to 5"):
        Milter.symlist(*"abcdef")(eom)


def test_symlist_refuses_a_step_without_macros() -> None:
    """body has none."""

    def body(self: Any, blk: bytes) -> int:
        return 0

    with pytest.raises(ValueError, match="non-symlist method: body"):
        Milter.symlist("a")(body)


# --- decoding ---------------------------------------------------------------------------------------------------


def decoding(strategy: str | None) -> type[Milter.Base]:
    class Keeper(Milter.Base):
        def header(self, field: str, value: Any) -> int:
            self.seen = (field, value)
            return Milter.CONTINUE

        def envfrom(self, f: Any, *s: Any) -> int:
            self.seen = (f, *s)
            return Milter.CONTINUE

        if strategy:
            header = Milter.decode(strategy)(header)
            envfrom = Milter.decode(strategy)(envfrom)

    return Keeper


@pytest.mark.parametrize(
    ("strategy", "value"),
    [
        (None, "caf\udce9"),
        ("surrogateescape", "caf\udce9"),
        ("bytes", b"caf\xe9"),
        ("strict", b"caf\xe9"),
        ("replace", "caf�"),
        ("ignore", "caf"),
        ("no such strategy", "caf\udce9"),
    ],
)
def test_undecodable_headers_arrive_as_the_milter_asked(strategy: str | None, value: Any) -> None:
    """Whatever was asked for, nothing is raised."""
    m: Any = decoding(strategy)()
    m.header_bytes("Subject", b"caf\xe9")
    assert m.seen == ("Subject", value)


def test_strict_gives_str_where_it_can() -> None:
    """Only what is not UTF-8 stays bytes, and then all of the command."""
    m: Any = decoding("strict")()
    m.envfrom_bytes(b"<caf\xc3\xa9@example.com>", b"SMTPUTF8")
    assert m.seen == ("<café@example.com>", "SMTPUTF8")
    m.envfrom_bytes(b"<caf\xe9@example.com>", b"SIZE=1")
    assert m.seen == (b"<caf\xe9@example.com>", b"SIZE=1")


@given(st.binary())
def test_the_default_decoding_loses_nothing(value: bytes) -> None:
    """The octets can be had back."""
    m: Any = decoding(None)()
    m.header_bytes("Subject", value)
    assert m.seen[1].encode("utf-8", "surrogateescape") == value


# --- actions ----------------------------------------------------------------------------------------------------

ACTIONS = [
    ("addheader", ("X-A", "b"), "ADDHDRS"),
    ("chgheader", ("X-A", 1, "b"), "CHGHDRS"),
    ("addrcpt", ("<a@b>",), "ADDRCPT"),
    ("delrcpt", ("<a@b>",), "DELRCPT"),
    ("replacebody", (b"x",), "MODBODY"),
    ("chgfrom", ("<a@b>",), "CHGFROM"),
    ("quarantine", ("why",), "QUARANTINE"),
    ("setsymlist", (0, "j"), "SETSYMLIST"),
]


@pytest.mark.parametrize(("method", "args", "flag"), ACTIONS)
def test_an_action_that_was_not_negotiated_is_refused(method: str, args: tuple[Any, ...], flag: str) -> None:
    """DisabledAction names the flag, and nothing reaches libmilter."""
    m, _ = negotiated(Milter.Base, actions=0x1FF & ~getattr(Milter, flag))
    with pytest.raises(Milter.DisabledAction, match=flag):
        getattr(m, method)(*args)
    assert m._ctx.calls == []


def test_recipient_parameters_need_their_own_permission() -> None:
    """An MTA may take new recipients but no ESMTP parameters for them; a list of those is joined."""
    m, _ = negotiated(Milter.Base, actions=Milter.ADDRCPT)
    m.addrcpt("<a@b>")
    with pytest.raises(Milter.DisabledAction, match="ADDRCPT_PAR"):
        m.addrcpt("<a@b>", "NOTIFY=NEVER")
    able, _ = negotiated(Milter.Base)
    able.addrcpt("<a@b>", ["NOTIFY=NEVER", "ORCPT=rfc822;c@d"])
    assert able._ctx.calls == [("addrcpt", "<a@b>", "NOTIFY=NEVER ORCPT=rfc822;c@d")]


@pytest.mark.parametrize("line", ["100%", "%%%", "a %% b %"])
def test_a_single_percent_sign_in_a_reply_is_refused(line: str) -> None:
    """libmilter would drop the whole reply silently."""
    m, _ = negotiated(Milter.Base)
    with pytest.raises(ValueError, match="must be doubled"):
        m.setreply("550", "5.7.1", "fine", line)


def test_a_reply_may_do_without_text() -> None:
    """None means no text, as documented."""
    m, _ = negotiated(Milter.Base)
    m.setreply("550")
    m.setreply("550", "5.7.1", "no %%", "really")
    assert m._ctx.calls == [("setreply", "550", None), ("setreply", "550", "5.7.1", "no %%", "really")]


def test_setsymlist_takes_strings_and_lists() -> None:
    """All names go into one list."""
    m, _ = negotiated(Milter.Base)
    m.setsymlist(Milter.M_CONNECT, "j", ["{client_addr}", "{client_name}"])
    assert m._ctx.calls == [("setsymlist", Milter.M_CONNECT, b"j {client_addr} {client_name}")]


# --- the callbacks ----------------------------------------------------------------------------------------------


class Recorder(Milter.Base):
    def __init__(self) -> None:
        self.steps: list[Any] = []

    def connect(self, *a: Any) -> int:
        return self.note("connect", *a)

    def hello(self, *a: Any) -> int:
        return self.note("hello", *a)

    def envfrom(self, *a: Any) -> int:
        return self.note("envfrom", *a)

    def envrcpt(self, *a: Any) -> int:
        return self.note("envrcpt", *a)

    def data(self, *a: Any) -> int:
        return self.note("data", *a)

    def header(self, *a: Any) -> int:
        return self.note("header", *a)

    def eoh(self, *a: Any) -> int:
        return self.note("eoh", *a)

    def body(self, *a: Any) -> int:
        return self.note("body", *a)

    def unknown(self, *a: Any) -> int:
        return self.note("unknown", *a)

    def eom(self) -> int:
        return self.note("eom")

    def abort(self) -> int:
        return self.note("abort")

    def close(self) -> int:
        return self.note("close")

    def note(self, *step: Any) -> int:
        self.steps.append(step)
        return Milter.CONTINUE


SESSION = [
    ("connect", ("mx.example.com", 2, ("192.0.2.1", 25)), ("connect", "mx.example.com", 2, ("192.0.2.1", 25))),
    ("helo", ("mx",), ("hello", "mx")),
    ("envfrom", (b"<a@b>", b"SIZE=1"), ("envfrom", "<a@b>", "SIZE=1")),
    ("envrcpt", (b"<c@d>",), ("envrcpt", "<c@d>")),
    ("data", (), ("data",)),
    ("header", ("Subject", b"Hi"), ("header", "Subject", "Hi")),
    ("eoh", (), ("eoh",)),
    ("body", (b"x\r\n",), ("body", b"x\r\n")),
    ("unknown", ("XYZ",), ("unknown", "XYZ")),
    ("eom", (), ("eom",)),
    ("abort", (), ("abort",)),
    ("close", (), ("close",)),
]


def test_each_callback_reaches_its_method(callbacks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One object of the factory serves the whole connection."""
    monkeypatch.setattr(Milter, "factory", Recorder)
    ctx = Context()
    assert callbacks["negotiate"](ctx, [0x1FF, EVERYTHING, 0, 0]) == Milter.CONTINUE
    recorder = ctx.priv
    for name, args, _ in SESSION:
        assert callbacks[name](ctx, *args) == Milter.CONTINUE
    assert recorder.steps == [step for _, _, step in SESSION]


def test_fields_that_came_together_reach_a_class_that_takes_them_so(
    callbacks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Together(Recorder):
        def header_fields(self, fields: list[tuple[bytes, bytes]]) -> int:
            self.steps.append(("header_fields", fields))
            return Milter.CONTINUE

    assert callbacks["headers"] is None, "the default milter takes them one by one"
    monkeypatch.setattr(Milter, "factory", Together)
    Milter.register_callbacks("tester")
    ctx = Context()
    callbacks["negotiate"](ctx, [0x1FF, EVERYTHING, 0, 0])
    assert callbacks["headers"](ctx, [(b"A", b"1")]) == Milter.CONTINUE
    assert ctx.priv.steps == [("header_fields", [(b"A", b"1")])]


def test_a_class_that_keeps_data_under_that_name_gets_its_fields_one_by_one(
    callbacks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keeping(Recorder):
        header_fields: list[str] = []  # noqa: RUF012 - as milters of old have such

    monkeypatch.setattr(Milter, "factory", Keeping)
    Milter.register_callbacks("tester")
    assert callbacks["headers"] is None


def test_runmilter_tells_libmilter_what_it_was_told(callbacks: dict[str, Any]) -> None:
    """Name, socket, time-out and the removal of an old socket."""
    values = [callbacks[key] for key in ("name", "setconn", "settimeout", "opensocket")]
    assert values == ["tester", "unix:/nowhere/sock", 30, True]


def test_a_connection_without_negotiation_gets_an_object(
    callbacks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An MTA that keeps its socket for the next client negotiates only once, and may have skipped connect."""
    monkeypatch.setattr(Milter, "factory", Recorder)
    ctx = Context()
    callbacks["helo"](ctx, "mx")
    assert ctx.priv.steps == [("hello", "mx")]


def test_closing_unties_object_and_context_even_if_close_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keeps the other alive."""

    class Clumsy(Milter.Base):
        def close(self) -> int:
            raise ZeroDivisionError

    monkeypatch.setattr(Milter, "factory", Clumsy)
    ctx = Context()
    Milter.negotiate_callback(ctx, [0x1FF, EVERYTHING, 0, 0])
    with pytest.raises(ZeroDivisionError):
        Milter.close_callback(ctx)
    assert ctx.priv._ctx is None


def test_closing_a_connection_that_never_was_is_fine() -> None:
    """A context without an object just continues."""
    assert Milter.close_callback(Context()) == Milter.CONTINUE


@pytest.mark.parametrize(
    ("step", "arguments", "line"),
    [
        ("connect", ("h.example", 2, ("192.0.2.1", 25)), "connect from h.example at ('192.0.2.1', 25)"),
        ("hello", ("h.example",), "hello from h.example"),
        ("header", ("A", "b"), "A: b"),
        ("eoh", (), "eoh"),
    ],
)
def test_a_log_that_takes_one_string_gets_one(step: str, arguments: tuple[Any, ...], line: str) -> None:
    """Subclasses of Milter.Milter define log(self, msg), as pymilter lets them."""
    seen = []

    class Logging(Milter.Milter):
        def log(self, msg: str) -> None:  # type: ignore[override]
            seen.append(msg)

    m = Logging()
    m._setctx(None)
    getattr(m, step)(*arguments)
    assert seen == [line]


def test_everything_that_pymilter_exports_comes_with_a_star() -> None:
    names: dict[str, Any] = {}
    exec("from Milter import *", names)
    assert {
        "Base",
        "Milter",
        "CONTINUE",
        "runmilter",
        "set_flags",
        "error",
        "P_NR_HDR",
        "uniqueID",
        "re",
        "sys",
    } <= set(names)
    assert {"annotations", "factory", "milter", "itertools", "Any", "lib"}.isdisjoint(names)


def test_the_default_milter_logs_each_step_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And lets everything pass."""
    m = Milter.Milter()
    m.connect("mx.example.com", 2, ("192.0.2.1", 25))
    m.header("Subject", "Hi")
    assert capsys.readouterr().out == (
        "Milter: connect from mx.example.com at ('192.0.2.1', 25)\nMilter: Subject: Hi\n"
    )


# --- helpers ----------------------------------------------------------------------------------------------------


def test_unique_ids_are_unique() -> None:
    """Each call returns a number of its own."""
    assert len({Milter.uniqueID() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("words", "with_values", "everything"),
    [
        (["SIZE=3", "smtputf8"], {"SIZE": "3"}, {"SIZE": "3", "SMTPUTF8": None}),
        (["AUTH=<>", "X="], {"AUTH": "<>", "X": ""}, {"AUTH": "<>", "X": ""}),
        (["ENVID=a=b"], {"ENVID": "a=b"}, {"ENVID": "a=b"}),
        ([b"SIZE=3"], {"SIZE": b"3"}, {"SIZE": b"3"}),
        (["=x", "="], {}, {"": ""}),
        (["A=1", "a"], {"A": "1"}, {"A": None}),
        ([], {}, {}),
    ],
)
def test_esmtp_parameters_become_a_dictionary(words: Any, with_values: Any, everything: Any) -> None:
    """Under upper-case names; values may contain "="; a milter that decodes nothing may hand over bytes."""
    assert Milter.dictfromlist(words) == with_values
    assert Milter.param2dict(words) == everything


def test_an_address_with_an_equals_sign_is_no_parameter() -> None:
    """envcallback() leaves the address alone."""
    seen = Milter.envcallback(lambda *a, **k: (a, k), ["<a=b@c>", "SIZE=3", "SMTPUTF8"])
    assert seen == (("<a=b@c>", "SMTPUTF8"), {"SIZE": "3"})


def test_a_parameter_without_a_name_stays_as_it_is() -> None:
    assert Milter.envcallback(lambda *a, **k: (a, k), ["<a@b>", "=x"]) == (("<a@b>", "=x"), {})


def test_unknown_bits_of_a_mask_are_shown_as_one_number() -> None:
    """Not digit by digit."""
    assert Milter.decode_mask(0x3D, ["ADDHDRS", "CHGBODY"]) == ["ADDHDRS", "0x3c"]
