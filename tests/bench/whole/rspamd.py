"""rspamd with Bayes in redis, as Debian ships both: unpacked into the cache, taught, and asked through the milter protocol.

Its shipped rules are all in force. Off is what asks servers of others (fuzzy hashes), and greylisting, which would put every
message off. Redis keeps nothing on disk, which favours rspamd.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.untrained.collections import UnavailableError
from tests.bench.untrained.debian import library, unpacked
from tests.bench.untrained.rspamd import UnixConnection

from bench.whole.mail import Lesson
from support.milter_client import milter_answers
from support.network import Network
from support.places import CACHE
from support.processes import NotReadyError
from support.servers import Server

_PATIENCE = 120.0  # seconds; it compiles its patterns the first time
_CONFIG = {
    "override.d/options.inc": (
        'dns {{ nameserver = ["127.0.0.1:{port}"]; }}\nhs_cache_dir = "{patterns}";\ncontrol_socket = "{run}/control";\n'
    ),
    "override.d/logging.inc": 'type = "file"; filename = "{run}/log"; level = "warning";\n',
    "override.d/worker-normal.inc": "enabled = false;\n",
    "override.d/worker-fuzzy.inc": "enabled = false;\n",
    "override.d/worker-controller.inc": 'bind_socket = "{run}/controller mode=0600";\ncount = 1;\n',
    "override.d/worker-proxy.inc": (
        'bind_socket = "{run}/milter mode=0666";\ncount = {workers};\nmilter = yes;\ntimeout = 120s;\n'
        'upstream "local" {{ default = yes; self_scan = yes; }}\n'
    ),
    "local.d/redis.conf": 'servers = "{redis}";\n',
    "local.d/classifier-bayes.conf": 'min_learns = 100;\nbackend = "redis";\n',
    "local.d/milter_headers.conf": 'use = ["authentication-results", "x-spam-status"];\n',
    "local.d/fuzzy_check.conf": "enabled = false;\n",
    "local.d/greylist.conf": "enabled = false;\n",
}


class Redis(Server):
    """redis-server on a socket of its own, in memory only. Raises UnavailableError where it can't be had."""

    def __init__(self) -> None:
        root = unpacked("redis-server", CACHE)
        super().__init__(Network(), "redis")
        self.socket = self._run.path / "redis.sock"
        command = [root / "usr/bin/redis-server", "--port", "0", "--unixsocket", self.socket, "--save", ""]
        with self._cleaning_up():
            self._serve(command, self.socket.exists, env=_with_libraries(root), cwd=self._run.path)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Rspamd(Server):
    """rspamd with as many scanning workers, asking a name server on loopback. Raises UnavailableError."""

    def __init__(self, port: int, redis: Path, workers: int) -> None:
        root = unpacked("rspamd", CACHE)
        super().__init__(Network(), "rspamd")
        self.socket = self._run.path / "milter"
        patterns = CACHE / "rspamd-patterns"
        patterns.mkdir(exist_ok=True)
        values = {"port": port, "patterns": f"{patterns}/", "run": self._run.path, "redis": redis, "workers": workers}
        for folder in ("override.d", "local.d"):
            self._run.folder(folder)
        for name, text in _CONFIG.items():
            self._run.write(name, text.format(**values))
        with self._cleaning_up():
            self._serve(
                _command(root, self._run.path),
                lambda: milter_answers(str(self.socket)),
                seconds=_PATIENCE,
                env=_with_libraries(root),
                cwd=root,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def teach(self, lessons: Sequence[Lesson]) -> None:
        """Teach it; what it knows well already it does not learn, and says so. UnavailableError where it can't learn."""
        for lesson in lessons:
            with contextlib.closing(UnixConnection(self._run.path / "controller")) as connection:
                connection.request("POST", "/learnspam" if lesson.is_spam else "/learnham", lesson.content)
                answer = connection.getresponse()
                said = answer.read()
            if not 200 <= answer.status < 300:
                raise UnavailableError(f"rspamd does not learn: {answer.status} {said[:100]!r}")

    def log(self) -> str:
        log = self._run.path / "log"
        return log.read_text(errors="replace") if log.exists() else ""


def _command(root: Path, run: Path) -> list[str | Path]:
    share = root / "usr/share/rspamd"
    places = {
        "CONFDIR": root / "etc/rspamd",
        "LOCAL_CONFDIR": run,
        **dict.fromkeys(("RUNDIR", "DBDIR", "LOGDIR"), run),
        **{f"{name.upper()}DIR": share / name for name in ("plugins", "rules", "lualib", "www")},
        "SHAREDIR": share,
    }
    # -i: as root it would want a user of its own.
    command: list[str | Path] = [root / "usr/bin/rspamd", "-f", "-i", "-c", root / "etc/rspamd/rspamd.conf"]
    return command + [f"--var={name}={place}" for name, place in places.items()]


def _with_libraries(root: Path) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": f"{library(root)}:{root / 'usr/lib/rspamd'}"}


@contextlib.contextmanager
def running(port: int, workers: int, lessons: Sequence[Lesson]) -> Iterator[tuple[str, list[int]]]:
    """Redis and rspamd, taught; the milter's socket, and the leaders of both. Raises UnavailableError."""
    with contextlib.ExitStack() as stack:
        try:
            redis = stack.enter_context(Redis())
            rspamd = stack.enter_context(Rspamd(port, redis.socket, workers))
        except (RuntimeError, NotReadyError) as error:
            raise UnavailableError(str(error).strip().rpartition("\n")[2]) from error
        rspamd.teach(lessons)
        time.sleep(2)  # it reads how much Bayes has learned every second or two
        yield str(rspamd.socket), [rspamd.pid, redis.pid]
