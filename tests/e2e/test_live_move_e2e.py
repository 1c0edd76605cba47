"""`bms db move --live` while mail flows: whatever was answered for is in the new database, once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import sqlalchemy as sa

from antispam.store.schema import quarantine_entry
from support.filter_process import FilterProcess
from support.milter_client import MilterClient, ProtocolError
from support.network import Network
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import wait_until

CONFIG = (
    "[helo]\nmode = off\n[spf]\nmode = off\n[greylist]\nmode = off\n[defang]\nremedy = quarantine\n"
    "[dns]\nnameservers = 127.0.0.1@1\ntimeout = 1\n"
)
PROGRAM = [(b"MIME-Version", b" 1.0"), (b"Content-Type", b' application/octet-stream; name="game.exe"')]


def _send(node: FilterProcess, subject: str) -> str:
    with MilterClient(str(node.socket)) as client:
        client.greet()
        headers = [(b"From", b" ann@example.org"), (b"Subject", b" " + subject.encode()), *PROGRAM]
        return client.message(headers, b"MZ\r\n", b"<ann@example.org>", [b"<bob@example.com>"]).action


def test_mail_flows_on_from_one_database_to_the_other(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def client(name: int) -> None:
        number = 0
        while not stop.is_set():
            subject = f"{name} {number}"
            with contextlib.suppress(OSError, ProtocolError):  # a client whose server breaks off comes again
                if _send(node, subject) == "d":
                    acknowledged.append(subject)
                    number += 1
            stop.wait(0.02)

    def grows() -> None:
        wanted = len(acknowledged) + 5
        wait_until(lambda: len(acknowledged) >= wanted, "mail flows")

    target = f"sqlite:///{tmp_path}/new/bms.sqlite"
    with FilterProcess(Network(), CONFIG) as node:
        clients = [threading.Thread(target=client, args=(name,)) for name in range(2)]
        for thread in clients:
            thread.start()
        try:
            grows()
            command = [sys.executable, REPOSITORY / "bms.py", "db", "move", "--live", node.database, target]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
            assert done.returncode == 0, done.stdout + done.stderr
            node.config.write_text(f"[store]\nurl = {target}\n{node.config.read_text()}")
            os.kill(node.pid, signal.SIGHUP)
            grows()
        finally:
            stop.set()
            for thread in clients:
                thread.join()
        assert "Traceback" not in node.log()
    engine = sa.create_engine(target, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        kept = connection.scalars(sa.select(quarantine_entry.c.subject)).all()
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
