"""The milter's socket: its notation, opening, protecting and removing it.

The supervisor opens it, not libmilter. libmilter cannot set mode and group, replaces the socket of a living process
without asking, and unlinks the path when a worker ends although its siblings still serve on it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace

PROBE_SECONDS = 2.0
POSTFIX_STYLE = re.compile(r"(?P<host>\[[^]]*\]|[^:@\[\]]+):(?P<port>\w+)")


class SocketSpecError(ValueError):
    """The text does not name a milter socket; the message says what is expected."""


class SocketUnavailable(OSError):
    """The socket cannot be opened; the message is for an administrator."""


@dataclass(frozen=True, slots=True)
class SocketSpec:
    """The address of the milter. `path` for AF_UNIX; `host` ("" = every address) and `port` for AF_INET, AF_INET6."""

    family: socket.AddressFamily
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> SocketSpec:
        """Read libmilter's syntax: `unix:/path`, `local:/path`, `/path`, `inet:port[@host]`, `inet6:port[@host]`.

        A port may be a service name; a host may be in square brackets. Raises SocketSpecError.
        """
        text = text.strip()
        if "\0" in text:
            raise SocketSpecError(f"{text!r} contains a NUL")
        scheme, colon, rest = text.partition(":")
        if not colon:
            scheme, rest = "unix", text
        match scheme.lower():
            case "unix" | "local":
                return cls._unix(rest, text)
            case "inet":
                return cls._inet(socket.AF_INET, rest, text)
            case "inet6":
                return cls._inet(socket.AF_INET6, rest, text)
        raise SocketSpecError(f"{text!r}: a socket begins with unix:, local:, inet: or inet6:")

    @classmethod
    def _unix(cls, path: str, text: str) -> SocketSpec:
        if not path or path.endswith("/"):
            raise SocketSpecError(f"{text!r} names no file: write unix:/path/to/socket")
        return cls(socket.AF_UNIX, path=os.path.abspath(path))

    @classmethod
    def _inet(cls, family: socket.AddressFamily, rest: str, text: str) -> SocketSpec:
        if "@" not in rest and (postfix := POSTFIX_STYLE.fullmatch(rest)):
            ours = f"{text.partition(':')[0]}:{postfix['port']}@{postfix['host']}"
            raise SocketSpecError(f"{text!r} is how Postfix writes it; here it is {ours}")
        port, _, host = rest.partition("@")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        return cls(family, host=host, port=_port(port, text))

    def __str__(self) -> str:
        if self.family == socket.AF_UNIX:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}:{self.port}" + (f"@{host}" if host else "")

    @property
    def _scheme(self) -> str:
        return "inet6" if self.family == socket.AF_INET6 else "inet"

    @property
    def _dialled(self) -> str:
        """The host that a client on this machine would dial."""
        loopback = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
        return loopback if self.host in ("", "0.0.0.0", "::") else self.host

    @property
    def dialled(self) -> tuple[str, int]:
        """Host and port for a client on this machine."""
        return self._dialled, self.port

    @property
    def sendmail(self) -> str:
        """What follows `S=` in sendmail's INPUT_MAIL_FILTER."""
        return f"local:{self.path}" if self.family == socket.AF_UNIX else str(replace(self, host=self._dialled))

    @property
    def postfix(self) -> str:
        """The value for Postfix's smtpd_milters."""
        if self.family == socket.AF_UNIX:
            return f"unix:{self.path}"
        host = f"[{self._dialled}]" if ":" in self._dialled else self._dialled
        return f"inet:{host}:{self.port}"


def _port(name: str, text: str) -> int:
    if name.isascii() and name.isdecimal() and int(name) < 65536:
        return int(name)
    try:
        return socket.getservbyname(name, "tcp")
    except (OSError, ValueError):
        raise SocketSpecError(f"{text!r}: {name!r} is no port; write inet:8893@127.0.0.1") from None


