"""What an MTA says to a milter of peer.py and hears from it, written down line by line."""

from __future__ import annotations

import ast
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from support.milter_client import MilterClient, ProtocolError, Reply
from support.processes import NotReadyError, wait_until

HERE = Path(__file__).resolve().parent
SILENCE = 1.0  # seconds after which a milter that says nothing will say nothing
Step = tuple[str, Callable[[MilterClient], Any]]


class Peer:
    """A milter of peer_milters.MILTERS on one side: the modules below `library`. Ended by close()."""

    def __init__(self, library: Path, folder: Path, kind: str, policy: str = "TEMPFAIL") -> None:
        self.path = str(folder / f"{library.name}-{kind}-{policy}")
        self._events = folder / f"{library.name}-{kind}-{policy}.events"
        self._read = 0
        with self._events.open("wb") as events:
            self._process = _start(library, events, "serve", kind, policy, self.path)
        wait_until(self._listens, f"the milter {kind} of {library}")

    def _listens(self) -> bool:
        assert self._process.poll() is None, "the milter ended"
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.path) == 0

    def events(self) -> list[tuple[Any, ...]]:
        """What it heard since this was last asked."""
        with self._events.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        self._read += len(lines)
        return [ast.literal_eval(line.decode()) for line in lines.splitlines()]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _start(library: Path, output: BinaryIO, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(library)}
    command = [sys.executable, "-W", "ignore", str(HERE / "peer.py"), *arguments]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env=environment)


def _said(answer: Any) -> str:
    if not isinstance(answer, Reply):
        return repr(answer)
    words = [answer.action, *([repr(answer.text)] if answer.text else [])]
    words += [f"{change.name}{_short(change.arguments)}" for change in answer.changes]
    return " ".join([*words, *(["progress"] * answer.progress)])


def _short(arguments: tuple[Any, ...]) -> str:
    return repr(
        tuple(one if not isinstance(one, bytes) or len(one) < 100 else f"{len(one)} octets" for one in arguments)
    )


def _message(sender: bytes) -> list[Step]:
    return [
        ("mail", lambda client: client.mail(sender, b"SIZE=1")),
        ("rcpt", lambda client: client.rcpt(b"<one@example.com>")),
        ("rcpt", lambda client: client.rcpt(b"<two\xe9@example.com>", b"NOTIFY=NEVER")),
        ("data", lambda client: client.data()),
        ("header", lambda client: client.header(b"Subject", b"t\xe9st")),
        ("header", lambda client: client.header(b"X-A", b"folded\n value")),
        ("eoh", lambda client: client.eoh()),
        ("body", lambda client: client.body(b"one\r\n")),
        ("body", lambda client: client.body(b"two\r\n")),
        ("end", lambda client: client.end_of_message()),
    ]


def _opening(plan: str, family: Any, address: bytes) -> list[Step]:
    name = plan.encode("utf-8", "surrogateescape")
    return [
        ("connect", lambda client: client.connect(name, family, address)),
        ("helo", lambda client: client.helo(b"h.example")),
        ("unknown", lambda client: client.unknown(b"XFOO bar")),
    ]


def dialogue(
    peer: Peer,
    plan: str,
    version: int = 6,
    actions: int = 0x1FF,
    steps: int = 0x1FFFFF,
    client: tuple[str, bytes] = ("4", b"192.0.2.1"),
) -> list[str]:
    """A connection with two messages, as an MTA would lead it: each step and what was answered, then what the milter heard.

    An MTA goes on after a recipient that is refused, gives the message up after other refusals, and the connection after one
    before the first message. It waits for an answer that does not come, and then the dialogue ends.
    """
    transcript: list[str] = []
    with MilterClient(peer.path, timeout=SILENCE) as mta:
        try:
            transcript.append(f"negotiate: {mta.negotiate(version, actions, steps)}")
            if _steps(mta, transcript, _opening(plan, *client)):
                for sender in (b"<s@example.org>", b"<>"):
                    _steps(mta, transcript, _message(sender))
            mta.quit()
        except TimeoutError:
            transcript.append("no answer")
        except (ProtocolError, ConnectionError) as failure:
            transcript.append(f"closed: {type(failure).__name__}")
    return transcript + [f"heard {event}" for event in _until_closed(peer)]


def _steps(client: MilterClient, transcript: list[str], steps: list[Step]) -> bool:
    """Speak the steps up to the first answer after which an MTA tells no more; whether there was none."""
    for name, speak in steps:
        transcript.append(f"{name}:")
        answer = speak(client)
        transcript[-1] += f" {_said(answer)}"
        if not answer.goes_on and (name not in {"rcpt", "unknown"} or answer.action in "ad"):
            return False
    return True


def _until_closed(peer: Peer) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []

    def closed() -> bool:
        heard.extend(peer.events())
        return bool(heard) and heard[-1] == ("close",)

    with contextlib.suppress(NotReadyError):
        wait_until(closed, "the close callback", seconds=2)
    return [tuple(_brief(word) for word in event) for event in heard]


def _brief(word: Any) -> Any:
    return word if not isinstance(word, (str, bytes)) or len(word) < 200 else f"{len(word)} long"
