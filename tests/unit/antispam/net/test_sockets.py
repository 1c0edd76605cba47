"""Socket specifications and the listening socket: syntax, mode, owner, stale and living predecessors."""

from __future__ import annotations

import grp
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.net.sockets import (
    Listener,
    SocketSpec,
    SocketSpecError,
    SocketUnavailable,
    open_listener,
    private_path,
    silent_listener,
)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(opened: ExitStack, text: str, **options: int | str) -> Listener:
    listener = open_listener(SocketSpec.parse(text), **options)  # type: ignore[arg-type]
    opened.callback(listener.close)
    return listener


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("unix:/run/milter/s", SocketSpec(socket.AF_UNIX, path="/run/milter/s")),
        ("local:/run/milter/s", SocketSpec(socket.AF_UNIX, path="/run/milter/s")),
        ("/run/milter/s", SocketSpec(socket.AF_UNIX, path="/run/milter/s")),
        (" UNIX:/run/a:b ", SocketSpec(socket.AF_UNIX, path="/run/a:b")),
        ("inet:8893@127.0.0.1", SocketSpec(socket.AF_INET, host="127.0.0.1", port=8893)),
        ("inet:8893@[127.0.0.1]", SocketSpec(socket.AF_INET, host="127.0.0.1", port=8893)),
        ("inet:8893", SocketSpec(socket.AF_INET, port=8893)),
        ("inet6:8893@::1", SocketSpec(socket.AF_INET6, host="::1", port=8893)),
        ("inet6:8893@[::1]", SocketSpec(socket.AF_INET6, host="::1", port=8893)),
        ("inet:smtp@localhost", SocketSpec(socket.AF_INET, host="localhost", port=25)),
    ],
)
def test_sendmails_syntax_is_understood(text: str, spec: SocketSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    # A minimal Debian has no /etc/services.
    monkeypatch.setattr(socket, "getservbyname", lambda name, _protocol: {"smtp": 25}[name])
    assert SocketSpec.parse(text) == spec
    assert SocketSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("inet:127.0.0.1:8893", "inet:8893@127.0.0.1"),
        ("inet:localhost:8893", "inet:8893@localhost"),
        ("inet6:[::1]:8893", r"inet6:8893@\[::1\]"),
        ("inet:65536@127.0.0.1", "is no port"),
        ("inet:", "is no port"),
        ("tcp:8893", "a socket begins with"),
        ("unix:", "names no file"),
        ("unix:/run/milter/", "names no file"),
        ("", "names no file"),
        ("inet:\0", "contains a NUL"),
    ],
)
def test_what_is_no_socket_is_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(SocketSpecError, match=advice):
        SocketSpec.parse(text)


@given(st.one_of(st.text(), st.text().map("inet:".__add__), st.text().map("unix:".__add__)))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        spec = SocketSpec.parse(text)
    except SocketSpecError:
        return
    assert isinstance(spec.postfix, str)


@pytest.mark.parametrize(
    ("text", "sendmail", "postfix"),
    [
        ("unix:/run/milter/s", "local:/run/milter/s", "unix:/run/milter/s"),
        ("inet:8893@127.0.0.2", "inet:8893@127.0.0.2", "inet:127.0.0.2:8893"),
        ("inet:8893", "inet:8893@127.0.0.1", "inet:127.0.0.1:8893"),
        ("inet6:8893@::", "inet6:8893@[::1]", "inet:[::1]:8893"),
    ],
)
def test_each_mta_gets_its_own_writing(text: str, sendmail: str, postfix: str) -> None:
    spec = SocketSpec.parse(text)
    assert (spec.sendmail, spec.postfix) == (sendmail, postfix)


def test_a_relative_path_is_that_of_the_present_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SocketSpec.parse("unix:var/s").path == f"{tmp_path}/var/s"


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_socket_has_its_mode_whatever_the_umask_is(tmp_path: Path, opened: ExitStack, mode: int) -> None:
    before = os.umask(0o777)
    try:
        listen(opened, f"unix:{tmp_path}/s", mode=mode)
        assert os.umask(0o777) == 0o777
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == mode


def test_the_socket_has_its_group(tmp_path: Path, opened: ExitStack) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    listen(opened, f"unix:{tmp_path}/s", group=group)
    assert (tmp_path / "s").stat().st_gid == os.getgid()


