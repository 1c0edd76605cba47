"""The contract of a check: what every check has, and the optional functions, one protocol for each.

A check is a module in antispam.checks. CONTRIBUTING.md walks through one. `tests/support/contract_of_checks.py` names the
checks that have each optional function, so that mypy compares their arguments with these, and a test finds a misspelt one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit, Test
from antispam.mail.verdicts import Verdict
from antispam.settings import CheckSettings


class Check(Protocol):
    """What every check has.

    A module may also have OTHERWISE, the sentence that tells administrators which option or list would make it decide
    otherwise (`bms explain`); LOOKS_UP = True where collect() waits for the network, so that the runner lets it wait
    beside others; DERIVED = True where it makes its evidence of that of other checks and of preferences alone (`bms
    replay`); TIDY_EVERY, in seconds; ALSO_READS, settings classes that a program with this check reads as well; and
    READS_HITS = True where its collect() reads the tests of the score that the rows above it have hit, so that it is
    asked after them all.
    """

    @property
    def NAME(self) -> str: ...

    @property
    def Settings(self) -> type[CheckSettings]: ...

    @property
    def Finding(self) -> type[BaseFinding]: ...

    def collect(
        self, connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
    ) -> BaseFinding | None:
        """Do the I/O and return evidence; None where the question does not arise. Expected failures are a finding with
        `error`; whatever is raised counts as a defect."""

    def decide(self, finding: Any, findings: Findings, settings: Any, policy: Any) -> Verdict:
        """Evidence to verdict under `settings` (the check's own) and `policy` (the access map). Pure: no clock, no I/O."""


class Applies(Check, Protocol):
    """A check that its settings may leave with nothing to ask."""

    def applies(self, settings: Any) -> bool:
        """False where there is nothing to ask: the row is left out then, as with `mode = off`."""


class Ready(Check, Protocol):
    """A check with LOOKS_UP that does not always have to wait."""

    def ready(self, connection: Connection, message: Message, services: Services) -> bool:
        """True where collect() will not have to wait for the network this time."""


class Performs(Check, Protocol):
    """A check whose decision depends on what it does: teaching what a user reports."""

    def perform(
        self, finding: Any, message: Message | None, recipient: Recipient | None, services: Services
    ) -> BaseFinding:
        """Called after collect() and before decide() where the row is enforced and the message is real. Does the work and
        returns the finding with what came of it. collect() only looks, so that `mode = log` changes nothing."""


class Readdresses(Check, Protocol):
    """A check of recipients at RCPT that finds out which mailbox is meant."""

    def readdress(self, finding: Any) -> str:
        """The address that is meant, "" where it is the one that the client named. The checks below see it, and the MTA."""


class Acts(Check, Protocol):
    """A check that edits."""

    def act(self, finding: Any, verdict: Verdict, draft: Draft, services: Services) -> None:
        """Queue edits, at the end of a message that will be delivered. Raises NotDone for what has to be expected."""


class Divides(Check, Protocol):
    """A check of recipients that edits, so that they may get different messages."""

    def content(self, finding: Any) -> Hashable:
        """Recipients with equal values get the same message, and share one draft."""


class Scores(Check, Protocol):
    """A check whose evidence counts in the score."""

    def points(self, finding: Any, findings: Findings, settings: Any) -> tuple[Hit, ...]:
        """The tests that the message meets, by this check's evidence. Pure, as decide() is. Called at the end of the message,
        whatever was decided: for rows of all stages before the first row below them that READS_HITS
        is asked, so that `findings` has what all of these found. The points stand in antispam.mail.score_table; those of
        a row in mode log are only said."""


class Declares(Check, Protocol):
    """A check whose tests are named by the configuration, such as one for each zone that is asked."""

    def declares(self, settings: Any) -> tuple[Test, ...]:
        """These tests. [score] knows them then."""


class LearnsAfterwards(Check, Protocol):
    """A check that does something with a message that is taken: delivered, held or kept."""

    def afterwards(self, finding: Any, message: Any, services: Services) -> None:
        """Called before the reply, once the MTA took the edits. What it raises is logged, and changes nothing for the mail."""


class CountsOffences(Check, Protocol):
    """A check that acts on demerits."""

    def offended(
        self, finding: Any, connection: Connection, message: Message | None, verdict: Verdict, services: Services
    ) -> None:
        """Called at RCPT, and when a transaction is over, if the client has collected demerits since; `verdict` is the last
        that brought some."""


class Concludes(Check, Protocol):
    """A check that remembers what a client or sender did."""

    def concluded(
        self, finding: Any, connection: Connection, message: Any, verdict: Verdict, services: Services
    ) -> None:
        """Called when a transaction is over, whatever became of it. At the end of a message that is before the reply, so it
        must be quick."""


class Tidies(Check, Protocol):
    """A check that keeps something in the store."""

    def tidy(self, services: Services) -> bool:
        """Forget one slice of it; true while more is left. Called every hour, or every TIDY_EVERY seconds."""


class Signs(Check, Protocol):
    """The one check that signs."""

    def sign_own(self, queued: bytes, services: Services) -> bytes:
        """A message of our own (all its octets), signed where we have a key for its author."""


OPTIONAL: dict[str, type] = {
    "applies": Applies,
    "ready": Ready,
    "perform": Performs,
    "readdress": Readdresses,
    "act": Acts,
    "content": Divides,
    "points": Scores,
    "declares": Declares,
    "afterwards": LearnsAfterwards,
    "offended": CountsOffences,
    "concluded": Concludes,
    "tidy": Tidies,
    "sign_own": Signs,
}
"""By the name of the function."""
