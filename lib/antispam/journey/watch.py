"""What is told of the checks while they run, for metrics."""

from __future__ import annotations

from typing import Protocol

from antispam.mail.decisions import Decision


class Watch(Protocol):
    """Counts what the checks do. Called from several threads; must not raise and not block."""

    def collected(self, check: str, seconds: float) -> None:
        """A check has collected its evidence, in that many seconds."""

    def decided(self, decision: Decision) -> None:
        """A check has decided."""

    def failed(self, check: str) -> None:
        """A check failed, and on_error decided."""
