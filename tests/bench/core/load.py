"""A load generator that speaks the milter protocol: whole messages, over and over, with no MTA in between.

The bytes of a message are laid out once per connection, in pieces that each end with a command that is answered, so
that the generator costs little beside the milter that it measures.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import TYPE_CHECKING

from support.milter_client import CHUNK, FINAL, STEP_BITS, Address, MilterClient, ProtocolError
from support.processes import children_of

if TYPE_CHECKING:  # the core is measured where the application's dependencies may be missing
    from support.filter_process import FilterProcess

# What an ordinary message has; 4,000 bytes in all.
HEADERS = tuple(
    (f"X-Header-{number}".encode() if number > 4 else name, b"a value of ordinary length, number %d" % number)
    for number, name in enumerate(
        (b"Received", b"Date", b"From", b"To", b"Subject", *(b"X" for _ in range(11))),
    )
)
BODY = (b"A line of a message that is neither long nor short, as people write.\r\n" * 48)[:3200]
MESSAGES_PER_CONNECTION = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """A message to send: header fields as libmilter hands them over, body with CRLF, envelope addresses without brackets, and
    the client that brings it, where a connection begins with this message."""

    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    sender: bytes = b"sender@example.org"
    recipient: bytes = b"recipient@example.com"
    client: bytes = b"192.0.2.1"
    client_name: bytes = b"client.example"


ORDINARY = (Sample(HEADERS, BODY),)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run took: messages, seconds on the wall, processor seconds of the milter's processes, and the seconds that each
    end of message waited for its answer, the shortest first."""

    messages: int
    seconds: float
    cpu_seconds: float
    ends: Sequence[float] = ()

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """Processor seconds for 1,000 messages."""
        return 1000 * self.cpu_seconds / self.messages

    def end_at(self, share: float) -> float:
        """The seconds within which this share of the ends of message were answered; 0 where none was."""
        return self.ends[min(len(self.ends) - 1, int(share * len(self.ends)))] if self.ends else 0.0


def _packet(command: bytes, payload: bytes) -> bytes:
    return struct.pack("!I", 1 + len(payload)) + command + payload


def layout(steps: int, sample: Sample = ORDINARY[0]) -> list[bytes]:
    """A message in pieces to send, each ending with a command that the milter with these negotiated steps answers."""
    commands = [(b"M", b"<%s>\0SIZE=4000\0" % sample.sender), (b"R", b"<%s>\0" % sample.recipient), (b"T", b"")]
    commands += [(b"L", name + b"\0" + value + b"\0") for name, value in sample.headers]
    commands += [(b"N", b"")]
    commands += [(b"B", sample.body[start : start + CHUNK]) for start in range(0, len(sample.body), CHUNK)]
    commands += [(b"E", b"")]
    pieces: list[bytes] = []
    pending = _packet(b"D", b"Mi\0ABC123\0")
    for command, payload in commands:
        unwanted, unanswered = STEP_BITS[command]
        if steps & unwanted:
            continue
        pending += _packet(command, payload)
        if not steps & unanswered:
            pieces.append(pending)
            pending = b""
    return pieces


def send_messages(
    address: Address,
    messages: int,
    done: Callable[[int], object] = lambda count: None,
    samples: Iterator[Sample] | None = None,
    strict: bool = True,
    per_connection: int = MESSAGES_PER_CONNECTION,
) -> list[float]:
    """Send messages, a fresh connection for every `per_connection`; raises ProtocolError unless each is let through. Returns
    the seconds that each end of message took.

    messages  what to send, without end; the same ordinary message over and over by default
    strict   a refusal is a failure; else it is taken as an MTA would
    """
    samples = samples or itertools.cycle(ORDINARY)
    ends: list[float] = []
    while messages > 0:
        batch = list(itertools.islice(samples, min(messages, per_connection)))
        with MilterClient(address, 60) as client:
            greet(client, batch[0])
            for sample in batch:
                _send(client, _pieces(client.negotiated.steps, sample), strict, ends)
            client.put(b"Q")
            client.flush()
        messages -= len(batch)
        done(len(batch))
    return ends


