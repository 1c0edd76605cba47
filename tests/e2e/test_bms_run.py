"""bms.py as an administrator runs it: start, signals, a changed configuration, and no message lost meanwhile."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from support.dns import loopback_nameserver
from support.filter_process import FilterProcess
from support.milter_client import MilterClient, ProtocolError, Reply
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import Network, PrivateNetwork
from support.patience import ATTEMPT, PATIENCE
from support.places import REPOSITORY
from support.ports import free_port
from support.processes import RunDirectory, end_session, wait_until
from support.sink import Sink
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

ZONES = [Zone("example.org", '@ TXT "v=spf1 ip4:192.0.2.1 -all"')]
HEADERS = [(b"From", b" ann@example.org"), (b"Subject", b" Lunch")]
SENDER, RECIPIENT = b"<ann@example.org>", b"<bob@example.com>"


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """A configuration that asks a name server of the test's and does not greylist.

    Reputation is off: what a test sends until something has changed would earn its sender trust, and trusted ones are not
    greylisted.
    """
    with loopback_nameserver(ZoneResponder(complete(ZONES, {"192.0.2.1": "mail.example.org"}))) as port:
        yield f"drain_timeout = 1h\n[dns]\nnameservers = 127.0.0.1@{port}\n[greylist]\nmode = off\n[gossip]\nmode = off\n"


@pytest.fixture
def program(base: str) -> Iterator[FilterProcess]:
    with FilterProcess(Network(), base) as running:
        yield running


@contextlib.contextmanager
def _session(socket: Path) -> Iterator[MilterClient]:
    """An MTA's connection on behalf of 192.0.2.1, after HELO."""
    with MilterClient(str(socket)) as mta:
        mta.negotiate()
        mta.macros(b"C", {"j": "mx.example.test", "{client_resolve}": "OK", "{client_ptr}": "mail.example.org"})
        mta.connect(b"mail.example.org", "4", b"192.0.2.1")
        mta.helo(b"mail.example.org")
        yield mta


def _send(socket: Path) -> Reply:
    with _session(socket) as mta:
        return mta.message(HEADERS, b"Shall we?\r\n", SENDER, [RECIPIENT])


def _field(reply: Reply, name: bytes) -> bytes:
    """The value of the header field of that name that the filter inserts, "" for none."""
    added = (change.arguments for change in reply.changes if change.name == "insheader")
    return next((bytes(value) for _, field, value in added if field == name), b"")  # type: ignore[arg-type]


def _begin(mta: MilterClient) -> None:
    """A message up to the middle of its body."""
    assert mta.mail(SENDER).goes_on
    assert mta.rcpt(RECIPIENT).goes_on
    mta.data()
    for field in HEADERS:
        mta.header(*field)
    mta.eoh()
    mta.body(b"Shall")


def _refuses(socket: Path) -> bool:
    """Whether the filter takes no new connections."""
    try:
        _send(socket)
    except (OSError, ProtocolError):
        return True
    return False


@pytest.mark.parametrize("fresh", [True, False])
def test_mail_is_filtered_and_the_log_says_so(base: str, fresh: bool) -> None:
    """Started from a shell; and as the other tests here start it, to save time."""
    with FilterProcess(Network(), base, fresh=fresh) as program:
        _assert_filters(program)


def _assert_filters(program: FilterProcess) -> None:
    reply = _send(program.socket)
    assert reply.action == "c"
    assert _field(reply, b"Received-SPF").strip().startswith(b"pass ")
    assert "ACCEPT to=<bob@example.com> from=<ann@example.org> ip=192.0.2.1" in program.log()


def test_steps_that_never_decide_are_not_answered(program: FilterProcess) -> None:
    """Each reply costs a milter time; what is not needed is negotiated away."""
    with _session(program.socket) as mta:
        unanswered = {"connect": 0x1000, "helo": 0x2000, "mail": 0x4000, "header": 0x80, "body": 0x80000}
        assert {step for step, bit in unanswered.items() if not mta.negotiated.steps & bit} == set()


def test_a_stop_is_clean(program: FilterProcess) -> None:
    _send(program.socket)
    assert program.stop() == 0
    assert not program.socket.exists()
    assert "Traceback" not in program.log()


def test_a_stop_in_the_middle_of_a_message_lets_it_end(program: FilterProcess) -> None:
    with _session(program.socket) as mta:
        _begin(mta)
        os.kill(program.pid, signal.SIGTERM)
        wait_until(lambda: _refuses(program.socket), "no new connection is taken")
        mta.body(b" we?\r\n")
        reply = mta.end_of_message()
    assert reply.action == "c"
    assert _field(reply, b"Received-SPF")
    assert program.stop() == 0


