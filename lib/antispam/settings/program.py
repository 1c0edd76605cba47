"""Settings of the program itself: where it listens, what it may use, how long it may take."""

from __future__ import annotations

import enum
from pathlib import Path

from antispam.settings import option, section
from antispam.settings.manners import Manner
from antispam.settings.values import check_url, duration, mode_bits, positive, size


class RejectAt(enum.StrEnum):
    """When a refusal that was found at connect, HELO or MAIL is spoken."""

    NOW = "now"  # at once: no whitelist and no SMTP AUTH can overrule it any more
    RCPT = "rcpt"
    DATA = "data"  # once all recipients are logged
    END = "end"  # once the message was received


class ExceptionPolicy(enum.StrEnum):
    """What the MTA hears of a step in which an exception was raised that nothing caught."""

    CONTINUE = "continue"
    TEMPFAIL = "tempfail"
    REJECT = "reject"


@section("milter")
class ProgramSettings:
    """[milter]: the process and its limits."""

    socket: str = option(
        "local:/run/milter/bms.sock", "where the MTA finds us: local:/path, unix:/path or inet:port@host"
    )
    socket_mode: int = option(0o660, "permissions of a unix socket", parse=mode_bits)
    socket_group: str = option("", "group of a unix socket (postfix, say); empty keeps ours")
    name: str = option("", "what the MTA calls us, in the lines to paste; empty is the program's own name")
    user: str = option("", "user to become when started as root; empty stays")
    datadir: Path = option(Path("/var/lib/milter"), "folder of everything that must survive a restart")
    tempdir: Path | None = option(
        None, "where originals of changed and failed messages are kept; empty means datadir/save"
    )
    keep_saved: float = option(30 * 86400.0, "how long those are kept", parse=duration("d"))
    saved_size: int = option(1 << 30, "octets of all of them, beyond which the oldest go; 0 without limit", parse=size)
    workers: int = option(0, "worker processes; 0 takes one a processor", check=lambda n: positive(n + 1))
    lookups: int = option(32, "look-ups that one worker may wait for at the same time", check=positive)
    timeout: float = option(
        7200.0, "seconds without a word from the MTA after which a connection is given up", parse=duration("s")
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
    drain_timeout: float = option(
        60.0, "how long to wait for messages in flight at a stop or reload", parse=duration("s")
    )
    reject_at: RejectAt = option(
        RejectAt.RCPT,
        "when to speak a refusal found before RCPT: now, rcpt, data, or end (of the message). Where no check asks about "
        "recipients, the MTA need not wait for us at RCPT then",
    )
    max_message: int = option(100 << 20, "octets of a message that are kept for the checks", parse=size, check=positive)
    errors_url: str = option(
        "",
        "where the pages of `bms errors-page` are shown, https://mail.example.com/refused: each refusal links to the one "
        "that explains it",
        check=check_url,
    )
    case_sensitive_localpart: bool = option(
        False,
        "tell Ann@example.com from ann@example.com in check_user and [smart_alias]; no, as nearly all sites want it",
    )
    untrapped_exception: ExceptionPolicy = option(
        ExceptionPolicy.TEMPFAIL,
        "when something goes wrong outside of the checks: continue (pass mail unchecked), tempfail or reject",
    )
    manner: Manner = option(
        Manner.TODAY,
        "which defaults hold for what the configuration does not say: today (docs/defaults.md), or bms (those of the original "
        "and of version 0.2)",
    )
    observe: bool = option(
        False,
        "every check that would be enforced is in mode log: the log says what the filter would do, and mail passes unchanged",
    )
    log_headers: bool = option(False, "write all header fields to the log")


@section("store")
class StoreSettings:
    """[store]: the SQL database."""

    url: str = option("", "SQLAlchemy address of the database; empty means an SQLite file in datadir")
    pool: int = option(
        4, "connections that one worker may hold; times workers, below the server's limit", check=positive
    )
    busy_timeout: float = option(5.0, "how long to wait for a lock", parse=duration("s"), check=positive)
    history: bool = option(True, "record every message's findings and verdict")
    history_subject: bool = option(
        True, "record what Subject says, so that people recognise their mail in the answers of `bms explain`"
    )
    history_retain: float = option(30 * 86400.0, "how long to keep the history", parse=duration("d"), check=positive)


PROGRAM_SETTINGS = (ProgramSettings, StoreSettings)
