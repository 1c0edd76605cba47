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
after the other. An exception is logged once (logger "milter") and answered by the exception policy.
"""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Callable
from typing import Any, Final

import _libmilter
from _libmilter import ffi, lib, listening_sockets, prepare_listener

_log = logging.getLogger("milter")

# Return values of callbacks
CONTINUE: Final[int] = lib.SMFIS_CONTINUE
REJECT: Final[int] = lib.SMFIS_REJECT
DISCARD: Final[int] = lib.SMFIS_DISCARD
ACCEPT: Final[int] = lib.SMFIS_ACCEPT
TEMPFAIL: Final[int] = lib.SMFIS_TEMPFAIL
NOREPLY: Final[int] = lib.SMFIS_NOREPLY
SKIP: Final[int] = lib.SMFIS_SKIP
ALL_OPTS: Final[int] = lib.SMFIS_ALL_OPTS

# Results of libmilter's functions, and its version
SUCCESS: Final[int] = lib.MI_SUCCESS
FAILURE: Final[int] = lib.MI_FAILURE
VERSION: Final[int] = lib.SMFI_VERSION
PROT_VERSION: Final[int] = lib.SMFI_PROT_VERSION
CHUNK_SIZE: Final[int] = lib.MILTER_CHUNK_SIZE
MAX_DATA_SIZE: Final[int] = lib.MILTER_MAX_DATA_SIZE

# Actions (set_flags, negotiation)
NONE: Final[int] = lib.SMFIF_NONE
ADDHDRS: Final[int] = lib.SMFIF_ADDHDRS
CHGBODY: Final[int] = lib.SMFIF_CHGBODY
MODBODY: Final[int] = lib.SMFIF_MODBODY
ADDRCPT: Final[int] = lib.SMFIF_ADDRCPT
DELRCPT: Final[int] = lib.SMFIF_DELRCPT
CHGHDRS: Final[int] = lib.SMFIF_CHGHDRS
QUARANTINE: Final[int] = lib.SMFIF_QUARANTINE
CHGFROM: Final[int] = lib.SMFIF_CHGFROM
ADDRCPT_PAR: Final[int] = lib.SMFIF_ADDRCPT_PAR
SETSYMLIST: Final[int] = lib.SMFIF_SETSYMLIST
V1_ACTS: Final[int] = lib.SMFI_V1_ACTS
V2_ACTS: Final[int] = lib.SMFI_V2_ACTS
CURR_ACTS: Final[int] = lib.SMFI_CURR_ACTS

# Steps (negotiation): not wanted, not answered, and other options
P_NOCONNECT: Final[int] = lib.SMFIP_NOCONNECT
P_NOHELO: Final[int] = lib.SMFIP_NOHELO
P_NOMAIL: Final[int] = lib.SMFIP_NOMAIL
P_NORCPT: Final[int] = lib.SMFIP_NORCPT
P_NOBODY: Final[int] = lib.SMFIP_NOBODY
P_NOHDRS: Final[int] = lib.SMFIP_NOHDRS
P_NOEOH: Final[int] = lib.SMFIP_NOEOH
P_NOUNKNOWN: Final[int] = lib.SMFIP_NOUNKNOWN
P_NODATA: Final[int] = lib.SMFIP_NODATA
P_NR_CONN: Final[int] = lib.SMFIP_NR_CONN
P_NR_HELO: Final[int] = lib.SMFIP_NR_HELO
P_NR_MAIL: Final[int] = lib.SMFIP_NR_MAIL
P_NR_RCPT: Final[int] = lib.SMFIP_NR_RCPT
P_NR_DATA: Final[int] = lib.SMFIP_NR_DATA
P_NR_UNKN: Final[int] = lib.SMFIP_NR_UNKN
P_NR_HDR: Final[int] = lib.SMFIP_NR_HDR
P_NOHREPL: Final[int] = lib.SMFIP_NOHREPL
P_NR_EOH: Final[int] = lib.SMFIP_NR_EOH
P_NR_BODY: Final[int] = lib.SMFIP_NR_BODY
P_SKIP: Final[int] = lib.SMFIP_SKIP
P_RCPT_REJ: Final[int] = lib.SMFIP_RCPT_REJ
P_HDR_LEADSPC: Final[int] = lib.SMFIP_HDR_LEADSPC
P_MDS_256K: Final[int] = lib.SMFIP_MDS_256K
P_MDS_1M: Final[int] = lib.SMFIP_MDS_1M
V1_PROT: Final[int] = lib.SMFI_V1_PROT
V2_PROT: Final[int] = lib.SMFI_V2_PROT
CURR_PROT: Final[int] = lib.SMFI_CURR_PROT

# Stages for setsymlist
M_CONNECT: Final[int] = lib.SMFIM_CONNECT
M_HELO: Final[int] = lib.SMFIM_HELO
M_ENVFROM: Final[int] = lib.SMFIM_ENVFROM
M_ENVRCPT: Final[int] = lib.SMFIM_ENVRCPT
M_DATA: Final[int] = lib.SMFIM_DATA
M_EOM: Final[int] = lib.SMFIM_EOM
M_EOH: Final[int] = lib.SMFIM_EOH

Text = str | bytes
Callback = Callable[..., int]


class error(Exception):
    """libmilter refused a call. The message says what was asked of it; libmilter itself tells no reason."""


def _encode(text: Text) -> bytes:
    """The bytes of a text for C; raises TypeError and ValueError (a NUL inside) as a C module's argument check."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    elif not isinstance(text, bytes):
        raise TypeError(f"expected str or bytes, not {type(text).__name__}")
    if b"\0" in text:
        raise ValueError("embedded null character")
    return text


