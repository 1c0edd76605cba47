"""The object layer over :mod:`milter`: one object for each SMTP connection, one method for each SMTP step.

Derive from :class:`Base`, override the steps you want to see, set :data:`factory` and call :func:`runmilter`::

    import Milter

    class Refuser(Milter.Base):
        def hello(self, hostname):
            if hostname == 'localhost':
                self.setreply('550', '5.7.1', 'That is my name, not yours')
                return Milter.REJECT
            return Milter.CONTINUE

    Milter.factory = Refuser
    Milter.runmilter('refuser', 'inet:8800@127.0.0.1', timeout=240)

Steps that a class does not override are negotiated away with the MTA, so they cost nothing. The names, the argument
forms and the behaviour are those of pymilter 1.0.5; docs/pymilter.md lists where ours is deliberately better. All of
the low-level module is re-exported here, so ``Milter.REJECT`` and ``Milter.set_flags()`` work.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from functools import wraps
from typing import Any, TypeVar

import milter
from milter import *  # noqa: F403  # pymilter's callers expect every constant and function here

# Spelled out once more for readers and linters: what this module itself uses.
from milter import (
    ADDHDRS,
    ADDRCPT,
    ADDRCPT_PAR,
    CHGFROM,
    CHGHDRS,
    CONTINUE,
    CURR_ACTS,
    DELRCPT,
    M_CONNECT,
    M_DATA,
    M_ENVFROM,
    M_ENVRCPT,
    M_EOH,
    M_EOM,
    M_HELO,
    MODBODY,
    NOREPLY,
    P_HDR_LEADSPC,
    P_NOBODY,
    P_NOCONNECT,
    P_NODATA,
    P_NOEOH,
    P_NOHDRS,
    P_NOHELO,
    P_NOMAIL,
    P_NORCPT,
    P_NOUNKNOWN,
    P_NR_BODY,
    P_NR_CONN,
    P_NR_DATA,
    P_NR_EOH,
    P_NR_HDR,
    P_NR_HELO,
    P_NR_MAIL,
    P_NR_RCPT,
    P_NR_UNKN,
    P_RCPT_REJ,
    QUARANTINE,
    SETSYMLIST,
)

__version__ = "1.0.5"  # the pymilter whose callers we serve; the product has a version of its own

OPTIONAL_CALLBACKS: dict[str, tuple[int, int]] = {
    "connect": (P_NR_CONN, P_NOCONNECT),
    "hello": (P_NR_HELO, P_NOHELO),
    "envfrom": (P_NR_MAIL, P_NOMAIL),
    "envrcpt": (P_NR_RCPT, P_NORCPT),
    "data": (P_NR_DATA, P_NODATA),
    "unknown": (P_NR_UNKN, P_NOUNKNOWN),
    "eoh": (P_NR_EOH, P_NOEOH),
    "body": (P_NR_BODY, P_NOBODY),
    "header": (P_NR_HDR, P_NOHDRS),
}
"""Callback name -> (protocol bit for "I will not reply", protocol bit for "do not call me")."""

MACRO_CALLBACKS: dict[str, int] = {
    "connect": M_CONNECT,
    "hello": M_HELO,
    "envfrom": M_ENVFROM,
    "envrcpt": M_ENVRCPT,
    "data": M_DATA,
    "eom": M_EOM,
    "eoh": M_EOH,
}
"""Callback name -> the protocol stage whose macros :func:`symlist` may choose."""

MAX_MACROS = 5  # sendmail's documented limit for smfi_setsymlist(); it drops the rest without a word

_OPTIONAL_STEPS = 0
for _bits in OPTIONAL_CALLBACKS.values():
    _OPTIONAL_STEPS |= _bits[0] | _bits[1]
del _bits
# Bits that change what the MTA sends; a class asks for them with enable_protocols().
_OPT_IN = P_RCPT_REJ | P_HDR_LEADSPC

_Class = TypeVar("_Class", bound="type[Base]")
_Method = TypeVar("_Method", bound=Callable[..., Any])

_sequence = itertools.count(1)


def uniqueID() -> int:
    """Return a number that no other call in this process returned: 1, 2, 3, ..."""
    return next(_sequence)  # one C call, hence atomic among the threads of libmilter


class DisabledAction(RuntimeError):
    """A change was requested that was not negotiated with the MTA; the argument names the action flag."""


# --- decorators of callback methods -----------------------------------------------------------------------------


def decode(strategy: str) -> Callable[[_Method], _Method]:
    """Choose how the bytes of ``header``, ``envfrom`` or ``envrcpt`` become str (UTF-8 throughout).

    ``strategy`` is ``'bytes'`` (no decoding), ``'strict'`` (str, or bytes where they are not UTF-8) or any error
    handler of the codecs module, such as ``'replace'`` or ``'ignore'``. Undecorated methods get
    ``'surrogateescape'``, which loses nothing.
    """

    def mark(func: _Method) -> _Method:
        func.error_strategy = strategy  # type: ignore[attr-defined]
        return func

    return mark


def nocallback(func: _Method) -> _Method:
    """Tell the MTA that this step need not be sent at all.

    The method may still be called, by an MTA that cannot skip the step, and must return CONTINUE: RuntimeError
    otherwise. Raises ValueError for a step that the protocol always sends.
    """
    bit = _optional_bits(func, "nocallback")[1]

    @wraps(func)
    def uncalled(self: Base, *args: Any) -> int:
        rc = func(self, *args)
        if rc != CONTINUE:
            raise RuntimeError(f"{func.__name__} return code must be CONTINUE with @nocallback")
        return rc  # type: ignore[no-any-return]

    uncalled.milter_protocol = bit  # type: ignore[attr-defined]
    return uncalled  # type: ignore[return-value]


def noreply(func: _Method) -> _Method:
    """Tell the MTA not to wait for an answer from this method, which must return CONTINUE.

    Where the MTA agreed, the method's caller sees NOREPLY. Raises ValueError for a step that always needs an answer;
    the decorated method raises RuntimeError when it returns anything but CONTINUE to an MTA that does not listen.
    """
    bit = _optional_bits(func, "noreply")[0]

    @wraps(func)
    def unanswered(self: Base, *args: Any) -> int:
        rc = func(self, *args)
        if not self._protocol & bit:
            return rc  # type: ignore[no-any-return]
        if rc != CONTINUE:
            raise RuntimeError(f"{func.__name__} return code must be CONTINUE with @noreply")
        return NOREPLY

    unanswered.milter_protocol = bit  # type: ignore[attr-defined]
    return unanswered  # type: ignore[return-value]


def symlist(*syms: str) -> Callable[[_Method], _Method]:
    """Ask the MTA to send just these macros (``'j'``, ``'{auth_authen}'``) with the step that is decorated.

    Raises ValueError for a step that carries no macros, and for more than five of them: sendmail takes no more.
    """

    def mark(func: _Method) -> _Method:
        if len(syms) > MAX_MACROS:
            raise ValueError(f"@symlist limited to {MAX_MACROS} macros by MTA: {func.__name__}")
        if func.__name__ not in MACRO_CALLBACKS:
            raise ValueError(f"@symlist applied to non-symlist method: {func.__name__}")
        func._symlist = syms  # type: ignore[attr-defined]
        return func

    return mark


def _optional_bits(func: Callable[..., Any], decorator: str) -> tuple[int, int]:
    try:
        return OPTIONAL_CALLBACKS[func.__name__]
    except KeyError:
        raise ValueError(f"@{decorator} applied to non-optional method: {func.__name__}") from None


# --- decorators of classes --------------------------------------------------------------------------------------


def enable_protocols(klass: _Class, mask: int) -> _Class:
    """Let ``klass`` and its subclasses ask the MTA for the protocol bits in ``mask``; returns ``klass``."""
    klass._enabled_protocols = klass._enabled_protocols | mask
    return klass


def rejected_recipients(klass: _Class) -> _Class:
    """Class decorator: ``envrcpt`` is also called for recipients that the MTA itself refuses."""
    return enable_protocols(klass, P_RCPT_REJ)


def header_leading_space(klass: _Class) -> _Class:
    """Class decorator: header values arrive, and are written, with their leading white space (DKIM wants that)."""
    return enable_protocols(klass, P_HDR_LEADSPC)


class Base:
    """What happens on one SMTP connection. Every step does nothing, and is negotiated away unless overridden.

    The steps return CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD or (from ``body``) SKIP. libmilter serves a
    connection from several threads, one after the other, so keep state on the object and never in thread locals.
    """

    _ctx: Any = None
    _actions: int = CURR_ACTS
    _protocol: int = 0
    _enabled_protocols: int = 0

    def _setctx(self, ctx: Any) -> None:
        """Tie this object to a context of the low-level module, or with None untie it."""
        self._ctx = ctx
        # Zeros, unless an MTA goes on with its next client on the same connection: nobody negotiates again then.
        actions, self._protocol = ctx.inherited if isinstance(ctx, milter.milterContext) else (0, 0)
        self._actions = actions or CURR_ACTS
        if ctx is not None:
            ctx.setpriv(self)

    def log(self, *msg: object) -> None:
        """Write a log message; subclasses say where. Here it is dropped."""

    # The steps of an SMTP session, in their order.

    @nocallback
    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:
        """A client connected.

        ``hostname`` comes from a reverse look-up, or is the address in brackets. ``family`` is a ``socket.AF_*``;
        ``hostaddr`` is (address, port) for IPv4, (address, port, flow, scope) for IPv6, a path for a unix socket,
        None where the MTA does not know.
        """
        return CONTINUE

    @nocallback
    def hello(self, hostname: str) -> int:
        """HELO or EHLO; it comes a second time after STARTTLS."""
        return CONTINUE

    def envfrom_bytes(self, *b: bytes) -> int:
        """MAIL FROM as raw bytes. Decodes (see :func:`decode`) and calls :meth:`envfrom`."""
        return self.envfrom(*_decode_all(self.envfrom, b))

    @nocallback
    def envfrom(self, f: str, *s: str) -> int:
        """MAIL FROM: the address as the client wrote it, usually in ``<>``, then the ESMTP parameters."""
        return CONTINUE

    def envrcpt_bytes(self, *b: bytes) -> int:
        """RCPT TO as raw bytes. Decodes (see :func:`decode`) and calls :meth:`envrcpt`."""
        return self.envrcpt(*_decode_all(self.envrcpt, b))

    @nocallback
    def envrcpt(self, to: str, *str: str) -> int:
        """RCPT TO, once for each recipient: the address as the client wrote it, then the ESMTP parameters."""
        return CONTINUE

    @nocallback
    def data(self) -> int:
        """DATA: the last chance to refuse before the message is sent."""
        return CONTINUE

    def header_bytes(self, fld: str, val: bytes) -> int:
        """One header field, the value as raw bytes. Decodes (see :func:`decode`) and calls :meth:`header`."""
        header = self.header
        if not hasattr(header, "error_strategy"):  # the usual case, once for each field of each message
            return header(fld, val.decode("utf-8", "surrogateescape"))
        return header(fld, *_decode_all(header, (val,)))

    @nocallback
    def header(self, field: str, value: str) -> int:
        """One header field of the message; a folded value has ``\\n`` and white space inside."""
        return CONTINUE

    @nocallback
    def eoh(self) -> int:
        """The header section ended."""
        return CONTINUE

    @nocallback
    def body(self, blk: bytes) -> int:
        """A block of the body, lines ended by CRLF, blocks cut anywhere. SKIP says that one has seen enough."""
        return CONTINUE

    @nocallback
    def unknown(self, cmd: str) -> int:
        """The client sent a command that the MTA does not know."""
        return CONTINUE

    def eom(self) -> int:
        """The message ended. Only here can it be changed."""
        return CONTINUE

    def abort(self) -> int:
        """The message was given up: RSET, a lost connection, a refusal elsewhere. ``close`` still follows."""
        return CONTINUE

    def close(self) -> int:
        """The connection ended."""
        return CONTINUE

    # Negotiation.

    @classmethod
    def protocol_mask(cls) -> int:
        """Return the protocol bits to take out of what the MTA offers, from the decorators of this class.

        A bit that stays says "skip that step" or "do not wait for that reply", so the steps that a class overrides
        plainly lose both bits.
        """
        # Only what stands in this very class: the mask of a parent would hide the steps that a subclass overrides.
        mask = cls.__dict__.get("_protocol_mask")
        if mask is None:
            wanted = 0
            for name in OPTIONAL_CALLBACKS:
                wanted |= getattr(getattr(cls, name), "milter_protocol", 0)
            mask = (_OPTIONAL_STEPS & ~wanted) | (_OPT_IN & ~cls._enabled_protocols)
            cls._protocol_mask = mask  # type: ignore[attr-defined]
        return mask

    def negotiate(self, opts: MutableSequence[int]) -> int:
        """Settle with the MTA what it sends and what we may change.

        ``opts`` holds what the MTA offers, [actions, protocol, 0, 0], and is changed in place to what we take: all
        actions, and of the protocol the steps and replies to skip according to the decorators. Override this only if
        decorators do not reach; return CONTINUE to take ``opts``, ALL_OPTS to take everything offered.
        """
        self._actions = opts[0]
        if self._actions & SETSYMLIST:
            self._choose_macros()
        opts[1] = self._protocol = opts[1] & ~self.protocol_mask()
        opts[2] = opts[3] = 0
        return CONTINUE

    def _choose_macros(self) -> None:
        for name, stage in MACRO_CALLBACKS.items():
            syms = getattr(getattr(self, name), "_symlist", ())
            if syms:
                self.setsymlist(stage, *syms)

    # What a milter may ask of the MTA. Where nothing is said, only eom() may do it.

    def getsymval(self, sym: str) -> str | None:
        """Return the value of an MTA macro (``'j'``, ``'{auth_authen}'``) at any step, None where it has none."""
        return self._ctx.getsymval(sym)  # type: ignore[no-any-return]

    def setreply(self, rcode: str, xcode: str | None = None, msg: str | None = None, *ml: str | None) -> Any:
        """Set the SMTP reply that a following REJECT or TEMPFAIL gives, at any step.

        ``rcode`` is a 4xx or 5xx code, ``xcode`` an enhanced code such as ``'5.7.1'`` or None, then come the lines of
        text. A ``%`` must be doubled, since libmilter silently drops a reply with a single one: ValueError.
        """
        lines = (msg, *ml)
        for line in lines:
            if line is not None and _has_single_percent(line):
                raise ValueError(f"'%' must be doubled: {line}")
        return self._ctx.setreply(rcode, xcode, *(line for line in lines if line is not None))

    def setsymlist(self, stage: int, *macros: str | bytes | Iterable[str | bytes]) -> Any:
        """Tell the MTA which macros to send at ``stage`` (an ``M_*``), from ``negotiate`` only.

        ``macros`` are strings, each with one or several names, or lists of them. The :func:`symlist` decorator is
        the easier way. Raises ValueError for more than five and DisabledAction where the MTA cannot do it.
        """
        self._require(SETSYMLIST, "SETSYMLIST")
        names = list(_flatten(macros))
        if len(names) > MAX_MACROS:
            raise ValueError(f"setsymlist limited to {MAX_MACROS} macros by MTA")
        return self._ctx.setsymlist(stage, b" ".join(names))

    def addheader(self, field: str, value: str | bytes, idx: int = -1) -> Any:
        """Add a header field: below the others, or with ``idx`` at that place from the top (0: above Received)."""
        self._require(ADDHDRS, "ADDHDRS")
        return self._ctx.addheader(field, value, idx)

    def chgheader(self, field: str, idx: int, value: str | bytes | None) -> Any:
        """Change the ``idx``-th (from 1) header field of that name; None or an empty value removes it."""
        self._require(CHGHDRS, "CHGHDRS")
        return self._ctx.chgheader(field, idx, value)

    def addrcpt(self, rcpt: str, params: str | Sequence[str] | None = None) -> Any:
        """Add an envelope recipient (``'<foo@example.com>'``), with ESMTP parameters as one string or a list."""
        self._require(ADDRCPT, "ADDRCPT")
        if params:
            self._require(ADDRCPT_PAR, "ADDRCPT_PAR")
        return self._ctx.addrcpt(rcpt, _joined(params))

    def delrcpt(self, rcpt: str) -> Any:
        """Remove an envelope recipient, spelled as ``envrcpt`` received it."""
        self._require(DELRCPT, "DELRCPT")
        return self._ctx.delrcpt(rcpt)

    def replacebody(self, body: bytes | str) -> Any:
        """Replace the body; call again with the next block until all of it is sent."""
        self._require(MODBODY, "MODBODY")
        return self._ctx.replacebody(body)

    def chgfrom(self, sender: str, params: str | Sequence[str] | None = None) -> Any:
        """Change the envelope sender, with ESMTP parameters as one string or a list."""
        self._require(CHGFROM, "CHGFROM")
        return self._ctx.chgfrom(sender, _joined(params))

    def quarantine(self, reason: str) -> Any:
        """Hold the message in the MTA's queue; ``reason`` is what its administrator reads there."""
        self._require(QUARANTINE, "QUARANTINE")
        return self._ctx.quarantine(reason)

    def progress(self) -> Any:
        """Tell the MTA that we are alive and still working, so that its time limit starts anew."""
        return self._ctx.progress()

    def _require(self, action: int, name: str) -> None:
        if not self._actions & action:
            raise DisabledAction(name)


