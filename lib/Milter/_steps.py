"""The decorators of steps and of classes: what the MTA need not send, need not wait for, or has to send besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from milter import (
    CONTINUE,
    M_CONNECT,
    M_DATA,
    M_ENVFROM,
    M_ENVRCPT,
    M_EOH,
    M_EOM,
    M_HELO,
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
)

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

# Bits that change what the MTA sends; a class asks for them with enable_protocols().
OPT_IN = P_RCPT_REJ | P_HDR_LEADSPC

_Class = TypeVar("_Class", bound=type[Any])
_Method = TypeVar("_Method", bound=Callable[..., Any])


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
    def uncalled(self: Any, *args: Any) -> int:
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
    def unanswered(self: Any, *args: Any) -> int:
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


def enable_protocols(klass: _Class, mask: int) -> _Class:
    """Let ``klass`` and its subclasses ask the MTA for the protocol bits in ``mask``; returns ``klass``.

    A bit that leaves a step or its answer out (``P_NO...``, ``P_NR_...``) holds until a subclass overrides that step.
    """
    klass._enabled_protocols = klass.__dict__.get("_enabled_protocols", 0) | mask
    _forget_masks(klass)
    return klass


def _forget_masks(klass: type[Any]) -> None:
    if "_protocol_mask" in klass.__dict__:
        del klass._protocol_mask
    for derived in klass.__subclasses__():
        _forget_masks(derived)


def rejected_recipients(klass: _Class) -> _Class:
    """Class decorator: ``envrcpt`` is also called for recipients that the MTA itself refuses."""
    return enable_protocols(klass, P_RCPT_REJ)


def header_leading_space(klass: _Class) -> _Class:
    """Class decorator: header values arrive, and are written, with their leading white space (DKIM wants that)."""
    return enable_protocols(klass, P_HDR_LEADSPC)


def mask_of(klass: type[Any]) -> int:
    """The bits to take out of what the MTA offers, from the decorators of ``klass`` and of its methods."""
    wanted = enabled = overridden = every = 0
    for ancestor in klass.__mro__:
        # Behind an override, what an ancestor asked for that step is no longer meant.
        enabled |= ancestor.__dict__.get("_enabled_protocols", 0) & ~overridden
        for name, bits in OPTIONAL_CALLBACKS.items():
            if name in ancestor.__dict__:
                overridden |= bits[0] | bits[1]
    for name, bits in OPTIONAL_CALLBACKS.items():
        every |= bits[0] | bits[1]
        wanted |= getattr(getattr(klass, name), "milter_protocol", 0)
    return ((every & ~wanted) | OPT_IN) & ~enabled


def decode_all(method: Callable[..., Any], args: Sequence[bytes]) -> Sequence[Any]:
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