_macro_name = functools.lru_cache(maxsize=128)(_encode)


def _encode_optional(text: Text | None) -> Any:
    return ffi.NULL if text is None else _encode(text)


class milterContext:
    """One SMTP connection. Handed to every callback; usable until the close callback returns.

    Every method that asks libmilter raises milter.error when libmilter refuses, or when the connection is closed.
    The methods that change the message work in the end-of-message callback only.
    """

    __slots__ = ("__weakref__", "_address", "_ctx", "inherited", "priv")

    def __init__(self, address: int, actions: int = 0, steps: int = 0) -> None:
        self._address = address
        # What the client before negotiated, where the MTA goes on with its next one on the same connection; else zeros,
        # or what is left of another connection: negotiation comes then, and decides.
        self.inherited = (actions, steps)
        self._ctx: Any = ffi.cast("SMFICTX *", address)  # None once the connection is closed
        self.priv: Any = None  # what getpriv() returns, without a call

    def _open(self) -> Any:
        if self._ctx is None:
            raise error("bad context")
        return self._ctx

    def getpriv(self) -> Any:
        """The object given to setpriv(), or None."""
        return self.priv

    def setpriv(self, priv: Any, /) -> Any:
        """Attach an object to the connection; returns the one attached before."""
        before, self.priv = self.priv, priv
        return before

    def getsymval(self, name: Text, /) -> str | None:
        """The value of a macro (`j`, `{auth_authen}`), or None where the MTA did not send it."""
        if self._ctx is None:  # as in _open(), which each look at a macro would pay for
            raise error("bad context")
        return _libmilter.macro(self._address, _macro_name(name))

    def setreply(self, rcode: Text, xcode: Text | None, /, *lines: Text) -> None:
        """The SMTP reply to this step's REJECT (5xx) or TEMPFAIL (4xx): code, enhanced code or None, up to 32 lines.

        The text is sent as it is, `%` included. libmilter ignores it where code and verdict do not match.
        """
        ctx = self._open()
        if len(lines) > lib.SETREPLY_LINES:
            raise TypeError(f"setreply() takes at most {lib.SETREPLY_LINES} lines ({len(lines)} given)")
        # The array is full length: unused places are the NULL that ends smfi_setmlreply's arguments.
        texts = [ffi.from_buffer("char[]", _encode(line) + b"\0") for line in lines]
        array = ffi.new("char *[]", lib.SETREPLY_LINES)
        array[0 : len(texts)] = texts
        if lib.set_reply(ctx, _encode(rcode), _encode_optional(xcode), array, len(texts)) != SUCCESS:
            raise error("cannot set reply")

    def addheader(self, field: Text, value: Text, index: int = -1, /) -> None:
        """Append a header field, or insert it as the index-th of all (0: before the first)."""
        name, content = _encode(field), _encode(value)
        kind = lib.ADD_HEADER if index < 0 else lib.INSERT_HEADER
        if not self._deferred(kind, max(0, index), name, content):
            ctx = self._in_order()
            add = lib.smfi_addheader(ctx, name, content) if index < 0 else lib.smfi_insheader(ctx, index, name, content)
            if add != SUCCESS:
                raise error("cannot add header")

    def chgheader(self, field: Text, index: int, value: Text | None, /) -> None:
        """Change the index-th field of this name, counting from 1; None or an empty value deletes it."""
        name, content = _encode(field), None if value is None else _encode(value)
        if not self._deferred(lib.CHANGE_HEADER, operator.index(index), name, content):
            content = ffi.NULL if content is None else content
            if lib.smfi_chgheader(self._in_order(), name, index, content) != SUCCESS:
                raise error("cannot change header")

    def _deferred(self, kind: int, index: int, name: bytes, value: bytes | None) -> bool:
        """Whether a header change will be sent later, when the end-of-message callback returns or another change is made."""
        self._open()
        return _libmilter.defer_change(self._address, kind, index, name, value)

    def _in_order(self) -> Any:
        """libmilter's context, after the header changes that wait have been sent."""
        ctx = self._open()
        if lib.send_changes(ctx) != SUCCESS:
            raise error("cannot change header")
        return ctx

    def addrcpt(self, rcpt: Text, params: Text | None = None, /) -> None:
        """Add an envelope recipient, with ESMTP parameters if given (action ADDRCPT_PAR)."""
        ctx = self._in_order()
        if params is None:
            result = lib.smfi_addrcpt(ctx, _encode(rcpt))
        else:
            result = lib.smfi_addrcpt_par(ctx, _encode(rcpt), _encode(params))
        if result != SUCCESS:
            raise error("cannot add recipient")

    def delrcpt(self, rcpt: Text, /) -> None:
        """Remove an envelope recipient, spelled exactly as envrcpt got it."""
        if lib.smfi_delrcpt(self._in_order(), _encode(rcpt)) != SUCCESS:
            raise error("cannot delete recipient")

    def chgfrom(self, sender: Text, params: Text | None = None, /) -> None:
        """Replace the envelope sender, with ESMTP parameters if given."""
        if lib.smfi_chgfrom(self._in_order(), _encode(sender), _encode_optional(params)) != SUCCESS:
            raise error("cannot change sender")

    def replacebody(self, body: Text | bytearray | memoryview, /) -> None:
        """Replace the body (lines end with CR LF); a second call appends to the first."""
        content = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else memoryview(body).tobytes()
        if lib.smfi_replacebody(self._in_order(), content, len(content)) != SUCCESS:
            raise error("cannot replace message body")

    def quarantine(self, reason: Text, /) -> None:
        """Have the MTA hold the message in its queue."""
        if lib.smfi_quarantine(self._in_order(), _encode(reason)) != SUCCESS:
            raise error("cannot quarantine message")

    def progress(self) -> None:
        """Tell the MTA that work goes on, so that its timer starts again."""
        if lib.smfi_progress(self._open()) != SUCCESS:
            raise error("cannot notify progress")

    def setsymlist(self, stage: int, macros: Text, /) -> None:
        """In the negotiate callback: the macros (separated by blanks) that the MTA shall send at a stage M_*."""
        if lib.smfi_setsymlist(self._open(), stage, _encode(macros)) != SUCCESS:
            raise error("cannot set macro list")


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
    _name = _encode(name)
    _load_callbacks()
    # While libmilter runs, its description must stay as it is: its threads read it.
    if not _running and lib.register_milter(_name, _flags) != SUCCESS:
        raise error("cannot register")


def setconn(where: str, /) -> None:
    """Where to listen: "unix:/path" or "/path", "inet:port@host", "inet6:port@host"."""
    if not isinstance(where, str):
        raise TypeError(f"setconn() argument 1 must be str, not {type(where).__name__}")
    if lib.smfi_setconn(_encode(where)) != SUCCESS:
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