def test_a_stop_in_the_middle_of_end_of_message_waits_for_the_reply() -> None:
    """The key of a signature is being looked up, and its name server is silent, when TERM comes."""
    asked = threading.Event()

    def respond(query: dns.message.Message, by_tcp: bool) -> dns.message.Message | None:
        if "_domainkey" in str(query.question[0].name):
            asked.set()
            return None
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    body_hash = base64.b64encode(hashlib.sha256(b"Shall we?\r\n").digest())
    signature = b" v=1; a=rsa-sha256; c=simple/simple; d=example.org; s=s1; h=from; bh=%s; b=AAAA" % body_hash
    headers = [(b"DKIM-Signature", signature), *HEADERS]
    with loopback_nameserver(respond) as port:
        config = f"[dns]\nnameservers = 127.0.0.1@{port}\ntimeout = 1s\n[greylist]\nmode = off\n"
        with FilterProcess(Network(), config) as program, _session(program.socket) as mta:
            replies: list[Reply] = []
            text = b"Shall we?\r\n"
            sending = threading.Thread(target=lambda: replies.append(mta.message(headers, text, SENDER, [RECIPIENT])))
            sending.start()
            assert asked.wait(PATIENCE)
            os.kill(program.pid, signal.SIGTERM)
            sending.join()
            assert program.stop() == 0
    assert [reply.action for reply in replies] == ["c"]
    assert b"dkim=" in _field(replies[0], b"Authentication-Results")


@pytest.mark.parametrize("reject_at", ["now", "rcpt", "data"])
def test_a_stop_does_not_wait_for_a_refused_message(base: str, reject_at: str) -> None:
    """Not every MTA tells of the end of a transaction that the filter itself has refused."""
    with (
        FilterProcess(Network(), f"reject_at = {reject_at}\n{base}[spf]\nrefuse = at_once\n") as program,
        MilterClient(str(program.socket)) as mta,
    ):
        mta.negotiate()
        mta.connect(b"host.evil.example", "4", b"203.0.113.66")
        mta.helo(b"host.evil.example")
        steps = {"now": lambda: mta.mail(SENDER), "rcpt": lambda: mta.rcpt(RECIPIENT), "data": mta.data}
        refused_at = next(step for step, send in steps.items() if not send().goes_on)
        assert refused_at == reject_at
        if reject_at == "rcpt":
            mta.abort()
        assert program.stop() == 0


def test_a_reload_applies_new_settings_to_new_connections(program: FilterProcess) -> None:
    with _session(program.socket) as before:
        text = program.config.read_text()
        program.config.write_text(f"{text}[authentication_results]\nauthserv_id = new.example.test\n")
        os.kill(program.pid, signal.SIGHUP)
        wait_until(lambda: "serves with 1 workers, generation 2" in program.log(), "the new generation serves")
        wait_until(lambda: _names_us(_send(program.socket), b"new.example.test"), "the new settings hold")
        assert _names_us(before.message(HEADERS, b"Hello\r\n", SENDER, [RECIPIENT]), b"mx.example.test")
    assert "Traceback" not in program.log()


def _names_us(reply: Reply, name: bytes) -> bool:
    return _field(reply, b"Authentication-Results").strip().startswith(name)


def test_a_reload_of_a_mistaken_configuration_changes_nothing_and_says_why(program: FilterProcess) -> None:
    program.config.write_text(program.config.read_text() + "[authentication_results]\nauthservid = x\n")
    os.kill(program.pid, signal.SIGHUP)
    wait_until(lambda: "did you mean authserv_id?" in program.log(), "the reason is logged")
    assert _names_us(_send(program.socket), b"mx.example.test")


# What is appended to the configuration, and whether a reply shows that it holds. What the options do is tested elsewhere.
APPLIED: dict[str, Callable[[Reply], bool]] = {
    "[greylist]\nmode = enforce\nwhen = always\n": lambda reply: reply.text.startswith(b"451-4.7.1"),
    "[milter]\nhello_blacklist = mail.example.org\n": lambda reply: reply.action == "y",
    "[milter]\ninternal_connect = 192.0.2.1\n": lambda reply: not _field(reply, b"Received-SPF"),
    "[spf]\nmode = off\n": lambda reply: not _field(reply, b"Received-SPF"),
    "[dns]\nnameservers = 127.0.0.1@9\ntimeout = 1s\n": lambda reply: reply.text.startswith(b"451-4.7.24"),
    "[authentication_results]\nmode = off\n": lambda reply: not _field(reply, b"Authentication-Results"),
}