class Milter(Base):
    """A milter that logs the main steps to standard output and changes nothing: the default :data:`factory`."""

    def log(self, *msg: object) -> None:
        """Print one line."""
        print("Milter:", *msg)

    @noreply
    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:
        self.log("connect from", hostname, "at", hostaddr)
        return CONTINUE

    @noreply
    def hello(self, hostname: str) -> int:
        self.log("hello from", hostname)
        return CONTINUE

    @noreply
    def envfrom(self, f: str, *str: str) -> int:
        self.log("mail from", f, str)
        return CONTINUE

    @noreply
    def envrcpt(self, to: str, *str: str) -> int:
        self.log("rcpt to", to, str)
        return CONTINUE

    @noreply
    def header(self, field: str, value: str) -> int:
        self.log(f"{field}: {value}")
        return CONTINUE

    @noreply
    def eoh(self) -> int:
        self.log("eoh")
        return CONTINUE

    def eom(self) -> int:
        self.log("eom")
        return CONTINUE

    def abort(self) -> int:
        self.log("abort")
        return CONTINUE

    def close(self) -> int:
        self.log("close")
        return CONTINUE


factory: Callable[[], Any] = Milter
"""Called without arguments for each new connection; returns its object, as a rule of a class derived from Base."""


# --- what libmilter calls ---------------------------------------------------------------------------------------


