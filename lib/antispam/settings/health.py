"""[health]: what `bms health` finds worth a warning."""

from __future__ import annotations

from antispam.settings import option, section
from antispam.settings.values import duration, positive


def _percentage(value: float) -> None:
    if not 0 <= value <= 100:
        raise ValueError("expected a percentage, 0 to 100")


@section("health")
class HealthSettings:
    """[health]: what `bms health` warns of."""

    timeout: float = option(
        5.0,
        "how long the filter, the database and name servers may take to answer",
        parse=duration("s"),
        check=positive,
    )
    outbox_age: float = option(
        3600.0, "how long a message may wait in the outbox before it is a warning", parse=duration("h"), check=positive
    )
    disk_free: float = option(
        10.0, "percentage of space and files that must be free where data is stored; a fifth of it is critical",
        check=_percentage,
    )  # fmt: skip
    backup: str = option(
        "", "where backups appear, as a pattern: /var/backups/bms-*.sqlite; the newest counts; empty does not look"
    )
    backup_age: float = option(2 * 86400.0, "how old the newest backup may be", parse=duration("d"), check=positive)
