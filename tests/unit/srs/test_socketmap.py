"""The socket map by which MTAs rewrite and lead back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket as client
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks._shared.srs import SrsSettings, signature_of
from antispam.commands.srs import maps_of
from antispam.net.socket_map import MAX_REQUEST, SocketMapServer, answer, netstring
from antispam.settings import load_text
from support.patience import PATIENCE
from support.places import POSTFIX

CONFIG = "[srs]\nsecret = shhhh!\nfwdomain = fwd.example\nsign = example.com\nnosrs = odd.example\n"


def maps():
    signature = signature_of(load_text(CONFIG, [SrsSettings])[SrsSettings])
    assert signature is not None
    return maps_of(signature)


def ask(name: str, key: str) -> str:
    return answer(f"{name} {key}".encode("utf-8", "surrogateescape"), maps()).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", ["forward", "make_srs"])
def test_a_foreign_sender_is_rewritten_and_led_back(name):
    reply = ask(name, "ann@example.org")
    assert reply.startswith("OK SRS0=")
    assert reply.endswith("=example.org=ann@fwd.example")
    assert ask("reverse", reply.removeprefix("OK ")) == "OK ann@example.org"


def test_a_sender_of_ours_is_signed():
    assert ask("forward", "ann@example.com").endswith("==ann@example.com")


@pytest.mark.parametrize(
    "key", ["", "ann", "odd.example\udc9bann@example.org", "\udc9bann@example.org", "x@fwd.example"]
)
def test_who_stays_as_he_is(key):
    assert ask("forward", key) == "NOTFOUND "


def test_a_hash_of_ours_that_was_copied_to_another_domain_is_not_led_back():
    local = ask("forward", "ann@example.org").removeprefix("OK ").partition("@")[0]
    for domain in ("attack.example", "sub.fwd.example", ""):
        assert ask("reverse", f"{local}@{domain}") == "NOTFOUND "


@pytest.mark.parametrize("key", ["ann@example.com", "SRS0=AAAA=JN=example.org=ann@fwd.example", "nonsense"])
def test_what_is_not_ours_is_not_led_back(key):
    assert ask("reverse", key) == "NOTFOUND "


def test_sendmail_gets_its_own_form_back():
    reply = ask("make_srs", "ann<@example.org.>")
    assert reply.endswith("=example.org=ann<@fwd.example.>")
    assert ask("reverse_srs", reply.removeprefix("OK ")) == "OK ann<@example.org.>"


def test_sendmail_names_the_next_host_before_the_sender():
    assert ask("make_srs", "mail.elsewhere.example.\udc9bann<@example.org.>").endswith(
        "=example.org=ann<@fwd.example.>"
    )
    assert ask("make_srs", "mail.elsewhere.example.\udc9bann<@example.com.>").endswith("==ann<@example.com.>")


@pytest.mark.parametrize(
    ("name", "key", "same"),
    [
        ("make_srs", "odd.example.\udc9bann<@example.org.>", "ann<@example.org.>"),
        ("make_srs", "\udc9bann<@example.org.>", "ann<@example.org.>"),
        ("make_srs", "mail.elsewhere.example.\udc9b<@>", "<@>"),
    ],
)
def test_pysrs_answers_with_what_stays_as_it_is(name, key, same):
    assert ask(name, key) == f"OK {same}"


def test_sendmail_hears_that_somebody_answers():
    assert ask("srs_up", "up") == "NOTFOUND "


def test_an_address_that_two_forwarders_rewrote_leads_back_whole():
    once = ask("forward", "ann@example.org").removeprefix("OK ")
    signature = signature_of(load_text(CONFIG, [SrsSettings])[SrsSettings])
    twice = signature.srs.forward(once, "fwd.example")
    assert twice.startswith("SRS1=")
    assert ask("reverse", twice) == "OK ann@example.org"


@pytest.mark.parametrize("request_", [b"", b"forward", b"nomap key"])
def test_a_map_that_is_not_there(request_):
    assert answer(request_, maps()).startswith(b"PERM")


def test_a_map_that_fails_asks_to_come_again():
    assert answer(b"x y", {"x": lambda key: key[99]}) == b"TEMP internal error"


@given(st.binary(max_size=500))
def test_no_request_raises(request_):
    for name in (b"", b"forward ", b"reverse ", b"make_srs "):
        assert answer(name + request_, maps()).split(b" ")[0] in (b"OK", b"NOTFOUND", b"PERM")


def talk(*octets: bytes, idle: float = 5.0) -> bytes:
    """What a server says to these octets, until it closes."""

    async def conversation(path: str) -> bytes:
        server = await asyncio.start_unix_server(SocketMapServer(maps(), idle).converse, path)
        async with server:
            reader, writer = await asyncio.open_unix_connection(path)
            for part in octets:
                writer.write(part)
                await writer.drain()
            writer.write_eof()
            said = await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
        return said

    path = f"/tmp/socketmap-{os.getpid()}.sock"
    try:
        return asyncio.run(conversation(path))
    finally:
        Path(path).unlink(missing_ok=True)


def test_several_questions_on_one_connection():
    said = talk(netstring(b"forward ann"), netstring(b"reverse "), netstring(b"x y"))
    assert said == b"9:NOTFOUND ,9:NOTFOUND ,25:PERM there is no such map,"


@pytest.mark.parametrize(
    "octets",
    [
        b"x",
        b"5:ab,",
        b"3:abcd",
        b"99999999999:",
        b"%d:" % (MAX_REQUEST + 1),
        b"-1:,",
        b"3 :abc,",
        b":,",
        b"\x00" * 5000,
    ],
)
def test_what_is_no_netstring_ends_the_connection(octets):
    assert talk(octets) in (b"", b"25:PERM there is no such map,")


@pytest.mark.servers
def test_postfix_asks_it(tmp_path):
    """postmap -q, as a cleanup daemon with sender_canonical_maps would."""
    config = tmp_path / "milter.cfg"
    config.write_text(CONFIG + f"[milter]\ndatadir = {tmp_path}\n")
    socket = tmp_path / "srs.sock"
    program = Path(__file__).parents[3] / "bms.py"
    command = [sys.executable, str(program), "--config", str(config), "srs", "serve", "--socket", str(socket)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert "listens" in server.stderr.readline()
            (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
            query = [f"{POSTFIX}/usr/sbin/postmap", "-c", str(tmp_path), "-q"]
            environment = {**os.environ, "LD_LIBRARY_PATH": f"{POSTFIX}/usr/lib/postfix"}
            table = f"socketmap:unix:{socket}:"
            forward = subprocess.run(
                [*query, "ann@example.org", table + "forward"], capture_output=True, text=True, env=environment
            )
            assert forward.stdout.endswith("=example.org=ann@fwd.example\n"), forward.stderr
            back = subprocess.run(
                [*query, forward.stdout.strip(), table + "reverse"], capture_output=True, text=True, env=environment
            )
            assert back.stdout == "ann@example.org\n"
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
    assert not socket.exists()


def test_a_reload_takes_another_secret_and_keeps_the_old_one_where_it_is_broken(tmp_path):
    secrets, config, socket = tmp_path / "secrets", tmp_path / "milter.cfg", tmp_path / "srs.sock"
    secrets.write_text("one\n")
    secrets.chmod(0o600)
    config.write_text(
        f"[milter]\ndatadir = {tmp_path}\n[srs]\nsecret_file = {secrets}\nsocket = {socket}\nfwdomain = fwd.example\n"
    )
    program = Path(__file__).parents[3] / "bms.py"
    command = [sys.executable, str(program), "--config", str(config), "srs", "serve"]

    def forwarded() -> str:
        with closing(client.socket(client.AF_UNIX)) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(str(socket))
            asking.sendall(netstring(b"forward ann@example.org"))
            return asking.recv(1000).decode()

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert "listens" in server.stderr.readline()
            assert stat.S_IMODE(socket.stat().st_mode) == 0o660  # who may ask gets signatures
            first = forwarded()
            assert "=example.org=ann@fwd.example" in first
            secrets.write_text("")
            server.send_signal(signal.SIGHUP)
            assert "not reloaded" in server.stderr.readline()
            assert forwarded() == first
            secrets.write_text("two\none\n")
            server.send_signal(signal.SIGHUP)
            assert "reloaded" in server.stderr.readline()
            assert forwarded() != first
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
