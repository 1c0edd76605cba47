"""One SMTP session travelling through the journey: steps in, verdicts and edits out. It knows nothing of milters."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

from antispam.connection import Connection
from antispam.deadline import Deadline
from antispam.draft import Draft, Edit
from antispam.evidence import SpamFinding
from antispam.explanations import link
from antispam.fate import Fate, fate_of
from antispam.findings import Findings
from antispam.journey import Runner, Stage, Subject, all_decisions
from antispam.message import Auth, Body, Header, Message, Recipient
from antispam.outcome import Decision, accepted_by, passed_by, ruling
from antispam.program import ProgramSettings, RejectAt
from antispam.references import new_reference
from antispam.services import Services
from antispam.store.outbox import Kind, Letter
from antispam.store.quarantine import Kept
from antispam.text import for_log
from antispam.verdicts import CONTINUE, Action, Verdict, quarantine, reject, tempfail

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


class Recorder(Protocol):
    """Where a finished transaction is written down."""

    def record(self, subject: Subject, verdict: Verdict) -> None:
        """Best effort, after the reply: must not block and not raise."""

    def keep(self, message: Message, kept: Sequence[Kept], letters: Sequence[Letter] = ()) -> bool:
        """Keep the message from some, send it to others by another way: durably, before the reply. False where that was not
        possible; then nothing of it is done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What to answer at the end of a message, and the edits to make, in order, where it is delivered."""

    verdict: Verdict
    edits: tuple[Edit, ...] = ()


class Session:
    """Call the methods in SMTP's order. connect, helo, mail, rcpt and data answer with the verdict to speak at that step."""

    def __init__(self, runner: Runner, services: Services, recorder: Recorder | None = None) -> None:
        self._runner = runner
        self._services = services
        self._recorder = recorder
        self._program = services.settings[ProgramSettings]
        self._header_bytes = 0
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
        """The meaning of each argument is Connection's."""
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
        """HELO or EHLO. A second one (after STARTTLS, say) starts the HELO checks afresh and ends a message in progress."""
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
        """A recipient who is not taken any more. Where nobody may be listening at RCPT, the message can't be sent on either:
        he would get it without having been looked at."""
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
        """Speaks a refusal that waited until all recipients were logged."""
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
        """Several header fields at once, as header() would take one after the other."""
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
        """The end of the message: run the last stage, then say what shall happen and which edits to make.

        tick is called every few seconds while the checks wait, to tell the MTA that work goes on.
        """
        message = self._current()
        message.queue_id = queue_id or message.queue_id
        if self._headers_too_large():
            text = "The header section is larger than any mail needs; please send the message without it."
            message.decisions.append(
                Decision("limits", reject(text, "too many header fields", enhanced="5.3.4"), firm=True)
            )
        if self._refusal() is None:
            self._run(Stage.END, tick=tick)
        outcome = self._conclude(fate_of(self._subject()))
        self._record(outcome.verdict)
        self.message = None
        return outcome

    def abort(self) -> None:
        """The client or the MTA gave the message up."""
        self._finish()

    def close(self) -> None:
        self._finish()

    def _current(self) -> Message:
        if self.message is None:
            raise RuntimeError("no message is in progress: MAIL FROM has not been seen")
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
                    if dropped == len(self._current().accepted_recipients):
                        return  # a report, say, that has taught: nobody gets it, and a refusal would only bring it back
                settled = spoken and _settled(all_decisions(subject))
            if settled:
                return

    def _refusal(self, recipient: Recipient | None = None) -> Decision | None:
        """What refuses the subject as things stand."""
        decision = ruling(all_decisions(self._subject(recipient)))
        return decision if decision is not None and decision.verdict.action.refuses else None

    def _speak(self, step: RejectAt) -> Verdict:
        refusal = self._refusal() if self._program.reject_at is step else None
        return CONTINUE if refusal is None else self._say(refusal)

    def _say(self, decision: Decision, recipient: Recipient | None = None) -> Verdict:
        """Log a decision that the client will hear of, and give it the reference that the sender will read."""
        subject = self._subject(recipient)
        verdict = decision.verdict
        log.info(
            "[%s] %s %s: %s;%s %s",
            subject.ref,
            verdict.action.upper(),
            decision.check,
            for_log(verdict.reason),
            _to([recipient] if recipient else self.message.accepted_recipients if self.message else []),
            self._who(),
        )
        if more := link(decision, self._program.errors_url):
            verdict = dataclasses.replace(verdict, text=f"{verdict.text or verdict.reason}\n{more}")
        return dataclasses.replace(verdict, text="\n".join(verdict.reply_lines(subject.ref)))

    def _who(self) -> str:
        sender = f"from=<{for_log(self.message.mail_from)}> " if self.message else ""
        connection = self.connection
        return f"{sender}ip={connection.ip} name={for_log(connection.name)} helo={for_log(connection.helo)}"

    def _conclude(self, fate: Fate) -> Outcome:
        """From what shall become of the message to what the MTA is told."""
        if fate.kept and not self._current().body.complete:
            return Outcome(self._say(_too_large(fate.kept[0][1])))
        if not fate.delivered:
            return Outcome(self._say(self._kept(fate)))
        return self._delivered(fate)

    def _kept(self, fate: Fate) -> Decision:
        """Nobody gets the message. What is quarantined is safe in our store before the client hears 250; otherwise the client
        keeps it."""
        assert fate.decision is not None
        if not fate.kept:
            if fate.decision.verdict.action is Action.DISCARD:
                self._afterwards()
            return fate.decision
        if not self._store(fate.kept):
            return _not_stored(fate.kept[0][1])
        self._afterwards()
        # What each recipient's check wanted is in his entry; the client hears that the message was taken.
        return fate.decision._replace(verdict=quarantine(fate.decision.verdict.reason))

    def _delivered(self, fate: Fate) -> Outcome:
        """Some get the message, or all. Those who get another content than most get it by another way."""
        services = self._services_for(Stage.END)
        drafts = []
        for recipients in self._groups(fate, services):
            draft = Draft(self._current(), recipients)
            failure = self._runner.act(self._subject(recipients[0]), draft, services)
            if failure is not None:
                return Outcome(self._say(failure))
            drafts.append(draft)
        if len(drafts) > 1:
            _share_out(drafts)
        first, *others = drafts
        others = [draft for draft in others if draft.addresses]
        if (fate.kept or others) and not self._store(fate.kept, others):
            return Outcome(self._say(_not_stored(fate.kept[0][1] if fate.kept else None)))
        here = {id(recipient) for recipient in first.recipients}
        for recipient in self._current().accepted_recipients:
            if id(recipient) not in here:
                first.delete_recipient(recipient.path)
        self._afterwards()
        if fate.decision is not None:
            return Outcome(self._say(fate.decision), tuple(first.edits()))
        self._log_delivery(fate.delivered)
        for one, decision in fate.kept:
            self._log_kept(one, decision)
        return Outcome(CONTINUE, tuple(first.edits()))

    def _groups(self, fate: Fate, services: Services) -> list[list[Recipient]]:
        """The recipients who get the same message, the largest group first. A message that was not kept whole can't be written
        anew, so that all get the same; of one that is held, so does everybody: a copy that went by another way would not be."""
        apart = self._current().body.complete and fate.decision is None
        if not apart or not self._runner.has("content", self._services.settings):
            return [list(fate.delivered)]
        groups: dict[Hashable, list[Recipient]] = {}
        for recipient in fate.delivered:
            groups.setdefault(self._runner.contents(self._subject(recipient), services), []).append(recipient)
        return sorted(groups.values(), key=len, reverse=True)

    def _store(self, kept: Sequence[tuple[Recipient, Decision]], others: Sequence[Draft] = ()) -> bool:
        """Keep the message from some, and what others get; false where that was not possible."""
        message = self._current()
        letters = [Letter(Kind.REST, message.ref, draft.sender, draft.addresses, draft.letter()) for draft in others]
        return self._recorder is not None and self._recorder.keep(message, self._entries(kept), letters)

    def _entries(self, kept: Sequence[tuple[Recipient, Decision]]) -> list[Kept]:
        """What is kept, by user: his addresses, and the first reason."""
        people = self._services.people
        by_user: dict[str, tuple[list[str], Recipient, Decision]] = {}
        for recipient, decision in kept:
            user = (people and people.user_of(recipient.address)) or recipient.address.lower()
            addresses, *_ = by_user.setdefault(user, ([], recipient, decision))
            addresses.append(recipient.address)
        return [
            Kept(user, tuple(addresses), decision, self._score(recipient))
            for user, (addresses, recipient, decision) in by_user.items()
        ]

    def _score(self, recipient: Recipient) -> float | None:
        found = recipient.findings.get(SpamFinding)
        return found.probability if found is not None and not found.error else None

    def _afterwards(self) -> None:
        if not self._services.read_only and self._runner.has("afterwards", self._services.settings):
            self._runner.afterwards(self._subject(), self._services_for(Stage.END))

    def _log_kept(self, recipient: Recipient, decision: Decision) -> None:
        """Of one recipient, where others get the message."""
        log.info(
            "[%s] QUARANTINE %s: %s;%s %s",
            self._current().ref,
            decision.check,
            for_log(decision.verdict.reason),
            _to([recipient]),
            self._who(),
        )

    def _log_delivery(self, recipients: Sequence[Recipient]) -> None:
        """One line with everything a person asks first: who, to whom, and what each check found."""
        if not log.isEnabledFor(logging.INFO):
            return
        message = self._current()
        decisions = all_decisions(self._subject())
        by = accepted_by(decisions)
        why = f" {by.check}: {for_log(by.verdict.reason)};" if by else ""
        decisions += [decision for recipient in recipients for decision in recipient.decisions]
        told = "; ".join(
            dict.fromkeys(f"{d.check}: {d.verdict.reason}" for d in decisions if d.verdict.reason and d is not by)
        )
        log.info(
            "[%s] ACCEPT%s%s %s size=%d id=%s; %s",
            message.ref,
            why,
            _to(recipients),
            self._who(),
            message.body.size,
            for_log(message.queue_id),
            for_log(told, 1000),
        )

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
        """Write down a message that ends without end(): refused at RCPT or DATA, aborted, or the client went away."""
        if self.message is None:
            return
        refusal = self._refusal()
        refused = [recipient.refused for recipient in self.message.recipients if recipient.refused is not None]
        decision = refusal or next(iter(refused), None)
        self._record(CONTINUE if decision is None else decision.verdict)
        self.message = None


