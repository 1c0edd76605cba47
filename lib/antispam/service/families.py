"""The metrics of a program: names, help texts and labels, all known before the first message."""

from __future__ import annotations

from antispam.journey.table import Journey
from antispam.mail.verdicts import Action
from antispam.service import children
from antispam.service.board import Family
from antispam.settings import Mode

SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)


THREADS = ("courier", "heart", "history", "housekeeping", "others")

WORKERS = (
    Family("bms_messages_total", "counter", "transactions by what became of them", ("action",),
           tuple((str(action),) for action in Action)),
    Family("bms_message_seconds", "histogram", "how long the MTA waited for the reply at the end of a message",
           buckets=SECONDS),
    Family("bms_sessions", "gauge", "open SMTP sessions"),
    Family("bms_messages_in_flight", "gauge", "messages between MAIL and the end of message"),
    Family("bms_memory_bytes", "gauge", "resident memory of all workers"),
    Family("bms_threads", "gauge", "threads of all workers"),
    Family("bms_open_descriptors", "gauge", "open file descriptors of all workers"),
    Family("bms_dns_questions_total", "counter", "questions sent to name servers", ("outcome",),
           (("answered",), ("failed",))),
    Family("bms_store_errors_total", "counter", "operations that the database did not do", ("kind",),
           (("busy",), ("failed",))),
    Family("bms_history_rows_waiting", "gauge", "history rows that wait to be written"),
    Family("bms_history_rows_lost_total", "counter", "history rows that had to be dropped"),
    Family("bms_log_lines_dropped_total", "counter", "log lines that could not be written"),
    Family("bms_thread_failures_total", "counter", "unexpected exceptions in background threads", ("thread",),
           tuple((name,) for name in THREADS)),
    Family("bms_housekeeping_timestamp_seconds", "newest", "when housekeeping last finished a round"),
)  # fmt: skip
"""The counters of every worker."""


def families(journey: Journey) -> tuple[Family, ...]:
    """The families of a program with that journey."""
    checks = list(dict.fromkeys(row.check.NAME for row in journey.rows))
    decided = [
        (check, str(action), str(mode))
        for check in checks
        for action in Action
        if action is not Action.UNFINISHED
        for mode in (Mode.ENFORCE, Mode.LOG)
    ]
    names = tuple((check,) for check in checks)
    return (
        *children.FAMILIES,
        *WORKERS,
        Family("bms_check_verdicts_total", "counter", "verdicts by check, action and mode", ("check", "action", "mode"),
               tuple(decided)),
        Family("bms_check_seconds", "histogram", "how long a check took to find its evidence", ("check",), names, SECONDS),
        Family("bms_check_errors_total", "counter", "checks that could not be completed: on_error decided", ("check",), names),
    )  # fmt: skip
