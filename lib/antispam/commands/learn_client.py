"""`bms learn` for hooks: passes the message to the running filter.

Users wait for it while they move a message, so it imports nothing slow, not even `socket`, `re` or `argparse`, which
would double its time. Unusual arguments are left to commands/learn.py.
"""

from __future__ import annotations

import _socket
import os
import pwd
import sys
import time

from antispam.protocols import lesson_wire

CONFIG = "/etc/mail/milter.cfg"
TIMEOUT = 30.0  # seconds, for each step of the conversation
_PATIENCE = 2.0  # seconds; while the filter applies a new configuration, its socket is briefly missing
_PAUSE = 0.05
_MOST_CONFIG = 4 << 20  # octets


class Lesson:
    """A request: the verdict, the user, the file (- is standard input), and the filter's socket."""

    __slots__ = ("file", "is_spam", "place", "user")

    def __init__(self, is_spam: bool, user: str, file: str, place: str) -> None:
        self.is_spam = is_spam
        self.user = user
        self.file = file
        self.place = place


class CannotTeachError(Exception):
    """A failure, with its exit status (sysexits.h) and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def understood(words: list[str]) -> Lesson | None:
    """The request in the arguments of the program: `[-c FILE] learn --spam|--ham [--user USER] [--socket PATH] [FILE]`.
    None for other arguments, which the whole program handles, with its help and errors.
    """
    config = CONFIG
    if len(words) > 2 and words[0] in ("-c", "--config"):
        config, words = words[1], words[2:]
    if words[:1] != ["learn"]:
        return None
    verdicts, files, named = [], [], {"--user": "", "--socket": ""}
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.partition("=")
        if word in ("--spam", "--ham"):
            verdicts.append(word)
        elif name in named:
            named[name] = value if equals else next(rest, "")
            if not named[name]:
                return None
        elif word.startswith("-") and word != "-":
            return None
        else:
            files.append(word)
    if len(verdicts) != 1 or len(files) > 1:
        return None
    place = named["--socket"] or socket_in(config) or lesson_wire.DEFAULT_SOCKET
    return Lesson(verdicts[0] == "--spam", named["--user"] or own_name(), files[0] if files else "-", place)


def own_name() -> str:
    """The name of the calling system user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def socket_in(config: str) -> str:
    """The value of [learn] socket in a configuration, in the syntax of settings/ini.py; "" if it is not set, or if this
    user may not read the file because of its secrets.
    """
    try:
        with open(config, "rb") as file:
            lines = file.read(_MOST_CONFIG).removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError:
        return ""
    section, within = b"", False
    for line in lines:
        text = line.strip()
        if not text or text[:1] in (b"#", b";") or (within and line[:1].isspace()):
            continue
        within = not (text.startswith(b"[") and text.endswith(b"]"))
        if not within:
            section = text[1:-1].strip()
        elif section == b"learn" and text[:6].lower() == b"socket":
            rest = text[6:].strip()
            if rest[:1] in (b"=", b":"):
                return rest[1:].strip().decode("utf-8", "surrogateescape")
    return ""


def teach(lesson: Lesson) -> int:
    """Do the lesson, print the outcome, and return the exit status."""
    try:
        status, text = ask(lesson.place, lesson.is_spam, lesson.user, read(lesson.file))
    except CannotTeachError as error:
        status, text = error.status, str(error)
    if status == 0:
        print(text)
    else:
        print(f"bms learn: {text}", file=sys.stderr)
    return status


def read(file: str) -> bytes:
    """Read the message. Raises CannotTeachError."""
    try:
        if file == "-" and sys.stdin is None:
            raise CannotTeachError(os.EX_NOINPUT, "there is no standard input")
        if file == "-":
            raw = sys.stdin.buffer.read(lesson_wire.LARGEST + 1)
        else:
            with open(file, "rb") as stream:
                raw = stream.read(lesson_wire.LARGEST + 1)
    except OSError as error:
        raise CannotTeachError(os.EX_NOINPUT, f"{file} cannot be read: {error.strerror}") from None
    if len(raw) > lesson_wire.LARGEST:
        raise CannotTeachError(os.EX_DATAERR, f"the message is larger than {lesson_wire.LARGEST >> 20} MB")
    return raw


def ask(place: str, is_spam: bool, user: str, raw: bytes) -> tuple[int, str]:
    """Have the running filter learn. Returns the status and a sentence. Raises CannotTeachError without an answer."""
    name = user.encode("utf-8", "surrogateescape")[: lesson_wire.LONGEST_USER + 1]
    head = lesson_wire.request(is_spam, name, len(raw))
    try:
        with _Connection(place) as connection:
            return connection.ask(head, raw)
    except _NoAnswerError:  # a filter being replaced closed it before reading it; a lesson counts only once
        with _Connection(place) as connection:
            return connection.ask(head, raw)


class _NoAnswerError(CannotTeachError):
    """The filter disconnected without an answer."""


class _Connection:
    def __init__(self, place: str) -> None:
        self._place = place
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT)
        ends = time.monotonic() + _PATIENCE
        while True:
            try:
                self._socket.connect(place)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() < ends:
                    time.sleep(_PAUSE)
                    continue
                self._fail(error)
            except (OSError, ValueError) as error:
                self._fail(error)
            return

    def _fail(self, error: Exception) -> None:
        """Raises CannotTeachError."""
        self._socket.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        text = f"no filter listens at {self._place} ({why}): start it, with [learn] socket set; or use --direct"
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_TEMPFAIL
        raise CannotTeachError(status, text) from None

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def ask(self, head: bytes, raw: bytes) -> tuple[int, str]:
        received = b""
        try:
            try:
                self._socket.sendall(head)
                self._socket.sendall(raw)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before it was complete; the answer says why
            while not received.endswith(b"\n") and len(received) < lesson_wire.LONGEST_ANSWER:
                more = self._socket.recv(lesson_wire.LONGEST_ANSWER)
                if not more:
                    break
                received += more
            return lesson_wire.read_answer(received)
        except (OSError, ValueError) as error:
            text = "the filter gave no answer; to teach the same again later does no harm"
            kind = CannotTeachError if received or isinstance(error, TimeoutError) else _NoAnswerError
            raise kind(os.EX_TEMPFAIL, text) from None
