"""The contract of a check: what every check must have, and one protocol for each optional function.

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
    otherwise (`bms explain`); LOOKS_UP = True if collect() waits for the network, so that the runner lets it wait
    beside others; DERIVED = True if it makes its evidence of that of other checks and of preferences alone (`bms
    replay`); TIDY_EVERY, in seconds; ALSO_READS, settings classes that a program with this check reads as well; and
    READS_HITS = True if its collect() reads the tests of the score that the rows above it have hit, so that it is
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
        """Do the I/O and return evidence, or None if the question does not arise. Expected failures are a finding with `error`;
        any exception counts as a defect."""

    def decide(self, finding: Any, findings: Findings, settings: Any, policy: Any) -> Verdict:
        """Evidence to verdict under `settings` (the check's own) and `policy` (the access map). Pure: no clock, no I/O."""


class Applies(Check, Protocol):
    """A check that may have nothing to do under some settings."""

    def applies(self, settings: Any) -> bool:
        """False if there is nothing to ask. The row is then left out, as with `mode = off`."""


class Ready(Check, Protocol):
    """A check with LOOKS_UP that does not always wait for the network."""

    def ready(self, connection: Connection, message: Message, services: Services) -> bool:
        """True if collect() will not have to wait for the network this time."""


class Performs(Check, Protocol):
    """A check whose decision depends on an action, such as training with what a user reports."""

    def perform(
        self, finding: Any, message: Message | None, recipient: Recipient | None, services: Services
    ) -> BaseFinding:
        """Called after collect() and before decide() if the row is enforced and the message is real. Does the work and returns
        the finding with the result. collect() must not change anything, so that `mode = log` has no effect."""


class Readdresses(Check, Protocol):
    """A check of recipients at RCPT that resolves the mailbox that is meant."""

    def readdress(self, finding: Any) -> str:
        """The address that is meant, or "" if it is the one that the client named. Later checks and the MTA see it."""


class Acts(Check, Protocol):
    """A check that edits the message."""

    def act(self, finding: Any, verdict: Verdict, draft: Draft, services: Services) -> None:
        """Queue edits at the end of a message that will be delivered. Raises NotDone for expected failures."""


class Divides(Check, Protocol):
    """A check of recipients that edits the message, so that recipients may get different versions."""

    def content(self, finding: Any) -> Hashable:
        """A value that says which version a recipient gets. Recipients with equal values share one draft."""


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
    """A check that acts after a message is accepted: delivered, held or quarantined."""

    def afterwards(self, finding: Any, message: Any, services: Services) -> None:
        """Called before the reply, after the MTA accepted the edits. Exceptions are logged and do not affect the message."""


class CountsOffences(Check, Protocol):
    """A check that reacts to the demerits of a client."""

    def offended(
        self, finding: Any, connection: Connection, message: Message | None, verdict: Verdict, services: Services
    ) -> None:
        """Called at RCPT, and when a transaction is over, if the client has collected demerits since; `verdict` is the last
        that brought some."""


class Concludes(Check, Protocol):
    """A check that records what a client or sender did."""

    def concluded(
        self, finding: Any, connection: Connection, message: Any, verdict: Verdict, services: Services
    ) -> None:
        """Called when a transaction is over, whatever its outcome. At the end of a message this is before the reply, so it must
        be quick."""


class Tidies(Check, Protocol):
    """A check that has rows in the store."""

    def tidy(self, services: Services) -> bool:
        """Delete one slice of old rows. Returns True while more is left. Called every hour, or every TIDY_EVERY seconds."""


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
