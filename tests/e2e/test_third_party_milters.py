"""Milters that other people wrote for pymilter do their work on our modules, without a changed line.

They are installed from PyPI into an environment of their own, without pymilter: ``milter``, ``Milter`` and ``mime``
are ours. A test starts the milter's own program, speaks the milter protocol to it and looks at what it asks the MTA
to do. Their DNS is a name server on loopback.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from support.dns import loopback_nameserver
from support.milter_client import MilterClient, Reply
from support.patience import PATIENCE
from support.places import CACHE, REPOSITORY
from support.processes import wait_until
from support.signing import SigningKey
from support.zone_server import ZoneResponder
from support.zones import Zone, complete, quoted_text

MILTERS = ["dkimpy-milter==1.2.3", "spf-engine==3.1.0", "pyquarantine==2.1.0"]
# What they need besides pymilter, and what our own binding needs.
LIBRARIES = [
    "authres",
    "beautifulsoup4",
    "cffi",
    "dkimpy",
    "dnspython",
    "jsonschema",
    "netaddr",
    "peewee",
    "PyNaCl",
    "pyspf",
    "webencodings",
]
ENVIRONMENT = CACHE / "third-party-milters" / f"python{sys.version_info.major}.{sys.version_info.minor}"

USER = pwd.getpwuid(os.geteuid()).pw_name  # they hand their files to somebody, and only root may choose whom

KEY = SigningKey.make("s1", "example.org", "rsa")
ZONES = complete(
    [
        Zone(
            "example.org",
            f'@ TXT "v=spf1 ip4:192.0.2.1 -all"\ns1._domainkey TXT {quoted_text(KEY.record)}\nclient A 192.0.2.1\n',
        ),
    ],
    {},
)

# What a real machine would have: a name server (in /etc/resolv.conf), and a syslog that takes messages.
SITE = """
import dns.resolver
import logging
logging.raiseExceptions = False
dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
dns.resolver.default_resolver.nameservers = ["127.0.0.1"]
dns.resolver.default_resolver.port = {port}
"""

HEADERS = [
    (b"From", b"Ann <ann@example.org>"),
    (b"To", b"joe@example.com"),
    (b"Subject", b"Hello"),
    (b"Message-ID", b"<1@example.org>"),
]
BODY = b"How are you?\r\n"


def _pip(*arguments: str) -> str:
    into = ["--python", str(ENVIRONMENT / "bin" / "python")]
    command = [sys.executable, "-m", "pip", *into, "--quiet", "--disable-pip-version-check", "install"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=300)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


def _install() -> str:
    """Build the environment unless it is there; returns why that is impossible, or ""."""
    wanted = json.dumps([MILTERS, LIBRARIES])
    ready = ENVIRONMENT / "ready"
    if ready.exists() and ready.read_text() == wanted:
        return ""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    venv.create(ENVIRONMENT)
    problem = _pip("--no-deps", *MILTERS) or _pip(*LIBRARIES)
    if not problem:
        ready.write_text(wanted)
    return problem


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder with the milters' programs."""
    if problem := _install():
        reason = f"milters of other people cannot be installed from PyPI: {problem}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return ENVIRONMENT / "bin"


@pytest.fixture(scope="module")
def nameserver() -> Iterator[int]:
    """The port of a name server that knows the sender's domain."""
    with loopback_nameserver(ZoneResponder(ZONES)) as port:
        yield port


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="milters-") as path:
        yield Path(path)


@pytest.fixture
def folder(place: Path) -> Path:
    """A folder of its own for each test."""
    return Path(tempfile.mkdtemp(dir=place))


@pytest.fixture(scope="module")
def ending(place: Path) -> Iterator[list[tuple[subprocess.Popen[str], bool]]]:
    """Milters that were told to end, and whether they were to stumble over something. libmilter takes five seconds to end, so
    they are awaited all together."""
    processes: list[tuple[subprocess.Popen[str], bool]] = []
    yield processes
    outputs = [(process.communicate(timeout=PATIENCE)[0], stumbles) for process, stumbles in processes]
    assert [process.returncode for process, _ in processes] == [0] * len(processes)
    assert not [output for output, stumbles in outputs if ("Traceback" in output) is not stumbles]