def _new_connection(ctx: Any) -> Any:
    m = factory()
    m._setctx(ctx)
    return m


def _connection(ctx: Any) -> Any:
    """Return the object of this connection; an MTA that keeps its socket for the next client negotiates only once.

    Callers look at ctx.priv themselves first: a message is some thirty callbacks, and each call counts.
    """
    m = ctx.getpriv()
    return _new_connection(ctx) if m is None else m


def negotiate_callback(ctx: Any, opts: MutableSequence[int]) -> int:
    """Make the object of a new connection, and let it negotiate."""
    return _new_connection(ctx).negotiate(opts)  # type: ignore[no-any-return]


def connect_callback(ctx: Any, hostname: str, family: int, hostaddr: Any, nr_mask: int = P_NR_CONN) -> int:
    """Announce the client. ``nr_mask`` is there for callers of old; what was negotiated says more."""
    return _connection(ctx).connect(hostname, family, hostaddr)  # type: ignore[no-any-return]


def close_callback(ctx: Any) -> int:
    """End the connection; whatever close() does, the object and the context let go of each other."""
    m = ctx.getpriv()
    if m is None:
        return CONTINUE
    try:
        return m.close()  # type: ignore[no-any-return]
    finally:
        m._setctx(None)


def register_callbacks(name: str) -> None:
    """Lead libmilter's callbacks to the objects that :data:`factory` makes, and register as ``name``.

    What a program needs that opens its socket and calls milter.main() itself, such as a prefork supervisor. Where the
    factory is a class with a method ``header_fields``, that is called instead of ``header`` with all fields that arrived
    together, a list of (name, value) as bytes, if ``header`` is marked with :func:`noreply`.
    """
    together = callable(getattr(factory, "header_fields", None))
    milter.set_connect_callback(connect_callback)
    milter.set_helo_callback(lambda ctx, host: (ctx.priv or _connection(ctx)).hello(host))
    milter.set_envfrom_callback(lambda ctx, *b: (ctx.priv or _connection(ctx)).envfrom_bytes(*b))
    milter.set_envrcpt_callback(lambda ctx, *b: (ctx.priv or _connection(ctx)).envrcpt_bytes(*b))
    milter.set_header_callback(lambda ctx, fld, val: (ctx.priv or _connection(ctx)).header_bytes(fld, val))
    milter.set_headers_callback(
        (lambda ctx, fields: (ctx.priv or _connection(ctx)).header_fields(fields)) if together else None
    )
    milter.set_eoh_callback(lambda ctx: (ctx.priv or _connection(ctx)).eoh())
    milter.set_body_callback(lambda ctx, chunk: (ctx.priv or _connection(ctx)).body(chunk))
    milter.set_eom_callback(lambda ctx: (ctx.priv or _connection(ctx)).eom())
    milter.set_abort_callback(lambda ctx: (ctx.priv or _connection(ctx)).abort())
    milter.set_close_callback(close_callback)
    milter.register(
        name,
        data=lambda ctx: _connection(ctx).data(),
        unknown=lambda ctx, cmd: _connection(ctx).unknown(cmd),
        negotiate=negotiate_callback,
    )


