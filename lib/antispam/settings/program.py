"""Settings of the program itself: its socket, resources and time limits."""

from __future__ import annotations

import enum
from pathlib import Path

from antispam.settings import option, section
from antispam.settings.manners import Manner
from antispam.settings.values import check_url, duration, mode_bits, positive, size


class RejectAt(enum.StrEnum):
    """When a refusal found at connect, HELO or MAIL is sent."""

    NOW = "now"  # at once: no whitelist and no SMTP AUTH can override it later
    RCPT = "rcpt"
    DATA = "data"  # once all recipients are logged
    END = "end"  # once the message was received


class ExceptionPolicy(enum.StrEnum):
    """The reply to the MTA after an uncaught exception."""

    CONTINUE = "continue"
    TEMPFAIL = "tempfail"
    REJECT = "reject"


@section("milter")
class ProgramSettings:
    """[milter]: the process and its limits."""

    socket: str = option(
        "local:/run/milter/bms.sock", "where the MTA connects to us: local:/path, unix:/path or inet:port@host"
    )
    socket_mode: int = option(0o660, "permissions of a unix socket", parse=mode_bits)
    socket_group: str = option("", "group of a unix socket, for example postfix; empty keeps our own group")
    name: str = option(
        "", "the filter's name in the lines to paste into the MTA's configuration; empty uses the program's own name"
    )
    user: str = option("", "user to run as when started as root; empty does not change the user")
    datadir: Path = option(Path("/var/lib/milter"), "folder for everything that must survive a restart")
    tempdir: Path | None = option(
        None, "folder for the originals of changed and failed messages; empty means datadir/save"
    )
    keep_saved: float = option(30 * 86400.0, "how long these originals are kept", parse=duration("d"))
    saved_size: int = option(
        1 << 30, "total size of these originals; beyond it the oldest are deleted; 0 means no limit", parse=size
    )
    workers: int = option(0, "number of worker processes; 0 starts one per processor", check=lambda n: positive(n + 1))
    lookups: int = option(32, "how many look-ups one worker may wait for at the same time", check=positive)
    timeout: float = option(
        7200.0, "a connection is given up after this many seconds without a word from the MTA", parse=duration("s")
    )
    step_timeout: float = option(
        8.0,
        "how long the checks of one SMTP step may take; sendmail waits 10 s by default (R: in INPUT_MAIL_FILTER)",
        parse=duration("s"),
        check=positive,
    )
    message_timeout: float = option(
        45.0, "how long the checks at the end of a message may take", parse=duration("s"), check=positive
    )
    drain_timeout: float = option(60.0, "how long a stop or reload waits for messages in flight", parse=duration("s"))
    reject_at: RejectAt = option(
        RejectAt.RCPT,
        "when to send a refusal found before RCPT: now, rcpt, data, or end (of the message). If no check examines "
        "recipients, the MTA then need not wait for us at RCPT",
    )
    max_message: int = option(
        100 << 20, "how many octets of a message are kept for the checks", parse=size, check=positive
    )
    errors_url: str = option(
        "",
        "URL of the pages that `bms errors-page` writes, for example https://mail.example.com/refused: each refusal then "
        "links to the page that explains it",
        check=check_url,
    )
    case_sensitive_localpart: bool = option(
        False,
        "treat Ann@example.com and ann@example.com as different in check_user and [smart_alias]; nearly all sites want no",
    )
    untrapped_exception: ExceptionPolicy = option(
        ExceptionPolicy.TEMPFAIL,
        "what to do when something goes wrong outside the checks: continue (pass mail unchecked), tempfail or reject",
    )
    manner: Manner = option(
        Manner.TODAY,
        "which defaults hold for what the configuration does not say: today (docs/defaults.md), or bms (those of the original "
        "and of version 0.2)",
    )
    observe: bool = option(
        False,
        "run every check that would be enforced in mode log: the log says what the filter would do, and mail passes "
        "unchanged",
    )
    log_headers: bool = option(False, "write all header fields to the log")


class HistoryAddresses(enum.StrEnum):
    """How the history names people."""

    PLAIN = "plain"
    HASHED = "hashed"


@section("store")
class StoreSettings:
    """[store]: the SQL database."""

    url: str = option("", "SQLAlchemy URL of the database; empty means an SQLite file in datadir")
    password_file: Path | None = option(
        None, "file whose first line is the password of the database; only the filter's user and group may read it"
    )
    pool: int = option(
        4,
        "how many connections one worker may hold; times the number of workers, this must stay below the server's limit",
        check=positive,
    )
    busy_timeout: float = option(5.0, "how long to wait for a lock", parse=duration("s"), check=positive)
    history: bool = option(True, "record every message's findings and verdict")
    history_subject: bool = option(
        True, "record the Subject, so that people recognise their mail in the answers of `bms explain`"
    )
    history_addresses: HistoryAddresses = option(
        HistoryAddresses.PLAIN,
        "plain, or hashed: only a keyed hash of what stands before the @ is stored. `bms explain ADDRESS` finds mail "
        "either way",
    )
    history_retain: float = option(30 * 86400.0, "how long to keep the history", parse=duration("d"), check=positive)
    report_retain: float = option(
        400 * 86400.0,
        "how long to keep the numbers that `bms report` shows; they name nobody",
        parse=duration("d"),
        check=positive,
    )


PROGRAM_SETTINGS = (ProgramSettings, StoreSettings)