Start = Callable[..., MilterClient]


@pytest.fixture
def start(
    programs: Path, nameserver: int, folder: Path, ending: list[tuple[subprocess.Popen[str], bool]]
) -> Iterator[Start]:
    """Starts a milter's program that listens on ``folder/sock``; returns a client that has negotiated."""
    (folder / "sitecustomize.py").write_text(SITE.format(port=nameserver))
    running: list[tuple[subprocess.Popen[str], bool]] = []
    clients: list[MilterClient] = []

    def run(program: str, *arguments: str, stumbles: bool = False) -> MilterClient:
        process = subprocess.Popen(
            [programs / "python", programs / program, *arguments],
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY / 'lib'}"},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append((process, stumbles))
        wait_until(lambda: _accepts(folder / "sock", process), f"{program} to listen")
        client = MilterClient(str(folder / "sock"))
        clients.append(client)
        client.negotiate()
        return client

    yield run
    for client in clients:
        client.drop()
    for process, _ in running:
        process.terminate()
    ending += running


def _accepts(sock: Path, process: subprocess.Popen[str]) -> bool:
    if process.poll() is not None:
        pytest.fail(f"the milter ended at once: {process.communicate()[0]}")
    try:
        MilterClient(str(sock)).drop()
    except OSError:
        return False
    return True


def send(
    client: MilterClient,
    headers: list[tuple[bytes, bytes]] = HEADERS,
    body: bytes = BODY,
    address: bytes = b"192.0.2.1",
    family: Literal["4", "L"] = "4",
) -> Reply:
    """Send one message as an MTA would; returns the answer that ended it."""
    client.macros(b"C", {"j": "mx.example.com", "{daemon_name}": "MTA"})
    reply = client.connect(b"client.example.org", family, address)
    if reply.goes_on:
        reply = client.helo(b"client.example.org")
    client.macros(b"M", {"i": "ABC123"})
    return client.message(headers, body, b"<ann@example.org>", [b"<joe@example.com>"]) if reply.goes_on else reply


def added(reply: Reply, name: bytes) -> list[bytes]:
    """The values of the header fields of that name which the milter added."""
    fields = [change.arguments[-2:] for change in reply.changes if change.name in ("addheader", "insheader")]
    return [bytes(value) for field, value in fields if isinstance(value, bytes) and field == name]