def runmilter(name: str, socketname: str, timeout: int = 0, rmsock: bool = True) -> None:
    """Serve connections until the process is told to stop; returns then.

    ``name`` is what the MTA's log calls us. ``socketname`` is in sendmail's syntax: a path, ``unix:/path``,
    ``inet:port@host`` or ``inet6:port@host``. ``timeout`` is in seconds, 0 for libmilter's own. With ``rmsock`` a
    socket that an earlier run left behind is removed first. Raises ``milter.error`` where the socket cannot be had.
    """
    register_callbacks(name)
    milter.setconn(socketname)
    if timeout > 0:
        milter.settimeout(timeout)
    milter.opensocket(rmsock)
    milter.main()


# --- helpers for ESMTP parameters and masks ---------------------------------------------------------------------


def dictfromlist(args: Iterable[str]) -> dict[str, str]:
    """Return the ESMTP parameters that have a value, by upper-case name.

    >>> dictfromlist(['SIZE=1000', 'body=8BITMIME', 'SMTPUTF8'])
    {'SIZE': '1000', 'BODY': '8BITMIME'}
    """
    return {key: value for key, value in param2dict(args).items() if value is not None}


def param2dict(str: str | Iterable[str]) -> dict[str, str | None]:
    """Return the ESMTP parameters by upper-case name; those without a value give None.

    >>> param2dict(['SIZE=1000', 'SMTPUTF8'])
    {'SIZE': '1000', 'SMTPUTF8': None}
    """
    words = str.split() if hasattr(str, "split") else str
    return dict(_parameter(word) for word in words)