def _share_out(drafts: Sequence[Draft]) -> None:
    """Whoever was added gets one message, however many of these would go to him, and his own if he is a recipient."""
    served = {recipient.address.lower() for draft in drafts for recipient in draft.named}
    for draft in drafts:
        draft.withdraw(served)
        served.update(address.lower() for address in draft.addresses)


def _too_large(decision: Decision) -> Decision:
    text = "The message would have to be examined by a person, and is too large to be kept for that."
    reason = f"too large for the quarantine; {decision.verdict.reason}"
    return Decision(decision.check, reject(text, reason, code=552, enhanced="5.3.4"))


def _not_stored(decision: Decision | None) -> Decision:
    text = "The message can't be stored right now; please try again later."
    check, why = (decision.check, f"; {decision.verdict.reason}") if decision is not None else ("outbox", "")
    return Decision(check, tempfail(text, f"the store failed{why}", enhanced="4.3.0"))


def _to(recipients: Sequence[Recipient]) -> str:
    """For the log: who should get the message, as far as that is known; a list of thousands would hide the rest."""
    if not recipients:
        return ""
    more = len(recipients) - _MAX_LOGGED
    named = ",".join(f"<{for_log(recipient.address)}>" for recipient in recipients[:_MAX_LOGGED])
    return f" to={named}" + (f" and {more} more" if more > 0 else "")


def _settled(decisions: Sequence[Decision]) -> bool:
    """Whether nothing that rows below find can matter. A held message will be delivered once it is released: what it
    needs for that, such as the removal of forged results, is still to be found."""
    if passed_by(decisions) is not None:
        return True
    decision = ruling(decisions)
    return decision is not None and decision.verdict.action is not Action.HOLD
