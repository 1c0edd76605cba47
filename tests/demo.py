"""`make demo`: a private Postfix, a private sendmail, a name server and bms.py; a few real messages; and what became of each.

Everything runs in a network of its own that has only loopback, and is gone when the demonstration ends, however it ends.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import dkim
import rich.box
import rich.console
import rich.markup
import rich.table

from support.clamd import Clamd, eicar_part
from support.dialogue import Client, matches, reply_fits
from support.filter_process import LAUNCHER, FilterProcess
from support.learning import Learned
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.patience import PATIENCE
from support.places import REPOSITORY, missing_servers
from support.ports import free_port
from support.processes import NotReadyError, RunDirectory, end_session, wait_until
from support.signing import SigningKey
from support.sink import Delivery, Sink
from support.smtp_client import ConnectionLostError, Reply
from support.zones import Zone, complete, quoted_text

MISSING = 77  # exit status, as scripts/install-test-servers has it

PARTNER = Client("192.0.2.1", "mail.partner.example")
STRANGER = Client("198.51.100.7", "mail.stranger.example")
FORGER = Client("203.0.113.66", "host66.evil.example")
RENTED = Client("192.0.2.66", "mail.parcel.example")  # a server without a host name of its own
COLLEAGUE = Client("10.1.2.3", "desk.example.com")

PARTNER_KEY = SigningKey.make("s1", "partner.example", "rsa")
OUR_KEY = SigningKey.make("mail", "example.com", "rsa")

ZONES = [
    Zone("partner.example", '@ TXT "v=spf1 ip4:192.0.2.0/24 -all"'),
    Zone("bank.example", '@ TXT "v=spf1 ip4:192.0.2.50 -all"\n_dmarc TXT "v=DMARC1; p=reject"'),
    Zone("evil.example", '@ TXT "v=spf1 ip4:203.0.113.66 -all"'),
    Zone("stranger.example", "mail A 198.51.100.7"),
    Zone("parcel.example", "mail A 192.0.2.66"),
    Zone("example.com", '@ TXT "v=spf1 ip4:10.0.0.0/8 -all"'),
]

CONFIG = """\
[milter]
internal_connect = 10.0.0.0/8
[greylist]
when = always
time = 5m
exempt_clients = 192.0.2.0/24, 203.0.113.66
[impersonation]
protected_names = Bea Boss
[dkim]
fail = REJECT
[dkim_sign]
keys = example.com mail {dir}/mail.example.com.private
[dspam]
dspam_users = pat
pat = pat-postfix@example.com, pat-sendmail@example.com
dspam_screener =
spam_subject = [SPAM]
[antivirus]
clamd = local:{clamd}
[web]
listen = {console}
"""


def _mail(sender: str, subject: str, *more: str, text: str = "Hello Bob") -> bytes:
    """A small message to bob@example.com; `more` are further header fields."""
    fields = (
        f"From: {sender}",
        "To: bob@example.com",
        f"Subject: {subject}",
        "Date: Mon, 2 Nov 2026 12:00:00 +0000",
        f"Message-ID: <demo-{subject.lower().replace(' ', '-')}@{sender.rpartition('@')[2]}>",
        *more,
    )
    return "".join(f"{line}\r\n" for line in (*fields, "", *text.split("\n"))).encode()


_PARCEL = _mail(
    "help@parcel.example",
    "Your parcel is waiting",
    text="Your parcel could not be delivered: a fee is unpaid.\n"
    "Confirm your address within 24 hours: http://192.0.2.7/parcel/confirm",
)


def _with_program() -> bytes:
    """A message that brings a Windows program along."""
    program = base64.b64encode(b"MZ\x90\0 a program for Windows, or so it says").decode()
    text = (
        "--part\nContent-Type: text/plain\n\nPlease pay at once.\n"
        '--part\nContent-Type: application/octet-stream; name="invoice.exe"\n'
        'Content-Disposition: attachment; filename="invoice.exe"\nContent-Transfer-Encoding: base64\n\n'
        f"{program}\n--part--"
    )
    mime = ("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="part"')
    return _mail("ann@partner.example", "Your invoice", *mime, text=text)


def _with_virus() -> bytes:
    """A message that brings EICAR's test file along, which is harmless and counts as a virus everywhere."""
    mime = ("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="part"')
    return _mail("ann@partner.example", "Our statement", *mime, text=f"--part\n{eicar_part()}\n--part--")


_OFFER = PARTNER_KEY.sign(_mail("ann@partner.example", "Our offer", text="It costs 10 EUR."))


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One message, and what must become of it.

    name     for tests
    sent     what the sender did, for people
    did      what the filter did about it, for people
    client   who connects
    sender   the envelope sender
    message  what follows DATA
    reply    the last SMTP reply, as an S: line of a dialogue has it
    arrives  a pattern for what `describe` says of what arrived; "nothing" where nothing may
    later    seconds that pass before it is sent: the filter's clock is put forward, nobody waits
    to       whose message it is; each MTA has a Bob and a Pat of its own
    """

    name: str
    sent: str
    did: str
    client: Client
    sender: str
    message: bytes
    reply: str
    arrives: str
    later: float = 0.0
    to: str = "bob"


_GREYLISTED = _mail("carl@stranger.example", "We have not met")

CASES = (
    Case(
        "honest",
        "A partner writes from its own server (SPF) and signs the message (DKIM).",
        "Both proofs are good: let it in, and noted that on top for mail readers.",
        PARTNER,
        "ann@partner.example",
        _OFFER,
        "250",
        "*unchanged*+ Authentication-Results: mx.example.test; *spf=pass; dkim=pass*",
    ),
    Case(
        "forged",
        "Somebody with a domain of their own, and a proof of that (SPF), writes ceo@bank.example into From.",
        "The bank asks to refuse what it did not send (DMARC). The reply tells an honest sender what to do.",
        FORGER,
        "news@evil.example",
        _mail("ceo@bank.example", "Confirm your account"),
        "550 5.7.26 *bank.example*",
        "nothing",
    ),
    Case(
        "impersonated",
        "The same, with a clean address, under the name of our director.",
        "Let in, for somebody else may have that name; marked, and with points towards spam.",
        FORGER,
        "office@evil.example",
        _mail("Bea Boss <office@evil.example>", "Are you at your desk?", text="I need gift cards."),
        "250",
        "*unchanged*+ X-BMS-Impersonation: protected; Bea Boss is one of us*+ X-Spam-Status: *PROTECTED_NAME*",
    ),
    Case(
        "dkim-altered",
        "The partner's signed offer, in which somebody changed 10 EUR to 9999 EUR on the way.",
        "The signature no longer fits the text: refused, because this milter.cfg says [dkim] fail = REJECT.",
        PARTNER,
        "ann@partner.example",
        _OFFER.replace(b"10 EUR", b"9999 EUR"),
        "550 5.7.20 *partner.example*",
        "nothing",
    ),
    Case(
        "greylisted",
        "A server that nobody here has seen before brings a message.",
        "Greylisted: asked it to try again in 5 minutes. Real mail servers do, spam cannons rarely.",
        STRANGER,
        "carl@stranger.example",
        _GREYLISTED,
        "451 4.7.1 *5 minutes*",
        "nothing",
    ),
    Case(
        "greylist-retry",
        "The same server tries again 6 minutes later (the demo's clock jumps; nobody waits).",
        "Let it in, and remembers it: its next message will not wait.",
        STRANGER,
        "carl@stranger.example",
        _GREYLISTED,
        "250",
        "*unchanged*",
        later=360.0,
    ),
    Case(
        "attachment",
        "The partner's infected computer sends a program, invoice.exe.",
        "Put a notice in the attachment's place, and kept the original for the administrator.",
        PARTNER,
        "ann@partner.example",
        _with_program(),
        "250",
        "*invoice.exe replaced by *the original is kept*",
    ),
    Case(
        "virus",
        "It also sends a virus, in what is called a PDF (EICAR's harmless test file).",
        "Refused under the virus's name, because this milter.cfg names the socket of a scanner (clamd).",
        PARTNER,
        "ann@partner.example",
        _with_virus(),
        "550 5.7.1 *Eicar*",
        "nothing",
    ),
    Case(
        "forged-results",
        "A message that brings its own “checked by mx.example.test: all is well”.",
        "Removed the forged Authentication-Results, and wrote what it found itself.",
        PARTNER,
        "ann@partner.example",
        _mail("ann@partner.example", "Trust me", "Authentication-Results: mx.example.test; dkim=pass header.d=bank.example"),
        "250",
        "*- Authentication-Results: mx.example.test; dkim=pass\n*+ Authentication-Results: *dkim=none*",
    ),
    Case(
        "parcel",
        "A stranger's notice of a parcel, technically clean: no single sign of it proves anything.",
        "Added its signs up (the table below), and marked it, although nobody has taught it anything.",
        RENTED,
        "help@parcel.example",
        _PARCEL,
        "250",
        "*+ Subject: [SPAM] Your parcel is waiting*+ X-Spam-Status: Yes, score=* required=6.0 tests=*+ X-Spam-Flag: YES*",
    ),
    Case(
        "learned",
        "Another one of the offers that Pat has reported as spam for weeks, by forwarding them.",
        "Her dictionary knows them: marked it, as she wishes. A signature lets her report it if that was wrong.",
        PARTNER,
        "ann@partner.example",
        _mail("win@partner.example", "WIN 999", text="Buy cheap pills now, offer 999, click here!"),
        "250",
        "*the message, its text unchanged*+ Subject: [SPAM] WIN 999*+ X-DSPAM-Result: Spam*+ X-Spam-Flag: YES*",
        to="pat",
    ),
    Case(
        "outgoing",
        "A colleague in our own network sends a message.",
        "Signed it with our DKIM key, so that others can tell it from a forgery.",
        COLLEAGUE,
        "bob@example.com",
        _mail("bob@example.com", "Lunch"),
        "250",
        "*unchanged*+ DKIM-Signature: d=example.com (valid)*",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of a case at one MTA. `arrived` is in words; problem is "" where all went as it should."""

    mta: str
    case: Case
    reply: Reply
    arrived: str
    delivery: Delivery | None

    @property
    def problem(self) -> str:
        if not reply_fits(self.case.reply, self.reply):
            return f"expected the reply {self.case.reply}"
        if not matches(self.case.arrives, self.arrived):
            return f"expected to arrive: {self.case.arrives}"
        return ""


class Stage:
    """All servers of the demonstration, running. A context manager: nothing of them is left afterwards."""

    def __init__(self, tell: Callable[[str], contextlib.AbstractContextManager[object]]) -> None:
        """tell  is entered with words for a person while that which they tell is done"""
        self._stack = contextlib.ExitStack()
        enter = self._stack.enter_context
        try:
            with tell("a network of its own, and a name server with the zones of invented domains (nsd)"):
                network = enter(PrivateNetwork())
                hosts = {client.address: client.name for client in (PARTNER, STRANGER, FORGER, COLLEAGUE)}
                enter(NameServer(network, complete(_published(ZONES), hosts)))
                self._socket = enter(RunDirectory("demo")).path / "bms.sock"
            with tell("a virus scanner (clamd) that knows one virus"):
                clamd = enter(Clamd(network))
            with tell("the filter (bms.py)"):
                files = {"mail.example.com.private": OUR_KEY.private_pem}
                learned = Learned(taught=(("pat", 120),))
                config = CONFIG.replace("{clamd}", str(clamd.socket)).replace("{console}", f"127.0.0.1:{free_port()}")
                self.program = enter(FilterProcess(network, config, files=files, socket=self._socket, learned=learned))
            self.mtas: list[Mta] = []
            with tell("Postfix"):
                self.mtas.append(enter(Postfix(network, enter(Sink(network)), [f"unix:{self._socket}"])))
            with tell("sendmail"):
                self.mtas.append(enter(Sendmail(network, enter(Sink(network)), [f"local:{self._socket}"])))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def play(self, case: Case) -> Iterator[Result]:
        """Send a case's message through each MTA."""
        self.program.clock.advance(case.later)
        for mta in self.mtas:
            kept = set(self._kept())
            mta.sink.clear()
            reply = self._send(mta, case)
            mta.wait_idle()
            delivery = next(iter(mta.sink.deliveries), None)
            arrived = "nothing" if delivery is None else describe(delivery, case.message)
            if set(self._kept()) - kept:
                arrived += "\nthe original is kept, complete, in a file of the filter's"
            yield Result(mta.name, case, reply, arrived, delivery)

    def _send(self, mta: Mta, case: Case) -> Reply:
        with mta.client(case.client.address) as smtp:
            smtp.greet()
            smtp.command(f"EHLO {case.client.name}")
            # Each MTA has a recipient of its own: both share one filter, which would know the second one's stranger.
            return smtp.message(case.sender, [f"{case.to}-{mta.name}@example.com"], case.message)

    def score_of(self, recipient: str, message_id: str) -> str:
        """The table of the score, as `bms explain` shows it to administrators. Raises NotReadyError."""
        command = self._command("explain", "--message-id", message_id, "--to", recipient)
        table: list[str] = []

        def explained() -> bool:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
            table[:] = re.findall(r"^Score .*(?:\n +[+-].*)+", done.stdout, re.MULTILINE)
            return bool(table)

        wait_until(explained, "the message is in the history")
        return table[0]

    @contextlib.contextmanager
    def console(self) -> Iterator[str]:
        """The console outside of the private network, where a browser reaches it; the address of a first login. What it
        delivers goes through the filter inside. Raises NotReadyError."""
        add = self._command("web", "account", "add", "admin", "--role", "administrator", "--link")
        link = subprocess.run(add, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout.strip()
        serve = [sys.executable, LAUNCHER, self.program.clock.path, *self._command("web", "serve")[1:]]
        served = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_until(lambda: _answers(link), "the console answers")
            yield link
        finally:
            end_session(served.pid, polite=0.0)
            served.wait()

    def _command(self, *words: str) -> list[str | Path]:
        """A command about this filter."""
        return [sys.executable, REPOSITORY / "bms.py", "-c", self.program.config, *words]

    def _kept(self) -> Iterator[Path]:
        return (self.program.directory / "state").rglob("*.eml")


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=PATIENCE):
        return True
    return False


def play_all(stage: Stage) -> list[Result]:
    """Every case through every MTA, in the order of CASES."""
    return [result for case in CASES for result in stage.play(case)]


def _published(zones: Sequence[Zone]) -> list[Zone]:
    """The zones with the public halves of the keys."""
    keys = {key.domain: f"{key.selector}._domainkey TXT {quoted_text(key.record)}" for key in (PARTNER_KEY, OUR_KEY)}
    return [Zone(zone.name, "\n".join(filter(None, (zone.records, keys.get(zone.name))))) for zone in zones]


def describe(delivery: Delivery, sent: bytes) -> str:
    """How what arrived differs from what was sent, a line each."""
    before = Delivery("", (), (), (), sent)
    lines = ["the message, its text unchanged" if delivery.body == before.body else "the message, changed:"]
    lines += [f"{name} replaced by a notice" for name in sorted(_programs(sent) - _programs(delivery.raw))]
    old, new = before.fields(), delivery.fields()
    lines += [f"- {_shown(field, delivery)}" for field in old if field not in new]
    lines += [f"+ {_shown(field, delivery)}" for field in new if field not in old and field[0] != "Received"]
    return "\n".join(lines)


def _programs(raw: bytes) -> set[str]:
    """Names of attachments which still begin as Windows programs do."""
    names = re.findall(rb'filename="([^"]+)"[^\0]*?\r\n\r\n(TVqQ)?', raw)
    return {name.decode() for name, magic in names if magic}


def _shown(field: tuple[str, str], delivery: Delivery) -> str:
    name, value = field
    match name:
        case "DKIM-Signature":
            record = OUR_KEY.record.encode()
            valid = "valid" if dkim.verify(delivery.raw, dnsfunc=lambda name, timeout=5: record) else "not valid"
            domain = re.search(r"\bd=([^;\s]+)", value)
            return f"{name}: d={domain[1] if domain else ''} ({valid})"
        case "Received-SPF":
            return f"{name}: {value.split()[0]}"
        case "Authentication-Results":
            return f"{name}: " + "; ".join(part.split()[0] for part in value.split(";"))
    return f"{name}: {value}"


def table(results: Sequence[Result], title: str) -> rich.table.Table:
    """The results of one MTA for people."""
    drawn = rich.table.Table(title=title, title_style="bold", box=rich.box.ROUNDED, show_lines=True)
    drawn.add_column("what was sent", ratio=5)
    drawn.add_column("what the filter did", ratio=5)
    drawn.add_column("the SMTP reply, as the sender sees it", ratio=6)
    drawn.add_column("what arrived", ratio=6)
    for result in results:
        escape = rich.markup.escape
        colour = {2: "green", 4: "yellow", 5: "red"}.get(result.reply.code // 100, "")
        did = f"[bold red]NOT AS IT SHOULD: {escape(result.problem)}[/]" if result.problem else escape(result.case.did)
        arrived = f"[dim]{result.arrived}[/]" if result.delivery is None else escape(result.arrived)
        drawn.add_row(escape(result.case.sent), did, f"[{colour}]{escape(str(result.reply))}[/]", arrived)
    return drawn


_PROPER_NAMES = {"postfix": "Postfix", "sendmail": "sendmail"}
_NEXT = """\
Where to look next
  make run                    start the filter here; it prints the line for your sendmail.mc or main.cf
  README.md                   how to attach it to each mail server
  milter.cfg                  every setting, explained; each check can be off, log (only say) or enforce
  .venv/bin/bms scan FILE --ip ...
                              what it would do about a message that you have, and why
  tests/journeys/             more such dialogues in plain text, to read or to add to
"""


def main(arguments: Sequence[str]) -> int:
    """Show everything; 0 where all went as it should, 1 where not, 77 where this machine can't run the servers.

    With --stay, and in a terminal, the console stays open until a line comes on standard input.
    """
    if missing := missing_servers():
        print(f"The demonstration can't run: {missing}", file=sys.stderr)
        return MISSING
    console = rich.console.Console(highlight=False)
    if not console.is_terminal:
        console.width = 150
    try:
        with _ending_on_signals(), _folder_of_its_own():
            return _show(console, stay=arguments == ["--stay"] or (console.is_terminal and sys.stdin.isatty()))
    except (RuntimeError, NotReadyError, ConnectionLostError, OSError) as error:
        print(f"The demonstration failed: {error}", file=sys.stderr)
        return 1


def _show(console: rich.console.Console, *, stay: bool) -> int:
    began = time.monotonic()

    @contextlib.contextmanager
    def tell(what: str) -> Iterator[None]:
        with console.status(f"starting {what}"):
            yield
        console.print(f"[green]✓[/] {what}")

    with Stage(tell) as stage:
        with console.status("sending messages"):
            results = play_all(stage)
        console.print(f"[green]✓[/] {len(results)} messages sent; {time.monotonic() - began:.1f} s in all\n")
        for mta in stage.mtas:
            console.print(
                table([result for result in results if result.mta == mta.name], f"Through {_PROPER_NAMES[mta.name]}")
            )
        console.print("Why the notice of a parcel was marked (bms explain --to bob-postfix@example.com):")
        console.print(
            stage.score_of("bob-postfix@example.com", "demo-your-parcel-is-waiting@parcel.example"), markup=False
        )
        console.print()
        went_wrong = any(result.problem for result in results)
        if went_wrong:
            console.print(f"The filter's log:\n{stage.program.log()}", markup=False, soft_wrap=True)
        console.print(_NEXT, markup=False)
        if stay:
            _stay(stage, console)
    return 1 if went_wrong else 0


def _stay(stage: Stage, console: rich.console.Console) -> None:
    """Until Enter, a browser can look at what happened."""
    with stage.console() as link:
        console.print(f"All of this in a browser, with your first login:\n  {link}", markup=False, soft_wrap=True)
        console.print("Enter ends the demonstration.")
        sys.stdin.readline()


@contextlib.contextmanager
def _folder_of_its_own() -> Iterator[None]:
    """Keep all temporary files in one folder, which goes at the end even where an interruption came at a bad moment."""
    with RunDirectory("demo") as folder:
        before, tempfile.tempdir = tempfile.tempdir, str(folder.path)
        try:
            yield
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Let TERM and HUP unwind the stack as Ctrl-C does, once: a second one does not disturb the clearing up."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for sig in signals:
            signal.signal(sig, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {sig: signal.signal(sig, end) for sig in signals}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