def test_a_group_that_is_none_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(SocketUnavailable, match="no group 'nonesuch'"):
        open_listener(SocketSpec.parse(f"unix:{tmp_path}/s"), group="nonesuch")
    assert not list(tmp_path.iterdir())


def test_a_dead_process_socket_is_replaced(tmp_path: Path, opened: ExitStack) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/s")
    listen(opened, f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/s")


def test_a_living_process_socket_is_refused_even_when_its_queue_is_full(tmp_path: Path, opened: ExitStack) -> None:
    listen(opened, f"unix:{tmp_path}/s", backlog=0)
    with pytest.raises(SocketUnavailable, match="another process listens on"):
        listen(opened, f"unix:{tmp_path}/s")
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.setblocking(False)
        client.connect_ex(f"{tmp_path}/s")
        with pytest.raises(SocketUnavailable, match="another process listens on"):
            listen(opened, f"unix:{tmp_path}/s")


def test_a_file_in_the_way_is_left_alone(tmp_path: Path, opened: ExitStack) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(SocketUnavailable, match="is not a socket"):
        listen(opened, f"unix:{tmp_path}/s")
    assert (tmp_path / "s").read_text() == "precious"


@pytest.mark.parametrize("path", ["missing/s", "x" * 200])
def test_a_path_that_cannot_be_says_so(tmp_path: Path, opened: ExitStack, path: str) -> None:
    with pytest.raises(SocketUnavailable, match="cannot listen on unix:"):
        listen(opened, f"unix:{tmp_path}/{path}")


def test_a_folder_that_is_missing_is_named(tmp_path: Path, opened: ExitStack) -> None:
    with pytest.raises(SocketUnavailable, match=f"; the folder {tmp_path}/missing must be there"):
        listen(opened, f"unix:{tmp_path}/missing/s")


def test_a_host_that_no_name_server_could_know_says_so(opened: ExitStack) -> None:
    with pytest.raises(SocketUnavailable, match="cannot listen on inet:0@aaa"):
        listen(opened, "inet:0@" + "a" * 64)


def test_of_many_that_start_at_once_one_listens(tmp_path: Path, opened: ExitStack) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/s")
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def attempt() -> None:
        barrier.wait()
        try:
            listen(opened, f"unix:{tmp_path}/s")
            outcomes.append("listens")
        except SocketUnavailable:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["listens"] + ["refused"] * 7


def test_closing_removes_the_file(tmp_path: Path, opened: ExitStack) -> None:
    listener = listen(opened, f"unix:{tmp_path}/s")
    listener.close()
    listener.close()
    assert not (tmp_path / "s").exists()


def test_closing_leaves_a_successors_file(tmp_path: Path, opened: ExitStack) -> None:
    listener = listen(opened, f"unix:{tmp_path}/s")
    os.rename(tmp_path / "s", tmp_path / "old")  # the inode stays in use, so the successor cannot get the same one
    (tmp_path / "s").touch()
    listener.close()
    assert (tmp_path / "s").exists()


def test_an_inet_socket_disables_nagle_for_what_it_accepts(opened: ExitStack) -> None:
    listener = listen(opened, "inet:0@127.0.0.1")
    with socket.create_connection(("127.0.0.1", listener.spec.port)):
        listener.socket.setblocking(True)
        accepted, _ = listener.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_refused(opened: ExitStack) -> None:
    taken = listen(opened, "inet:0@127.0.0.1").spec
    with pytest.raises(SocketUnavailable, match=f"another process listens on {taken}"):
        listen(opened, str(taken))


def test_all_listeners_are_non_blocking(tmp_path: Path, opened: ExitStack) -> None:
    """A worker that loses the race for a connection would otherwise hang in accept()."""
    for text in (f"unix:{tmp_path}/s", "inet:0@127.0.0.1"):
        with pytest.raises(BlockingIOError):
            listen(opened, text).socket.accept()


def test_a_private_path_is_gone_afterwards() -> None:
    with private_path() as path:
        folder = Path(path).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_silent_listener_listens_under_no_name() -> None:
    with closing(silent_listener()) as silent:
        assert silent.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not os.path.exists(silent.getsockname())