def envcallback(c: Callable[..., Any], args: Sequence[str]) -> Any:
    """Call ``c`` with the ESMTP parameters that have a value as keyword arguments, the others as they are.

    >>> envcallback(lambda *pos, **named: (pos, named), ['<joe@example.com>', 'SIZE=1000', 'SMTPUTF8'])
    (('<joe@example.com>', 'SMTPUTF8'), {'SIZE': '1000'})
    """
    positional: list[str] = list(args[:1])  # the address may itself contain "="
    named: dict[str, Any] = {}
    for word in args[1:]:
        key, value = _parameter(word)
        if value is None:
            positional.append(word)
        else:
            named[key] = value
    return c(*positional, **named)


def decode_mask(bits: int, names: Iterable[str]) -> list[str]:
    """Return those ``names`` of constants of :mod:`milter` whose bits are set in ``bits``, and the rest as hex.

    >>> decode_mask(0x43, ['ADDHDRS', 'CHGBODY', 'ADDRCPT'])
    ['ADDHDRS', 'CHGBODY', '0x40']
    """
    found = []
    rest = bits
    for name in names:
        value = getattr(milter, name)
        if bits & value:
            found.append(name)
            rest &= ~value
    if rest:
        found.append(hex(rest))
    return found


def _parameter(word: Any) -> tuple[str, Any]:
    """Split one ESMTP parameter; a milter that asked for bytes gets its value as bytes, under a str name."""
    if isinstance(word, bytes):
        key, equals, value = word.partition(b"=")
        return key.decode("utf-8", "surrogateescape").upper(), value if equals else None
    key, equals, value = word.partition("=")
    return key.upper(), value if equals else None


def _joined(params: str | Sequence[str] | None) -> str | None:
    return params if params is None or isinstance(params, str) else " ".join(params)


def _flatten(macros: Iterable[Any]) -> Iterator[bytes]:
    for item in macros:
        if isinstance(item, str):
            yield item.encode()
        elif isinstance(item, bytes):
            yield item
        else:
            yield from _flatten(item)


_PERCENT_RUN = re.compile("%+")


def _has_single_percent(line: str | bytes) -> bool:
    text = line.decode("latin-1") if isinstance(line, bytes) else line
    return any(len(run) % 2 for run in _PERCENT_RUN.findall(text))


def _decode_all(method: Callable[..., Any], args: Sequence[bytes]) -> Sequence[Any]:
    """Decode what one step received as its method asked with @decode; all of it stays bytes if any part must."""
    strategy = getattr(method, "error_strategy", "surrogateescape")
    if strategy == "bytes":
        return args
    try:
        return [arg.decode("utf-8", strategy) for arg in args]
    except UnicodeDecodeError:  # @decode('strict') promised str or, failing that, the bytes
        return args
    except LookupError:  # no such error handler: mail must not suffer for a slip of the pen
        return [arg.decode("utf-8", "surrogateescape") for arg in args]
