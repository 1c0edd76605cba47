"""The subject of a check, and the decisions about it so far."""

from __future__ import annotations

from typing import NamedTuple

from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient


class Subject(NamedTuple):
    """The subject of a stage: a connection, perhaps a message on it, perhaps one of its recipients."""

    connection: Connection
    message: Message | None = None
    recipient: Recipient | None = None

    @property
    def ref(self) -> str:
        return self.message.ref if self.message is not None else self.connection.ref

    @property
    def findings(self) -> Findings:
        """The innermost findings, which also show those of the outer scopes."""
        if self.recipient is not None:
            return self.recipient.findings
        return self.message.findings if self.message is not None else self.connection.findings


def all_decisions(subject: Subject) -> list[Decision]:
    """Everything decided so far that concerns the subject, outermost scope first."""
    decisions = [*subject.connection.decisions, *subject.connection.helo_decisions]
    if subject.message is not None:
        decisions += subject.message.decisions
    if subject.recipient is not None:
        decisions += subject.recipient.decisions
    return decisions