def greet(client: MilterClient, sample: Sample = ORDINARY[0]) -> None:
    """Begin a session as an MTA does: the client of the sample, and its HELO."""
    client.negotiate()
    client.macros(b"C", {"j": "mx.example.test", "{daemon_name}": "MTA", "{client_resolve}": "OK"})
    client.connect(sample.client_name, address=sample.client)
    client.helo(sample.client_name)
    client.flush()


def _send(client: MilterClient, pieces: list[bytes], strict: bool, ends: list[float]) -> None:
    """Send one message, and note how long its end took."""
    for piece in pieces:
        start = time.perf_counter()
        client.socket.sendall(piece)
        while (packet := client.get())[0] not in FINAL:
            pass
        if piece is pieces[-1]:
            ends.append(time.perf_counter() - start)
        if packet in (b"c", b"a"):
            continue
        if strict:
            raise ProtocolError(f"refused: {packet!r}")
        if piece is not pieces[-1]:
            client.abort()
        break


_laid_out: dict[tuple[int, int], list[bytes]] = {}  # by steps and the message's identity


def served(program: FilterProcess) -> tuple[str, list[int]]:
    """The socket of a program that has let a message through, and the process ids of its workers."""
    send_messages(str(program.socket), 1)  # hence prepared: from now on its children are workers
    return str(program.socket), children_of(program.pid)


def _pieces(steps: int, sample: Sample) -> list[bytes]:
    """The pieces of a message, laid out the first time."""
    key = steps, id(sample)
    found = _laid_out.get(key)
    if found is None:
        found = _laid_out[key] = layout(steps, sample)
    return found


def cpu_seconds(processes: list[int]) -> float:
    """User and system time of processes so far (Linux: /proc/PID/stat)."""
    ticks = 0
    for process in processes:
        with open(f"/proc/{process}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """A process's resident memory (Linux: /proc/PID/statm)."""
    with open(f"/proc/{process}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(
    address: Address,
    processes: list[int],
    messages: int,
    connections: int = 1,
    samples: Sequence[Sample] = ORDINARY,
    strict: bool = True,
    per_connection: int = MESSAGES_PER_CONNECTION,
) -> Measured:
    """Send messages over several connections at once, each from a process of its own, which goes through all `messages`.

    The senders share the work as they go: with a fixed share each, those whose connections share a busy worker would go on
    alone at the end, and the other worker's idle time would be measured.
    """
    context = multiprocessing.get_context("fork")
    left = context.Value("i", messages)
    pairs = [context.Pipe() for _ in range(connections)]
    senders = [
        context.Process(
            target=_sender, args=(address, left, far, [*samples[start:], *samples[:start]], strict, per_connection)
        )
        for start, (_, far) in zip(_starts(len(samples), connections), pairs, strict=True)
    ]
    for sender in senders:
        sender.start()
    for near, _ in pairs:
        near.recv()
    cpu, start = cpu_seconds(processes), time.perf_counter()
    for near, _ in pairs:
        near.send("go")
    told = [near.recv() for near, _ in pairs]
    seconds = time.perf_counter() - start
    failures = [answer for answer in told if isinstance(answer, str)]
    ends = sorted(end for answer in told if not isinstance(answer, str) for end in answer)
    measured = Measured(messages, seconds, cpu_seconds(processes) - cpu, ends)
    for sender in senders:
        sender.join()
    if failures:
        raise ProtocolError(failures[0])
    return measured


def _starts(samples: int, connections: int) -> list[int]:
    """Where each sender begins, so that they do not all send the same message at the same time."""
    return [number * samples // connections for number in range(connections)]


def _sender(
    address: Address,
    left: Synchronized[int],
    control: Connection,
    samples: Sequence[Sample],
    strict: bool,
    per_connection: int,
) -> None:
    """Send what is left to send; then tell how long each end of message took, or what failed."""
    endless = itertools.cycle(samples)
    control.send("ready")
    control.recv()
    ends: list[float] = []
    try:
        while batch := _take(left, per_connection):
            ends += send_messages(address, batch, samples=endless, strict=strict, per_connection=per_connection)
    except (OSError, ProtocolError) as failure:
        control.send(str(failure))
    else:
        control.send(ends)


def _take(left: Synchronized[int], most: int) -> int:
    """The next connection's messages, 0 when all are taken."""
    with left.get_lock():
        batch = min(left.value, most)
        left.value -= batch
    return batch
