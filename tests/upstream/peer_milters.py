"""Milters that run on pymilter's modules and on ours alike. Read by peer.py, in a process of each, and by the test.

What a milter does is told by the name of the client: "STEP OUTCOME", or "changes NUMBER" for calls at the end of the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

STEPS = ("connect", "helo", "envfrom", "envrcpt", "data", "header", "eoh", "body", "eom", "unknown")
METHODS = ("connect", "hello", *STEPS[2:])
Record = Callable[..., None]
OUTCOMES = ("CONTINUE", "REJECT", "TEMPFAIL", "DISCARD", "ACCEPT", "SKIP", "NOREPLY", "raise", "True", "None", "99")

Call = tuple[Any, ...]
_LONG = "x" * 65_530  # with "X-A" and two NULs the longest that a packet takes
_TOO_LONG = _LONG + "xxxxxx"
_AFTER: Call = ("addheader", "X-B", "after")
CHANGES: list[list[Call]] = [
    [("addheader", "X-A", "v")],
    [("addheader", "X-A", "v", 0), ("addheader", "X-B", "w", 3), ("addheader", "X-C", "", -1)],
    [("addheader", "X-A", _LONG)],
    [("addheader", "X-A", _LONG + "x")],
    [("addheader", "X-A", _LONG + "x"), _AFTER, ("chgheader", "Subject", 1, None), ("quarantine", "why")],
    [("addheader", "X-B", "before"), ("addheader", "X-A", _LONG + "x"), ("replacebody", "new")],
    [("addheader", "X-A", _LONG[4:], 0), ("addheader", "X-A", _LONG[3:], 0), _AFTER],
    [("chgheader", "X-A", 1, _LONG[4:]), ("chgheader", "X-A", 1, _LONG[3:]), _AFTER],
    [("addrcpt", "<" + _LONG + ">"), ("delrcpt", _TOO_LONG), ("chgfrom", _TOO_LONG), _AFTER],
    [("quarantine", _TOO_LONG), _AFTER],
    [("replacebody", "y" * 200_000), _AFTER],
    [
        ("addheader", "", "v"), ("addheader", "X-A"), ("addheader", "X-A", None), ("addheader", "X-A", "a\0b"),
        ("addheader", "X", "v", None),
    ],
    [("addheader", "X-A", "a\n b"), ("addheader", "X-A", "\xe9"), ("addheader", "X-A", " v")],
    [
        ("chgheader", "Subject", 1, "v"), ("chgheader", "Subject", 2, None), ("chgheader", "Subject", 0, "v"),
        ("chgheader", "A", -1, "v"),
    ],
    [("chgheader", "Subject", "1", "v"), ("chgheader", "", 1, "v"), ("chgheader", "Subject", 1, "")],
    [
        ("addrcpt", "<a@b>"), ("addrcpt", "<a@b>", "NOTIFY=NEVER"), ("addrcpt", "<a@b>", None), ("addrcpt", ""),
        ("addrcpt", None),
    ],
    [("delrcpt", "<a@b>"), ("delrcpt", ""), ("delrcpt", None)],
    [("chgfrom", "<a@b>"), ("chgfrom", "<a@b>", "RET=HDRS"), ("chgfrom", ""), ("chgfrom", "<a@b>", None)],
    [("replacebody", "a"), ("replacebody", b"b"), ("replacebody", ""), ("replacebody", None)],
    [("quarantine", "why"), ("quarantine", ""), ("quarantine", None)],
    [("progress",), ("addheader", "X-A", "v"), ("progress",)],
    [("addheader", "X-A", "v"), ("progress",)],
    [("setreply", "550", "5.7.1", "no"), ("addheader", "X-A", "v")],
    [
        ("setreply", "250", "2.0.0", "yes"), ("setreply", "550", "4.7.1", "x"), ("setreply", "99", None, "x"),
        ("setreply", "550", "5.7.1", "50% off"),
    ],
    [
        ("setreply", "550", "5.7.1", "a", "b"), ("setreply", "550", None, "x"), ("setreply", "550", "5.7.1", "a\nb"),
        ("setreply", "550"),
    ],
    [
        ("setreply", "550", "5.7.1", *"abcdefghijklmnopqrstuvwxyzABCDEF"),
        ("setreply", "550", "5.7.1", *"abcdefghijklmnopqrstuvwxyzABCDEFG"),
    ],
    [("setreply", "550", "5.7.1", "x" * 2000), ("setreply", b"550", "5.7.1", "x"), ("setreply", None, None, "x")],
    [
        ("getsymval", "j"), ("getsymval", "{auth_authen}"), ("getsymval", "i"), ("getsymval", "{i}"), ("getsymval", ""),
        ("getsymval", None),
    ],
    [("setsymlist", 0, "j")],
]  # fmt: skip


def _changes(target: Any, record: Record) -> None:
    """Make the calls of the plan, and tell how each ended."""
    import milter

    plan = target.getpriv() if hasattr(target, "getpriv") else getattr(target, "plan", None)
    if isinstance(plan, str) and plan.startswith("changes "):
        for name, *arguments in CHANGES[int(plan.split(" ")[1])]:
            try:
                record(name, repr(getattr(target, name)(*arguments)))
            except (milter.error, TypeError, ValueError, OverflowError, RuntimeError, AttributeError) as refused:
                record(name, type(refused).__name__, str(refused) if isinstance(refused, milter.error) else "")


def _result(plan: str | None, step: str) -> Any:
    """What a callback of this step gives."""
    import milter

    if plan is None or not plan.startswith(step + " "):
        return milter.CONTINUE
    word = plan.split(" ")[1]
    if word == "raise":
        raise ValueError(step)
    return {"True": True, "None": None, "99": 99}[word] if word in {"True", "None", "99"} else getattr(milter, word)


def _bare_callbacks(record: Record) -> dict[str, Callable[..., Any]]:
    """A callback for each step of the low-level module."""

    def make(step: str) -> Callable[..., Any]:
        def callback(ctx: Any, *arguments: Any) -> Any:
            record(step, *arguments)
            if step == "connect":
                ctx.setpriv(arguments[0])
            if step == "eom":
                _changes(ctx, record)
            return _result(ctx.getpriv(), step)

        return callback

    return {step: make(step) for step in (*STEPS, "abort", "close")}


def _set(callbacks: dict[str, Callable[..., Any]]) -> None:
    import milter

    for step, callback in callbacks.items():
        if step not in {"data", "unknown"}:
            getattr(milter, f"set_{step}_callback")(callback)


def _run(path: str, **rest: Any) -> None:
    import milter

    milter.setconn(path)
    milter.register("peer", **rest)
    milter.opensocket(True)
    milter.main()


def bare(record: Record, path: str) -> None:
    """Callbacks of the low-level module, without negotiation and without set_flags()."""
    callbacks = _bare_callbacks(record)
    _set(callbacks)
    _run(path, data=callbacks["data"], unknown=callbacks["unknown"])


def flagged(record: Record, path: str) -> None:
    """The same after set_flags(), for one action alone."""
    import milter

    milter.set_flags(milter.ADDHDRS)
    bare(record, path)


def sparse(record: Record, path: str) -> None:
    """A milter that hears the end of the message and of the connection, and nothing else."""
    import milter

    milter.set_eom_callback(lambda ctx: record("eom", ctx.addheader("X-A", "v")) or milter.CONTINUE)
    milter.set_close_callback(lambda ctx: record("close") or milter.CONTINUE)
    _run(path)


def twice(record: Record, path: str) -> None:
    """register() a second time: what it does not name stays. And a callback that is set once the milter runs."""
    import milter

    callbacks = _bare_callbacks(record)
    _set({"connect": callbacks["connect"], "close": callbacks["close"]})
    milter.register("peer", data=callbacks["data"], unknown=callbacks["unknown"])

    def late(ctx: Any, *arguments: Any) -> Any:
        milter.set_helo_callback(callbacks["helo"])
        return callbacks["connect"](ctx, *arguments)

    milter.set_connect_callback(late)
    _run(path, unknown=None)


ALL_SILENT = 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x80 | 0x40000 | 0x80000


def silent(record: Record, path: str) -> None:
    """Callbacks of the low-level module that promised not to answer any step."""
    import milter

    def negotiate(ctx: Any, options: list[int]) -> int:
        record("negotiate", list(options))
        options[1:] = [options[1] & ALL_SILENT, 0, 0]
        return int(milter.CONTINUE)

    callbacks = _bare_callbacks(record)
    _set(callbacks)
    _run(path, data=callbacks["data"], unknown=callbacks["unknown"], negotiate=negotiate)


def _method(record: Record, name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        import Milter

        record(name, *arguments)
        if name == "connect":
            self.plan = arguments[0]
        if name == "eom":
            _changes(self, record)
        result = _result(getattr(self, "plan", None), {"hello": "helo"}.get(name, name))
        return Milter.NOREPLY if result is NotImplemented else result

    method.__name__ = name
    return method


def _layer(record: Record, path: str, decorate: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    import Milter

    methods = {name: _method(record, name) for name in (*METHODS, "abort", "close")}
    decorated = {
        name: method if name in {"eom", "abort", "close"} else decorate(method) for name, method in methods.items()
    }
    Milter.factory = type("Peer", (Milter.Base,), decorated)
    Milter.runmilter("peer", path)


def layer(record: Record, path: str) -> None:
    """A class of the object layer with all methods."""
    _layer(record, path, lambda method: method)


def noreply(record: Record, path: str) -> None:
    """The same with each method that may be decorated so under @noreply."""
    import Milter

    _layer(record, path, Milter.noreply)


def small(record: Record, path: str) -> None:
    """A class that overrides few steps."""
    import Milter

    Milter.factory = type(
        "Small", (Milter.Base,), {name: _method(record, name) for name in ("connect", "eom", "close")}
    )
    Milter.runmilter("peer", path)


MILTERS: dict[str, Callable[[Record, str], None]] = {
    maker.__name__: maker for maker in (bare, flagged, sparse, twice, silent, layer, noreply, small)
}
