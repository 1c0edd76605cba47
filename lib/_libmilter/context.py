"""One connection of an MTA to the milter, as callbacks get it: what lib/milter.py offers as `error` and `milterContext`."""

from __future__ import annotations

import functools
import operator
from typing import Any

import _libmilter
from _libmilter import ffi, lib
from _libmilter.constants import SUCCESS

Text = str | bytes


class error(Exception):
    """libmilter refused a call. The message says what was asked of it; libmilter itself tells no reason."""

    __module__ = "milter"  # what tracebacks call it


def encode(text: Text) -> bytes:
    """The bytes of a text for C; raises TypeError and ValueError (a NUL inside) as a C module's argument check."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    elif not isinstance(text, bytes):
        raise TypeError(f"expected str or bytes, not {type(text).__name__}")
    if b"\0" in text:
        raise ValueError("embedded null character")
    return text


_macro_name = functools.lru_cache(maxsize=128)(encode)


def _optional(text: Text | None) -> Any:
    return ffi.NULL if text is None else encode(text)


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
        """The value of a macro (`j`, `{auth_authen}`), or None if the MTA did not send it."""
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
        texts = [ffi.from_buffer("char[]", encode(line) + b"\0") for line in lines]
        array = ffi.new("char *[]", lib.SETREPLY_LINES)
        array[0 : len(texts)] = texts
        if lib.set_reply(ctx, encode(rcode), _optional(xcode), array, len(texts)) != SUCCESS:
            raise error("cannot set reply")

    def addheader(self, field: Text, value: Text, index: int = -1, /) -> None:
        """Append a header field, or insert it as the index-th of all (0: before the first)."""
        name, content = encode(field), encode(value)
        kind = lib.ADD_HEADER if index < 0 else lib.INSERT_HEADER
        if not self._deferred(kind, max(0, index), name, content):
            ctx = self._in_order()
            add = lib.smfi_addheader(ctx, name, content) if index < 0 else lib.smfi_insheader(ctx, index, name, content)
            if add != SUCCESS:
                raise error("cannot add header")

    def chgheader(self, field: Text, index: int, value: Text | None, /) -> None:
        """Change the index-th field of this name, counting from 1; None or an empty value deletes it."""
        name, content = encode(field), None if value is None else encode(value)
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
            result = lib.smfi_addrcpt(ctx, encode(rcpt))
        else:
            result = lib.smfi_addrcpt_par(ctx, encode(rcpt), encode(params))
        if result != SUCCESS:
            raise error("cannot add recipient")

    def delrcpt(self, rcpt: Text, /) -> None:
        """Remove an envelope recipient, spelled exactly as envrcpt got it."""
        if lib.smfi_delrcpt(self._in_order(), encode(rcpt)) != SUCCESS:
            raise error("cannot delete recipient")

    def chgfrom(self, sender: Text, params: Text | None = None, /) -> None:
        """Replace the envelope sender, with ESMTP parameters if given."""
        if lib.smfi_chgfrom(self._in_order(), encode(sender), _optional(params)) != SUCCESS:
            raise error("cannot change sender")

    def replacebody(self, body: Text | bytearray | memoryview, /) -> None:
        """Replace the body (lines end with CR LF); a second call appends to the first."""
        content = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else memoryview(body).tobytes()
        if lib.smfi_replacebody(self._in_order(), content, len(content)) != SUCCESS:
            raise error("cannot replace message body")

    def quarantine(self, reason: Text, /) -> None:
        """Have the MTA hold the message in its queue."""
        if lib.smfi_quarantine(self._in_order(), encode(reason)) != SUCCESS:
            raise error("cannot quarantine message")

    def progress(self) -> None:
        """Tell the MTA that work goes on, so that its timer starts again."""
        if lib.smfi_progress(self._open()) != SUCCESS:
            raise error("cannot notify progress")

    def setsymlist(self, stage: int, macros: Text, /) -> None:
        """In the negotiate callback: the macros (separated by blanks) that the MTA shall send at a stage M_*."""
        if lib.smfi_setsymlist(self._open(), stage, encode(macros)) != SUCCESS:
            raise error("cannot set macro list")
