"""From the disposition of a message to the MTA: what must be durable is stored first, then the edits follow,
and what is only true once the MTA took them comes last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from antispam.journey import spoken
from antispam.journey.disposition import Disposition
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.mail.decisions import Decision
from antispam.mail.draft import Draft, Edit
from antispam.mail.learned_evidence import SpamFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, Action, Verdict, quarantine, reject, tempfail
from antispam.settings.program import ProgramSettings
from antispam.store.outbox import Kind, QueuedMessage
from antispam.store.quarantine import NewEntry


class Recorder(Protocol):
    """Where a finished transaction is written down."""

    def record(self, subject: Subject, verdict: Verdict) -> None:
        """Record the transaction after the reply, best effort. It must not block and not raise."""

    def store(
        self, message: Message, quarantined: Sequence[NewEntry], queued_messages: Sequence[QueuedMessage] = ()
    ) -> bool:
        """Keep the message from some, send it to others by another way: durably, before the reply. False if that was not
        possible; then nothing of it is done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The answer at the end of a message and, if it is delivered, the edits to make, in order."""

    verdict: Verdict
    edits: tuple[Edit, ...] = ()


class Delivery:
    """One message at its end.

    services  those of the last stage, each time with a deadline of its own
    """

    def __init__(
        self, runner: Runner, recorder: Recorder | None, subject: Subject, services: Callable[[], Services]
    ) -> None:
        assert subject.message is not None
        self._runner = runner
        self._recorder = recorder
        self._message = subject.message
        self._subject = subject
        self._services = services
        self._settings = services().settings
        self._program = self._settings[ProgramSettings]
        self._ends: list[Callable[[], None]] = []

    def taken(self) -> None:
        """The MTA accepted the edits of conclude(): log the outcome of the message, and call the checks that act afterwards."""
        ends, self._ends = (
            self._ends,
            [],
        )  # they refer back to this object, which would wait for the collector with its message
        for end in ends:
            end()

    def refused(self, why: str) -> Verdict:
        """The MTA did not accept an edit, and must not pass the message without it. Returns what the client is told instead."""
        decision = _not_edited(why)
        self._message.decisions.append(decision)
        spoken.log_decision(decision, self._subject)
        return spoken.worded(decision, self._subject, self._errors_url(decision))

    def _errors_url(self, decision: Decision) -> str:
        return spoken.errors_url(decision, self._runner.journey, self._settings)

    def conclude(self, disposition: Disposition) -> Outcome:
        """Store what must be durable. Returns what the MTA is told."""
        if disposition.quarantined and not self._message.body.complete:
            return Outcome(self._say(_too_large(disposition.quarantined[0][1])))
        if not disposition.delivered:
            return Outcome(self._say(self._delivered_to_nobody(disposition)))
        return self._delivered(disposition)

    def _of(self, recipient: Recipient) -> Subject:
        return self._subject._replace(recipient=recipient)

    def _say(self, decision: Decision) -> Verdict:
        self._ends.append(lambda: spoken.log_decision(decision, self._subject))
        return spoken.worded(decision, self._subject, self._errors_url(decision))

    def _delivered_to_nobody(self, disposition: Disposition) -> Decision:
        """Nobody gets the message. What is quarantined is durably stored before the client hears 250; otherwise the client
        keeps it."""
        assert disposition.decision is not None
        if not disposition.quarantined:
            if disposition.decision.verdict.action is Action.DISCARD:
                self._ends.append(self._afterwards)
            return disposition.decision
        if not self._store(disposition.quarantined):
            return _not_stored(disposition.quarantined[0][1])
        self._ends.append(self._afterwards)
        # What each recipient's check wanted is in their entry; the client hears that the message was taken.
        return disposition.decision._replace(verdict=quarantine(disposition.decision.verdict.reason))

    def _delivered(self, disposition: Disposition) -> Outcome:
        """Some or all recipients get the message. Those who get a different content than most get a copy that we post."""
        services = self._services()
        drafts = []
        for recipients in self._groups(disposition, services):
            draft = Draft(self._message, recipients, fold_case=not self._program.case_sensitive_localpart)
            failure = self._runner.act(self._of(recipients[0]), draft, services)
            if failure is not None:
                return Outcome(self._say(failure))
            drafts.append(draft)
        if len(drafts) > 1:
            _share_out(drafts)
        first, *others = drafts
        others = [draft for draft in others if draft.addresses]
        if (disposition.quarantined or others) and not self._store(disposition.quarantined, others):
            return Outcome(self._say(_not_stored(disposition.quarantined[0][1] if disposition.quarantined else None)))
        here = {id(recipient) for recipient in first.recipients}
        for recipient in self._message.accepted_recipients:
            if id(recipient) not in here:
                first.delete_recipient(recipient.path)
        self._ends.append(self._afterwards)
        if disposition.decision is not None:
            return Outcome(self._say(disposition.decision), tuple(first.edits()))
        self._ends.append(lambda: self._log_delivery(disposition))
        return Outcome(CONTINUE, tuple(first.edits()))

    def _log_delivery(self, disposition: Disposition) -> None:
        spoken.log_delivery(self._subject, disposition.delivered)
        for one, decision in disposition.quarantined:
            spoken.log_quarantined(decision, self._of(one))

    def _groups(self, disposition: Disposition, services: Services) -> list[list[Recipient]]:
        """The recipients who get the same message, the largest group first. A message that was not kept whole can't be written
        anew, so that all get the same; of one that is held, so does everybody: a copy that went by another way would not be."""
        apart = self._message.body.complete and disposition.decision is None
        if not apart or not self._runner.has("content", self._settings):
            return [list(disposition.delivered)]
        groups: dict[Hashable, list[Recipient]] = {}
        for recipient in disposition.delivered:
            groups.setdefault(self._runner.contents(self._of(recipient), services), []).append(recipient)
        return sorted(groups.values(), key=len, reverse=True)

    def _store(self, quarantined: Sequence[tuple[Recipient, Decision]], others: Sequence[Draft] = ()) -> bool:
        """Store what is kept from some recipients and what is posted to others. Returns False if that failed."""
        message = self._message
        identity = message.identity() if others else ""
        queued_messages = [
            QueuedMessage(
                Kind.COPY,
                message.ref,
                draft.sender,
                draft.addresses,
                draft.to_bytes(),
                once=_once(identity, draft),
                notify=draft.notify,
            )
            for draft in others
        ]
        return self._recorder is not None and self._recorder.store(message, self._entries(quarantined), queued_messages)

    def _entries(self, quarantined: Sequence[tuple[Recipient, Decision]]) -> list[NewEntry]:
        """The quarantine entries: each user with their addresses and the first reason."""
        people = self._services().people
        by_user: dict[str, tuple[list[str], Recipient, Decision]] = {}
        for recipient, decision in quarantined:
            user = people.mailbox_of(recipient.address) if people else recipient.address.lower()
            addresses, *_ = by_user.setdefault(user, ([], recipient, decision))
            addresses.append(recipient.address)
        return [
            NewEntry(user, tuple(addresses), decision, _score(recipient))
            for user, (addresses, recipient, decision) in by_user.items()
        ]

    def _afterwards(self) -> None:
        services = self._services()
        if not services.read_only and self._runner.has("afterwards", self._settings):
            self._runner.afterwards(self._subject, services)


def _score(recipient: Recipient) -> float | None:
    found = recipient.findings.get(SpamFinding)
    return found.probability if found is not None and not found.error else None


def _once(identity: str, draft: Draft) -> str:
    """The name under which a copy is posted only once, however often the client repeats the message; "" if that cannot be
    known."""
    return f"rest {identity} {' '.join(sorted(draft.addresses))}" if identity else ""


def _share_out(drafts: Sequence[Draft]) -> None:
    """An added recipient gets only one of these messages: their own, if they are a recipient already."""
    served = {draft.key(recipient.address) for draft in drafts for recipient in draft.named}
    for draft in drafts:
        draft.withdraw(served)
        served.update(draft.key(address) for address in draft.addresses)


def _too_large(decision: Decision) -> Decision:
    text = "The message would have to be reviewed by a person, but is too large to be stored for that."
    reason = f"too large for the quarantine; {decision.verdict.reason}"
    return Decision(decision.check, reject(text, reason, code=552, enhanced="5.3.4"))


def _not_edited(why: str) -> Decision:
    text = "The message cannot be processed at the moment; please try again later."
    return Decision("edits", tempfail(text, why, enhanced="4.3.0"), firm=True)


def _not_stored(decision: Decision | None) -> Decision:
    text = "The message cannot be stored at the moment; please try again later."
    check, why = (decision.check, f"; {decision.verdict.reason}") if decision is not None else ("outbox", "")
    return Decision(check, tempfail(text, f"the store failed{why}", enhanced="4.3.0"))
