"""Test a milter without MTA and libmilter, by deriving from it. :mod:`Milter.testctx` is closer to life.

::

    class Rehearsed(TestBase, MyMilter):
        def __init__(self):
            TestBase.__init__(self)
            MyMilter.__init__(self)

    milter = Rehearsed()
    assert milter.connect('mail.example.com', ip='192.0.2.1') == Milter.CONTINUE
    assert milter.feedMsg('samp1') == Milter.ACCEPT
    milter.close()

The attributes that tell what the milter asked for are those of :class:`Milter.testctx.TestCtx`, except that
``_addrcpt`` holds recipients without their parameters.
"""

from __future__ import annotations

import ipaddress
from io import BytesIO
from socket import AF_INET, AF_INET6
from typing import Any, BinaryIO

import Milter
from Milter import CURR_ACTS, P_HDR_LEADSPC
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

_EVERY_PROTOCOL = 0x1FFFFF
_PORT = 1234


class TestBase(Rehearsal):
    """To be named before the milter class among the bases of a test class."""

    __test__ = False  # it is no test class of pytest's

    def __init__(self, logfile: str = "test/milter.log") -> None:
        """What the milter logs is added to ``logfile``."""
        super().__init__()
        self._logfile = logfile
        self._negotiating = False

    def _close(self) -> None:
        """There is nothing to clean up."""

    # In place of the methods of Milter.Base that need a context.

    def log(self, *msg: object) -> None:
        """Add one line to the log file."""
        with open(self._logfile, "a", encoding="utf-8", errors="backslashreplace") as file:
            print(*msg, file=file)

    def setsymval(self, name: str, val: str) -> None:
        """Set an MTA macro, for tests to call."""
        self._macros[name] = val

    def getsymval(self, name: str) -> str | None:
        """Return a macro that was set with setsymval(), if the present stage may see it."""
        return self._macro(name)

    def setsymlist(self, stage: int, *macros: Any) -> None:
        """Restrict the macros of a stage."""
        if not self._negotiating:
            raise RuntimeError("setsymlist may only be called from negotiate")
        self._want_macros(stage, macros)

    def setreply(self, rcode: str, xcode: str | None = None, *msg: str) -> None:
        """Keep the reply in ``_reply``."""
        self._reply = (rcode, xcode, *msg)

    def replacebody(self, chunk: str | bytes) -> None:
        """Collect the new body."""
        self._replace_body(chunk)

    def chgfrom(self, sender: str, params: Any = None) -> None:
        """Keep the new sender in ``_sender``."""
        self.log(f"chgfrom: sender={sender}")
        self._change_sender(sender)

    def quarantine(self, reason: str) -> None:
        """Keep the reason in ``_quarantine``."""
        self._only_in_eom("quarantine")
        self._quarantine = reason

    def progress(self) -> None:
        """The imagined MTA is patient."""

    def chgheader(self, field: str, idx: int, value: str | bytes | None) -> None:
        """Change or remove a header field of the message."""
        self.log(f"chgheader: {field}[{idx}]={value!s}")
        self._change_header(field, idx, value)

    def addheader(self, field: str, value: str | bytes, idx: int = -1) -> None:
        """Add a header field to the message."""
        self.log(f"addheader: {field}={value!s}")
        self._add_header(field, value, idx)

    def delrcpt(self, rcpt: str) -> None:
        """Keep the recipient in ``_delrcpt``."""
        self._only_in_eom("delrcpt")
        self._delrcpt.append(rcpt)

    def addrcpt(self, rcpt: str, params: Any = None) -> None:
        """Keep the recipient in ``_addrcpt``."""
        self._only_in_eom("addrcpt")
        self._addrcpt.append(rcpt)

    # What a test calls.

    def connect(self, host: str = "localhost", helo: str = "spamrelay", ip: str = "1.2.3.4") -> int:
        """Negotiate, connect, say HELO; returns the first reply that is not CONTINUE."""
        self._negotiate_everything()
        version = ipaddress.ip_address(ip).version
        hostaddr = (ip, _PORT) if version == 4 else (ip, _PORT, 0, 0)
        with self._at(M_CONNECT):
            connect = super().connect  # type: ignore[misc]  # the milter's, whose name this method has
            rc = answer(connect(host, AF_INET if version == 4 else AF_INET6, hostaddr))
        if rc != Milter.CONTINUE:
            return rc
        with self._at(M_HELO):
            return answer(self.hello(helo))  # type: ignore[attr-defined]

    def _negotiate_everything(self) -> None:
        milter: Any = self
        self._negotiating = True
        try:
            milter.negotiate([CURR_ACTS, _EVERY_PROTOCOL, 0, 0])
        finally:
            self._negotiating = False

    def feedFile(self, fp: BinaryIO, sender: str = "spam@adv.com", rcpt: str = "victim@lamb.com", *rcpts: str) -> int:
        """Send the message in ``fp``; returns the first reply that is not CONTINUE, or that of end of message."""
        self._begin_message(bracketed(sender))
        rc = self._envelope(bracketed(sender), [bracketed(recipient) for recipient in (rcpt, *rcpts)])
        if rc != Milter.CONTINUE:
            return rc
        milter: Any = self
        received = self._take(fp)
        for name, value in received.values(bool(milter._protocol & P_HDR_LEADSPC)):
            rc = answer(milter.header_bytes(name, value))
            if rc != Milter.CONTINUE:
                return rc
        with self._at(M_EOH):
            rc = answer(milter.eoh())
        if rc == Milter.CONTINUE:
            rc = feed_body(received.body, milter.body)
        return self._finish() if rc == Milter.CONTINUE else rc

    def _envelope(self, sender: str, recipients: list[str]) -> int:
        milter: Any = self
        with self._at(M_ENVFROM):
            rc = answer(milter.envfrom_bytes(octets(sender)))
        for recipient in recipients:
            if rc == Milter.CONTINUE:
                with self._at(M_ENVRCPT):
                    rc = answer(milter.envrcpt_bytes(octets(recipient)))
        if rc == Milter.CONTINUE:
            with self._at(M_DATA):
                rc = answer(milter.data())
        return rc

    def _finish(self) -> int:
        milter: Any = self
        self._body = BytesIO()
        with self._at(M_EOM):
            rc = answer(milter.eom())
        self._end_message()
        milter.close()
        return rc

    def feedMsg(self, fname: str, sender: str = "spam@adv.com", *rcpts: str) -> int:
        """Send the message in the file ``test/FNAME``."""
        with open("test/" + fname, "rb") as fp:
            return self.feedFile(fp, sender, *rcpts)
