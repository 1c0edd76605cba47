"""Test a milter without MTA and libmilter: a context that drives it through ``Milter.factory``.

::

    Milter.factory = MyMilter
    ctx = TestCtx()
    ctx._setsymval('{auth_authen}', 'joe')
    assert ctx._connect('mail.example.com', helo='mail.example.com', ip='192.0.2.1') == Milter.CONTINUE
    with open('message.eml', 'rb') as fp:
        assert ctx._feedFile(fp, 'ann@example.com', 'joe@example.org') == Milter.ACCEPT
    assert b'X-Checked: yes' in ctx._body.getvalue()
    ctx._close()

What a milter calls is spelled as in the low-level module; what a test calls begins with an underscore. After a
message, ``_body`` is what the MTA would deliver, ``_msg`` the same parsed; ``_bodyreplaced``, ``_headerschanged``,
``_envfromchanged``, ``_sender``, ``_addrcpt`` (pairs with the parameters), ``_delrcpt``, ``_reply`` and
``_quarantine`` tell what was asked for.
"""

from __future__ import annotations

import ipaddress
import time
from io import BytesIO
from socket import AF_INET, AF_INET6
from typing import Any, BinaryIO, ClassVar

import Milter
from Milter import CURR_ACTS, OPTIONAL_CALLBACKS, P_HDR_LEADSPC
from Milter._rehearsal import (
    M_CONNECT,
    M_DATA,
    M_ENVFROM,
    M_ENVRCPT,
    M_EOH,
    M_EOM,
    M_HELO,
    Rehearsal,
    answer,
    bracketed,
    feed_body,
    octets,
)

_EVERY_PROTOCOL = 0x1FFFFF  # what an MTA offers that speaks version 6 of the protocol
_PORT = 1234


