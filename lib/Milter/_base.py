"""The object of one SMTP connection: what a milter derives from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from typing import Any

import milter
from milter import (
    ADDHDRS,
    ADDRCPT,
    ADDRCPT_PAR,
    CHGFROM,
    CHGHDRS,
    CONTINUE,
    CURR_ACTS,
    DELRCPT,
    MODBODY,
    QUARANTINE,
    SETSYMLIST,
)
from Milter._steps import MACRO_CALLBACKS, MAX_MACROS, decode_all, mask_of, nocallback, noreply


class DisabledAction(RuntimeError):
    """A change was requested that was not negotiated with the MTA; the argument names the action flag."""


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
        None if the MTA does not know.
        """
        return CONTINUE

    @nocallback
    def hello(self, hostname: str) -> int:
        """HELO or EHLO; it comes a second time after STARTTLS."""
        return CONTINUE

    def envfrom_bytes(self, *b: bytes) -> int:
        """MAIL FROM as raw bytes. Decodes (see :func:`decode`) and calls :meth:`envfrom`."""
        return self.envfrom(*decode_all(self.envfrom, b))

    @nocallback
    def envfrom(self, f: str, *s: str) -> int:
        """MAIL FROM: the address as the client wrote it, usually in ``<>``, then the ESMTP parameters."""
        return CONTINUE

    def envrcpt_bytes(self, *b: bytes) -> int:
        """RCPT TO as raw bytes. Decodes (see :func:`decode`) and calls :meth:`envrcpt`."""
        return self.envrcpt(*decode_all(self.envrcpt, b))

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
        return header(fld, *decode_all(header, (val,)))

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
            mask = cls._protocol_mask = mask_of(cls)  # type: ignore[attr-defined]
        return int(mask)

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
        """Return the value of an MTA macro (``'j'``, ``'{auth_authen}'``) at any step, None if it has none."""
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
        self.log(f"connect from {hostname} at {hostaddr}")
        return CONTINUE

    @noreply
    def hello(self, hostname: str) -> int:
        self.log(f"hello from {hostname}")
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