@pytest.mark.parametrize("added", APPLIED, ids=lambda text: text.splitlines()[0])
def test_a_reload_applies_whatever_section_was_changed(program: FilterProcess, added: str) -> None:
    """Between two messages on a connection nothing changes: it keeps the settings with which it began."""
    with _session(program.socket) as before:
        assert not APPLIED[added](before.message(HEADERS, b"Hello\r\n", SENDER, [RECIPIENT]))
        program.config.write_text(_with(program.config.read_text(), added))
        os.kill(program.pid, signal.SIGHUP)
        # Until then no mail: a sender of whom hundreds of messages were taken is not greylisted.
        wait_until(lambda: "serves with 1 workers, generation 2" in program.log(), "the new generation serves")
        wait_until(lambda: APPLIED[added](_send(program.socket)), "the new settings hold")
        assert not APPLIED[added](before.message(HEADERS, b"Hello\r\n", SENDER, [RECIPIENT]))
    assert "Traceback" not in program.log()


def _with(text: str, added: str) -> str:
    """The configuration with these options first in their section, in place of those of the same name."""
    section, *options = added.splitlines()
    names = {option.partition(" ")[0] for option in options}
    lines, current = [], ""
    for line in text.splitlines():
        current = line if line.startswith("[") else current
        if not (current == section and line.partition(" ")[0] in names):
            lines.append(line)
    at = lines.index(section) + 1 if section in lines else len(lines)
    lines[at:at] = options if section in lines else [section, *options]
    return "\n".join(lines) + "\n"


def test_a_reload_changes_the_number_of_workers(program: FilterProcess) -> None:
    program.config.write_text(program.config.read_text().replace("workers = 1\n", "workers = 3\n"))
    os.kill(program.pid, signal.SIGHUP)
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 3, "there are three workers")
    assert _send(program.socket).action == "c"


def test_a_reload_moves_the_socket_and_lets_an_open_connection_be(program: FilterProcess) -> None:
    elsewhere = program.socket.with_name("elsewhere.sock")
    with _session(program.socket) as before:
        text = program.config.read_text().replace(str(program.socket), str(elsewhere))
        program.config.write_text(text)
        os.kill(program.pid, signal.SIGHUP)
        wait_until(lambda: _listens(elsewhere), "the new socket is served")
        assert _send(elsewhere).action == "c"
        assert before.message(HEADERS, b"Hello\r\n", SENDER, [RECIPIENT]).action == "c"
    wait_until(lambda: not program.socket.exists(), "the old socket is removed")


UNUSABLE = {
    "[milter]\nsocket = local:/dev/null/bms.sock\n": "/dev/null/bms.sock",
    "[milter]\nworkers = many\n": "expected a whole number",
    "[spf]\naccess_file = /dev/null/access\n": "/dev/null/access",
    "[store]\nurl = sqlite:////proc/dev/null/bms.sqlite\n": "the store or the data folder cannot be used",
    "[store]\nurl = nonsense://\n": "expected sqlite:///FILE",
    "[dkim_sign]\nkeys = example.com s1 /dev/null/key\n": "/dev/null/key",
    "[milter]\ncheck_user = file:/dev/null/example.com\n": "/dev/null/example.com cannot be read",
    "[logging]\nto = file\nfile = /dev/null/log\n": "/dev/null/log",
    "[rules]\nfile = /dev/null/rules\n": "/dev/null/rules:0: cannot be read",
}


@pytest.mark.parametrize("added", UNUSABLE, ids=lambda text: text.splitlines()[1])
def test_a_reload_of_what_can_not_be_used_keeps_the_old_settings_and_says_why(
    program: FilterProcess, added: str
) -> None:
    spoiled = _with(
        _with(program.config.read_text(), "[authentication_results]\nauthserv_id = new.example.test\n"), added
    )
    program.config.write_text(spoiled)
    os.kill(program.pid, signal.SIGHUP)
    wait_until(lambda: UNUSABLE[added] in program.log(), "the reason is logged")
    assert _names_us(_send(program.socket), b"mx.example.test")


def test_a_reload_applies_to_the_log_too(program: FilterProcess) -> None:
    elsewhere = program.config.with_name("elsewhere.log")
    program.config.write_text(f"{program.config.read_text()}[logging]\nto = file\nfile = {elsewhere}\n")
    os.kill(program.pid, signal.SIGHUP)
    served = "bms serves with"  # said by the new generation once the old one has closed its ears
    wait_until(lambda: elsewhere.exists() and served in elsewhere.read_text(), "the new log is written")
    _send(program.socket)
    assert " ACCEPT " in elsewhere.read_text()


