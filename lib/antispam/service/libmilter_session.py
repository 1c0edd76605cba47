"""The adapter between libmilter and a session: callbacks in, replies and edits out. It decides nothing."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
from collections.abc import Callable
from typing import Any

import Milter
from antispam.journey.delivery import Outcome
from antispam.journey.session import OutOfOrder, Session
from antispam.mail.draft import (
    AddRecipient,
    AppendHeader,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    Edit,
    InsertHeader,
    ReplaceBody,
)
from antispam.mail.message import Auth, envelope_address
from antispam.mail.verdicts import Action, Verdict
from antispam.service.activity import Activity
from antispam.settings.program import RejectAt

# The actions that we may request at the end of a message; others need not be negotiated.
ACTIONS = (
    Milter.ADDHDRS
    | Milter.CHGHDRS
    | Milter.CHGBODY
    | Milter.ADDRCPT
    | Milter.ADDRCPT_PAR
    | Milter.DELRCPT
    | Milter.CHGFROM
    | Milter.QUARANTINE
    | Milter.SETSYMLIST
)

NOBODY = Auth()

log = logging.getLogger(__name__)

_RETURNS = {
    Action.CONTINUE: Milter.CONTINUE,
    Action.ACCEPT: Milter.CONTINUE,  # policy ended, the journey goes on
    Action.PASS: Milter.CONTINUE,
    Action.REJECT: Milter.REJECT,
    Action.TEMPFAIL: Milter.TEMPFAIL,
    Action.DISCARD: Milter.DISCARD,
    Action.QUARANTINE: Milter.DISCARD,  # it is in our store by now
    Action.HOLD: Milter.CONTINUE,
}


def _in_order(step: Callable[..., int]) -> Callable[..., int]:
    """Guard a step of a message. Without a message it gets a reply and a log line, or is ignored if it needs no reply.
    After a failed MAIL it fails, too, so that the policy for exceptions applies to the whole message.
    """

    @functools.wraps(step)
    def ordered(self: Any, *arguments: Any) -> int:
        mail_came = self.mail_came
        try:
            return step(self, *arguments)
        except OutOfOrder as error:
            if mail_came:
                raise
            log.warning("[%s] %s came out of order: %s", self.session.connection.ref, step.__name__, error)
            return Milter.TEMPFAIL if step.__name__ in ("envrcpt", "data", "eom") else Milter.CONTINUE

    return ordered


class SessionMilter(Milter.Base):
    """The target of libmilter's callbacks, one for each connection. `milter_class` makes a program's class."""

    new_session: Callable[[], Session]
    activity: Activity

    def __init__(self) -> None:
        self.session = self.new_session()
        self.failed = ""  # the step before any message that raised an exception and needed no reply
        self.mail_came = False  # true even if MAIL failed, so that there is no message
        self.activity.session_opened(id(self))

    @Milter.symlist("j", "{client_ptr}", "{client_resolve}", "{if_addr}")
    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:
        ip, port = _address(family, hostaddr)
        resolve = self._macro("{client_resolve}")
        with self.activity.callback():
            verdict = self.session.connect(
                ip,
                port=port,
                name=_verified(hostname, resolve),
                ptr=_name(self._macro("{client_ptr}") or hostname),
                resolve=resolve,
                receiver=self._macro("j"),
                macros={"{if_addr}": self._macro("{if_addr}")},
            )
            return self._reply(verdict)

    def hello(self, hostname: str) -> int:
        with self.activity.callback():
            return self._reply(self.session.helo(hostname))

    @Milter.symlist("i", "{auth_authen}", "{auth_type}")
    def envfrom(self, f: str, *params: str) -> int:
        self.mail_came = True
        if self.failed:
            raise RuntimeError(f"{self.failed} failed: what it found out about the client is missing")
        self.activity.message_began(id(self))
        with self.activity.callback():
            login = self._macro("{auth_authen}")
            auth = Auth(login, self._macro("{auth_type}")) if login else NOBODY
            verdict = self.session.mail(envelope_address(f), params, auth, self._macro("i"))
        return self._reply_or_end(verdict)

    @_in_order
    def envrcpt(self, to: str, *params: str) -> int:
        with self.activity.callback():
            return self._reply(self.session.rcpt(envelope_address(to), params, to))

    @_in_order
    def data(self) -> int:
        with self.activity.callback():
            return self._reply_or_end(self.session.data())

    @Milter.noreply
    @Milter.decode("bytes")
    @_in_order
    def header(self, name: str, value: bytes) -> int:
        self.session.header(name.encode("utf-8", "surrogateescape"), value if self._leading_space else b" " + value)
        return Milter.CONTINUE

    @_in_order
    def header_fields(self, fields: list[tuple[bytes, bytes]]) -> int:
        """Receive all fields at once, if libmilter's caller agreed that they need no reply."""
        if not self._leading_space:
            fields = [(name, b" " + value) for name, value in fields]
        self.session.headers(fields)
        return Milter.CONTINUE

    @Milter.noreply
    @_in_order
    def body(self, chunk: bytes) -> int:
        self.session.body(chunk)
        return Milter.CONTINUE

    @Milter.symlist("i")
    @_in_order
    def eom(self) -> int:
        try:
            with self.activity.end_of_message():
                outcome = self.session.end(self._macro("i"), tick=self._tick)
                try:
                    result = self._carry_out(outcome)
                except (Milter.error, Milter.DisabledAction) as error:
                    result = self._reply(self.session.refused(f"the MTA did not accept a change: {error}"))
                else:
                    self.session.taken()
        finally:
            # The message always gets a reply: after an exception libmilter applies the policy.
            self.activity.message_ended(id(self))
            self.mail_came = False
        # CONTINUE lets the message pass, as ACCEPT would. But after an ACCEPT libmilter ignores an MTA that goes on
        # with its next client on this socket (SMFIC_QUIT_NC), and we would take it for the first client.
        return result

    def abort(self) -> int:
        with self.activity.callback():
            self.session.abort()
        self.activity.message_ended(id(self))
        self.mail_came = False
        return Milter.CONTINUE

    def close(self) -> int:
        with self.activity.callback():
            self.session.close()
        self.activity.session_closed(id(self))
        return Milter.CONTINUE

    @property
    def _leading_space(self) -> bool:
        return bool(self._protocol & Milter.P_HDR_LEADSPC)

    def _macro(self, name: str) -> str:
        return self.getsymval(name) or ""

    def _reply(self, verdict: Verdict) -> int:
        if verdict.action.refuses:
            # libmilter treats the text as a format string: a single % would drop the whole reply.
            lines = [line.replace("%", "%%") for line in verdict.reply_lines()]
            self.setreply(str(verdict.code), verdict.enhanced, *lines)
        return _RETURNS[verdict.action]

    def _reply_or_end(self, verdict: Verdict) -> int:
        """A refusal ends the message: no abort follows, and a stop must not wait for it."""
        if verdict.action.refuses:
            self.activity.message_ended(id(self))
        return self._reply(verdict)

    def _tick(self) -> None:
        """Send a progress report. If the MTA is gone, the edits that follow will fail and tell."""
        with contextlib.suppress(Milter.error):
            self.progress()

    def _carry_out(self, outcome: Outcome) -> int:
        for edit in outcome.edits:
            self._send(edit)
        if outcome.verdict.action is Action.HOLD:
            self.quarantine(outcome.verdict.reason)
        return self._reply(outcome.verdict)

    def _send(self, edit: Edit) -> None:
        space = " " if self._leading_space else ""
        match edit:
            case InsertHeader(name, value):
                self.addheader(name, space + value, 0)
            case AppendHeader(name, value):
                self.addheader(name, space + value)
            case ChangeHeader(name, occurrence, value):
                self.chgheader(name, occurrence, None if value is None else space + value)
            case ReplaceBody(content):
                self.replacebody(content)
            case ChangeSender(address):
                self.chgfrom(f"<{address}>")
            case AddRecipient(address, params):
                self.addrcpt(f"<{address}>", params or None)
            case DeleteRecipient(path):
                self.delrcpt(path)


