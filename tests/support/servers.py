"""What the servers under test have in common: a private folder, a program, and that nothing of either stays behind."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from support.network import Network
from support.patience import PATIENCE
from support.processes import RunDirectory, end_session, wait_until


class Server:
    """A context manager. Those who extend it start their program in the constructor, within `_cleaning_up()`."""

    _patience = 5.0
    """Seconds that it has to end by itself."""

    def __init__(self, network: Network, folder: str) -> None:
        self.network = network
        self._run = RunDirectory(folder)
        self._output = self._run.path / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _cleaning_up(self) -> Iterator[None]:
        """Whatever fails inside, nothing stays behind."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _serve(
        self, argv: Sequence[str | Path], ready: Callable[[], object], *, seconds: float = PATIENCE, **how: Any
    ) -> None:
        """Start the program and wait until it is ready; `how` is for Network.popen. RuntimeError, with what it said, where it
        ends instead, NotReadyError where it is not ready in time."""
        self._output.unlink(missing_ok=True)
        self._process = self.network.popen(argv, output=self._output, **how)
        name = type(self).__name__
        wait_until(lambda: self._ended() or ready(), f"{name} is ready", seconds)
        if self._ended():
            said = dict.fromkeys((self._output.read_text(errors="replace"), self.log()))
            raise RuntimeError(f"{name} does not start: {''.join(said)}")

    @property
    def pid(self) -> int:
        """Of the program, while it runs."""
        assert self._process is not None
        return self._process.pid

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _end(self) -> None:
        """End the program and all that it started."""
        if self._process is not None:
            end_session(self._process.pid, self._patience)
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """All that the server logged so far, apart from its output."""
        return ""

    def close(self) -> None:
        self._end()
        self._run.remove()
