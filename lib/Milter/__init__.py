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
import sys
from collections.abc import Callable, MutableSequence
from functools import wraps
from typing import Any

import milter
from _libmilter.constants import *  # noqa: F403  # pymilter's callers expect every constant and function here
from _libmilter.constants import CONTINUE, P_NR_CONN
from milter import *  # noqa: F403
from Milter._base import Base, DisabledAction, Milter
from Milter._parameters import decode_mask, dictfromlist, envcallback, param2dict
from Milter._steps import (
    MACRO_CALLBACKS,
    OPTIONAL_CALLBACKS,
    decode,
    enable_protocols,
    header_leading_space,
    nocallback,
    noreply,
    rejected_recipients,
    symlist,
)

__version__ = "1.0.5"  # the pymilter whose callers we serve; the product has a version of its own

# What `from Milter import *` gives in pymilter, three of the standard library's names among it.
__all__ = [
    "MACRO_CALLBACKS",
    "OPTIONAL_CALLBACKS",
    "Base",
    "DisabledAction",
    "Milter",
    "R",
    "close_callback",
    "connect_callback",
    "decode",
    "decode_mask",
    "dictfromlist",
    "enable_protocols",
    "envcallback",
    "header_leading_space",
    "negotiate_callback",
    "nocallback",
    "noreply",
    "param2dict",
    "re",
    "register_callbacks",
    "rejected_recipients",
    "runmilter",
    "symlist",
    "sys",
    "uniqueID",
    "wraps",
]  # fmt: skip
__all__ += milter.__all__

R = re.compile("%+")
"""Where setreply() looks for a percent sign that is not doubled."""

_sequence = itertools.count(1)


def uniqueID() -> int:
    """Return a number that no other call in this process returned: 1, 2, 3, ..."""
    return next(_sequence)  # one C call, hence atomic among the threads of libmilter


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
    socket that an earlier run left behind is removed first. Raises ``milter.error`` if the socket cannot be had.
    """
    register_callbacks(name)
    milter.setconn(socketname)
    if timeout > 0:
        milter.settimeout(timeout)
    milter.opensocket(rmsock)
    milter.main()
