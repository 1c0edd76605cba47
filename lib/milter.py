"""libmilter for Python, call for call as pymilter's C module of the same name offers it.

Set callbacks, register(name), setconn(where), then main(). Each callback gets the connection's milterContext first
and returns CONTINUE, REJECT, ACCEPT, DISCARD, TEMPFAIL, SKIP or NOREPLY. Texts of the envelope and header values
arrive as bytes, host names, HELO and header names as str (UTF-8, undecodable bytes as surrogates, PEP 383).
Functions take str (encoded the same way) or bytes.

Callbacks of header, end of headers and body that promised not to answer are not made at once, but in their order before
the next other callback of the connection, or when they have 256 kB together (set_headers_callback() takes header fields as
one list). Header changes are checked at once, and sent when the end-of-message callback has returned. Taking the
interpreter's lock for each header field would cost more than most milters do with it.

docs/pymilter.md lists where this differs from pymilter 1.0.5 on purpose.

Callbacks come from libmilter's pool of threads: two callbacks of one connection may run on different threads, one
after the other, or on a thread of ours. Callbacks run one at a time, as a rule: each is finished before the next begins, so
that they do not take the interpreter from one another. One that waits for the network should say so with waiting(); if it
does not, the others go on after 20 ms. An exception is logged once (logger "milter") and answered by the exception policy.
"""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Callable, Iterator

import _libmilter
from _libmilter import constants, ffi, lib, listening_sockets, prepare_listener
from _libmilter.constants import *  # noqa: F403  # all of them are names of this module
from _libmilter.constants import ACCEPT, CONTINUE, CURR_ACTS, REJECT, SUCCESS, TEMPFAIL
from _libmilter.context import encode, error, milterContext

__all__ = [
    "error", "getdiag", "getversion", "listening_fd", "main", "milterContext", "opensocket", "register",
    "set_abort_callback", "set_body_callback", "set_close_callback", "set_connect_callback", "set_envfrom_callback",
    "set_envrcpt_callback", "set_eoh_callback", "set_eom_callback", "set_exception_policy", "set_flags",
    "set_header_callback", "set_headers_callback", "set_helo_callback", "setbacklog", "setconn", "setdbg", "settimeout",
    "stop", "waiting",
]  # fmt: skip
__all__ += constants.__all__

_log = logging.getLogger("milter")

Callback = Callable[..., int]

# The milter as it is being described: one a process, as libmilter has it.

_callbacks: dict[str, Callback] = {}
_flags = CURR_ACTS
_name: bytes | None = None
_listener: int | None = None
_running = False


def _set_callback(step: str, function: Callback | None) -> Callback | None:
    """Set or remove a callback, also while main() runs; returns the one before."""
    if function is not None and not callable(function):
        raise TypeError("callback parameter must be callable")
    before = _callbacks.pop(step, None)
    if function is not None:
        _callbacks[step] = function
    _load_callbacks()
    return before


def _load_callbacks() -> None:
    if lib.load_functions() != SUCCESS or not hasattr(_libmilter, "defer_change"):
        raise error("cannot set callbacks")


def set_connect_callback(function: Callback | None, /) -> Callback | None:
    """A client connected: f(ctx, hostname: str, family: int, hostaddr).

    hostaddr is (ip, port) for AF_INET, (ip, port, flow, scope) for AF_INET6, a path for AF_UNIX, else None.
    """
    return _set_callback("connect", function)


def set_helo_callback(function: Callback | None, /) -> Callback | None:
    """HELO or EHLO: f(ctx, name: str)."""
    return _set_callback("helo", function)


def set_envfrom_callback(function: Callback | None, /) -> Callback | None:
    """MAIL FROM: f(ctx, sender: bytes, *parameters: bytes)."""
    return _set_callback("envfrom", function)


def set_envrcpt_callback(function: Callback | None, /) -> Callback | None:
    """RCPT TO: f(ctx, recipient: bytes, *parameters: bytes)."""
    return _set_callback("envrcpt", function)


def set_header_callback(function: Callback | None, /) -> Callback | None:
    """One header field: f(ctx, name: str, value: bytes); folded lines are separated by LF."""
    return _set_callback("header", function)


def set_headers_callback(function: Callback | None, /) -> Callback | None:
    """Header fields that arrived together: f(ctx, fields), a list of (name: bytes, value: bytes) (not in pymilter).

    Called instead of the header callback, which must be set all the same, where the milter promised not to answer header
    fields: as a rule once a message.
    """
    return _set_callback("headers", function)


def set_eoh_callback(function: Callback | None, /) -> Callback | None:
    """End of headers: f(ctx)."""
    return _set_callback("eoh", function)


def set_body_callback(function: Callback | None, /) -> Callback | None:
    """A chunk of the body: f(ctx, chunk: bytes), lines ending with CR LF."""
    return _set_callback("body", function)


def set_eom_callback(function: Callback | None, /) -> Callback | None:
    """End of message: f(ctx)."""
    return _set_callback("eom", function)


def set_abort_callback(function: Callback | None, /) -> Callback | None:
    """The transaction ended before end of message: f(ctx); what it returns has no effect."""
    return _set_callback("abort", function)


def set_close_callback(function: Callback | None, /) -> Callback | None:
    """The connection ended: f(ctx), always called; what it returns has no effect."""
    return _set_callback("close", function)


