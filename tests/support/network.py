"""A network of one's own: only a loopback interface, on which every address is local.

Servers and clients of a test live in a private network namespace. Nothing in it can reach beyond the machine, fixed
ports (53 for DNS) cannot collide with anything, and a client may come from any IPv4 or IPv6 address, so the mail
server looks up that address' name for real. The namespace lives as long as this process holds its descriptor; no
name of it appears in /run/netns and no process keeps it open.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from support.patience import ATTEMPT, PATIENCE
from support.ports import free_port
from support.processes import RunDirectory, end_all, living_in

_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78
_libc = ctypes.CDLL(None, use_errno=True)

_LAID_OVER = ("resolv.conf", "hosts", "nsswitch.conf")

# Every address is local: what Linux calls AnyIP.
_SET_UP = (
    "ip link set lo up",
    "ip route add local default dev lo",
    "ip -6 route add local default dev lo",
)

# Runs in a mount and UTS namespace of its own: $1 is the folder with the files to lay over /etc, $2 the host name,
# $3 a syslog socket or "". A machine's /dev is never changed; where syslog is wanted, /dev is a private copy.
_ENTER = """
set -e
over=$1 name=$2 log=$3; shift 3
hostname "$name"
for file in resolv.conf hosts nsswitch.conf; do mount --bind "$over/$file" "$(readlink -f /etc/$file)"; done
if [ -n "$log" ]; then
  mkdir -p "$over/dev"; mount -t tmpfs -o mode=755 tmpfs "$over/dev"
  for device in null zero full random urandom tty; do
    : >"$over/dev/$device"; mount --bind /dev/$device "$over/dev/$device"
  done
  for folder in pts shm; do
    if [ -d /dev/$folder ]; then mkdir "$over/dev/$folder"; mount --rbind /dev/$folder "$over/dev/$folder"; fi
  done
  ln -s /proc/self/fd "$over/dev/fd"
  ln -s "$log" "$over/dev/log"
  mount --move "$over/dev" /dev
