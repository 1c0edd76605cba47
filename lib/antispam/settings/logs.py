"""The settings of the log."""

from __future__ import annotations

import enum
from pathlib import Path

from antispam.settings import option, section


class LogTo(enum.StrEnum):
    STDERR = "stderr"
    SYSLOG = "syslog"
    FILE = "file"


class Level(enum.StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@section("logging")
class LogSettings:
    """[logging]: one line for each decision, `[reference] ACTION check: reason`."""

    to: LogTo = option(LogTo.STDERR, "stderr, syslog (facility mail) or file")
    file: Path = option(Path("/var/log/milter/bms.log"), "the log file, with to = file; reopened on USR1")
    level: Level = option(Level.INFO, "debug, info, warning or error")
