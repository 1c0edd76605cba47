"""Plain-text SMTP dialogues: how a .journey file is read, and how it is played against a runner.

tests/journeys/README.md describes the format for those who write dialogues.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from support.learning import Learned
from support.mail_exchanger import MailExchanger
from support.network import Network
from support.processes import NotReadyError, wait_until
from support.signing import SigningKey
from support.sink import Delivery, unstuffed
from support.smtp_client import ConnectionLostError, Reply, to_content
from support.zones import Zone, quoted_text

RUNNERS = ("inprocess", "postfix", "sendmail")


class JourneyFileError(Exception):
    """A .journey file that cannot be understood: file, line and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Who connects: its address, the name that DNS has for it ("" for none), and the SMTP AUTH login ("" for none)."""

    address: str
    name: str = ""
    login: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, and the line of the file that says so.

    kind   one of: client, send, bytes, message, reply, closed, hang-up, advance, delivered, held, log, log-without
    text   the rest of the line
    block  the indented lines below it, without their indentation
    """

    kind: str
    text: str
    block: tuple[str, ...]
    line: int


@dataclasses.dataclass(slots=True)
class Dialogue:
    """One .journey file."""

    path: Path
    title: str = ""
    config: str = ""
    zones: list[Zone] = dataclasses.field(default_factory=list)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    keys: dict[tuple[str, str], SigningKey] = dataclasses.field(default_factory=dict)
    without: dict[str, str] = dataclasses.field(default_factory=dict)
    taught: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    preferences: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    own_lists: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    exchangers: dict[str, list[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    steps: list[Step] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def learned(self) -> Learned | None:
        """What is in the filter's store before it starts; None for an empty one."""
        if not (self.taught or self.preferences or self.own_lists):
            return None
        return Learned(tuple(self.taught), tuple(self.preferences), tuple(self.own_lists))

    @contextlib.contextmanager
    def mail_exchangers(self, network: Network) -> Iterator[int]:
        """The strangers' mail servers listen while the context lasts; gives their port."""
        port = network.free_port()
        with contextlib.ExitStack() as stack:
            for address, answers in self.exchangers.items():
                stack.enter_context(MailExchanger(network, address, port, answers))
            yield port

    @property
    def runners(self) -> list[str]:
        return [runner for runner in RUNNERS if runner not in self.without]

    @property
    def hosts(self) -> dict[str, str]:
        """The clients that have a name: address to name."""
        clients = [_client(step) for step in self.steps if step.kind == "client"]
        return {client.address: client.name for client in clients if client.name}


# How a line at the left margin begins -> what it is. The rest of the line is its text.
_OPENINGS = (
    ("C:", "send"),
    ("S: closed", "closed"),
    ("S:", "reply"),
    ("B:", "bytes"),
    ("client ", "client"),
    ("message", "message"),
    ("hang up", "hang-up"),
    ("advance ", "advance"),
    ("delivered:", "delivered"),
    ("held:", "held"),
    ("log:", "log"),
    ("log without:", "log-without"),
    ("config:", "config"),
    ("zone ", "zone"),
    ("file ", "file"),
    ("key ", "key"),
    ("taught ", "taught"),
    ("preference ", "preference"),
    ("own list ", "own list"),
    ("mx ", "mx"),
    ("not in ", "not in"),
)
_BLOCKS = {"message", "delivered", "log", "log-without", "config", "zone", "file", "mx"}


def read_dialogue(path: Path) -> Dialogue:
    """Raises JourneyFileError."""
    dialogue = Dialogue(path)
    comments: list[str] = []
    for step in _split(path):
        try:
            if step.kind == "comment":
                comments.append(step.text)
            elif not _declare(dialogue, step):
                dialogue.steps.append(step)
        except (ValueError, KeyError) as error:
            raise JourneyFileError(f"{path.name}:{step.line}: {error}") from error
    if not comments:
        raise JourneyFileError(f"{path.name}: the first line has to say what the dialogue shows: # ...")
    dialogue.title = comments[0]
    _publish_keys(dialogue)
    return dialogue


def _split(path: Path) -> Iterator[Step]:
    lines = path.read_text().splitlines()
    number = 0
    while number < len(lines):
        line, number = lines[number], number + 1
        start = number
        if not line.strip():
            continue
        block: list[str] = []
        while number < len(lines) and (not lines[number].strip() or lines[number][0] in " \t"):
            block.append(lines[number])
            number += 1
        yield _step(path, line, _dedent(block), start)


def _dedent(block: list[str]) -> tuple[str, ...]:
    text = textwrap.dedent("\n".join(line if line.strip() else "" for line in block)).rstrip("\n")
    return tuple(text.split("\n")) if text else ()


def _step(path: Path, line: str, block: tuple[str, ...], number: int) -> Step:
    if line.startswith("#"):
        return Step("comment", line.lstrip("# ").rstrip(), (), number)
    for opening, kind in _OPENINGS:
        if line.startswith(opening):
            if block and kind not in _BLOCKS:
                raise JourneyFileError(f"{path.name}:{number}: nothing may be indented below {opening.strip()!r}")
            text = line[len(opening) :].rstrip("\n")
            return Step(kind, text[1:] if kind == "send" and text.startswith(" ") else text.strip(), block, number)
    raise JourneyFileError(f"{path.name}:{number}: no line begins like this: {line!r}")


def _declare(dialogue: Dialogue, step: Step) -> bool:
    """Take up what describes the setting; False for a step of the dialogue itself."""
    block = "\n".join(step.block) + "\n"
    match step.kind:
        case "config":
            dialogue.config += block
        case "zone":
            name, _, failure = step.text.partition(":")
            if failure.strip() not in ("", "SERVFAIL"):
                raise ValueError("a zone has records below it, or: SERVFAIL")
            dialogue.zones.append(Zone(name.strip(), None if failure.strip() else block))
        case "file":
            dialogue.files[step.text.removesuffix(":")] = block
        case "key":
            selector, domain, algorithm = step.text.split()
            dialogue.keys[selector, domain] = SigningKey.make(selector, domain, algorithm)
        case "taught":
            user, number = step.text.split()
            dialogue.taught.append((user, int(number)))
        case "preference":
            user, name, value = step.text.split(maxsplit=2)
            dialogue.preferences.append((user, name, value))
        case "own list":
            user, kind, name = step.text.split()
            dialogue.own_lists.append((user, kind, name))
        case "mx":
            pairs = [line.strip().split(" ", 1) for line in step.block]
            dialogue.exchangers[step.text.removesuffix(":")] = [(pattern, reply.strip()) for pattern, reply in pairs]
        case "not in":
            runner, _, reason = step.text.partition(":")
            if runner not in RUNNERS or not reason.strip():
                raise ValueError(f"not in {'|'.join(RUNNERS)}: the reason")
            dialogue.without[runner] = reason.strip()
        case "client":
            if _client(step).login and "sendmail" not in dialogue.without:
                raise ValueError("login= needs: not in sendmail: ... (there is no XCLIENT to claim a login with)")
            return False
        case _:
            return False
    return True


def _publish_keys(dialogue: Dialogue) -> None:
    for key in dialogue.keys.values():
        dialogue.files[f"{key.selector}.{key.domain}.private"] = key.private_pem
        record = f"{key.selector}._domainkey.{key.domain}. TXT {quoted_text(key.record)}"
        for index, zone in enumerate(dialogue.zones):
            if zone.name == key.domain:
                dialogue.zones[index] = Zone(zone.name, f"{zone.records or ''}\n{record}\n")
                break
        else:
            dialogue.zones.append(Zone(key.domain, f"{record}\n"))


def _client(step: Step) -> Client:
    address, *words = step.text.split()
    options = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word]
    if len(names) > 1 or set(options) - {"login"}:
        raise ValueError("client ADDRESS [NAME] [login=USER]")
    return Client(address, names[0] if names else "", options.get("login", ""))


def matches(pattern: str, text: str) -> bool:
    """Whether text is the pattern, in which * stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


_EXPECTED = re.compile(r"(?P<code>[2345](?:\d\d|xx))(?: (?P<enhanced>[245]\.\d+\.\d+))?(?: (?P<text>.*))?")


def reply_fits(expected: str, reply: Reply) -> bool:
    """Whether a reply is what an S: line says: code (or 2xx), optionally the enhanced code, optionally the text."""
    found = _EXPECTED.fullmatch(expected)
    if found is None:
        raise ValueError(f"an expected reply is: CODE [ENHANCED] [TEXT with *], not {expected!r}")
    code = found["code"].replace("xx", "")
    fits = str(reply.code).startswith(code) and found["enhanced"] in (None, reply.enhanced)
    return fits and (found["text"] is None or matches(found["text"], reply.text))


class Wire(Protocol):
    """One SMTP session as the dialogue sees it: SmtpClient, or the in-process stand-in for an MTA."""

    def send(self, sent: bytes) -> None: ...
    def read_reply(self) -> Reply: ...
    def hang_up(self) -> None: ...


class Scene(Protocol):
    """A runner that was set up for one dialogue."""

    def connect(self, client: Client) -> Wire:
        """A new session, the greeting not yet read."""

    def advance(self, seconds: float) -> None:
        """Let the filter's clock jump ahead."""

    def deliveries(self) -> list[Delivery]:
        """All that has been delivered so far, once nothing is under way any more."""

    def held(self) -> int:
        """How many messages the MTA keeps in its queue for an administrator."""

    def log(self) -> str:
        """All that the filter has logged so far."""


class Runner(Protocol):
    """Something that mail can be sent through: in this process, or a real MTA with the real program attached."""

    name: str

    def scene(self, dialogue: Dialogue) -> contextlib.AbstractContextManager[Scene]:
        """Set up the dialogue's configuration, files and zones; everything is gone when the context ends."""


class DialogueError(AssertionError):
    """Something else happened than the dialogue says."""


class Player:
    """Plays one dialogue in a scene. Raises DialogueError, with file and line, at the first surprise."""

    def __init__(self, dialogue: Dialogue, scene: Scene) -> None:
        self._dialogue = dialogue
        self._scene = scene
        self._wire: Wire | None = None
        self._transcript: list[str] = []
        self._unmentioned: list[Delivery] = []
        self._seen = 0
        self._sent_bodies: list[bytes] = []
        self._remembered: dict[str, str] = {}

    def play(self) -> None:
        step = self._dialogue.steps[-1]
        try:
            for step in self._dialogue.steps:
                self._steps[step.kind](self, step)
            self._leave()
            self._expect_nothing_more(step)
        except (ConnectionLostError, NotReadyError, ValueError) as error:
            raise self._error(step, str(error)) from error
        finally:
            if self._wire is not None:
                self._wire.hang_up()

    def _error(self, step: Step, why: str) -> DialogueError:
        said = "".join(f"    {line}\n" for line in self._transcript[-30:])
        where = f"{self._dialogue.path.name}:{step.line}"
        return DialogueError(
            f"{where}: {why}\n  what was said:\n{said}  the filter's log:\n{self._scene.log()[-4000:]}"
        )

    def _open(self) -> Wire:
        if self._wire is None:
            raise ValueError("nobody is connected; a `client` line has to come first")
        return self._wire

    def _client(self, step: Step) -> None:
        self._leave()
        client = _client(step)
        self._transcript.append(f"client {step.text}")
        self._wire = self._scene.connect(client)
        following = self._dialogue.steps[self._dialogue.steps.index(step) + 1 :]
        if not following or following[0].kind not in ("reply", "closed"):
            self._expect(step, "220")

    def _leave(self) -> None:
        """End the session before as a polite client does."""
        if self._wire is not None:
            with contextlib.suppress(ConnectionLostError):
                self._wire.send(b"QUIT\r\n")
                while self._wire.read_reply().code not in (221, 421):
                    pass
            self._wire.hang_up()
            self._wire = None

    def _send(self, step: Step) -> None:
        line = self._recalled(step.text)
        self._transcript.append(f"C: {line}")
        self._open().send(line.encode() + b"\r\n")

    def _bytes(self, step: Step) -> None:
        self._transcript.append(f"B: {step.text}")
        raw = step.text.encode().decode("unicode_escape").encode("latin-1")
        self._sent_bodies.append(unstuffed(raw.removesuffix(b".\r\n")).partition(b"\r\n\r\n")[2])
        self._open().send(raw)

    def _message(self, step: Step) -> None:
        message = self._recalled("".join(f"{line}\r\n" for line in step.block)).encode()
        message = _prepared(message, step.text.removesuffix(":").strip(), self._dialogue)
        self._transcript.append(f"(a message of {len(message)} octets)")
        self._sent_bodies.append(message.partition(b"\r\n\r\n")[2])
        self._open().send(to_content(message))

    def _recalled(self, text: str) -> str:
        for name, value in self._remembered.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _reply(self, step: Step) -> None:
        self._expect(step, step.text)

    def _expect(self, step: Step, expected: str) -> None:
        reply = self._open().read_reply()
        self._transcript.append(f"S: {reply}")
        if not reply_fits(expected, reply):
            raise self._error(step, f"expected {expected!r}, got {str(reply)!r}")

    def _closed(self, step: Step) -> None:
        try:
            reply = self._open().read_reply()
        except ConnectionLostError:
            return
        raise self._error(step, f"expected that the server hangs up, got {str(reply)!r}")

    def _hang_up(self, step: Step) -> None:
        self._open().hang_up()
        self._wire = None

    def _advance(self, step: Step) -> None:
        units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
        number, unit = step.text.strip()[:-1], step.text.strip()[-1]
        self._scene.advance(float(number) * units[unit])

    def _refresh(self) -> None:
        arrived = self._scene.deliveries()
        self._unmentioned += arrived[self._seen :]
        self._seen = len(arrived)

    def _delivered(self, step: Step) -> None:
        if step.text == "nothing":
            self._expect_nothing_more(step)
            return
        self._refresh()
        if not self._unmentioned:
            raise self._error(step, "nothing was delivered")
        complaints = [self._complaint(step, delivery) for delivery in self._unmentioned]
        for delivery, complaint in zip(self._unmentioned, complaints, strict=True):
            if not complaint:
                self._unmentioned.remove(delivery)
                self._remember(step, delivery)
                return
        raw = self._unmentioned[0].raw.decode(errors="backslashreplace")
        raise self._error(step, f"{complaints[0]}; delivered was:\n{textwrap.indent(raw, '    | ')}")

    def _remember(self, step: Step, delivery: Delivery) -> None:
        for line in step.block:
            verb, _, rest = line.partition(" ")
            if verb == "remember":
                name, _, field = rest.partition(":")
                self._remembered[name] = _remembered_part(delivery, field)

    def _complaint(self, step: Step, delivery: Delivery) -> str:
        for line in step.block:
            if not line.startswith("#") and not _delivery_fits(line, delivery, self._sent_bodies):
                return f"not so: {line}"
        return ""

    def _expect_nothing_more(self, step: Step) -> None:
        self._refresh()
        if self._unmentioned:
            raw = self._unmentioned[0].raw.decode(errors="backslashreplace")
            raise self._error(step, f"this was delivered as well:\n{textwrap.indent(raw, '    | ')}")

    def _held(self, step: Step) -> None:
        self._refresh()
        if (held := self._scene.held()) != int(step.text):
            raise self._error(step, f"expected {step.text} messages on hold, found {held}")

    def _log(self, step: Step) -> None:
        # What a program logs after its reply (that the client hung up, say) may take a moment to arrive.
        self._refresh()
        with contextlib.suppress(NotReadyError):
            wait_until(lambda: not self._not_logged(step), "the log")
        for pattern in self._not_logged(step):
            raise self._error(step, f"not in the log: {pattern}")

    def _not_logged(self, step: Step) -> list[str]:
        lines = self._scene.log().splitlines()
        return [pattern for pattern in step.block if not any(matches(pattern, line) for line in lines)]

    def _log_without(self, step: Step) -> None:
        self._refresh()
        for line in self._scene.log().splitlines():
            if any(matches(pattern, line) for pattern in step.block):
                raise self._error(step, f"should not be in the log: {line}")

    _steps: ClassVar[dict[str, Callable[[Player, Step], None]]] = {
        "client": _client,
        "send": _send,
        "bytes": _bytes,
        "message": _message,
        "reply": _reply,
        "closed": _closed,
        "hang-up": _hang_up,
        "advance": _advance,
        "delivered": _delivered,
        "held": _held,
        "log": _log,
        "log-without": _log_without,
    }


_PREPARE = re.compile(
    r"(?:signed by (?P<selector>\S+) of (?P<domain>[^\s,]+)(?P<length> with length)?)?(?:, then )?"
    r'(?:"(?P<old>[^"]*)" changed to "(?P<new>[^"]*)")?(?:, then )?'
    r'(?P<seals>(?:sealed by \S+ of \S+ saying "[^"]*"(?:, then )?)*)'
)
_SEAL = re.compile(r'sealed by (\S+) of (\S+) saying "([^"]*)"')


def _prepared(message: bytes, how: str, dialogue: Dialogue) -> bytes:
    found = _PREPARE.fullmatch(how)
    if found is None:
        raise ValueError(
            'message [signed by SELECTOR of DOMAIN [with length]][, then "OLD" changed to "NEW"]'
            '[, then sealed by SELECTOR of DOMAIN saying "RESULTS"]...:'
        )
    if found["selector"]:
        message = dialogue.keys[found["selector"], found["domain"]].sign(message, length=bool(found["length"]))
    if found["old"]:
        if found["old"].encode() not in message:
            raise ValueError(f"the message does not contain {found['old']!r}")
        message = message.replace(found["old"].encode(), found["new"].replace("\\r\\n", "\r\n").encode())
    for selector, domain, results in _SEAL.findall(found["seals"]):
        message = dialogue.keys[selector, domain].seal(message, results)
    return message


def _delivery_fits(line: str, delivery: Delivery, sent_bodies: Sequence[bytes]) -> bool:
    """Whether a delivered message is as one line below `delivered:` says."""
    verb, _, rest = line.partition(" ")
    name, _, pattern = rest.partition(":")
    values = delivery.values(name)
    wanted = pattern.strip() or "*"
    match verb:
        case "from":
            return matches(rest.strip("<>"), delivery.sender)
        case "to":
            return rest.strip("<>") in delivery.recipients
        case "only":  # these recipients, in whatever order
            wanted_recipients = sorted(address.strip("<>") for address in rest.split(", "))
            return sorted(delivery.recipients) == wanted_recipients
        case "has":
            return any(matches(wanted, value) for value in values)
        case "lacks":
            return not any(matches(wanted, value) for value in values)
        case "once":
            return len(values) == 1 and matches(wanted, values[0])
        case "top":
            first, value = delivery.fields()[0]
            return first.lower() == name.lower() and matches(wanted, value)
        case "remember":
            return bool(_remembered_part(delivery, pattern))
        case "body":
            return _body_fits(rest, delivery.body, sent_bodies)
    raise ValueError(
        f"a line below `delivered:` begins with from, to, only, has, lacks, once, top, remember or body, not {verb!r}"
    )


def _remembered_part(delivery: Delivery, name: str) -> str:
    """The value of a field, or the envelope sender for `MAIL FROM`; "" where there is none."""
    if name.strip() == "MAIL FROM":
        return delivery.sender
    return next(iter(delivery.values(name.strip())), "")


def _body_fits(rest: str, body: bytes, sent_bodies: Sequence[bytes]) -> bool:
    verb, _, pattern = rest.partition(" ")
    text = body.decode(errors="backslashreplace")
    match verb:
        case "unchanged":
            return body in sent_bodies
        case "has":
            return matches(f"*{pattern}*", text)
        case "lacks":
            return not matches(f"*{pattern}*", text)
    raise ValueError("body unchanged | has TEXT | lacks TEXT")