def milter_class(
    new_session: Callable[[], Session], activity: Activity, reject_at: RejectAt, *, asks_recipients: bool = True
) -> type[Milter.Base]:
    """The class of a program's milters. Steps that never refuse anything are negotiated to need no reply: that is most
    of a milter's speed.

    new_session      makes the session of a connection
    activity         is notified of the beginning and end of each step
    reject_at        the step at which senders are refused
    asks_recipients  whether any check may refuse a recipient
    """
    made: type[SessionMilter] = type(
        "SessionMilter", (SessionMilter,), {"new_session": staticmethod(new_session), "activity": activity}
    )
    if reject_at is not RejectAt.NOW:
        _without_reply(made, "connect", "hello", "envfrom")
    if reject_at is RejectAt.END and not asks_recipients:
        _without_reply(made, "envrcpt")
    if reject_at is not RejectAt.DATA:
        # Nothing happens at DATA then, so the callback is not needed.
        made.data = Milter.Base.data  # type: ignore[method-assign]
    return Milter.header_leading_space(made)


def _without_reply(cls: type[Milter.Base], *steps: str) -> None:
    for step in steps:
        setattr(cls, step, Milter.noreply(_remembering_failure(getattr(cls, step))))


def _remembering_failure(step: Callable[..., int]) -> Callable[..., int]:
    """Remember an exception in connect or HELO. The core lets mail pass after one in a step without reply, as pymilter
    does. We must not: a check would take an unknown client for one of ours. So the next MAIL fails, too, and gets a
    reply.
    """

    @functools.wraps(step)
    def remembering(self: Any, *arguments: Any) -> int:
        try:
            return step(self, *arguments)
        except Exception:
            self.failed = step.__name__
            raise

    return remembering


def _address(family: int, hostaddr: Any) -> tuple[str, int]:
    if family not in (socket.AF_INET, socket.AF_INET6) or not hostaddr:
        return "", 0
    ip = str(hostaddr[0]).removeprefix("IPv6:")
    # A dual-stack MTA reports IPv4 clients as mapped addresses; lists and SPF records mean the IPv4 address.
    return ip.removeprefix("::ffff:") if "." in ip else ip, int(hostaddr[1])


def _name(hostname: str) -> str:
    """The client's name; "" for the forms that MTAs use for "unknown"."""
    return "" if not hostname or hostname.startswith("[") or hostname == "unknown" else hostname


def _verified(hostname: str, resolve: str) -> str:
    """The name if it is verified. sendmail passes it on even if the forward look-up disagrees, and reports that only in
    {client_resolve}.
    """
    return _name(hostname) if resolve in ("", "OK") else ""