class TestCtx(Rehearsal):
    """The context of one SMTP connection, as a milter and its callbacks see it."""

    __test__ = False  # it is no test class of pytest's

    default_opts: ClassVar[list[int]] = [CURR_ACTS, _EVERY_PROTOCOL, 0, 0]
    """What the imagined MTA offers: [actions, protocol, 0, 0]."""

    def __init__(self, logfile: str = "test/milter.log") -> None:
        """``logfile`` is accepted for compatibility; nothing is logged."""
        super().__init__()
        self._opts = list(self.default_opts)
        self._protocol = 0
        self._activity = time.time()

    # What the milter calls.

    def getpriv(self) -> Any:
        """Return the milter object of this connection."""
        return self._priv

    def setpriv(self, priv: Any) -> None:
        """Keep the milter object of this connection."""
        self._priv = priv

    def getsymval(self, name: str) -> str | None:
        """Return a macro that was set with _setsymval(), if the present stage may see it."""
        return self._macro(name)

    def setreply(self, rcode: str, xcode: str | None, *msg: str) -> None:
        """Keep the reply in ``_reply``."""
        self._reply = (rcode, xcode, *msg)

    def setsymlist(self, stage: int, macros: str | bytes) -> None:
        """Restrict the macros of a stage."""
        self._want_macros(stage, [macros])

    def addheader(self, field: str, value: str | bytes, idx: int = -1) -> None:
        """Add a header field to the message."""
        self._add_header(field, value, idx)

    def chgheader(self, field: str, idx: int, value: str | bytes | None) -> None:
        """Change or remove a header field of the message."""
        self._change_header(field, idx, value)

    def addrcpt(self, rcpt: str, params: str | None = None) -> None:
        """Keep (rcpt, params) in ``_addrcpt``."""
        self._only_in_eom("addrcpt")
        self._addrcpt.append((rcpt, params))

    def delrcpt(self, rcpt: str) -> None:
        """Keep rcpt in ``_delrcpt``."""
        self._only_in_eom("delrcpt")
        self._delrcpt.append(rcpt)

    def replacebody(self, chunk: str | bytes) -> None:
        """Collect the new body."""
        self._replace_body(chunk)

    def chgfrom(self, sender: str, params: str | None = None) -> None:
        """Keep the new sender in ``_sender``."""
        self._change_sender(sender)

    def quarantine(self, reason: str) -> None:
        """Keep the reason in ``_quarantine``."""
        self._only_in_eom("quarantine")
        self._quarantine = reason

    def progress(self) -> None:
        """Keep the time in ``_activity``."""
        self._activity = time.time()

    # What the test calls.

    def _setsymval(self, name: str, val: str) -> None:
        """Set an MTA macro for the connection."""
        self._macros[name] = val

    def _negotiate(self) -> int:
        """Make the milter object and let it negotiate, as at the beginning of a connection."""
        self._opts = list(self.default_opts)
        rc = Milter.negotiate_callback(self, self._opts)
        if rc == Milter.ALL_OPTS:
            self._opts = list(self.default_opts)
        elif rc != Milter.CONTINUE:
            return rc
        self._protocol = self._opts[1]
        return Milter.CONTINUE

    def _calls(self, callback: str) -> bool:
        """Return whether the MTA was not told to leave this step out."""
        return not self._protocol & OPTIONAL_CALLBACKS[callback][1]

    def _connect(self, host: str = "localhost", helo: str = "spamrelay", ip: str = "1.2.3.4") -> int:
        """Negotiate, connect, say HELO; returns the first reply that is not CONTINUE. Raises ValueError for ``ip``."""
        try:
            version = ipaddress.ip_address(ip).version
        except ValueError:
            raise ValueError(f"TestCtx.connect: invalid ip address: {ip}") from None
        rc = self._negotiate()
        if rc == Milter.CONTINUE and self._calls("connect"):
            hostaddr = (ip, _PORT) if version == 4 else (ip, _PORT, 0, 0)
            with self._at(M_CONNECT):
                family = AF_INET if version == 4 else AF_INET6
                rc = answer(Milter.connect_callback(self, host, family, hostaddr))
        return self._helo(helo) if rc == Milter.CONTINUE else rc

    def _helo(self, helo: str) -> int:
        if not self._calls("hello"):
            return Milter.CONTINUE
        with self._at(M_HELO):
            return answer(self._priv.hello(helo))

    def _envfrom(self, *s: str) -> int:
        """MAIL FROM with ESMTP parameters; begins a message."""
        self._begin_message(s[0])
        if not self._calls("envfrom"):
            return Milter.CONTINUE
        with self._at(M_ENVFROM):
            return answer(self._priv.envfrom_bytes(*map(octets, s)))

    def _envrcpt(self, *s: str) -> int:
        if not self._calls("envrcpt"):
            return Milter.CONTINUE
        with self._at(M_ENVRCPT):
            return answer(self._priv.envrcpt_bytes(*map(octets, s)))

    def _data(self) -> int:
        if not self._calls("data"):
            return Milter.CONTINUE
        with self._at(M_DATA):
            return answer(self._priv.data())

    def _header(self, fld: str, val: str | bytes) -> int:
        return answer(self._priv.header_bytes(fld, octets(val))) if self._calls("header") else Milter.CONTINUE

    def _eoh(self) -> int:
        if not self._calls("eoh"):
            return Milter.CONTINUE
        with self._at(M_EOH):
            return answer(self._priv.eoh())

    def _feed_body(self, bfp: BinaryIO) -> int:
        return feed_body(octets(bfp.read()), self._priv.body) if self._calls("body") else Milter.CONTINUE

    def _eom(self) -> int:
        self._body = BytesIO()
        with self._at(M_EOM):
            rc = answer(self._priv.eom())
        self._end_message()
        return rc

    def _abort(self) -> int:
        """The client gives up the message: abort, then close."""
        self._priv.abort()
        return self._close()

    def _close(self) -> int:
        return Milter.close_callback(self)

    def _feedFile(self, fp: BinaryIO, sender: str = "spam@adv.com", rcpt: str = "victim@lamb.com", *rcpts: str) -> int:
        """Send the message in ``fp``; returns the first reply that is not CONTINUE, or that of end of message."""
        rc = self._envfrom(bracketed(sender))
        for recipient in (rcpt, *rcpts):
            if rc == Milter.CONTINUE:
                rc = self._envrcpt(bracketed(recipient))
        if rc == Milter.CONTINUE:
            rc = self._data()
        if rc != Milter.CONTINUE:
            return rc
        received = self._take(fp)
        for name, value in received.values(bool(self._protocol & P_HDR_LEADSPC)):
            rc = self._header(name, value)
            if rc != Milter.CONTINUE:
                return rc
        rc = self._eoh()
        if rc == Milter.CONTINUE:
            rc = self._feed_body(BytesIO(received.body))
        return self._eom() if rc == Milter.CONTINUE else rc

    def _feedMsg(self, fname: str, sender: str = "spam@adv.com", *rcpts: str) -> int:
        """Send the message in the file ``test/FNAME``."""
        with open("test/" + fname, "rb") as fp:
            return self._feedFile(fp, sender, *rcpts)
