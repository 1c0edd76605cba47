"""Dialogues through a real MTA with the real program attached."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import sqlalchemy as sa

from antispam.store import Store
from antispam.store.schema import history, outbox
from support.clamd import Clamd
from support.dialogue import Client, Dialogue, Scene
from support.filter_process import FilterProcess
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import Network
from support.processes import RunDirectory, wait_until
from support.sink import Delivery, Sink
from support.smtp_client import SmtpClient
from support.zones import complete

_ACCEPTED = re.compile(r"^\S+ \S+ INFO \[(\w+)\] ACCEPT ", re.MULTILINE)


class _MtaScene:
    def __init__(self, mta: Mta, program: FilterProcess) -> None:
        self._mta = mta
        self._program = program
        self._held_before = mta.held()
        self._store = Store(program.database)
        self._written: set[str] = set()

    def connect(self, client: Client) -> SmtpClient:
        wire = self._mta.client(client.address)
        if client.login:
            # Postfix then forgets all about the session and greets once more; that greeting is left for the dialogue.
            wire.greet()
            wire.command("EHLO tests.example.test")
            wire.send(f"XCLIENT LOGIN={client.login}\r\n".encode())
        return wire

    def advance(self, seconds: float) -> None:
        self._await_history()  # of a time long past housekeeping would forget it
        self._program.clock.advance(seconds)

    def deliveries(self) -> list[Delivery]:
        self._mta.wait_idle()
        if self._queued():
            wait_until(lambda: not self._queued(), "the outbox is empty")
            self._mta.wait_idle()
        self._await_history()  # nobody reports a message sooner
        return self._mta.sink.deliveries

    def _await_history(self) -> None:
        wait_until(self._all_written, "the filter writes down what it accepted")

    def _all_written(self) -> bool:
        """Whether the history has every message that the log says was accepted. What else is written after the reply, such as
        the signatures that reports name, stands before it in the filter's queue."""
        logged = set(_ACCEPTED.findall(self.log())) - self._written
        if logged:
            with self._store.read() as connection:
                self._written |= set(connection.scalars(sa.select(history.c.ref).where(history.c.ref.in_(logged))))
        return logged <= self._written

    def _queued(self) -> int:
        """How many messages wait in the filter's outbox."""
        with self._store.read() as connection:
            due = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.next_at.is_not(None))
            return int(connection.scalar(due) or 0)

    def close(self) -> None:
        self._store.close()

    def held(self) -> int:
        return self._mta.held() - self._held_before

    def log(self) -> str:
        return self._program.log()


class MtaRunner:
    """One MTA for all dialogues of a run; the program is started anew for each, with that dialogue's configuration."""

    def __init__(self, kind: str, network: Network, nameserver: NameServer) -> None:
        self.name = kind
        self._network = network
        self._nameserver = nameserver
        self._stack = contextlib.ExitStack()
        try:
            run = self._stack.enter_context(RunDirectory("socket"))
            self._socket = run.path / "milter.sock"
            sink = self._stack.enter_context(Sink(network))
            self.mta: Mta
            if kind == "postfix":
                self.mta = self._stack.enter_context(Postfix(network, sink, [f"unix:{self._socket}"]))
            else:
                self.mta = self._stack.enter_context(Sendmail(network, sink, [f"local:{self._socket}"]))
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def scene(self, dialogue: Dialogue, database: str = "") -> Iterator[Scene]:
        """`database` is the URL of the filter's store, if it is not the SQLite file in its folder."""
        self._nameserver.load(complete(dialogue.zones, dialogue.hosts))
        self.mta.sink.clear()
        config = dialogue.config.replace("{mta}", f"127.0.0.1:{self.mta.port}")
        with (
            Clamd(self._network) if "{clamd}" in config else contextlib.nullcontext() as clamd,
            dialogue.mail_exchangers(self._network) as mx_port,
            FilterProcess(
                self._network,
                config.replace("{mxport}", str(mx_port)).replace("{clamd}", f"local:{clamd.socket}" if clamd else ""),
                files=dialogue.files,
                socket=self._socket,
                learned=dialogue.learned,
                database=database,
            ) as program,
            contextlib.closing(_MtaScene(self.mta, program)) as scene,
        ):
            yield scene

    def close(self) -> None:
        self._stack.close()