def test_a_thousand_messages_on_one_connection(program: FilterProcess) -> None:
    """Each is judged for itself: nothing of one leaks into the next."""
    with _session(program.socket) as mta:
        for number in range(500):
            honest = mta.message(HEADERS, b"Hello\r\n", SENDER, [b"<bob%d@example.com>" % number])
            assert honest.action == "c"
            assert honest.changes[-1].name == "insheader"
            written = sorted(change.arguments[-2] for change in honest.changes)
            assert written == [b"Authentication-Results", b"Received-SPF", b"X-Spam-Level", b"X-Spam-Status"]
            other = mta.message(HEADERS, b"Hello\r\n", b"<>", [RECIPIENT])
            assert b"ann@example.org" not in _field(other, b"Received-SPF")
    log = program.log()
    assert log.count(" ACCEPT ") == 1000
    assert "Traceback" not in log


def test_make_run_s_configuration() -> None:
    """What `make run` starts: a socket that both MTAs can reach, the lines for them, and Ctrl-C ends it without a sound."""
    both = mail, console = free_port(), free_port()  # its own may be in use: by a filter that somebody tries out
    config = (REPOSITORY / "scripts" / "run.cfg").read_text()
    with RunDirectory("run") as run:
        run.write("run.cfg", config.replace(":8899@", f":{mail}@").replace(":8025", f":{console}"))
        run.folder("var")
        bms = [sys.executable, str(REPOSITORY / "bms.py"), "--config", "run.cfg"]
        command = [*bms, "run", "--show-mta-lines", "--first-login", "admin"]
        program = subprocess.Popen(
            command, cwd=run.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True
        )
        try:
            wait_until(lambda: program.poll() is not None or all(map(_answers, both)), "filter and console listen")
            program.send_signal(signal.SIGINT)
            output, _ = program.communicate(timeout=PATIENCE)
        finally:
            end_session(program.pid, polite=0.0)
        assert program.returncode == 0, output
        assert f"INPUT_MAIL_FILTER(`bms', `S=inet:{mail}@127.0.0.1, " in output
        assert f"smtpd_milters = inet:127.0.0.1:{mail}" in output
        assert "bms -c run.cfg report\n" in output
        assert f"http://127.0.0.1:{console}/enter/" in output
        assert "Traceback" not in output


def _listens(place: Path) -> bool:
    with contextlib.suppress(OSError), MilterClient(str(place)):
        return True
    return False


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=ATTEMPT):
        return True
    return False


@pytest.fixture(params=["postfix", "sendmail"])
def mta(request: pytest.FixtureRequest, network: PrivateNetwork) -> Iterator[tuple[Mta, FilterProcess]]:
    """A real MTA with bms.py attached."""
    with (
        NameServer(network, complete(ZONES, {"192.0.2.1": "mail.example.org"})),
        FilterProcess(network, "[greylist]\nmode = off\n") as program,
        Sink(network) as sink,
        contextlib.ExitStack() as stack,
    ):
        server: Mta
        if request.param == "postfix":
            server = stack.enter_context(Postfix(network, sink, [f"unix:{program.socket}"]))
        else:
            server = stack.enter_context(Sendmail(network, sink, [f"local:{program.socket}"]))
        yield server, program


@pytest.mark.servers
def test_a_stop_while_a_client_sends_costs_no_message(mta: tuple[Mta, FilterProcess]) -> None:
    """The client that is in the middle of DATA gets its 250; the one that comes after is asked to come back."""
    server, program = mta
    with server.client("192.0.2.1") as client:
        client.greet()
        client.command("EHLO mail.example.org")
        assert client.command("MAIL FROM:<ann@example.org>").ok
        assert client.command("RCPT TO:<bob@example.com>").ok
        assert client.command("DATA").code == 354
        client.send(b"From: ann@example.org\r\nSubject: Lunch\r\n\r\nShall")
        os.kill(program.pid, signal.SIGTERM)
        wait_until(lambda: _refuses(program.socket), "no new connection is taken")
        client.send(b" we?\r\n.\r\n")
        reply = client.read_reply()
    assert reply.code == 250, reply
    server.wait_idle()
    (delivery,) = server.sink.deliveries
    assert delivery.values("Received-SPF")[0].startswith("pass ")
    assert program.stop() == 0
    with server.client("192.0.2.1") as client:
        greeting = client.greet()
        late = greeting if not greeting.ok else client.command("MAIL FROM:<ann@example.org>")
        late = client.command("RCPT TO:<bob@example.com>") if late.ok else late
        assert 400 <= late.code < 500, late
