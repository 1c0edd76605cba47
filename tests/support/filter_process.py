"""The real program, started as an administrator would, and attached to a real MTA."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from support import prestarted
from support.clocked import Offset
from support.learning import Learned
from support.lists import without_lists
from support.milter_client import milter_answers
from support.network import Network
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.prestarted import Prestarted
from support.processes import RunDirectory, end_session, wait_until

LAUNCHER = Path(__file__).with_name("clocked.py")


class FilterProcess:
    """bms.py (or another of the programs) on a unix socket, with a configuration of its own.

    config   the text of milter.cfg apart from socket and datadir; {dir} in it stands for a private folder
    files    further files in that folder: name to text
    socket   where to listen; by default a socket in the private folder
    learned  what is in the store before it starts
    database the URL of the store, if it is not the SQLite file in its folder
    clocked  whether `clock` can be put forward; a program that is measured has the system's, which costs less to look at
    fresh    whether Python is started for it, as from a shell; else it is forked with its modules imported (see prestarted.py)
    """

    def __init__(
        self,
        network: Network,
        config: str,
        *,
        files: dict[str, str] | None = None,
        socket: Path | None = None,
        program: str = "bms.py",
        workers: int = 1,
        learned: Learned | None = None,
        database: str = "",
        clocked: bool = True,
        fresh: bool = False,
    ) -> None:
        self._run = RunDirectory("filter")
        self.directory = self._run.path
        self.socket = socket or self._run.path / "milter.sock"
        self._network = network
        self._log = self._run.path / "log"
        self.clock = Offset(self._run.path / "clock")
        for name, text in (files or {}).items():
            self._run.write(name, text).chmod(0o600)  # keys are refused where others can read them
        self.database = database or f"sqlite:///{self._run.folder('state')}/bms.sqlite"
        if learned is not None:
            learned.put_into(self.database)
        listen = (
            f"socket = local:{self.socket}\nsocket_mode = 0666\nworkers = {workers}\ndatadir = {self._run.path}/state"
        )
        store = f"[store]\nurl = {database}\n" if database else ""
        # The small programs know no lists.
        own = without_lists(config) if program == "bms.py" else config
        whole = f"{store}[milter]\n{listen}\n{own}".replace("{dir}", str(self._run.path))
        self.config = self._run.write("milter.cfg", whole)
        self._program = program
        self._clocked = clocked
        self._fresh = fresh or not clocked
        self.start()

    def start(self) -> None:
        """Start it, at first and after kill(), with the same configuration."""
        self._process = self._started_afresh() if self._fresh else self._forked()
        try:
            wait_until(lambda: self._ended() or milter_answers(str(self.socket)), f"{self._program} answers")
            if self._ended():
                raise RuntimeError(f"{self._program} does not start: {self.log()}")
        except BaseException:
            self.close()
            raise

    def _forked(self) -> Prestarted:
        return prestarted.start(
            REPOSITORY / self._program,
            ["-c", self.config],
            network=self._network,
            output=self._log,
            folder=self._run.path,
            offset_file=self.clock.path,
        )

    def _started_afresh(self) -> subprocess.Popen[bytes]:
        clock = (LAUNCHER, self.clock.path) if self._clocked else ()
        command: list[str | Path] = [sys.executable, *clock, REPOSITORY / self._program, "-c", self.config]
        environment = prestarted.environment()
        return self._network.popen(command, output=self._log, env=environment, cwd=self._run.path)

    def kill(self) -> None:
        """What a power cut does to it: supervisor and workers are gone at once, and their socket stays behind."""
        end_session(self._process.pid, polite=0.0)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        """What the program wrote to its standard output and error."""
        return self._log.read_text(errors="replace")

    def stop(self, seconds: float = PATIENCE) -> int:
        """Ask it to end, as an init system does; its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def close(self) -> None:
        """End it without ceremony: a graceful end takes libmilter seconds. Tests of that call stop() first."""
        end_session(self._process.pid, polite=0.0)
        self._process.wait()
        self.socket.unlink(missing_ok=True)
        self._run.remove()
