"""The pipe between the supervisor and each of its children."""

from __future__ import annotations

import contextlib
import socket

LINE_LIMIT = 2000


class Channel:
    """One end of the pipe between parent and worker, for short lines; never blocks.

    Packets keep their boundaries (SOCK_SEQPACKET), so nothing has to be reassembled.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Both ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """For select()."""
        return self._end.fileno()

    def send(self, *words: object) -> None:
        """Send one line. It is lost if the peer is gone or does not read; that is noticed elsewhere."""
        line = " ".join(str(word) for word in words).encode("utf-8", "replace")[:LINE_LIMIT]
        with contextlib.suppress(OSError):
            self._end.send(line)

    def receive(self) -> str | None:
        """The next line, "" if there is none yet, None when the peer is gone."""
        try:
            return self._end.recv(LINE_LIMIT).decode("utf-8", "replace") or None
        except (BlockingIOError, InterruptedError):
            return ""
        except OSError:
            return None

    def close(self) -> None:
        """Close this end."""
        self._end.close()
