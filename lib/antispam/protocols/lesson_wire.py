"""The protocol between `bms learn` and the running filter, over a unix socket.

    LEARN spam 3 2048           verdict, octets of the user's name, octets of the message; then both, with nothing between
    ann...
    0 learned as spam           exit status (sysexits.h) and a sentence

This module imports nothing, because the client must start quickly: a mail server's hook waits for it.
"""

from __future__ import annotations

DEFAULT_SOCKET = "/run/milter/learn.sock"
LONGEST_LINE = 200  # octets of a request's first line
LONGEST_USER = 1_000  # octets
LARGEST = 64 << 20  # octets of a message
LONGEST_ANSWER = 4_000  # octets


def request(is_spam: bool, user: bytes, size: int) -> bytes:
    """The part of a request before the octets of the message."""
    return b"LEARN %s %d %d\n%s" % (b"spam" if is_spam else b"ham", len(user), size, user)


def read_request(line: bytes) -> tuple[bool, int, int]:
    """The verdict, and the numbers of octets of user and message. Raises ValueError."""
    words = line.split(b" ")
    if len(words) != 4 or words[0] != b"LEARN" or words[1] not in (b"spam", b"ham"):
        raise ValueError("no request to learn")
    if not all(1 <= len(word) <= 12 and word.isdigit() for word in words[2:]):
        raise ValueError("no lengths")
    return words[1] == b"spam", int(words[2]), int(words[3])


def answer(status: int, text: str) -> bytes:
    """The line of an answer."""
    return b"%d %s\n" % (status, " ".join(text.split()).encode("utf-8", "replace")[: LONGEST_ANSWER - 10])


def read_answer(line: bytes) -> tuple[int, str]:
    """The status and the sentence of an answer. Raises ValueError."""
    status, blank, text = line.partition(b" ")
    if not blank or not line.endswith(b"\n") or not (1 <= len(status) <= 3 and status.isdigit()):
        raise ValueError("no answer")
    return int(status), text.decode("utf-8", "replace").strip()