class Listener:
    """A listening socket, non-blocking since several processes accept from it. Made by open_listener()."""

    def __init__(self, spec: SocketSpec, listening: socket.socket) -> None:
        self.spec = spec
        self.socket = listening
        self._identity = _identity(spec.path) if spec.path else None

    def protect(self, mode: int, owner: int = -1, group: str | int = -1) -> None:
        """Set mode, owner (uid) and group (name or gid) of a unix socket; -1 = as it is. Raises SocketUnavailable."""
        path = self.spec.path
        if not path:
            return
        gid = group_id(group)
        try:
            if (owner, gid) != (-1, -1):
                os.chown(path, owner, gid)
            os.chmod(path, mode)
        except OSError as error:
            why = f"cannot give {path} its owner, group or mode: {error.strerror}"
            raise SocketUnavailable(error.errno, why) from error

    def close(self) -> None:
        """Stop listening, and remove the socket's file if it is still the one created here."""
        self.socket.close()
        if self._identity and _identity(self.spec.path) == self._identity:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.spec.path)
        self._identity = None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def open_listener(
    spec: SocketSpec, *, mode: int = 0o660, owner: int = -1, group: str | int = -1, backlog: int = 128
) -> Listener:
    """Listen on `spec`; `mode`, `owner` (uid) and `group` (name or gid; -1 = as they fall) are those of a unix socket.

    The socket file of a dead process is replaced, that of a living one is not. Must not be called in a process with
    threads, because the umask changes for a moment. Raises SocketUnavailable.
    """
    try:
        if spec.family == socket.AF_UNIX:
            return _open_unix(spec, mode, owner, group, backlog)
        return _open_inet(spec, backlog)
    except SocketUnavailable:
        raise
    except UnicodeError as error:  # a host that IDNA cannot encode
        raise SocketUnavailable(errno.EINVAL, f"cannot listen on {spec}: {error}") from error
    except OSError as error:
        hint = ""
        if spec.family == socket.AF_UNIX and error.errno in (errno.ENOENT, errno.EACCES):
            hint = f"; the folder {os.path.dirname(spec.path)} must be there, and our user must be able to write to it"
        raise SocketUnavailable(error.errno, f"cannot listen on {spec}: {error.strerror or error}{hint}") from error


def group_id(group: str | int) -> int:
    """The number of a group. Raises SocketUnavailable if it does not exist."""
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SocketUnavailable(errno.EINVAL, f"there is no group {group!r} to own the socket") from None


def _open_inet(spec: SocketSpec, backlog: int) -> Listener:
    found = socket.getaddrinfo(spec.host or None, spec.port, spec.family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    listening = socket.socket(spec.family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it. Otherwise several modifications at the end of a message would meet Nagle's
        # algorithm and delayed acknowledgements: 40 ms each.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setblocking(False)
        listening.bind(found[0][4])
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise SocketUnavailable(error.errno, f"another process listens on {spec}") from error
        raise
    return Listener(replace(spec, port=listening.getsockname()[1]), listening)


def _open_unix(spec: SocketSpec, mode: int, owner: int, group: str | int, backlog: int) -> Listener:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        with _directory_locked(os.path.dirname(spec.path)):
            _remove_if_stale(spec.path)
            _bind_with_mode(listening, spec.path, mode)
            listener = Listener(spec, listening)
            try:
                listener.protect(mode, owner, group)
                listening.listen(backlog)
            except OSError:
                listener.close()
                raise
    except OSError:
        listening.close()
        raise
    return listener


@contextlib.contextmanager
def _directory_locked(directory: str) -> Iterator[None]:
    """Lock the directory: of two processes that start at once, the second must not unlink the first one's new socket."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_if_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketUnavailable(errno.EEXIST, f"{path} exists and is not a socket; it is left alone")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        refused = probe.connect_ex(path)
    if refused != errno.ECONNREFUSED:
        # A full queue (EAGAIN) is a sign of life, and EACCES proves nothing: only a refused connection proves that
        # nobody listens.
        why = "another process listens on" if refused in (0, errno.EAGAIN) else f"{os.strerror(refused)}:"
        raise SocketUnavailable(errno.EADDRINUSE, f"{why} {path}")
    os.unlink(path)


def _bind_with_mode(listening: socket.socket, path: str, mode: int) -> None:
    """Bind so that the file never has, not even for an instant, more permissions than `mode`."""
    before = os.umask(0o777 & ~mode)
    try:
        listening.bind(path)
    finally:
        os.umask(before)


@contextlib.contextmanager
def private_path() -> Iterator[str]:
    """A path for a private socket, in a temporary directory that is removed afterwards."""
    directory = tempfile.mkdtemp(prefix="milter-")
    try:
        yield os.path.join(directory, "s")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def silent_listener() -> socket.socket:
    """A listening socket that nobody can connect to, because it no longer has a name."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.setblocking(False)
    with private_path() as path:
        listening.bind(path)
        listening.listen(1)
    return listening