fi
exec "$@"
"""


def _check(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def enter_for_good(namespace: int, over: int) -> None:
    """Move this process, which must have one thread only, into a private network, with that network's view of the machine;
    takes what `PrivateNetwork.descriptors` gives. The same as _ENTER, without starting ten programs."""
    _check(_libc.setns(namespace, _CLONE_NEWNET), "setns")
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS), "unshare")
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")
    folder = os.readlink(f"/proc/self/fd/{over}")
    socket.sethostname(Path(folder, "hostname").read_text())
    for name in _LAID_OVER:
        target = os.path.realpath(f"/etc/{name}")
        _check(_libc.mount(os.fsencode(f"{folder}/{name}"), os.fsencode(target), None, _MS_BIND, None), f"mount {name}")
    os.close(namespace)
    os.close(over)


class Network:
    """The machine's own network: loopback, free ports. A context manager, like PrivateNetwork."""

    private = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to give back here."""

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside the with block, this thread's new sockets and child processes belong to the network."""
        yield

    @contextlib.contextmanager
    def descriptors(self) -> Iterator[tuple[int, ...]]:
        """What another process of ours needs to `enter_for_good`; nothing for the machine's own network."""
        yield ()

    def command(self, argv: Sequence[str | Path], hostname: str = "", syslog: Path | None = None) -> list[str]:
        """The command line which runs argv with this network's view of the machine."""
        if hostname:
            return ["unshare", "--uts", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "sh", hostname, *map(str, argv)]
        return [str(word) for word in argv]

    def popen(
        self,
        argv: Sequence[str | Path],
        *,
        hostname: str = "",
        syslog: Path | None = None,
        output: Path | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own inside the network; both its outputs are appended to a file."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.entered())
            sink = stack.enter_context(output.open("ab")) if output else subprocess.DEVNULL
            return subprocess.Popen(
                self.command(argv, hostname, syslog),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )

    def run(self, argv: Sequence[str | Path], *, hostname: str = "", env: dict[str, str] | None = None) -> str:
        """Run a command inside to its end; its output. RuntimeError with that output where it fails."""
        with self.entered():
            done = subprocess.run(
                self.command(argv, hostname),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=env,
                check=False,
            )
        output = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {output}")
        return output

    def free_port(self, host: str = "127.0.0.1") -> int:
        """A port inside the network that nobody has."""
        return free_port(host, self.new_socket)

    def new_socket(self, host: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A new socket of the family of an address, inside the network."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with self.entered():
            return socket.socket(family, kind)

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        sock = self.new_socket(host)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(256)
        return sock

    def connect(self, host: str, port: int, source: str = "", timeout: float = PATIENCE) -> socket.socket:
        """A connection from the source address (in a private network: any address) to a server inside."""
        sock = self.new_socket(host)
        try:
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                self._allow_any_source(sock)
                sock.bind((source, 0))
            sock.connect((host, port))
        except OSError:
            sock.close()
            raise
        return sock

    def _allow_any_source(self, sock: socket.socket) -> None:
        """The machine's own network allows its own addresses only: 127/8 and ::1."""

    def accepts(self, host: str, port: int) -> bool:
        try:
            self.connect(host, port, timeout=ATTEMPT).close()
        except OSError:
            return False
        return True


class PrivateNetwork(Network):
    """A network namespace with nothing but loopback. Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN).

    Programs started in it see a resolv.conf that names 127.0.0.1 and nothing else; start a NameServer there.
    """

    private = True
    _set_up: Sequence[str] = _SET_UP

    def __init__(self, hostname: str = "mx.example.test") -> None:
        self._files = RunDirectory("net")
        self._files.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:20 attempts:3\n")
        self._files.write("hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.0.1 {hostname}\n")
        self._files.write("hostname", hostname)
        self._files.write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        self._namespace = self._create()
        with self.entered():
            # Containers often switch IPv6 off for new interfaces; here it hurts nobody.
            with contextlib.suppress(OSError):
                Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0")
            for command in self._set_up:
                subprocess.run(command.split(), check=True)

    @staticmethod
    def _create() -> int:
        """Make the namespace in a thread that ends at once, so that no other code of this process moves into it."""
        result: list[int | OSError] = []

        def make() -> None:
            try:
                _check(_libc.unshare(_CLONE_NEWNET), "unshare")
                result.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                result.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        (made,) = result
        if isinstance(made, OSError):
            raise made
        return made

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(self._namespace, _CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _check(_libc.setns(before, _CLONE_NEWNET), "setns back")
        finally:
            os.close(before)

    @contextlib.contextmanager
    def descriptors(self) -> Iterator[tuple[int, ...]]:
        over = os.open(self._files.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield self._namespace, over
        finally:
            os.close(over)

    def command(self, argv: Sequence[str | Path], hostname: str = "", syslog: Path | None = None) -> list[str]:
        inside = ["unshare", "--mount", "--uts", "sh", "-c", _ENTER, "sh", str(self._files.path)]
        return [*inside, hostname or "mx.example.test", str(syslog or ""), *map(str, argv)]

    def _allow_any_source(self, sock: socket.socket) -> None:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)

    @property
    def namespace(self) -> Path:
        """Where /proc shows the namespace, while it is open."""
        return Path(f"/proc/self/fd/{self._namespace}")

    def close(self) -> None:
        if self._namespace >= 0:
            # Servers were ended by those who started them; a child that made itself independent ends here.
            end_all(lambda: living_in(self.namespace))
            os.close(self._namespace)
            self._namespace = -1
        self._files.remove()


class Segment(PrivateNetwork):
    """A private network in which an address is local only if an interface has it: for what a Cable joins."""

    _set_up = _SET_UP[:1]


class Cable:
    """Joins two segments, each end with an address of its own (a veth pair). It can be pulled out: what is connected stays
    connected, and nothing arrives any more, as when a switch fails. Raises subprocess.CalledProcessError where the kernel has
    no such devices.

    address  of the far end, where the near segment finds the other one
    """

    def __init__(self, near: Segment, far: Segment, number: int) -> None:
        self._far = far
        self._end = f"cable{number}"
        self.address = f"10.98.{number}.1"
        # By a path in /proc, because neither namespace has a name.
        place = f"/proc/{os.getpid()}/fd/{near.namespace.name}"
        _ip(far, f"link add {self._end} type veth peer name cable netns {place}")
        for network, interface, address in ((near, "cable", f"10.98.{number}.2"), (far, self._end, self.address)):
            _ip(network, f"address add {address}/30 dev {interface}")
            _ip(network, f"link set {interface} up")

    def pull_out(self) -> None:
        _ip(self._far, f"link set {self._end} down")

    def plug_in(self) -> None:
        _ip(self._far, f"link set {self._end} up")


def _ip(network: Network, words: str) -> None:
    with network.entered():
        subprocess.run(["ip", *words.split()], check=True)
