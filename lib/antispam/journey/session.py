"""One SMTP session on its journey: SMTP steps in, verdicts and edits out. It knows nothing about milters."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from antispam.deadline import Deadline
from antispam.journey import spoken
from antispam.journey.delivery import Delivery, Outcome, Recorder
from antispam.journey.disposition import disposition_of
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.table import Stage
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision, ruling
from antispam.mail.findings import Findings
from antispam.mail.message import Auth, Body, Header, Message, Recipient
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import CONTINUE, Action, Verdict, reject, tempfail
from antispam.references import new_reference
from antispam.settings.program import ExceptionPolicy, ProgramSettings, RejectAt
from antispam.text import for_log

log = logging.getLogger(__name__)

MAX_RECIPIENTS = 10_000
MAX_HEADERS = 5_000
MAX_HEADER_BYTES = 1 << 20
_MAX_LOGGED = 20  # recipients
QUEUED = 0.1  # seconds: a command that comes so soon after the end of the one before was waiting for it
LEAST_TIME = 1.0  # seconds that a step gets even where the one before it took all the time


_as_header = functools.partial(tuple.__new__, Header)  # Header._make() without the call of a Python function


def _nothing() -> None:
    pass


class OutOfOrder(Exception):
    """A step of a message came, but there is no message: the client is not an MTA, or a broken one."""


class Session:
    """Call the methods in SMTP's order. connect, helo, mail, rcpt and data answer with the verdict to speak at that step. After
    end() the caller makes the edits and then calls taken() or refused(), which records the message."""

    def __init__(self, runner: Runner, services: Services, recorder: Recorder | None = None) -> None:
        self._runner = runner
        self._services = services
        self._recorder = recorder
        self._program = services.settings[ProgramSettings]
        self._header_bytes = 0
        self._ending: _Ending | None = None  # of the current message, once its end came
        self._offended: Verdict | None = None  # the last offence that nobody has counted yet
        self._mail_ends = self._mail_ended = 0.0  # of the last MAIL: its deadline and its end, in monotonic seconds
        self.connection = Connection(ref=new_reference())
        self.message: Message | None = None

    def connect(
        self,
        ip: str,
        *,
        port: int = 0,
        name: str = "",
        ptr: str = "",
        resolve: str = "",
        receiver: str = "",
        macros: Mapping[str, str] | None = None,
    ) -> Verdict:
        """The arguments are those of Connection."""
        self.connection = Connection(
            ref=self.connection.ref,
            ip=ip,
            port=port,
            name=name,
            ptr=ptr,
            resolve=resolve,
            receiver=receiver,
            macros=macros or {},
        )
        self._run(Stage.CONNECT)
        return self._speak(RejectAt.NOW)

    def helo(self, name: str) -> Verdict:
        """HELO or EHLO. A second one, as after STARTTLS, runs the HELO checks again and ends a message in progress."""
        self._finish()
        connection = self.connection
        for row in self._runner.journey.at(Stage.HELO):
            connection.findings.discard(row.check.Finding)
        connection.helo_decisions.clear()
        connection.helo = name
        connection.helos += 1
        self._run(Stage.HELO)
        return self._speak(RejectAt.NOW)

    def mail(self, address: str, params: tuple[str, ...] = (), auth: Auth | None = None, queue_id: str = "") -> Verdict:
        """Start a message; one still in progress is recorded as it stands."""
        self._finish()
        self._header_bytes = 0
        self.connection.messages += 1
        self.message = Message(
            ref=new_reference(),
            mail_from=address,
            received_at=self._services.clock(),
            body=Body(self._program.max_message),
            params=params,
            auth=auth or Auth(),
            queue_id=queue_id,
            findings=Findings(self.connection.findings),
        )
        self._run(Stage.MAIL)
        self._mail_ended = time.monotonic()
        return self._speak(RejectAt.NOW)

    def rcpt(self, address: str, params: tuple[str, ...] = (), path: str = "") -> Verdict:
        """Each recipient has its own verdict. `path` is the address as the client wrote it."""
        message = self._current()
        if len(message.recipients) >= MAX_RECIPIENTS:
            return self._too_many()
        recipient = Recipient(address, params, path or f"<{address}>", Findings(message.findings))
        message.recipients.append(recipient)
        refusal = self._refusal()
        if refusal is not None and self._program.reject_at in (RejectAt.DATA, RejectAt.END):
            return CONTINUE
        if refusal is None and self._asks(Stage.RCPT):
            self._run(Stage.RCPT, recipient)
            refusal = self._refusal(recipient)
        recipient.refused = refusal
        self._count_offences()  # what follows from them concerns the next recipient
        return CONTINUE if recipient.refused is None else self._say(recipient.refused, recipient)

    def _too_many(self) -> Verdict:
        """A recipient beyond the limit. If replies at RCPT are not awaited, the whole message is refused: this recipient would
        get it unchecked."""
        if self._program.reject_at is not RejectAt.END or self._asks(Stage.RCPT):
            return tempfail("Too many recipients; send the rest in another message.", "too many recipients", code=452,
                            enhanced="4.5.3")  # fmt: skip
        if self._refusal() is None:
            text = "The message has too many recipients; please send it to fewer at a time."
            # The first: a quarantine, firm as it may be, would keep the message for those who were taken, and for nobody else.
            self._current().decisions.insert(
                0, Decision("limits", reject(text, "too many recipients", enhanced="5.5.3"), firm=True)
            )
        return CONTINUE

    def data(self) -> Verdict:
        """Reply with a refusal that waited until all recipients were logged."""
        return self._speak(RejectAt.DATA)

    def header(self, name: bytes, value: bytes) -> None:
        """Beyond a generous cap header fields are dropped here, and end() refuses the message."""
        message = self.message or self._current()
        headers = message.headers
        self._header_bytes += len(name) + len(value)
        if self._header_bytes <= MAX_HEADER_BYTES and len(headers) < MAX_HEADERS:
            headers.append(Header(name, value))
        if self._program.log_headers:
            log.info("[%s] header %s:%s", message.ref, for_log(name), for_log(value))

    def headers(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Several header fields at once; the same as header() for each."""
        message = self._current()
        octets = sum(map(len, itertools.chain.from_iterable(fields)))
        fit = self._header_bytes + octets <= MAX_HEADER_BYTES and len(message.headers) + len(fields) <= MAX_HEADERS
        if fit and not self._program.log_headers:
            self._header_bytes += octets
            message.headers += map(_as_header, fields)
            return
        for name, value in fields:
            self.header(name, value)

    def body(self, chunk: bytes) -> None:
        self._current().body.write(chunk)

    def end(self, queue_id: str = "", tick: Callable[[], None] = _nothing) -> Outcome:
        """The end of the message: run the last stage, then say what shall happen and which edits to make. taken() or
        refused() must follow.

        tick is called every few seconds while the checks wait, to tell the MTA that work goes on.
        """
        message = self._current()
        self._ending = _Ending()
        message.queue_id = queue_id or message.queue_id
        if self._headers_too_large():
            text = "The header section is larger than any message needs; please send the message with a smaller header."
            message.decisions.append(
                Decision("limits", reject(text, "too many header fields", enhanced="5.3.4"), firm=True)
            )
        if self._refusal() is None:
            self._run(Stage.END, tick=tick)
        delivery = self._delivery()
        outcome = delivery.conclude(disposition_of(self._subject()))
        self._ending = _Ending(delivery, outcome.verdict)
        return outcome

    def taken(self) -> None:
        """The edits of end() were made: the disposition of end() is in effect."""
        delivery, verdict = self._ended()
        delivery.taken()
        self._conclude(verdict)

    def refused(self, why: str) -> Verdict:
        """An edit of end() could not be made. Returns the reply to the client, which asks for a retry."""
        delivery, _ = self._ended()
        verdict = delivery.refused(why)
        self._conclude(verdict)
        return verdict

    def abort(self) -> None:
        """The client or the MTA aborted the message."""
        self._finish()

    def close(self) -> None:
        self._finish()

    def _current(self) -> Message:
        if self.message is None:
            raise OutOfOrder("no message is in progress: MAIL FROM has not been seen")
        return self.message

    def _subject(self, recipient: Recipient | None = None) -> Subject:
        return Subject(self.connection, self.message, recipient)

    def _headers_too_large(self) -> bool:
        return self._header_bytes > MAX_HEADER_BYTES or len(self._current().headers) >= MAX_HEADERS

    def _services_for(self, stage: Stage) -> Services:
        if stage is Stage.END:
            return self._services.until(Deadline.after(self._program.message_timeout))
        now = time.monotonic()
        ends = now + self._program.step_timeout
        if stage is Stage.MAIL:
            self._mail_ends = ends
        elif stage is Stage.RCPT and now - self._mail_ended < QUEUED and self._program.reject_at is not RejectAt.NOW:
            # MAIL was not answered, so the MTA may have sent RCPT at once, and its timer runs since then.
            ends = max(self._mail_ends, now + LEAST_TIME)
        return self._services.until(Deadline(ends))

    def _asks(self, stage: Stage) -> bool:
        return self._runner.asks(stage, self._services.settings)

    def _run(self, stage: Stage, recipient: Recipient | None = None, tick: Callable[[], None] | None = None) -> None:
        """Run a stage. Where its refusal is spoken at once, rows below it are not asked; a refusal found earlier waits for a
        whitelist to overrule it, so there all rows are."""
        subject = self._subject(recipient)
        spoken = stage in (Stage.RCPT, Stage.END)
        settled = spoken and _settled(all_decisions(subject))
        dropped = 0
        for decision in self._runner.run(stage, subject, self._services_for(stage), tick=tick):
            verdict = decision.verdict
            if verdict.demerits and decision.counts:
                self.connection.demerits += verdict.demerits
                self._offended = verdict
            if verdict.action is not Action.CONTINUE:
                if not decision.counts:
                    would = (subject.ref, verdict.action.upper(), decision.check, for_log(verdict.reason))
                    log.info("[%s] WOULD %s %s: %s", *would)
                elif stage is Stage.END and decision.firm and verdict.action is Action.DISCARD:
                    dropped += 1
                    recipients = self._current().accepted_recipients
                    if dropped >= len(recipients):  # one recipient may have been dropped by two checks
                        dropped = sum(map(_is_dropped, recipients))
                    if dropped == len(recipients):
                        return  # for example a report that has taught: nobody gets it, and a refusal would only bring it back
                settled = spoken and _settled(all_decisions(subject))
            if settled:
                return

    def _refusal(self, recipient: Recipient | None = None) -> Decision | None:
        """The decision that currently refuses the subject."""
        decision = ruling(all_decisions(self._subject(recipient)))
        return decision if decision is not None and decision.verdict.action.refuses else None

    def _speak(self, step: RejectAt) -> Verdict:
        refusal = self._refusal() if self._program.reject_at is step else None
        return CONTINUE if refusal is None else self._say(refusal)

    def _say(self, decision: Decision, recipient: Recipient | None = None) -> Verdict:
        pages = spoken.errors_url(decision, self._runner.journey, self._services.settings)
        return spoken.say(decision, self._subject(recipient), pages)

    def _delivery(self) -> Delivery:
        return Delivery(self._runner, self._recorder, self._subject(), lambda: self._services_for(Stage.END))

    def _ended(self) -> tuple[Delivery, Verdict]:
        if self._ending is None or self._ending.delivery is None:
            raise OutOfOrder("no message has ended")
        return self._ending.delivery, self._ending.verdict

    def _conclude(self, verdict: Verdict) -> None:
        self._record(verdict)
        if (
            self.message is not None
        ):  # what checks remember of a message refers back to it: it would wait for the collector
            self.message.memo.clear()
        self.message = self._ending = None

    def _record(self, verdict: Verdict) -> None:
        if self._recorder is not None:
            self._recorder.record(self._subject(), verdict)
        self._count_offences()
        if not self._services.read_only and self._runner.has("concluded", self._services.settings):
            self._runner.concluded(self._subject(), verdict, self._services_for(Stage.END))

    def _count_offences(self) -> None:
        """Not before RCPT: only then is it known whether the client authenticated. And not as late as the end of the
        connection: who is to be banned may be back before that is noticed."""
        if self._offended is not None and not self._services.read_only:
            self._runner.offended(self._subject(), self._offended, self._services_for(Stage.END))
            self._offended = None

    def _finish(self) -> None:
        """Write down a message that nobody told about the end of: refused at RCPT or DATA, aborted, or the client went away.
        An exception at its end is answered by libmilter's binding, as untrapped_exception says."""
        if self.message is None:
            return
        if self._ending is not None:
            self._conclude(_UNTRAPPED[self._program.untrapped_exception])
            return
        refusal = self._refusal()
        refused = [recipient.refused for recipient in self.message.recipients if recipient.refused is not None]
        decision = refusal or next(iter(refused), None)
        self._conclude(_UNFINISHED if decision is None else decision.verdict)


@dataclasses.dataclass(frozen=True, slots=True)
class _Ending:
    """A message at its end: before anything is decided, and after.

    verdict  what the client will be told
    """

    delivery: Delivery | None = None
    verdict: Verdict = CONTINUE


_UNFINISHED = Verdict(Action.UNFINISHED, reason="given up before its end")
_FAILED = "an internal error at the end of the message"
_UNTRAPPED = {
    ExceptionPolicy.CONTINUE: Verdict(Action.CONTINUE, reason=_FAILED),
    ExceptionPolicy.TEMPFAIL: tempfail("", _FAILED, enhanced="4.3.0"),
    ExceptionPolicy.REJECT: reject("", _FAILED, enhanced="5.3.0"),
}


def _is_dropped(recipient: Recipient) -> bool:
    return any(one.counts and one.firm and one.verdict.action is Action.DISCARD for one in recipient.decisions)


def _settled(decisions: Sequence[Decision]) -> bool:
    """Whether nothing that rows below find can matter. A held message will be delivered once it is released: what it
    needs for that, such as the removal of forged results, is still to be found."""
    decision = ruling(decisions)
    return decision is not None and decision.verdict.action is not Action.HOLD