def set_exception_policy(policy: int, /) -> None:
    """What the MTA hears when a callback raises: TEMPFAIL (the default), REJECT, ACCEPT or CONTINUE."""
    if operator.index(policy) not in (TEMPFAIL, REJECT, ACCEPT, CONTINUE):
        raise error("invalid exception policy")
    lib.set_policy(policy)


def set_flags(flags: int, /) -> None:
    """The actions (ADDHDRS | ...) that this milter may ask for at end of message; told to libmilter by register().

    As in pymilter this does not restrict anything: each connection takes all actions that its MTA offers, or what the
    negotiate callback chooses.
    """
    global _flags
    _flags = operator.index(flags)


class _Unchanged:
    """The default of register()'s callbacks: the one that is set stays."""


_UNCHANGED = _Unchanged()


def register(
    name: str,
    unknown: Callback | _Unchanged | None = _UNCHANGED,
    data: Callback | _Unchanged | None = _UNCHANGED,
    negotiate: Callback | _Unchanged | None = _UNCHANGED,
) -> None:
    """Name the milter; required before main(). Sets the three callbacks that have no setter of their own.

    unknown(ctx, line: str) is an SMTP command that the MTA does not know, data(ctx) is DATA, and negotiate(ctx,
    options) may change the list options = [actions, steps, 0, 0] in place and returns CONTINUE to have it so,
    ALL_OPTS for all that the MTA offers, or REJECT to decline this MTA. One that is not given stays as it is, None removes it.
    """
    global _name
    if not isinstance(name, str):
        raise TypeError(f"register() argument 1 must be str, not {type(name).__name__}")
    given = {
        step: function
        for step, function in (("unknown", unknown), ("data", data), ("negotiate", negotiate))
        if not isinstance(function, _Unchanged)
    }
    for step, function in given.items():
        if function is not None and not callable(function):
            raise TypeError(f"{step} parameter must be callable")
    for step, function in given.items():
        _callbacks.pop(step, None)
        if function is not None:
            _callbacks[step] = function
    _name = encode(name)
    _load_callbacks()
    # While libmilter runs, its description must stay as it is: its threads read it.
    if not _running and lib.register_milter(_name, _flags) != SUCCESS:
        raise error("cannot register")


def setconn(where: str, /) -> None:
    """Where to listen: "unix:/path" or "/path", "inet:port@host", "inet6:port@host"."""
    if not isinstance(where, str):
        raise TypeError(f"setconn() argument 1 must be str, not {type(where).__name__}")
    if lib.smfi_setconn(encode(where)) != SUCCESS:
        raise error("cannot set connection")


def settimeout(seconds: int, /) -> None:
    """How long libmilter waits for the MTA's next command before it gives the connection up."""
    if lib.smfi_settimeout(seconds) != SUCCESS:
        raise error("cannot set timeout")


def setbacklog(length: int, /) -> None:
    """The length of the listening socket's queue."""
    if lib.smfi_setbacklog(length) != SUCCESS:
        raise error("cannot set backlog")


def setdbg(level: int, /) -> None:
    """libmilter's own debug level."""
    if lib.smfi_setdbg(level) != SUCCESS:
        raise error("cannot set debug value")


def opensocket(remove: int, /) -> None:
    """Open the socket of setconn() now instead of in main(); `remove` removes a stale unix socket first."""
    global _listener
    before = listening_sockets()
    if lib.smfi_opensocket(bool(operator.index(remove))) != SUCCESS:
        raise error("cannot opensocket")
    for fd in listening_sockets() - before:
        prepare_listener(fd)
        _listener = fd


def listening_fd() -> int | None:
    """The file descriptor on which libmilter listens, once opensocket() or main() opened it (not in pymilter)."""
    return _listener


def main() -> None:
    """Serve until stop() or a signal; returns some seconds later. Raises error when libmilter cannot start."""
    global _running
    if _name is None:
        raise error("cannot run main")
    if _listener is None:
        try:
            opensocket(False)
        except error as failure:
            raise error("cannot run main") from failure
    _running = True
    try:
        if lib.serve() != SUCCESS:
            raise error("cannot run main")
    finally:
        _running = False


def stop() -> None:
    """Make main() return: no new connections; sessions in progress are cut off after a few seconds."""
    lib.smfi_stop()


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Around what a callback waits for, such as an answer of the DNS: callbacks of other connections run meanwhile (not in
    pymilter). Anywhere else it does nothing."""
    if not _libmilter.step_aside():
        yield
        return
    try:
        yield
    finally:
        _libmilter.step_back()


def getversion() -> tuple[int, int, int]:
    """libmilter's version at run time: (major, minor, patch level)."""
    numbers = ffi.new("unsigned int[3]")
    if lib.smfi_version(numbers, numbers + 1, numbers + 2) != SUCCESS:
        raise error("smfi_version failed")
    return numbers[0], numbers[1], numbers[2]


def getdiag() -> tuple[int, int]:
    """How many contexts were made and how many are gone since the process started."""
    return lib.opened_sessions(), lib.closed_sessions()


# What trampolines.c calls.


_new_context = milterContext


def _report_failure(step: str, failure: BaseException) -> None:
    _log.error("%s callback failed: %s", step, failure, exc_info=failure)


if lib.load_functions() != SUCCESS or not hasattr(_libmilter, "defer_change"):
    raise ImportError("the binding of libmilter does not fit this milter.py: install the package again")
