"""Where the log goes."""

from __future__ import annotations

import enum
import logging
import logging.handlers
import sys
from pathlib import Path

from antispam.settings import option, section
from antispam.text import for_log


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
    file: Path = option(Path("/var/log/milter/bms.log"), "the file, with to = file; reopened on USR1")
    level: Level = option(Level.INFO, "debug, info, warning or error")


class Formatter(logging.Formatter):
    """One record a line, except for tracebacks: whatever an argument or an exception brings, it can't start a line that looks
    like ours, nor speak to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return "\n    ".join(line if line.isprintable() else for_log(line, len(line)) for line in lines)


class _SysLogHandler(logging.handlers.SysLogHandler):
    """Writes to standard error what no syslog daemon takes, so that it is not lost among tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:
        print(f"{self.format(record)} (no syslog at {self.address})", file=sys.stderr, flush=True)


def configure(settings: LogSettings, program: str) -> None:
    """Send all logging there. Raises OSError where the file can't be opened."""
    handler: logging.Handler
    form = "%(asctime)s %(levelname)s %(message)s"
    if settings.to is LogTo.FILE:
        handler = logging.FileHandler(settings.file, encoding="utf-8", errors="backslashreplace")
    elif settings.to is LogTo.SYSLOG:
        handler = _SysLogHandler("/dev/log", logging.handlers.SysLogHandler.LOG_MAIL)
        form = f"{program}[%(process)d]: %(message)s"
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(form))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # Alembic tells each migration step at INFO; dkimpy logs what we report better.
    for name in ("alembic", "dkimpy"):
        logging.getLogger(name).setLevel(logging.WARNING)