def signed(body: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields of a message signed by its sender."""
    message = b"".join(name + b": " + value + b"\r\n" for name, value in HEADERS) + b"\r\n" + body
    signature = KEY.sign(message)[: -len(message)]
    name, _, value = signature.rstrip().partition(b":")
    return [(name, value.strip().replace(b"\r\n", b"\n")), *HEADERS]


# --- dkimpy-milter ----------------------------------------------------------------------------------------------


@pytest.fixture
def dkimpy_settings(folder: Path) -> Path:
    """The configuration of dkimpy-milter as a verifier."""
    settings = f"Syslog no\nUMask 007\nMode v\nSocket local:{folder}/sock\nPidFile {folder}/pid\nUserID {USER}\n"
    (folder / "conf").write_text(settings + "AuthservID mx.example.com\n")
    return folder / "conf"


@pytest.fixture
def dkimpy_milter(start: Start, dkimpy_settings: Path) -> MilterClient:
    """dkimpy-milter as a verifier."""
    return start("dkimpy-milter", str(dkimpy_settings))


def test_dkimpy_milter_recognises_a_signed_message(dkimpy_milter: MilterClient) -> None:
    """The message goes through with an Authentication-Results field that says dkim=pass."""
    reply = send(dkimpy_milter, signed(BODY))
    assert reply.goes_on or reply.action == "a"
    (results,) = added(reply, b"Authentication-Results")
    assert b"dkim=pass" in results
    assert b"header.d=example.org" in results


def test_dkimpy_milter_keeps_the_mail_of_a_client_on_a_unix_socket(start: Start, dkimpy_settings: Path) -> None:
    """Its connect(), which needs no answer, fails to look it up in its InternalHosts; with pymilter the mail goes on."""
    with dkimpy_settings.open("a") as settings:
        settings.write("InternalHosts 127.0.0.1\n")
    client = start("dkimpy-milter", str(dkimpy_settings), stumbles=True)
    reply = send(client, signed(BODY), family="L", address=b"/run/client")
    assert reply.goes_on or reply.action == "a", reply


def test_dkimpy_milter_recognises_an_altered_message(dkimpy_milter: MilterClient) -> None:
    """A body that was changed after signing gives dkim=fail."""
    reply = send(dkimpy_milter, signed(BODY), b"Send money.\r\n")
    (results,) = added(reply, b"Authentication-Results")
    assert b"dkim=fail" in results


# --- spf-engine -------------------------------------------------------------------------------------------------


@pytest.fixture
def pyspf_milter(start: Start, folder: Path) -> MilterClient:
    """spf-engine's milter, which refuses what SPF says is forged."""
    settings = f"debugLevel = 1\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nPidFile = {folder}/pid\n"
    settings += (
        f"Socket = local:{folder}/sock\nUserID = {USER}\nInternalHosts = 127.0.0.1\nAuthserv_Id = mx.example.com\n"
    )
    (folder / "conf").write_text(settings)
    return start("pyspf-milter", str(folder / "conf"))


def test_pyspf_milter_lets_an_honest_sender_through(pyspf_milter: MilterClient) -> None:
    """Mail from an address that the domain's policy names gets spf=pass in Authentication-Results."""
    reply = send(pyspf_milter)
    assert reply.goes_on or reply.action == "a"
    assert any(b"spf=pass" in results for results in added(reply, b"Authentication-Results"))


def test_pyspf_milter_refuses_a_forged_sender(pyspf_milter: MilterClient) -> None:
    """Mail from any other address is refused with 550."""
    reply = send(pyspf_milter, address=b"203.0.113.9")
    assert (reply.action, reply.text[:3]) == ("y", b"550")


# --- pyquarantine -----------------------------------------------------------------------------------------------


@pytest.fixture
def pyquarantine(start: Start, folder: Path) -> MilterClient:
    """pyquarantine with rules that mark, extend and refuse messages."""
    rules = [
        {
            "name": "mark",
            "actions": [
                {"name": "add", "type": "add_header", "options": {"field": "X-Checked", "value": "yes"}},
                {
                    "name": "subject",
                    "type": "mod_header",
                    "options": {"field": "^Subject$", "search": "Hello", "value": "[external] Hello"},
                },
                {
                    "name": "disclaimer",
                    "type": "add_disclaimer",
                    "options": {
                        "action": "append",
                        "html_template": str(folder / "html"),
                        "text_template": str(folder / "text"),
                    },
                },
            ],
        },
    ]
    (folder / "text").write_text("-- \nThis came from outside.\n")
    (folder / "html").write_text("<p>This came from outside.</p>")
    (folder / "conf").write_text(json.dumps({"socket": f"local:{folder}/sock", "rules": rules}))
    return start("pyquarantine-milter", "-c", str(folder / "conf"), "-d")


def test_pyquarantine_changes_header_and_body(pyquarantine: MilterClient) -> None:
    """A header field is added, the subject is changed and a disclaimer is appended to the body."""
    plain = [*HEADERS, (b"MIME-Version", b"1.0"), (b"Content-Type", b"text/plain; charset=us-ascii")]
    reply = send(pyquarantine, plain)
    assert added(reply, b"X-Checked") == [b"yes"]
    changed = [change.arguments for change in reply.changes if change.name == "chgheader"]
    assert any(arguments[-1] == b"[external] Hello" for arguments in changed)
    bodies = b"".join(bytes(change.arguments[0]) for change in reply.changes if change.name == "replacebody")
    text = base64.b64decode(bodies)
    assert text.startswith(b"How are you?")
    assert text.endswith(b"This came from outside.\n")
